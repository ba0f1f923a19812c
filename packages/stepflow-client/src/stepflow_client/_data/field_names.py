"""The JSON names of fields of dataclasses and of pydantic, attrs and msgspec classes.

The module imports none of these libraries.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints


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
def field_names(kind: Any) -> dict[str, str] | None:
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
