"""Completion: keys, steps, components, variables, paths, and the values that schemas allow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from lsprotocol import types
from stepflow_client._command import type_text, variable_type
from stepflow_client._data.declared import fields_of
from stepflow_client._editing.text_edits import one_line
from stepflow_client.flows.expressions import PathError, parse_path, path_part
from stepflow_client.flows.json_schema import resolved, type_names
from stepflow_client.flows.json_types import Type, behind, is_unknown, parts_of, paths_in

from stepflow_cli.lsp.cursor import Typed, typed_at

from .analysis import Analysis
from .place import Place, Schemas, place_of
from .text import Text

Kind = types.CompletionItemKind
TRIGGERS = ["$", ".", "/", '"', "'", "[", "{", " "]
"""The characters after which an editor asks for completions without being told."""
_MOST = 200
"""Number of candidates from which on only those are listed that begin with what is typed."""


class Candidate(NamedTuple):
    """Something that can be written at a place."""

    value: Any
    """The key, or the value as JSON."""
    kind: types.CompletionItemKind
    detail: str = ""
    documentation: str = ""
    is_key: bool = False
    is_preferred: bool = False
    """Whether it is listed before others: a required key."""


def complete(analysis: Analysis, text: Text, position: types.Position) -> types.CompletionList:
    """Return what can be written at a position of a document, which may be newer than its analysis."""
    offset = text.offset(position)
    typed = typed_at(text.text, analysis.name, offset) if analysis.kind is not None else None
    if typed is None:
        return types.CompletionList(is_incomplete=False, items=[])
    place = place_of(analysis, typed.spot.node, typed.first_step)
    is_json = analysis.name.lower().endswith(".json") or text.text.lstrip()[:1] == "{"
    found = dict[tuple[str, bool], Candidate]()
    matching = (each for each in _candidates(place, typed) if _label(each).startswith(typed.text) or len(found) < _MOST)
    for each in islice(matching, 2 * _MOST):
        found.setdefault((_label(each), each.is_key), each)
    items = [_item(each, typed, text, number, is_json=is_json) for number, each in enumerate(found.values())]
    return types.CompletionList(is_incomplete=len(found) >= _MOST, items=items)


def _label(candidate: Candidate) -> str:
    return candidate.value if isinstance(candidate.value, str) else json.dumps(candidate.value)


def _candidates(place: Place, typed: Typed) -> Iterator[Candidate]:
    if typed.spot.key is not None:
        yield from _keys(place, place.schemas, typed.spot.node.items)
        return
    yield from _values(place, typed)
    if typed.opens_line:
        yield from _keys(place, place.schemas, {})


def _keys(place: Place, schemas: Schemas, present: Iterable[str]) -> Iterator[Candidate]:
    path, defs = place.path, place.analysis.schema.get("$defs", {})
    if path[:1] == ("test",) and path[-1:] == ("mocks",):
        yield from (each._replace(is_key=True) for each in _all_steps(place))
    if path == ("schemas", "properties", "steps", "properties"):
        yield from (each._replace(is_key=True) for each in _all_steps(place))
    found: list[Candidate] = []
    for schema in schemas:
        properties, required = fields_of(schema)
        for name, inner in properties.items():
            if name not in present and not (path == () and name == "$schema"):
                inner = resolved(inner, defs)
                found.append(Candidate(name, Kind.Property, _kind(inner), _text(inner), True, name in required))
    yield from sorted(found, key=lambda each: not each.is_preferred)


def _values(place: Place, typed: Typed) -> Iterator[Candidate]:
    holder, part = typed.spot.node.parent, typed.spot.node.part
    if place.path[:1] == ("steps",) and place.path[2:] == ("component",):
        yield from _components(place)
    elif place.is_expression and holder is not None and part == "$step":
        yield from _steps(place)
    elif place.is_expression and holder is not None and part == "path" and "$step" in holder.items:
        step = next((each for each in place.steps if each.step.id == holder.items["$step"].value), None)
        yield from _paths(step.output, typed.text) if step is not None else ()
    elif place.is_expression and part == "$input":
        yield from _paths(place.input, typed.text)
    elif place.is_expression and part == "$variable":
        yield from _variables(place, typed.text)
    elif part == "$ref" and place.types is not None:
        yield from (Candidate(f"#/$defs/{name}", Kind.Reference) for name in place.types.model.defs)
    elif holder is not None and holder.part == "required" and holder.parent is not None:
        properties = holder.parent.get("properties")
        yield from (Candidate(name, Kind.Property) for name in properties.items) if properties is not None else ()
    else:
        for schema in place.schemas:
            yield from _allowed(schema)


def _allowed(schema: Mapping[str, Any]) -> Iterator[Candidate]:
    """Yield the values that a schema allows, if it lists them."""
    choices = schema.get("enum")
    values = [*choices] if isinstance(choices, list) else []
    values += [schema["const"]] if "const" in schema else []
    values += [True, False] if "boolean" in type_names(schema) and not values else []
    for each in values:
        if not isinstance(each, (dict, list)):
            yield Candidate(each, Kind.EnumMember if isinstance(each, str) else Kind.Constant, _text(schema))


def _components(place: Place) -> Iterator[Candidate]:
    catalogue = place.analysis.catalogue
    for name in sorted(catalogue.known):
        plugin = catalogue.known.plugins.get(name)
        path = name if name.startswith("/") else f"/{plugin}/{name}" if plugin else None
        if path is not None:
            known = catalogue.types(path)
            detail = f"{type_text(known[0], 60)} -> {type_text(known[1], 60)}" if known is not None else ""
            yield Candidate(path, Kind.Function, detail, catalogue.description(path) or "")


def _steps(place: Place) -> Iterator[Candidate]:
    # Most often the step just before is read.
    for each in reversed(place.steps):
        yield Candidate(each.step.id, Kind.Reference, type_text(each.output, 80), each.step.component or "")


def _all_steps(place: Place) -> Iterator[Candidate]:
    for each in place.types.steps.values() if place.types is not None else ():
        yield Candidate(each.step.id, Kind.Reference, each.step.component or "")


def _variables(place: Place, text: str) -> Iterator[Candidate]:
    scope = place.reads.scope if place.reads is not None else None
    for name, schema in (scope.variables or {}).items() if scope is not None else ():
        type = variable_type(schema, scope.defs) if scope is not None else None
        yield Candidate(name, Kind.Variable, type_text(type, 80) if type is not None else "", _text(schema))
        if type is not None and (not text or text.startswith(("$", name))):
            yield from (each._replace(value=f"$.{name}{each.value[1:]}") for each in _paths(type, ""))


def _paths(type: Type, text: str) -> Iterator[Candidate]:
    """Yield the paths into a type: those that continue what is typed, and all that are certain."""
    begin = text[: max(text.rfind("."), text.rfind("["))] if text.startswith("$") else ""
    inner = type
    if begin not in ("", "$"):
        try:
            inner = behind(type, parse_path(begin)).type
        except PathError:
            return
    yield from (_path(f"{begin or '$'}{path_part(part)}", each) for part, each in parts_of(inner))
    yield from (_path(path, each) for path, each in paths_in(type) if path.startswith(begin))


def _path(path: str, type: Type) -> Candidate:
    return Candidate(path, Kind.Field, "" if is_unknown(type) else type_text(type, 80))


def _kind(schema: Any) -> str:
    return " | ".join(map(str, type_names(schema))) if isinstance(schema, Mapping) else ""


def _text(schema: Any) -> str:
    text = schema.get("description") if isinstance(schema, Mapping) else None
    return text if isinstance(text, str) else ""


def _item(each: Candidate, typed: Typed, text: Text, number: int, *, is_json: bool) -> types.CompletionItem:
    label = _label(each)
    end = typed.end
    if typed.is_quoted:
        new = (
            json.dumps(label, ensure_ascii=False)[1:-1]
            if text.text[typed.start - 1] == '"'
            else label.replace("'", "''")
        )
    else:
        new = json.dumps(each.value, ensure_ascii=False) if is_json else one_line(each.value)
        if each.is_key and not text.text[typed.end :].lstrip(" ").startswith(":"):
            new += ": "
    return types.CompletionItem(
        label=label,
        kind=each.kind,
        detail=each.detail or None,
        documentation=each.documentation or None,
        sort_text=f"{number:05d}",
        filter_text=label,
        text_edit=types.TextEdit(text.range(typed.start, end), new),
    )
