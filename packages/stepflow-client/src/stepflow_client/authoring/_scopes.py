"""The flow being written and its steps, including the conversion of step inputs to JSON and expressions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

from .._base.not_given import NOT_GIVEN
from ..errors import AuthoringError, InvalidArgumentError
from ._lazy_modules import arguments, expressions, json_encoding, values
from ._placeholders import REPR_PREFIX, Coalesce, Condition, Expression, Literal, Read, Record, Value, authoring_error
from ._places import Place, find_call_place, set_context_variable

_KEYWORD_HINT = "write literal(...) around data, and use values of the flow for expressions"

_PLAIN_TYPES = frozenset((str, int, float, bool, type(None), list, dict, tuple))


class Step:
    """A step in the flow being written."""

    __slots__ = ("component", "explicit_id", "input", "name", "options", "place", "scope", "step_id")

    def __init__(self, scope: Scope, component: str, input: Any, explicit_id: str | None, name: str) -> None:
        """Create a step. `input` is NOT_GIVEN if the step has no input. `name` is the name of its component."""
        self.scope, self.component, self.input, self.explicit_id = scope, component, input, explicit_id
        self.place: Place = find_call_place()
        self.name = name
        self.options: dict[str, Any] = {}
        self.step_id = ""
        """The final step ID, set once all steps have been added."""

    @property
    def label(self) -> str:
        """The step's name in messages."""
        return self.step_id or self.explicit_id or self.place.name or self.name


class Scope:
    """The flow or sub-flow being written, with its steps.

    Args:
        name: The flow's name.
        input_name: The input's name in messages.
        outer: The enclosing flow, for a sub-flow.
    """

    def __init__(self, name: str, input_name: str, outer: Scope | None = None) -> None:
        self.name, self.input_name, self.outer = name, input_name, outer
        self.steps: list[Step] = []
        self.explicit_ids: set[str] = set()
        self.captured: dict[str, Read] = {}
        """Values that a sub-flow reads from outer flows, keyed by the name of the variable created for each value."""
        self.components: dict[str, Any] = {} if outer is None else outer.components
        """The functions of called components, keyed by path."""

    def activate(self) -> AbstractContextManager[None]:
        """Add the steps created in the block to this flow."""
        return set_context_variable(_current, self)

    def encode_value(self, value: Any) -> Any:
        """Return a copy of a value as plain data and expressions.

        Raises:
            AuthoringError: If it contains values of another flow, or something JSON can't represent.
        """
        try:
            return self._encode_part(value)
        except RecursionError:
            raise make_depth_error("a value") from None

    def _encode_part(self, value: Any) -> Any:
        if type(value) is Value:
            return self._rebind_expression(value.__stepflow__)
        if isinstance(value, Expression):
            return self._rebind_expression(value)
        if type(value) not in _PLAIN_TYPES and json_encoding.is_non_json_scalar(value):
            # Enum members end up here even if they are also strings or numbers.
            return self._encode_part(json_encoding.encode_scalar(value))
        if isinstance(value, str):
            if REPR_PREFIX in value:
                raise authoring_error(f"the text {arguments.short_repr(value)} was made from a value of the flow",
                             "flows cannot concatenate strings; pass the parts to a component that does")  # fmt: skip
            return value
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                raise authoring_error(f"{value} is not a number that JSON can represent")
            return value
        if isinstance(value, (list, tuple)):
            return [self._encode_part(element) for element in value]
        if not isinstance(value, Mapping):
            parts = encode_object(value)
            return parts if isinstance(parts, Literal) else self._encode_part(parts)
        if (word := expressions.get_keyword(value)) is not None:
            raise authoring_error(f"an object with the key {word!r} is an expression of flow files", _KEYWORD_HINT)
        for key in value:
            if not isinstance(key, str):
                raise authoring_error(f"{arguments.short_repr(key)} cannot be a key: JSON keys are strings")
        return {self._encode_part(key): self._encode_part(part) for key, part in value.items()}

    def _rebind_expression(self, expression: Expression) -> Any:
        """Rewrite an expression so that values of outer flows are read from variables.

        Raises:
            AuthoringError: If it belongs to a flow that doesn't enclose this one.
        """
        match expression:
            case Read():
                read = expression if expression.scope is self else self._capture_as_variable(expression)
                return read if read.default is NOT_GIVEN else read._replace(default=self._encode_part(read.default))
            case Condition(condition, then, otherwise):
                other = NOT_GIVEN if otherwise is NOT_GIVEN else self._encode_part(otherwise)
                return Condition(self._encode_part(condition), self._encode_part(then), other)
            case Coalesce(alternatives):
                return Coalesce(tuple(map(self._encode_part, alternatives)))
            case Record(kind, fields):
                return self._encode_part(encode_fields(kind, fields))
        return expression

    def _capture_as_variable(self, read: Read) -> Read:
        outer = self.outer
        while outer is not None and outer is not read.scope:
            outer = outer.outer
        if outer is None:
            within = read.scope.name
            raise authoring_error(f"{read.label} is a value of {within}, which does not enclose this place",
                         "the values of a sub-flow are only available inside it; return what you need")  # fmt: skip
        assert self.outer is not None
        value = self.outer.encode_value(Value(read))
        start = read.scope.input_name if read.source is None else getattr(read.source, "label", read.source)
        base = name = "_".join(filter(str.isidentifier, map(str, (start, *read.path)))) or "value"
        number = 1
        while self.captured.get(name, value) != value:
            number += 1
            name = f"{base}_{number}"
        self.captured[name] = value
        return Read(self, name, (), read.kind)


class SubFlow:
    """A flow inside a step's input, which runs for each element or turn."""

    def __init__(self, scope: Scope, output: Any) -> None:
        self.scope, self.output = scope, output


_current: ContextVar[Scope | None] = ContextVar("stepflow_flow", default=None)


def get_current_scope(what: str) -> Scope:
    """Return the flow being written.

    Args:
        what: The call that requires a flow, for the error message.

    Raises:
        AuthoringError: If no flow is being written.
    """
    scope = _current.get()
    if scope is None:
        message = f"{what} creates a step, but no flow is being built"
        raise authoring_error(message, "call it in a function decorated with @flow")
    return scope


def make_depth_error(what: str) -> AuthoringError:
    """Return the error for data that is cyclic, or nested too deeply for Python."""
    return authoring_error(f"{what} is nested too deeply", "servers accept 126 levels")


def check_decorated_is_function(value: Any, decorator: str) -> None:
    """Raise InvalidArgumentError if the decorated object is not a function."""
    if not callable(value) or not hasattr(value, "__qualname__"):
        raise arguments.argument_error(f"what {decorator} decorates", "a function", value)


def encode_object(value: Any) -> Any:
    """Convert an object to data, which may still contain flow values. A flow becomes a literal.

    Raises:
        AuthoringError: If the object can't be represented in JSON.
    """
    if json_encoding.is_non_json_scalar(value):
        return json_encoding.encode_scalar(value)
    if json_encoding.is_data_object(value):
        names = _get_json_names(type(value))
        fields = {field: getattr(value, field) for field in names}
        # If there are no flow values, let pydantic encode the object, so that serializers and computed fields apply.
        if not hasattr(value, "__pydantic_serializer__") or any(map(contains_flow_value, fields.values())):
            config = getattr(value, "__struct_config__", None)
            tag = {} if config is None or config.tag is None else {config.tag_field: config.tag}
            return {**tag, **encode_fields(type(value), fields)}
        unset = {names[field] for field, part in fields.items() if _is_field_unset(type(value), field, part)}
        return {name: item for name, item in json_encoding.encode_fields(value).items() if name not in unset}
    if callable(getattr(type(value), "to_dict", None)):
        return Literal(value.to_dict())
    hint = "pass text, numbers, lists, dicts, or objects of pydantic, dataclasses, attrs or msgspec"
    raise authoring_error(f"{type(value).__name__} cannot be represented in JSON", hint)


def encode_fields(kind: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object's fields by JSON name, omitting optional fields that are None.

    If no class is given, return the fields unchanged.
    """
    if kind is None:
        return dict(fields)
    names = _get_json_names(kind)
    return {names[field]: value for field, value in fields.items() if not _is_field_unset(kind, field, value)}


def _get_json_names(kind: Any) -> dict[str, str]:
    return json_encoding.get_json_field_names(kind) or {}


def encode_data(value: Any, what: str) -> Any:
    """Convert data to JSON, omitting objects' optional fields that are None.

    Raises:
        AuthoringError: If the data contains flow values, or can't be represented in JSON.
    """
    try:
        if contains_flow_value(value):
            raise authoring_error(f"{what} is data that is never evaluated, but this contains a value of the flow")
        return check_json_data(_encode_nested_objects(value), what)
    except RecursionError:
        raise make_depth_error(what) from None


def check_json_data(data: Any, what: str) -> Any:
    """Convert data that contains no flow values to JSON.

    Raises:
        AuthoringError: If the data can't be represented in JSON.
    """
    try:
        return values.check_json(data, what)
    except InvalidArgumentError as error:
        raise authoring_error(error.message) from None


def _encode_nested_objects(value: Any) -> Any:
    if json_encoding.is_data_object(value):
        value = encode_object(value)
    if isinstance(value, Mapping):
        return {key: _encode_nested_objects(part) for key, part in value.items()}
    return [_encode_nested_objects(element) for element in value] if isinstance(value, (list, tuple)) else value


def contains_flow_value(value: Any) -> bool:
    """Return whether data contains a flow value, or a string built from one."""
    if type(value) is Value or (isinstance(value, str) and REPR_PREFIX in value):
        return True
    if isinstance(value, Mapping):
        return any(map(contains_flow_value, (*value, *value.values())))
    if isinstance(value, (list, tuple)):
        return any(map(contains_flow_value, value))
    if not json_encoding.is_data_object(value):
        return False
    return any(contains_flow_value(getattr(value, field)) for field in _get_json_names(type(value)))


def _is_field_unset(kind: Any, field: str, value: Any) -> bool:
    """Return whether a field still has its default of None, or is msgspec's UNSET."""
    if type(value).__name__ == "UnsetType":
        return True
    return value is None and field in _get_fields_defaulting_to_none(kind)


def _get_fields_defaulting_to_none(kind: Any) -> set[str]:
    """Return the names of a class's fields that default to None."""
    if hasattr(kind, "__struct_fields__"):
        # msgspec's defaults belong to the trailing fields, so match them up from the end.
        defaults = dict(zip(reversed(kind.__struct_fields__), reversed(kind.__struct_defaults__), strict=False))
        return {name for name, default in defaults.items() if default is None}
    if hasattr(kind, "__attrs_attrs__"):
        return {attribute.name for attribute in kind.__attrs_attrs__ if attribute.default is None}
    declared = kind.__pydantic_fields__ if hasattr(kind, "__pydantic_fields__") else kind.__dataclass_fields__
    return {name for name, schema in declared.items() if schema.default is None}
