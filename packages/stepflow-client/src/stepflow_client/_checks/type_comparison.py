"""Checks whether one type's values match another type, and formats types as readable text."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from .._base.text_formatting import cut
from ..flows.json_schema import is_json_type, make_comparison_key
from ..flows.type_system import ListOf, Member, ObjectOf, Scalar, Type, is_unknown, make_union, widen_type

_MAX_COMPARED_DEPTH = 20


class Conflict(NamedTuple):
    """Explains why values of one type don't match an expected type."""

    expected: Type
    actual: Type
    path: tuple[str | int, ...] = ()
    """The location of the conflict within the value."""
    missing: str | None = None
    """The name of the missing field, if that's the conflict."""
    is_certain: bool = True
    """True if no value can match. If False, some values might match."""


def is_compatible(actual: Type, expected: Type) -> bool:
    """Return whether a type doesn't conflict with the expected type, as far as we know."""
    return find_conflict(actual, expected) is None


_Conflicts = dict[tuple[int, int], Conflict | None]


def find_conflict(actual: Type, expected: Type, depth: int = 0, results: _Conflicts | None = None) -> Conflict | None:
    """Return the conflict between a type and the expected type, or None if they match or can't be compared.

    `results` caches results for parts of the types, because the same part can occur many times.
    """
    results = {} if results is None else results
    if depth > _MAX_COMPARED_DEPTH or is_unknown(actual) or is_unknown(expected):
        return None
    key = (id(actual), id(expected))
    if key not in results:
        reasons = [_find_closest_conflict(member, expected, depth, results) for member in actual.members]
        conflicts = [reason for reason in reasons if reason is not None]
        result = conflicts[0] if len(conflicts) == 1 else None
        if len(conflicts) > 1:
            members = zip(actual.members, reasons, strict=True)
            result = Conflict(expected, Type(tuple(member for member, reason in members if reason is not None)))
        if result is not None:
            is_certain = len(conflicts) == len(reasons) and all(conflict.is_certain for conflict in conflicts)
            result = result._replace(is_certain=is_certain)
        results[key] = result
    return results[key]


def _find_closest_conflict(member: Member, expected: Type, depth: int, results: _Conflicts) -> Conflict | None:
    """Return the conflict with the closest of the expected members, or None if one of them matches."""
    conflicts = list[Conflict]()
    for candidate in expected.members:
        if type(candidate) is type(member):
            conflicts_of_member = _find_conflicts_between_members(member, candidate, depth, results)
            if not conflicts_of_member:
                return None
            # Prefer a conflict that's certain.
            conflicts.append(min(conflicts_of_member, key=lambda conflict: not conflict.is_certain))
    whole = Conflict(expected, Type((member,)))
    near = [conflict for conflict in conflicts if conflict.path or conflict.missing or not conflict.is_certain]
    if len(near) == 1:
        # Only report the details if this is clearly the closest member.
        return near[0] if len(conflicts) == 1 or not near[0].is_certain else whole
    return whole._replace(is_certain=all(conflict.is_certain for conflict in conflicts))


def _find_conflicts_between_members(actual: Any, expected: Any, depth: int, results: _Conflicts) -> list[Conflict]:
    conflicts = list[Conflict]()
    match actual:
        case Scalar():
            conflict = _find_scalar_conflict(actual, expected)
            return [] if conflict is None else [conflict]
        case ListOf():
            for index, part in enumerate(actual.first if actual.elements is None else actual.elements):
                element = expected.first[index] if index < len(expected.first) else expected.items
                reason = find_conflict(part, element, depth + 1, results)
                if reason is not None:
                    # The list might be too short to have this element.
                    is_certain = reason.is_certain and (not index or actual.elements is not None)
                    conflicts.append(reason._replace(path=(index, *reason.path), is_certain=is_certain))
            if actual.elements is None and not actual.first:
                reason = find_conflict(actual.items, expected.items, depth + 1, results)
                if reason is not None:
                    conflicts.append(reason._replace(path=(0, *reason.path)))
        case ObjectOf():
            for name, field in expected.fields.items():
                given = actual.fields.get(name)
                if given is not None:
                    reason = find_conflict(given.type, field.type, depth + 1, results)
                    if reason is not None:
                        is_certain = reason.is_certain and given.is_required
                        conflicts.append(reason._replace(path=(name, *reason.path), is_certain=is_certain))
                # If the schema lists some fields, assume that it lists every field that matters and report this one as
                # missing.
                elif field.is_required and (actual.extra is None or (actual.fields and is_unknown(actual.extra))):
                    whole = Conflict(Type((expected,)), Type((actual,)), missing=name)
                    conflicts.append(whole._replace(is_certain=actual.extra is None))
    return conflicts


def _find_scalar_conflict(actual: Scalar, expected: Scalar) -> Conflict | None:
    numbers = ("integer", "number")
    if actual.kind != expected.kind and not (actual.kind in numbers and expected.kind in numbers):
        return Conflict(Type((expected,)), Type((actual,)))
    if actual.values is None:
        is_wider = actual.kind == "number" and expected.kind == "integer"
        return Conflict(Type((expected,)), Type((actual,)), is_certain=False) if is_wider else None
    if expected.values is None:
        wrong = [value for value in actual.values if not is_json_type(value, expected.kind)]
    else:
        allowed = set(map(make_comparison_key, expected.values))
        wrong = [value for value in actual.values if make_comparison_key(value) not in allowed]
    if not wrong:
        return None
    left = actual._replace(values=tuple(wrong), is_literal=False)
    return Conflict(Type((expected,)), Type((left,)), is_certain=len(wrong) == len(actual.values))


_MAX_SHOWN_DEPTH = 8
_SHOWN_FIELDS = 12
_SHOWN_VALUES = 5
# Maximum length of the text for a single part.
_MAX_PART_LENGTH = 1_000


def format_type(type: Type, max_length: int = 200) -> str:
    """Format a type as one line of text, cut to `max_length` characters. Unknown parts become `unknown`."""
    texts: dict[tuple[int, int], str] = {}
    """The formatted text of parts seen before, by `id()` and depth, since a part can occur many times."""

    def render(type: Type, depth: int) -> str:
        mark = " [secret]" if type.is_secret else ""
        if is_unknown(type):
            return f"unknown{mark}"
        if not type.members:
            return "nothing"
        key = (id(type), depth)
        if key not in texts:
            members = make_union([widen_type(type)]).members
            text = " | ".join(dict.fromkeys(render_member(member, depth) for member in members))
            texts[key] = cut(text, _MAX_PART_LENGTH) + mark
        return texts[key]

    def render_member(member: Member, depth: int) -> str:
        match member:
            case Scalar(kind, None):
                return kind
            case Scalar(_, values):
                shown = " | ".join(json.dumps(value, ensure_ascii=False) for value in (values or ())[:_SHOWN_VALUES])
                return f"{shown} | …" if len(values or ()) > _SHOWN_VALUES else shown
            case ListOf(items):
                if is_unknown(items) or not items.members or depth >= _MAX_SHOWN_DEPTH:
                    return "array"
                return f"[{render(items, depth + 1)}]"
            case ObjectOf(fields, extra):
                if not fields or depth >= _MAX_SHOWN_DEPTH:
                    return "object" if fields or extra is not None else "{}"
                parts = []
                for name, field in [*fields.items()][:_SHOWN_FIELDS]:
                    shown = name if re.fullmatch(r"[\w-]+", name) else json.dumps(name, ensure_ascii=False)
                    parts.append(f"{shown}{'' if field.is_required else '?'}: {render(field.type, depth + 1)}")
                return f"{{{', '.join(parts)}{', …' if len(fields) > _SHOWN_FIELDS else ''}}}"
        return "unknown"

    return cut(render(type, 0), max_length)


def format_type_as_noun(type: Type) -> str:
    """Format a type as a noun phrase, e.g. `a string or null`. If that isn't possible, use `format_type`."""
    nouns = []
    for member in type.members:
        match member:
            case Scalar("null"):
                nouns.append("null")
            case Scalar(kind, values, is_literal) if values is None or is_literal:
                nouns.append(f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}")
            case ListOf(items) if is_unknown(items) or not items.members:
                nouns.append("a list")
            case ObjectOf(fields, extra) if not fields and extra is not None:
                nouns.append("an object")
            case _:
                return format_type(type, 80)
    return " or ".join(nouns) if 0 < len(nouns) <= 3 else format_type(type, 80)
