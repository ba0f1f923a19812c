"""Messages about type mismatches, and hints on how to fix them. Pure."""

from __future__ import annotations

from ..._base.text import near
from ..._data.expressions import keyword_of, write_path
from ..types.compare import Conflict, fits
from ..types.model import ListOf, ObjectOf, Plain, Type, is_unknown, may_be_null, without_null
from ..types.paths import paths_in
from ..types.slots import Slot
from ..types.text import type_noun, type_text

__all__ = ["hint_for", "message_for"]

_READS = ("$step", "$input", "$variable")


def message_for(slot: Slot, reason: Conflict, who: str) -> str:
    """Return one sentence that describes a mismatch.

    Args:
        slot: The slot of the mismatch.
        reason: The conflict between the types.
        who: The component or schema that requires another type.
    """
    where = _where(slot, reason)
    here = f" for {where}" if where else ""
    if slot.is_missing:
        return f"{who} wants {_wanted(slot.wanted)}{here}, but without 'else' this is null where the condition is false"
    if reason.missing is not None:
        field = f"{where}.{reason.missing}" if where else reason.missing
        if keyword_of(slot.node.items) is None:
            return f"{who} needs {field!r}, which is missing"
        lacks = "does not have" if reason.is_certain else "has not by its schema"
        return f"{who} needs {field!r}, which {_giver(slot)} {lacks}"
    gives = "gives" if reason.is_certain else "may give"
    return f"{who} wants {_wanted(reason.wanted)}{here}, but {_giver(slot)} {gives} {type_noun(reason.actual)}"


def _where(slot: Slot, reason: Conflict) -> str:
    return write_path(reason.path, slot.where).removeprefix(".")


def _wanted(type: Type) -> str:
    """Return the wanted type as a noun. Null is not mentioned next to other types."""
    return type_noun(without_null(type) if len(type.members) > 1 else type)


def _giver(slot: Slot) -> str:
    node = slot.node
    match keyword_of(node.items):
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


def hint_for(slot: Slot, reason: Conflict) -> str:
    """Return a hint on how to fix a mismatch at a place in a flow."""
    if slot.is_missing:
        return f"add else: with {_wanted(slot.wanted)}"
    word = keyword_of(slot.node.items)
    if reason.missing is not None:
        return _missing(slot, reason.missing, word)
    if may_be_null(slot.actual) and not is_unknown(slot.actual) and fits(without_null(slot.actual), slot.wanted):
        return f"write {{$coalesce: [{_written(slot, word)}, a value in place of null]}}"
    if word in _READS:
        return _instead(slot, reason, str(word))
    if word is None and (values := _values(reason.wanted)):
        return near(str(slot.node.value), values, "one of")
    return f"write {_wanted(reason.wanted)}" if reason.path == () else f"write {type_text(slot.wanted, 60)}"


def _missing(slot: Slot, name: str, word: str | None) -> str:
    if word not in _READS:
        return f"add {name}: ..."
    fields = [each for member in slot.actual.members if isinstance(member, ObjectOf) for each in member.fields]
    wanted = [member.fields[name].type for member in slot.wanted.members
              if isinstance(member, ObjectOf) and name in member.fields]  # fmt: skip
    if wanted and not is_unknown(wanted[0]):
        part = next((path for path, each in paths_in(slot.actual) if not is_unknown(each) and fits(each, wanted[0])),
                    None)  # fmt: skip
        if part is not None:
            return f"write an object: {{{name}: {_with_path(slot, str(word), part)}}}"
    given = f"; this has {', '.join(fields[:8])}" if fields else ""
    return f"write an object with {name} in place of {word}{given}"


def _instead(slot: Slot, reason: Conflict, word: str) -> str:
    """Return a hint on what to read instead: a part that matches, or a list that contains the value."""
    if not reason.path:
        part = next((path for path, each in paths_in(slot.actual) if fits(each, slot.wanted)), None)
        if part is not None:
            or_each = ", or handle each element with /builtin/map" if part.startswith("$[") else ""
            return f"write {_with_path(slot, word, part)}{or_each}"
        items = [each.items for each in slot.wanted.members if isinstance(each, ListOf)]
        if items and fits(slot.actual, items[0]):
            return f"put it in a list: [{_written(slot, word)}]"
    return "no expression converts values: read another one, or correct the schema that is wrong"


def _written(slot: Slot, word: str | None) -> str:
    """Return an expression as written in the file."""
    return _with_path(slot, str(word), "$") if word in ("$step", "$input") else "this"


def _with_path(slot: Slot, word: str, path: str) -> str:
    value = slot.node.items[word].value
    below = path.removeprefix("$")
    if word == "$step":
        given = slot.node.get("path")
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
