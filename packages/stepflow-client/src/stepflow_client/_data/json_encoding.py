"""Converts Python objects to JSON values: pydantic, msgspec, attrs and dataclass objects, dates, UUIDs and so on.

A library is only imported once one of its objects needs to be converted.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from enum import Enum
from functools import lru_cache
from os import PathLike
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Protocol, get_args, get_origin, get_type_hints


class Builder(Protocol):
    """An object with a `build` method that returns a mapping or object, such as a `FlowBuilder` from `stepflow_py`."""

    def build(self) -> Any:
        """Return the finished object."""


class FlowLike(Protocol):
    """An object that represents a flow, such as a stored flow or one from `stepflow_client.authoring`."""

    def __flow__(self) -> Any:
        """Return the flow."""


class HasSteps(Protocol):
    """An object that has the fields of a flow."""

    @property
    def steps(self) -> Iterable[Any] | None:
        """The steps."""


class StoredFlowId(str):
    """The ID of a flow stored on a server. It's never mistaken for a file path."""

    __slots__ = ()


class _PydanticModel(Protocol):
    def model_dump(self) -> Any: ...


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


class _AttrsInstance(Protocol):
    __attrs_attrs__: ClassVar[Any]


class _MsgspecStruct(Protocol):
    __struct_fields__: ClassVar[tuple[str, ...]]


DataObject = _PydanticModel | _Dataclass | _AttrsInstance | _MsgspecStruct
"""A pydantic model or dataclass, a plain dataclass, an attrs object, or a msgspec struct."""

_DATA_CLASS_ATTRIBUTES = (
    "__dataclass_fields__", "model_dump", "__pydantic_serializer__", "__struct_fields__", "__attrs_attrs__",
)  # fmt: skip


_SCALAR_TYPES = (datetime, date, time, PurePath, Enum)


def is_non_json_scalar(value: object) -> bool:
    """Return whether a value is a date, time, UUID, decimal, path or enum member, none of which are JSON types."""
    if isinstance(value, _SCALAR_TYPES):
        return True
    # If these modules aren't loaded, the value can't be a decimal or UUID.
    decimal, uuid = sys.modules.get("decimal"), sys.modules.get("uuid")
    is_decimal = decimal is not None and isinstance(value, decimal.Decimal)
    return is_decimal or (uuid is not None and isinstance(value, uuid.UUID))


def encode_scalar(value: Any) -> Any:
    """Return a date or time as ISO 8601 text, an enum member as its value, and anything else as text."""
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


def is_data_object(value: object) -> bool:
    """Return whether a value is a data object. Classes themselves don't count."""
    # Exclude classes explicitly, because a msgspec class would match through its metaclass.
    return not isinstance(value, type) and any(hasattr(type(value), mark) for mark in _DATA_CLASS_ATTRIBUTES)


def build_if_builder(value: Any) -> Any:
    """Return what a builder (an object with a `build` or `to_dict` method) builds. Return other values unchanged.

    Raises:
        Exception: Whatever the builder raises, for example because something is missing.
    """
    if isinstance(value, (type, str, PathLike, Mapping)) or is_data_object(value):
        return value
    build = getattr(type(value), "build", None) or getattr(type(value), "to_dict", None)
    return build(value) if callable(build) else value


class Name:
    """Sets the JSON name of a field or argument whose name isn't valid in Python.

    Example:
        ```python
        @dataclass
        class Price:
            vat_rate: Annotated[float, Name("vat-rate")]
        ```
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        """Store the name."""
        self.name = name


def get_json_name(annotation: Any, otherwise: str) -> str:
    """Return the name set by a `Name` in an annotation, or the fallback if there is none."""
    if get_origin(annotation) is not Annotated:
        return otherwise
    return next((arg.name for arg in get_args(annotation)[1:] if isinstance(arg, Name)), otherwise)


@lru_cache(maxsize=1024)
def get_json_field_names(kind: Any) -> dict[str, str] | None:
    """Map a data class's Python field names to their JSON names. Return None for any other type."""
    if hasattr(kind, "__struct_fields__"):
        return dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    if hasattr(kind, "__pydantic_fields__"):
        fields = kind.__pydantic_fields__
        return {name: value.serialization_alias or value.alias or name for name, value in fields.items()}
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: field.name for field in kind.__attrs_attrs__}
    if not hasattr(kind, "__dataclass_fields__"):
        return None
    import dataclasses

    names = [field.name for field in dataclasses.fields(kind)]
    if not any("Name" in str(part) for base in kind.__mro__ for part in getattr(base, "__annotations__", {}).values()):
        return {name: name for name in names}
    hints = get_type_hints(kind, include_extras=True)
    return {name: get_json_name(hints[name], name) for name in names}


def encode_fields(value: Any) -> Any:
    """Return a data object's fields, keyed by their external names.

    These are pydantic's aliases and msgspec's renamed fields. If there is a `to_dict` method, its result is used
    instead, because classes generated from a schema rely on it for their external names. The values can themselves be
    data objects.

    Raises:
        Exception: Whatever the library or object raises if the conversion fails.
    """
    kind: Any = type(value)
    if hasattr(kind, "__struct_fields__"):
        import msgspec

        def fields_of_other(value: Any) -> Any:
            if not is_data_object(value):
                raise TypeError(f"{type(value).__name__} is not a JSON value")
            return encode_fields(value)

        # Let msgspec itself handle tags, renamed fields and omitted defaults.
        return msgspec.to_builtins(value, enc_hook=fields_of_other)
    if callable(getattr(kind, "to_dict", None)):
        return value.to_dict()
    if callable(getattr(kind, "model_dump", None)):
        return value.model_dump(mode="json", by_alias=True)
    if hasattr(kind, "__pydantic_serializer__"):
        return kind.__pydantic_serializer__.to_python(value, mode="json", by_alias=True)
    return {name: getattr(value, field) for field, name in (get_json_field_names(kind) or {}).items()}
