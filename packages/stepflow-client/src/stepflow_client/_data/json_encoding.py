"""Converts objects to JSON: pydantic, msgspec, attrs and dataclass objects, dates, UUIDs and the like.

The module imports none of these libraries unless an object of the library is converted.
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
    """An object whose method `build` returns a mapping or an object, such as a `FlowBuilder` of `stepflow_py`."""

    def build(self) -> Any:
        """Return what was built."""


class FlowLike(Protocol):
    """An object that represents a flow, such as a stored flow or one of `stepflow_client.authoring`."""

    def __flow__(self) -> Any:
        """Return the flow."""


class HasSteps(Protocol):
    """An object with the fields of a flow."""

    @property
    def steps(self) -> Iterable[Any] | None:
        """The steps."""


class StoredFlowId(str):
    """The id of a flow on a server: never the path of a file."""

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
"""A pydantic model or dataclass, a dataclass, an instance of an attrs class, or a msgspec struct."""

_MARKS = ("__dataclass_fields__", "model_dump", "__pydantic_serializer__", "__struct_fields__", "__attrs_attrs__")


_SCALARS = (datetime, date, time, PurePath, Enum)


def is_scalar(value: object) -> bool:
    """Return whether a value is no JSON value but has one form in JSON: a date, a UUID, a decimal, a path, an enum."""
    if isinstance(value, _SCALARS):
        return True
    # A program without these modules has no decimals and no UUIDs.
    decimal, uuid = sys.modules.get("decimal"), sys.modules.get("uuid")
    is_decimal = decimal is not None and isinstance(value, decimal.Decimal)
    return is_decimal or (uuid is not None and isinstance(value, uuid.UUID))


def encode_scalar(value: Any) -> Any:
    """Return such a value in JSON: dates and times as ISO 8601 text, the value of an enum, everything else as text."""
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


def is_data_object(value: object) -> bool:
    """Return whether a value is an object of one of these kinds; a class itself is not."""
    # A msgspec class would match as well, through its metaclass.
    return not isinstance(value, type) and any(hasattr(type(value), mark) for mark in _MARKS)


def call_builder(value: Any) -> Any:
    """Return what a builder builds; any other value unchanged. A builder has a method `build` or `to_dict`.

    Raises:
        Exception: Any exception of the builder, for example if it is not complete.
    """
    if isinstance(value, (type, str, PathLike, Mapping)) or is_data_object(value):
        return value
    build = getattr(type(value), "build", None) or getattr(type(value), "to_dict", None)
    return build(value) if callable(build) else value


class Name:
    """The name in JSON of a field or an argument whose name there is not one in Python.

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
    """Return the name that a `Name` in an annotation gives, or the other one."""
    if get_origin(annotation) is not Annotated:
        return otherwise
    return next((arg.name for arg in get_args(annotation)[1:] if isinstance(arg, Name)), otherwise)


@lru_cache(maxsize=1024)
def get_field_names(kind: Any) -> dict[str, str] | None:
    """Return the names in JSON of the fields of such a type, by their Python names; None for any other type."""
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
    """Return the fields of an object of one of these kinds, by their external names.

    External names are the aliases of pydantic and the renamed fields of msgspec. A method `to_dict` takes precedence
    over reading the fields, because classes generated from a schema use it for their external names. The values of
    fields may be such objects themselves.

    Raises:
        Exception: Any exception of the library or of the object if the conversion fails.
    """
    kind: Any = type(value)
    if hasattr(kind, "__struct_fields__"):
        import msgspec

        def fields_of_other(value: Any) -> Any:
            if not is_data_object(value):
                raise TypeError(f"{type(value).__name__} is not a JSON value")
            return encode_fields(value)

        # msgspec handles tags, renamed fields and omitted defaults itself.
        return msgspec.to_builtins(value, enc_hook=fields_of_other)
    if callable(getattr(kind, "to_dict", None)):
        return value.to_dict()
    if callable(getattr(kind, "model_dump", None)):
        return value.model_dump(mode="json", by_alias=True)
    if hasattr(kind, "__pydantic_serializer__"):
        return kind.__pydantic_serializer__.to_python(value, mode="json", by_alias=True)
    return {name: getattr(value, field) for field, name in (get_field_names(kind) or {}).items()}
