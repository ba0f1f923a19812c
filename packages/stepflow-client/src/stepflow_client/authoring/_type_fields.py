"""Looks up fields and elements of Python types, along with their JSON names."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, is_typeddict

from .._base.suggestions import suggest_or_list
from .._data.json_encoding import get_json_field_names, get_json_name as get_json_name

_TEXT_TYPES = (str, bytes)


class Field(NamedTuple):
    """A field of a Python type."""

    name: str
    """The field's JSON name."""
    kind: Any = Any


class PartNotFound(Exception):
    """The type has no such field or element. The arguments are a message and an optional hint."""


def find_field_by_attribute(kind: Any, name: str) -> Field:
    """Return the field that an attribute refers to.

    Raises:
        PartNotFound: If the type has no such attribute.
    """
    return _find_first_in_union(kind, name, _find_attribute)


def find_element(kind: Any, key: str | int) -> Field:
    """Return the element at a key or index.

    Raises:
        PartNotFound: If the type has no such element.
    """
    return _find_first_in_union(kind, key, _find_by_index if isinstance(key, int) else _find_by_key)


def _find_first_in_union(kind: Any, key: Any, find: Callable[[Any, Any], Field | PartNotFound]) -> Field:
    """Look up a part in each member of a union, returning the first match."""
    reasons: list[PartNotFound] = []
    for alternative in iter_non_none_members(kind):
        part = Field(str(key)) if allows_any_value(alternative) else find(alternative, key)
        if isinstance(part, Field):
            return part
        reasons.append(part)
    raise reasons[0]


def _find_attribute(kind: Any, name: str) -> Field | PartNotFound:
    attributes = get_fields_by_attribute(kind)
    if attributes is not None:
        return _get_named_field(kind, name, attributes)
    if is_typeddict(get_origin(kind) or kind) or _is_mapping(kind):
        return PartNotFound(f"a field of {get_type_name(kind)} is not an attribute", f"write [{name!r}]")
    if _is_sequence_type(kind):
        return PartNotFound(f"{get_type_name(kind)} has no fields", "write [0], or item(value, 0), for an element")
    hint = "values of a flow have no methods; use a component to compute"
    return PartNotFound(f"{get_type_name(kind)} has no field {name!r}", hint)


def _get_named_field(kind: Any, name: str, fields: Mapping[str, Field]) -> Field | PartNotFound:
    hint = suggest_or_list(name, fields, "its fields are")
    return fields.get(name) or PartNotFound(f"{get_type_name(kind)} has no field {name!r}", hint)


def _find_by_index(kind: Any, index: int) -> Field | PartNotFound:
    arguments = get_args(kind)
    if not _is_sequence_type(kind):
        return PartNotFound(f"{get_type_name(kind)} cannot be indexed by position", "only lists can")
    if (get_origin(kind) or kind) is not tuple or not arguments or arguments[-1] is Ellipsis:
        return Field("", arguments[0] if arguments else Any)
    if index >= len(arguments):
        return PartNotFound(f"{get_type_name(kind)} has only {len(arguments)} elements", None)
    return Field("", arguments[index])


def _find_by_key(kind: Any, key: str) -> Field | PartNotFound:
    if is_typeddict(get_origin(kind) or kind):
        origin = get_origin(kind) or kind
        keys = _get_typeddict_fields(origin)
        keys = _substitute_fields(keys, origin, kind) if get_args(kind) else keys
        return _get_named_field(kind, key, keys)
    if _is_mapping(kind):
        arguments = get_args(kind)
        return Field(key, arguments[1] if len(arguments) == 2 else Any)
    attributes = get_fields_by_attribute(kind)
    hint = suggest_or_list(key, attributes, "its fields are") if attributes is not None else None
    return PartNotFound(f"{get_type_name(kind)} has no keys", hint)


def get_fields_by_attribute(kind: Any) -> Mapping[str, Field] | None:
    """Return a type's fields by attribute name, or None if it has no fields or if they are unknown."""
    origin = get_origin(kind) or kind
    if not isinstance(origin, type) or is_typeddict(origin) or origin in _TEXT_TYPES:
        return None
    attributes = _get_class_fields(origin)
    return attributes if attributes is None or not get_args(kind) else _substitute_fields(attributes, origin, kind)


@lru_cache(maxsize=1024)
def _get_typeddict_fields(kind: Any) -> Mapping[str, Field]:
    return {name: Field(name, hint) for name, hint in get_hints(kind).items()}


@lru_cache(maxsize=1024)
def _get_class_fields(kind: type) -> Mapping[str, Field] | None:
    names = get_json_field_names(kind)
    if names is None:
        return None
    hints = get_hints(kind)
    return {attribute: Field(name, hints.get(attribute, Any)) for attribute, name in names.items()}


def _substitute_fields(fields: Mapping[str, Field], origin: Any, kind: Any) -> Mapping[str, Field]:
    """Replace the type variables in the types of a generic class's fields."""
    arguments: dict[Any, Any] = dict(zip(getattr(origin, "__parameters__", ()), get_args(kind), strict=False))

    def substitute(kind: Any) -> Any:
        if isinstance(kind, TypeVar):
            return arguments.get(kind, Any)
        parameters = getattr(kind, "__parameters__", ()) if get_origin(kind) else ()
        return kind[tuple(arguments.get(parameter, Any) for parameter in parameters)] if parameters else kind

    return {name: Field(field.name, substitute(field.kind)) for name, field in fields.items()}


def iter_non_none_members(kind: Any) -> Iterator[Any]:
    """Yield a union's members, skipping None unless it's the only one."""
    members = [part for part in _iter_union_members(kind) if part is not type(None)]
    yield from members or [type(None)]


_WRAPPERS = (typing.Annotated, typing.Required, typing.NotRequired, typing.Final)


def _iter_union_members(kind: Any) -> Iterator[Any]:
    origin = get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        for arg in get_args(kind):
            yield from _iter_union_members(arg)
    elif origin in _WRAPPERS:
        yield from _iter_union_members(get_args(kind)[0])
    elif hasattr(kind, "__supertype__"):
        yield from _iter_union_members(kind.__supertype__)
    elif type(kind).__name__ == "TypeAliasType":
        yield from _iter_union_members(kind.__value__)
    elif kind is None:
        yield type(None)
    else:
        yield kind


def may_be_none(kind: Any) -> bool:
    """Return whether a type allows None."""
    return any(part in (None, type(None)) for part in _iter_union_members(kind))


def allows_any_value(kind: Any) -> bool:
    """Return whether a type allows any value or can't be resolved."""
    return kind in (Any, object) or isinstance(kind, (TypeVar, str, typing.ForwardRef))


def _is_sequence_type(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Sequence) and not issubclass(origin, _TEXT_TYPES)


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Mapping) and not is_typeddict(origin)


def get_type_name(kind: Any) -> str:
    """Return a type's name for use in messages."""
    if kind in (None, type(None)):
        return "None"
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")


def get_hints(function: Any, names: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the annotations of a function or class, using Any for names that can't be resolved.

    Args:
        function: The function or class.
        names: Names that annotations may use in addition to the module's own.
    """
    try:
        return typing.get_type_hints(function, localns=dict(names) if names else None, include_extras=True)
    except Exception:
        # Evaluating annotations can raise anything, so fall back to resolving them one by one.
        hints: dict[str, Any] = {}
        for holder in reversed(getattr(function, "__mro__", (function,))):
            module = getattr(holder, "__globals__", None) or vars(sys.modules[holder.__module__])
            for name, hint in inspect.get_annotations(holder).items():
                hints[name] = hint
                if isinstance(hint, str):
                    try:
                        hints[name] = eval(hint, {**module, **(names or {})})  # noqa: S307 - as typing.get_type_hints does
                    except Exception:
                        hints[name] = Any
        return hints
