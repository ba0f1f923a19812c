"""Messages about type mismatches, and hints on how to fix them. Pure."""

from __future__ import annotations

from ..findings import near
from .compare import Conflict, fits
from .expressions import keyword_of
from .model import ListOf, ObjectOf, Plain, Type, is_unknown, may_be_null, without_null
from .paths import paths_in
from .places import Place
from .words import noun_of, words_of

__all__ = ["hint_for", "message_for"]

_READS = ("$step", "$input", "$variable")


def message_for(place: Place, reason: Conflict, who: str) -> str:
    """Return one sentence that describes a mismatch.

    Args:
        place: The place of the mismatch.
        reason: The conflict between the types.
        who: The component or schema that requires another type.
    """
    where = _where(place, reason)
    here = f" for {where}" if where else ""
    if place.is_missing:
        return (
            f"{who} wants {_wanted(place.wanted)}{here}, but without 'else' this is null where the condition is false"
        )
    if reason.missing is not None:
        field = f"{where}.{reason.missing}" if where else reason.missing
        if keyword_of(place.node) is None:
            return f"{who} needs {field!r}, which is missing"
        lacks = "does not have" if reason.is_certain else "has not by its schema"
        return f"{who} needs {field!r}, which {_giver(place)} {lacks}"
    gives = "gives" if reason.is_certain else "may give"
    return f"{who} wants {_wanted(reason.wanted)}{here}, but {_giver(place)} {gives} {noun_of(reason.actual)}"


def _where(place: Place, reason: Conflict) -> str:
    below = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in reason.path)
    return f"{place.where}{below}".removeprefix(".")


def _wanted(type: Type) -> str:
    """Return the wanted type as a noun. Null is not mentioned next to other types."""
    return noun_of(without_null(type) if len(type.members) > 1 else type)


def _giver(place: Place) -> str:
    node = place.node
    match keyword_of(node):
        case "$step":
            path = node.get("path")
            part = f" at {path.value}" if path is not None and path.value not in (None, "", "$") else ""
            return f"step {node.items['$step'].value!r}{part}"
        case "$input":
            value = node.items["$input"].value
            return "the flow's input" + (f" at {value}" if value not in (None, "", "$") else "")
        case "$variable":
            return f"variable {node.items['$variable'].value!r}"
    return "this"


def hint_for(place: Place, reason: Conflict) -> str:
    """Return a hint on how to fix a mismatch at a place in a flow."""
    if place.is_missing:
        return f"add else: with {_wanted(place.wanted)}"
    word = keyword_of(place.node)
    if reason.missing is not None:
        return _missing(place, reason.missing, word)
    if may_be_null(place.actual) and not is_unknown(place.actual) and fits(without_null(place.actual), place.wanted):
        return f"write {{$coalesce: [{_written(place, word)}, a value in place of null]}}"
    if word in _READS:
        return _instead(place, reason, str(word))
    if word is None and (values := _values(reason.wanted)):
        return near(str(place.node.value), values, "one of")
    return f"write {_wanted(reason.wanted)}" if reason.path == () else f"write {words_of(place.wanted, 60)}"


def _missing(place: Place, name: str, word: str | None) -> str:
    if word not in _READS:
        return f"add {name}: ..."
    fields = [each for member in place.actual.members if isinstance(member, ObjectOf) for each in member.fields]
    wanted = [member.fields[name].type for member in place.wanted.members
              if isinstance(member, ObjectOf) and name in member.fields]  # fmt: skip
    if wanted and not is_unknown(wanted[0]):
        part = next((path for path, each in paths_in(place.actual) if not is_unknown(each) and fits(each, wanted[0])),
                    None)  # fmt: skip
        if part is not None:
            return f"write an object: {{{name}: {_with_path(place, str(word), part)}}}"
    given = f"; this has {', '.join(fields[:8])}" if fields else ""
    return f"write an object with {name} in place of {word}{given}"


def _instead(place: Place, reason: Conflict, word: str) -> str:
    """Return a hint on what to read instead: a part that matches, or a list that contains the value."""
    if not reason.path:
        part = next((path for path, each in paths_in(place.actual) if fits(each, place.wanted)), None)
        if part is not None:
            or_each = ", or handle each element with /builtin/map" if part.startswith("$[") else ""
            return f"write {_with_path(place, word, part)}{or_each}"
        items = [each.items for each in place.wanted.members if isinstance(each, ListOf)]
        if items and fits(place.actual, items[0]):
            return f"put it in a list: [{_written(place, word)}]"
    return "no expression converts values: read another one, or correct the schema that is wrong"


def _written(place: Place, word: str | None) -> str:
    """Return an expression as written in the file."""
    return _with_path(place, str(word), "$") if word in ("$step", "$input") else "this"


def _with_path(place: Place, word: str, path: str) -> str:
    value = place.node.items[word].value
    below = path.removeprefix("$")
    if word == "$step":
        given = place.node.get("path")
        before = str(given.value) if given is not None and given.value else "$"
        whole = _whole(before) + below
        return f"{{$step: {value}}}" if whole == "$" else f"{{$step: {value}, path: {_quoted(whole)}}}"
    return f"{{{word}: {_quoted(_whole(str(value or '$')) + below)}}}"


def _quoted(path: str) -> str:
    """Return a path for use in YAML between braces, where paths with brackets must be quoted."""
    return f'"{path}"' if "[" in path and '"' not in path else path


def _whole(path: str) -> str:
    return path if path.startswith("$") else f"$.{path}"


def _values(type: Type) -> list[str]:
    return [str(value) for each in type.members if isinstance(each, Plain) for value in each.values or ()]
