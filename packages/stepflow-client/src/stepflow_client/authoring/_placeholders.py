"""Placeholders that stand for a flow's input, variables and step outputs while the flow is being written.

To type checkers, a `Value` has the type of the value it stands for. At runtime, it only knows where that value will
come from: reading a field returns another `Value`, and any other operation raises an error that suggests an
alternative.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

from .._base.not_given import NOT_GIVEN
from ..errors import AuthoringError
from ._lazy_modules import arguments, expressions, fields
from ._places import find_call_place, is_called_by_user_code


def authoring_error(
    message: str, hint: str | None = None, kind: type[AuthoringError] = AuthoringError
) -> AuthoringError:
    """Return an error located at the current call in the flow's code."""
    place = find_call_place()
    error = kind(f"{place}: {message}", hint=hint, path=place.file, line=place.line, column=place.column)
    if (raised := collected_errors.get()) is not None and is_called_by_user_code():
        raised.append(error)
    return error


collected_errors: ContextVar[list[AuthoringError] | None] = ContextVar("stepflow_refusals", default=None)
"""Errors raised so far in the flow's function, which may have caught them."""


Call = TypeVar("Call", bound=Callable[..., Any])


def without_profiler(function: Call) -> Call:
    """Suspend our profiler (see `_operation_profiler`) while a function runs, to speed it up."""

    def call(*arguments: Any, **named: Any) -> Any:
        profiler = sys.getprofile()
        if not getattr(profiler, "watches_flows", False):
            return function(*arguments, **named)
        sys.setprofile(None)
        try:
            return function(*arguments, **named)
        finally:
            sys.setprofile(profiler)

    return wraps(function)(call)  # type: ignore[return-value]


class SourceScope(Protocol):
    """The flow a value belongs to."""

    name: str
    input_name: str


class SourceStep(Protocol):
    """The step a value belongs to."""

    @property
    def label(self) -> str:
        """The step's name in messages."""
        ...


class Read(NamedTuple):
    """A value read from the input, a variable or a step's output."""

    scope: SourceScope
    source: SourceStep | str | None
    """The step, the name of the variable, or None for the input."""
    path: expressions.Path
    kind: Any
    default: Any = NOT_GIVEN
    """For a variable, the expression to use if it isn't set, or NOT_GIVEN if there's no such default."""

    @property
    def label(self) -> str:
        """How the value is written in Python, e.g. `price.eur`."""
        start = self.scope.input_name if self.source is None else getattr(self.source, "label", self.source)
        return expressions.format_path(self.path, str(start))


class Condition(NamedTuple):
    """An `$if` expression."""

    condition: Any
    then: Any
    otherwise: Any
    """The expression for `else`, or NOT_GIVEN if there is none."""

    @property
    def label(self) -> str:
        """How the value is written in Python."""
        return "when(...)"


class Coalesce(NamedTuple):
    """A `$coalesce` expression."""

    alternatives: tuple[Any, ...]

    @property
    def label(self) -> str:
        """How the value is written in Python."""
        return "coalesce(...)"


class Literal(NamedTuple):
    """A `$literal` expression."""

    value: Any

    @property
    def label(self) -> str:
        """How the value is written in Python."""
        return "literal(...)"


class Record(NamedTuple):
    """The fields of an object whose class would reject flow values."""

    kind: Any
    fields: dict[str, Any]
    """Field values, by Python field name."""

    @property
    def label(self) -> str:
        """How the value is written in Python."""
        return f"construct({fields.get_type_name(self.kind)}, ...)"


Expression = Read | Condition | Coalesce | Literal | Record


REPR_PREFIX = "<value of a flow: "
"""The start of every value's repr, used to detect strings built from a value."""


class _NoFieldError(AuthoringError, AttributeError):
    """The field doesn't exist."""


class Value:
    """A value in a flow. All operations other than reading a field or element raise an error."""

    __slots__ = ("__stepflow__",)

    __stepflow__: Expression

    def __init__(self, expression: Expression) -> None:
        object.__setattr__(self, "__stepflow__", expression)

    def __repr__(self) -> str:
        """Return the expression, for display in debuggers."""
        return f"{REPR_PREFIX}{self.__stepflow__.label}>"

    @without_profiler
    def __getattr__(self, name: str) -> Any:
        """Return the value of a field."""
        if name.startswith(("__", "_repr_", "_ipython_")):
            # Python and notebooks look these up on any object.
            raise AttributeError(name)
        return Value(_make_part_expression(self.__stepflow__, name, fields.find_field_by_attribute, _NoFieldError))

    def __getitem__(self, key: Any) -> Any:
        """Return the value of an element, or of a field in an object without a class."""
        return Value(make_element_expression(self.__stepflow__, key))

    @property  # type: ignore[misc]
    def __class__(self) -> NoReturn:  # type: ignore[override]
        """Reject `isinstance()`, because the value has no class yet."""
        message = "has no class yet: isinstance(), match and json.dumps() cannot use it"
        raise authoring_error(f"{self.__stepflow__.label} is a value of a flow and {message}", _CHOICE_HINT)

    def __copy__(self) -> Value:
        """Return the value itself, since it is immutable."""
        return self

    def __deepcopy__(self, memo: object) -> Value:
        """Return the value itself, since it is immutable."""
        return self


def make_element_expression(expression: Expression, key: Any) -> Expression:
    """Return the expression for an element of a value.

    Raises:
        AuthoringError: If there is no such element.
    """
    if type(key) is Value:
        raise authoring_error(f"{expression.label}[...] needs a key or a position that is known when the flow is built",
                     "paths in a flow are fixed; use a component to choose an element")  # fmt: skip
    if isinstance(key, slice):
        raise authoring_error(f"a slice of {expression.label} cannot be read", "a path reads one element: [0]")
    if isinstance(key, bool) or not isinstance(key, (int, str)):
        message = f"{expression.label}[{arguments.short_repr(key)}] is not a path"
        raise authoring_error(message, "a path has keys (text) and positions from 0")
    if isinstance(key, int) and key < 0:
        raise authoring_error(f"{expression.label}[{key}] counts from the end", "paths only count from the beginning")
    return _make_part_expression(expression, key, fields.find_element, AuthoringError)


def _make_part_expression(
    expression: Expression, key: Any, find: Callable[..., fields.Field], error_type: type[AuthoringError]
) -> Expression:
    match expression:
        case Read():
            try:
                target = find(expression.kind, key)
            except fields.PartNotFound as error:
                message, hint = error.args
                raise authoring_error(f"{expression.label}: {message}", hint, error_type) from None
            step = key if isinstance(key, int) else target.name
            try:
                is_writable = expressions.parse_path(expressions.format_path([step])) == (step,)
            except expressions.PathError:
                is_writable = False
            if not is_writable:
                message = f"the name {step!r} cannot be written in a path"
                raise authoring_error(message, "rename the field in the component")
            return expression._replace(path=(*expression.path, step), kind=target.kind)
        case Condition(condition, then, other) if isinstance(then, Expression) and isinstance(other, Expression):
            then_part, other_part = (_make_part_expression(branch, key, find, error_type) for branch in (then, other))
            return Condition(condition, then_part, other_part)
        case Literal(dict() as data) if key in data:
            return Literal(data[key])
        case Literal(list() as data) if isinstance(key, int) and key < len(data):
            return Literal(data[key])
    hint = "read it before: when(c, a.x, b.x), coalesce(a.x, b.x)"
    raise authoring_error(f"a part of {expression.label} cannot be read", hint, error_type)


_CHOICE_HINT = "use when(condition, then, otherwise) for a choice and coalesce(a, b) for the first that is not None"
_COMPUTE_HINT = "flows cannot compute; call a component that does"
_TEXT_HINT = "flows cannot concatenate strings; pass the parts to a component that does"
_EACH_HINT = "use each(values, function) to run a sub-flow for each element, and [0] or item(value, 0) to read one"
_COMPARE_HINT = "flows cannot compare; call a component that does, and use when() on its output"
_NUMBER_HINT = "you can still pass it on, or read it with when() and coalesce()"

# Operations that would otherwise fail obscurely or silently do the wrong thing, with suggested alternatives.
_REJECTED_OPERATIONS = {
    ("has no truth value yet: if, and, or, not and assert cannot use it", _CHOICE_HINT): ["bool"],
    ("has no text yet: str(), print() and f-strings cannot use it", _TEXT_HINT): ["str", "format", "bytes", "fspath"],
    ("has no length yet", "call a component that counts"): ["len", "length_hint"],
    ("has no elements yet: for, in, unpacking, list() and sorted() cannot use it", _EACH_HINT): [
        "iter", "next", "contains", "reversed", "aiter", "anext",
    ],
    ("cannot be compared yet", _COMPARE_HINT): ["eq", "ne", "lt", "le", "gt", "ge"],
    ("cannot be a key of a dict or an element of a set", "use a list, or keys that are known"): ["hash"],
    ("is not a number yet", _NUMBER_HINT): ["int", "float", "complex", "index", "round", "trunc", "floor", "ceil"],
    ("cannot be used in a calculation", _COMPUTE_HINT): [
        *(f"{side}{name}" for side in ("", "r", "i") for name in (
            "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and", "xor", "or",
        )),
        "divmod", "rdivmod", "neg", "pos", "abs", "invert",
    ],
    ("cannot be called: values of a flow have no methods", "use a component to compute"): ["call"],
    ("cannot be awaited or entered: it is not the result of a run", "run the flow with order.run(client, input)"): [
        "await", "enter", "exit", "aenter", "aexit",
    ],
    ("cannot be changed", "values of a flow are read only; write a new object with the parts"): [
        "setattr", "delattr", "setitem", "delitem",
    ],
    ("cannot be pickled: it belongs to its flow's function", None): ["reduce_ex", "getstate"],
}  # fmt: skip


def _make_rejecting_method(message: str, hint: str | None) -> Callable[..., NoReturn]:
    def trap(self: Value, *_: object, **__: object) -> NoReturn:
        raise authoring_error(f"{self.__stepflow__.label} is a value of a flow and {message}", hint)

    return trap


for (_message, _hint), _names in _REJECTED_OPERATIONS.items():
    for _name in _names:
        setattr(Value, f"__{_name}__", _make_rejecting_method(_message, _hint))
