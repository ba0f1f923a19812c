"""Flow expressions as functions, and `variable` for declaring a flow's variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, overload

from .._base.not_given import NOT_GIVEN
from ._lazy_modules import arguments, fields as field_types, suggestions
from ._placeholders import Coalesce, Condition, Literal, Read, Record, Value, authoring_error, make_element_expression
from ._scopes import encode_data, get_current_scope

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")
T4 = TypeVar("T4")
P = ParamSpec("P")


@overload
def when(condition: bool | None, then: T1) -> T1 | None: ...
@overload
def when(condition: bool | None, then: T1, otherwise: T2) -> T1 | T2: ...
def when(condition: Any, then: Any, otherwise: Any = NOT_GIVEN) -> Any:
    """Choose between two values, like Python's `then if condition else otherwise`. This becomes an `$if` expression.

    The steps in a branch only run if the branch is taken.

    Example:
        ```python
        note = when(given.gift, price.note, "no note")
        ```

    Args:
        condition: A boolean value. Wrap anything else in `exists`, because servers treat 0, empty strings and empty
            lists as true.
        then: The value if the condition is true.
        otherwise: The value if the condition is false or null, or if it fails. Defaults to null.

    Raises:
        AuthoringError: If the condition is not a bool.
    """
    scope = get_current_scope("when()")
    is_known = type(condition) is not Value
    if is_known and not isinstance(condition, bool):
        message = f"the condition of when() must be a value of the flow, not {arguments.short_repr(condition)}"
        raise authoring_error(message, "for other values, use Python's if")
    read = None if is_known else condition.__stepflow__
    if isinstance(read, Read) and not all(
        alternative in (bool, type(None)) or field_types.allows_any_value(alternative)
        for alternative in field_types.iter_non_none_members(read.kind)
    ):
        kind = field_types.get_type_name(read.kind)
        raise authoring_error(f"{read.label} is not a bool but {kind}, and servers treat 0, empty text and empty lists "
                     "as true", "to check that it exists, write when(exists(value), ...)")  # fmt: skip
    other = NOT_GIVEN if otherwise is NOT_GIVEN else scope.encode_value(otherwise)
    return Value(Condition(scope.encode_value(condition), scope.encode_value(then), other))


def exists(value: object) -> bool:
    """Return whether a value exists, for use as a condition in `when`.

    A value doesn't exist if it is null or false, its path leads nowhere, or its step failed.

    Args:
        value: A flow value.

    Raises:
        AuthoringError: If it isn't a flow value.
    """
    if type(value) is not Value:
        raise authoring_error(f"exists() expects a value of the flow, not {arguments.short_repr(value)}")
    expression = value.__stepflow__
    read = expression._replace(kind=bool) if isinstance(expression, Read) else expression
    return Value(read)  # type: ignore[return-value]


@overload
def coalesce(first: T1 | None, second: T2, /) -> T1 | T2: ...
@overload
def coalesce(first: T1 | None, second: T2 | None, third: T3, /) -> T1 | T2 | T3: ...
@overload
def coalesce(first: T1 | None, second: T2 | None, third: T3 | None, fourth: T4, /) -> T1 | T2 | T3 | T4: ...
@overload
def coalesce(first: T | None, /, *others: T | None) -> T | None: ...
def coalesce(*alternatives: Any) -> Any:
    """Return the first value that isn't null. This becomes a `$coalesce` expression.

    Note that a failed step or a path that leads nowhere is an error, not null. To handle those, use `exists`.

    Example:
        ```python
        note = coalesce(price.note, "no note")
        ```

    Args:
        alternatives: The values to try, in order.
    """
    scope = get_current_scope("coalesce()")
    return Value(Coalesce(tuple(scope.encode_value(alternative) for alternative in alternatives)))


@overload
def item(value: Sequence[T], key: int, /) -> T: ...
@overload
def item(value: Mapping[str, T], key: str, /) -> T: ...
@overload
def item(value: Any, key: int | str, /, *more: int | str) -> Any: ...
def item(value: Any, key: int | str, /, *more: int | str) -> Any:
    """Return an element of a list or object. `item(price.tags, 0)` is the same as `price.tags[0]`.

    Args:
        value: A flow value.
        key: A 0-based index, or a field name.
        more: More keys and indexes, for nested elements.

    Raises:
        AuthoringError: If there is no such element, or `value` is not a flow value.
    """
    if type(value) is not Value:
        message = f"item() reads a value of the flow, not {type(value).__name__}"
        raise authoring_error(message, "for other values, use Python's own [0]")
    expression = value.__stepflow__
    for part in (key, *more):
        expression = make_element_expression(expression, part)
    return Value(expression)


def literal(value: T) -> T:
    """Mark data that servers should not evaluate. This becomes a `$literal` expression.

    You only need it for data with keys such as `$step`, which would otherwise be treated as expressions, and to pass
    None for an argument that would otherwise be omitted.

    Args:
        value: The data, which must not contain flow values.

    Raises:
        AuthoringError: If the data contains flow values, or can't be represented in JSON.
    """
    return Value(Literal(encode_data(value, "the literal")))  # type: ignore[return-value]


def if_unset(variable: T1, otherwise: T2) -> T1 | T2:
    """Return a variable, or a fallback if the run doesn't set the variable and it has no default.

    Args:
        variable: A flow variable, or part of one.
        otherwise: The fallback.

    Raises:
        AuthoringError: If the first argument is not a variable.
    """
    scope = get_current_scope("if_unset()")
    value: object = variable
    read = value.__stepflow__ if type(value) is Value else None
    if not isinstance(read, Read) or not isinstance(read.source, str):
        raise authoring_error("if_unset() expects a variable of the flow", "use coalesce() for other values")
    return Value(read._replace(default=scope.encode_value(otherwise)))  # type: ignore[return-value]


def construct(kind: Callable[P, T], /, *arguments: P.args, **fields: P.kwargs) -> T:
    """Create an object of a class that validates its fields and would therefore reject flow values.

    Use this for pydantic models. Dataclasses and msgspec structs can be called directly.

    Example:
        ```python
        return construct(Receipt, total=price.eur, text=note)
        ```

    Args:
        kind: The class.
        arguments: Not allowed. Pass fields by name.
        fields: The fields, named like the class's own arguments.

    Raises:
        AuthoringError: If a field is missing or unknown.
    """
    declared = field_types.get_fields_by_attribute(kind)
    if declared is None or arguments:
        raise authoring_error("construct() expects a class and its fields by name: construct(Receipt, total=price.eur)")
    # Also accept aliases, as pydantic models do.
    attribute = {declaration.name: name for name, declaration in declared.items()} | {name: name for name in declared}
    for name in fields:
        if name not in attribute:
            hint = suggestions.suggest_or_list(name, declared, "its fields are")
            raise authoring_error(f"{field_types.get_type_name(kind)} has no field {name!r}", hint)
    given = {attribute[name]: field for name, field in fields.items()}
    return Value(Record(kind, given))  # type: ignore[return-value]


class Variable:
    """A flow variable declared with `variable`.

    This isn't a tuple (a tuple would become a list in a step's input), and its `repr` hides the default, which may be
    secret.
    """

    def __init__(
        self,
        default: Any = NOT_GIVEN,
        description: str | None = None,
        env_var: str | None = None,
        secret: bool = False,
        required: bool = True,
    ) -> None:
        """Use `variable` instead."""
        self.default, self.description, self.env_var, self.secret = default, description, env_var, secret
        self.is_required = required and default is NOT_GIVEN
        """Whether every run must set the variable."""

    def make_schema(self, type_schema: dict[str, Any]) -> dict[str, Any]:
        """Return the variable's schema in the flow file, based on the schema of its type."""
        result = dict(type_schema)
        if self.description is not None:
            result["description"] = self.description
        if self.default is not NOT_GIVEN:
            result["default"] = encode_data(self.default, "the default of a variable")
        if self.env_var is not None:
            result["env_var"] = self.env_var
        if self.secret:
            result["is_secret"] = True
        return result


@overload
def variable(*, default: T, description: str | None = None, env_var: str | None = None, secret: bool = False) -> T: ...
@overload
def variable(
    *, description: str | None = None, env_var: str | None = None, secret: bool = False, required: bool = True
) -> Any: ...
def variable(
    *,
    default: Any = NOT_GIVEN,
    description: str | None = None,
    env_var: str | None = None,
    secret: bool = False,
    required: bool = True,
) -> Any:
    """Declare a flow variable, as the default of a keyword-only argument of the flow's function.

    Example:
        ```python
        @flow
        def greet(
            given: Person, *, tone: str = variable(default="friendly"), key: str = variable(env_var="KEY", secret=True)
        ) -> str: ...
        ```

    Args:
        default: The value to use if the run doesn't set the variable.
        description: A description.
        env_var: Environment variable to read the value from with `variables_from_env=True` or `--variables-from-env`.
        secret: Whether to hide the value wherever this package shows or stores it.
        required: Whether every run must set the variable if it has no default. If False, an unset `str` is `""`, a
            number is 0 and a `bool` is False. Other types, such as `str | None`, have no value when unset, so read them
            with `if_unset`.

    Raises:
        InvalidArgumentError: If an argument has the wrong type.
    """
    for name, value in (("description", description), ("env_var", env_var)):
        if value is not None:
            arguments.check_text(value, name)
    arguments.check_flags(secret=secret, required=required)
    return Variable(default, description, env_var, secret, required)
