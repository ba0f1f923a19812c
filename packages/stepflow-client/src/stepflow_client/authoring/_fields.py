"""The fields of the types that values of a flow have, and their names in JSON."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, get_args, get_origin, is_typeddict

from .._base.text import near
from .._data.field_names import field_names
from .._data.field_names import name_of as name_of

_TEXTS = (str, bytes)


class Field(NamedTuple):
    """A field of a type."""

    name: str
    """Its name in JSON."""
    kind: Any = Any


class NoPart(Exception):
    """A type has no such field or element. The arguments are a sentence, and a hint or None."""


def field(kind: Any, name: str) -> Field:
    """Return the field that the attribute of a value leads to.

    Raises:
        NoPart: If the type has no such attribute.
    """
    reasons: list[NoPart] = []
    for each in alternatives(kind):
        if is_open(each):
            return Field(name)
        known = attributes_of(each)
        if known is not None and name in known:
            return known[name]
        reasons.append(_no_attribute(each, known, name))
    raise reasons[0]


def _no_attribute(kind: Any, known: Mapping[str, Field] | None, name: str) -> NoPart:
    if known is not None:
        return NoPart(f"{type_name(kind)} has no field {name!r}", near(name, known, "its fields are"))
    if is_typeddict(get_origin(kind) or kind) or _is_mapping(kind):
        return NoPart(f"a field of {type_name(kind)} is no attribute", f"write [{name!r}]")
    if _is_list(kind):
        return NoPart(f"{type_name(kind)} has no fields", "write [0], or item(value, 0), for an element")
    return NoPart(
        f"{type_name(kind)} has no field {name!r}", "values of a flow have no methods; a component can compute"
    )


def element(kind: Any, key: str | int) -> Field:
    """Return the element that a key or an index of a value leads to.

    Raises:
        NoPart: If the type has no such element.
    """
    reasons: list[NoPart] = []
    for each in alternatives(kind):
        if is_open(each):
            return Field(str(key))
        found = _by_index(each, key) if isinstance(key, int) else _by_key(each, key)
        if isinstance(found, Field):
            return found
        reasons.append(found)
    raise reasons[0]


def _by_index(kind: Any, index: int) -> Field | NoPart:
    arguments = get_args(kind)
    if not _is_list(kind):
        return NoPart(f"{type_name(kind)} has no elements by position", "only lists have")
    if (get_origin(kind) or kind) is not tuple:
        return Field("", arguments[0] if arguments else Any)
    if not arguments or (len(arguments) == 2 and arguments[1] is Ellipsis):
        return Field("", arguments[0] if arguments else Any)
    if index >= len(arguments):
        return NoPart(f"{type_name(kind)} has only {len(arguments)} elements", None)
    return Field("", arguments[index])


def _by_key(kind: Any, key: str) -> Field | NoPart:
    origin = get_origin(kind) or kind
    if is_typeddict(origin):
        keys = _typed_keys(kind)
        return keys.get(key) or NoPart(f"{type_name(kind)} has no field {key!r}", near(key, keys, "its fields are"))
    if _is_mapping(kind):
        arguments = get_args(kind)
        return Field(key, arguments[1] if len(arguments) == 2 else Any)
    known = attributes_of(kind)
    if known is not None:
        return NoPart(f"{type_name(kind)} has no keys", near(key, known, "its fields are"))
    return NoPart(f"{type_name(kind)} has no keys", None)


def attributes_of(kind: Any) -> Mapping[str, Field] | None:
    """Return the fields of a type by the attributes of its values; None if it has none, or if they are not known."""
    origin = get_origin(kind) or kind
    if not isinstance(origin, type) or is_typeddict(origin) or origin in _TEXTS:
        return None
    known = _attributes(origin)
    return known if known is None or not get_args(kind) else _with_arguments(known, origin, kind)


@lru_cache(maxsize=1024)
def _attributes(kind: type) -> Mapping[str, Field] | None:
    names = field_names(kind)
    if names is None:
        return None
    hints = hints_of(kind)
    return {each: Field(name, hints.get(each, Any)) for each, name in names.items()}


def _typed_keys(kind: Any) -> Mapping[str, Field]:
    origin = get_origin(kind) or kind
    known = {name: Field(name, hint) for name, hint in hints_of(origin).items()}
    return _with_arguments(known, origin, kind) if get_args(kind) else known


@lru_cache(maxsize=1024)
def hints_of(kind: Any) -> Mapping[str, Any]:
    """Return the annotations of a class; Any in place of what cannot be resolved, such as a class in a function."""
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except Exception:
        # Texts are evaluated, which may raise anything.
        found: dict[str, Any] = {}
        for each in reversed(kind.__mro__):
            known = vars(sys.modules[each.__module__])
            found |= {name: _evaluated(hint, known) for name, hint in inspect.get_annotations(each).items()}
        return found


def _with_arguments(known: Mapping[str, Field], origin: Any, kind: Any) -> Mapping[str, Field]:
    given = dict(zip(getattr(origin, "__parameters__", ()), get_args(kind), strict=False))
    return {name: Field(each.name, substituted(each.kind, given)) for name, each in known.items()}


def substituted(kind: Any, given: Mapping[Any, Any]) -> Any:
    """Return a type with type variables replaced."""
    if isinstance(kind, TypeVar):
        return given.get(kind, Any)
    parameters = getattr(kind, "__parameters__", ())
    return kind[tuple(given.get(each, Any) for each in parameters)] if parameters and get_origin(kind) else kind


def alternatives(kind: Any) -> Iterator[Any]:
    """Yield the types of which a value has one, without None; None itself if it is the only one."""
    found = [each for each in _parts(kind) if each is not type(None)]
    yield from found or [type(None)]


_WRAPPERS = (typing.Annotated, typing.Required, typing.NotRequired, typing.Final)


def _parts(kind: Any) -> Iterator[Any]:
    origin = get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        for each in get_args(kind):
            yield from _parts(each)
    elif origin in _WRAPPERS:
        yield from _parts(get_args(kind)[0])
    elif hasattr(kind, "__supertype__"):
        yield from _parts(kind.__supertype__)
    elif type(kind).__name__ == "TypeAliasType":
        yield from _parts(kind.__value__)
    elif kind is None:
        yield type(None)
    else:
        yield kind


def may_be_none(kind: Any) -> bool:
    """Return whether None is among the values of a type."""
    return any(each in (None, type(None)) for each in _parts(kind))


def is_open(kind: Any) -> bool:
    """Return whether nothing is known of a type."""
    return kind in (Any, object) or isinstance(kind, (TypeVar, str, typing.ForwardRef))


def _is_list(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Sequence) and not issubclass(origin, _TEXTS)


def _is_mapping(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, Mapping) and not is_typeddict(origin)


def type_name(kind: Any) -> str:
    """Return a type as it is written in messages."""
    if kind in (None, type(None)):
        return "None"
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")


def hints_of_function(function: Any, names: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the annotations of a function; Any in place of what cannot be resolved.

    Args:
        function: The function.
        names: Names that annotations may use besides those of its module.
    """
    try:
        return typing.get_type_hints(function, localns=dict(names) if names else None, include_extras=True)
    except Exception:
        # Texts are evaluated, which may raise anything.
        known = {**getattr(function, "__globals__", {}), **(names or {})}
        return {name: _evaluated(hint, known) for name, hint in function.__annotations__.items()}


def _evaluated(hint: Any, names: dict[str, Any]) -> Any:
    if not isinstance(hint, str):
        return hint
    try:
        return eval(hint, names)  # noqa: S307 - as typing.get_type_hints does
    except Exception:
        return Any
