"""Converts objects in flows to JSON: their fields by their names in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidArgumentError
from ._lazy import arguments, field_names, json_encoding, values
from ._values import MARK, Literal, Value, depth_error, refuse


def check_function(value: Any, decorator: str) -> None:
    """Raise an InvalidArgumentError if the decorated object is not a function."""
    if not callable(value) or not hasattr(value, "__qualname__"):
        raise arguments.wrong(f"what {decorator} decorates", "a function", value)


def encode_object(value: Any) -> Any:
    """Return an object as data, which may contain values of the flow; a flow is returned as a literal.

    Raises:
        AuthoringError: If JSON cannot represent it.
    """
    if json_encoding.is_scalar(value):
        return json_encoding.encode_scalar(value)
    if json_encoding.is_data_object(value):
        names = _get_json_names(type(value))
        fields = {field: getattr(value, field) for field in names}
        # Without values of the flow, use pydantic, which applies serializers and computed fields.
        if not hasattr(value, "__pydantic_serializer__") or any(map(has_value, fields.values())):
            config = getattr(value, "__struct_config__", None)
            tag = {} if config is None or config.tag is None else {config.tag_field: config.tag}
            return {**tag, **encode_record(type(value), fields)}
        unset = {names[field] for field, part in fields.items() if _is_unset(type(value), field, part)}
        return {name: item for name, item in json_encoding.encode_fields(value).items() if name not in unset}
    if callable(getattr(type(value), "to_dict", None)):
        return Literal(value.to_dict())
    hint = "pass text, numbers, lists, dicts, or objects of pydantic, dataclasses, attrs or msgspec"
    raise refuse(f"{type(value).__name__} cannot be represented in JSON", hint)


def encode_record(kind: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an object by their names in JSON, without optional fields that are None.

    Without a class, return the fields unchanged.
    """
    if kind is None:
        return dict(fields)
    names = _get_json_names(kind)
    return {
        names[field]: value
        for field, value in fields.items()
        if type(value) is Value or not _is_unset(kind, field, value)
    }


def _get_json_names(kind: Any) -> dict[str, str]:
    return field_names.field_names(kind) or {}


def encode_data(value: Any, what: str) -> Any:
    """Return data as JSON, without optional fields of objects that are None.

    Raises:
        AuthoringError: If it has values of the flow in it, or cannot be represented in JSON.
    """
    try:
        if has_value(value):
            raise refuse(f"{what} is data that is never evaluated, and this has a value of the flow in it")
        return check_data(_encode_objects(value), what)
    except RecursionError:
        raise depth_error(what) from None


def check_data(data: Any, what: str) -> Any:
    """Return data without values of the flow as JSON.

    Raises:
        AuthoringError: If it cannot be represented in JSON.
    """
    try:
        return values.check_json(data, what)
    except InvalidArgumentError as error:
        raise refuse(error.message) from None


def _encode_objects(value: Any) -> Any:
    if json_encoding.is_data_object(value):
        value = encode_object(value)
    if isinstance(value, Mapping):
        return {key: _encode_objects(part) for key, part in value.items()}
    return [_encode_objects(each) for each in value] if isinstance(value, (list, tuple)) else value


def has_value(value: Any) -> bool:
    """Return whether data contains a value of a flow, or text that was made from one."""
    if type(value) is Value or (isinstance(value, str) and MARK in value):
        return True
    if isinstance(value, Mapping):
        return any(map(has_value, (*value, *value.values())))
    if isinstance(value, (list, tuple)):
        return any(map(has_value, value))
    if not json_encoding.is_data_object(value):
        return False
    return any(has_value(getattr(value, field)) for field in _get_json_names(type(value)))


def _is_unset(kind: Any, field: str, value: Any) -> bool:
    """Return whether a field has its default and the default is None."""
    if type(value).__name__ == "UnsetType":
        return True
    return value is None and field in _find_optional_fields(kind)


def _find_optional_fields(kind: Any) -> set[str]:
    """Return the fields of a class that are None by default."""
    if hasattr(kind, "__struct_fields__"):
        # The defaults are those of the last fields.
        defaults = dict(zip(reversed(kind.__struct_fields__), reversed(kind.__struct_defaults__), strict=False))
        return {name for name, default in defaults.items() if default is None}
    if hasattr(kind, "__attrs_attrs__"):
        return {attribute.name for attribute in kind.__attrs_attrs__ if attribute.default is None}
    declared = kind.__pydantic_fields__ if hasattr(kind, "__pydantic_fields__") else kind.__dataclass_fields__
    return {name for name, schema in declared.items() if schema.default is None}
