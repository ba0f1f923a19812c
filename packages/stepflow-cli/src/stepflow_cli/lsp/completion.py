"""Completion: keys, steps, components, variables, paths, expressions, and the values that schemas allow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from lsprotocol import types
from stepflow_client._command import FlowTypes, type_text, variable_type
from stepflow_client._data.flow_declarations import fields_of
from stepflow_client._editing.text_edits import one_line
from stepflow_client.flows.expressions import PathError, parse_path, path_part, write_path
from stepflow_client.flows.folders import top_level_keys
from stepflow_client.flows.json_schema import JSON_TYPES, resolved, type_names
from stepflow_client.flows.json_types import Type, behind, is_unknown, parts_of, paths_in
from stepflow_client.flows.matching import MATCHERS

from stepflow_cli.lsp.cursor import Typed, typed_at

from .analysis import Analysis, is_completed
from .place import Place, place_of
from .snippets import ELEMENTS, FLOW, insertion, listed, snippet_of_key
from .text import Text

Kind = types.CompletionItemKind
TRIGGERS = ["$", ".", "/", '"', "'", "[", "{", " "]
"""The characters after which an editor asks for completions without being told."""
_MAX_ITEMS = 200
"""Number of candidates from which on only those are listed that begin with what is typed."""
_MAX_READS = 5
"""Maximum number of steps, and of input fields, that are offered as whole expressions."""
_RARE = ("$schema", "schema", "version", "metadata", "configFile", "config", "stepflow_config")
_LAST = ("$step", "$input", "$variable", "$if", "$coalesce", "$literal", *_RARE)
"""Keys that are listed behind others, in this order."""


class Candidate(NamedTuple):
    """Something that can be written at a place."""

    value: Any
    """The key, or the value as JSON."""
    kind: types.CompletionItemKind
    detail: str = ""
    documentation: str = ""
    is_key: bool = False
    rank: int = 1
    """Those with lower ranks are listed first."""
    snippet: str = ""
    """What is inserted in its place, with placeholders."""


def complete(
    analysis: Analysis, text: Text, position: types.Position, *, has_snippets: bool = False
) -> types.CompletionList:
    """Return what can be written at a position of a document, which may be newer than its analysis."""
    offset = text.offset(position)
    typed = typed_at(text.text, analysis.name, offset) if is_completed(analysis, text) else None
    if typed is None:
        return types.CompletionList(is_incomplete=False, items=[])
    place = place_of(analysis, typed.spot.node, typed.first_step)
    is_json = analysis.name.lower().endswith(".json") or text.text.lstrip()[:1] == "{"
    found = dict[tuple[str, bool], Candidate]()
    candidates = _candidates(place, typed, text, is_json=is_json)
    matching = (each for each in candidates if _label(each).startswith(typed.text) or len(found) < _MAX_ITEMS)
    for each in islice(matching, 2 * _MAX_ITEMS):
        found.setdefault((_label(each), each.is_key), each)
    # Editors filter what they get, but not all of them sort it.
    best = sorted(found.values(), key=lambda each: (not _label(each).startswith(typed.text), each.rank))
    items = [
        _item(each, typed, text, number, is_json=is_json, has_snippets=has_snippets) for number, each in enumerate(best)
    ]
    return types.CompletionList(is_incomplete=len(found) >= _MAX_ITEMS, items=items)


def _label(candidate: Candidate) -> str:
    return candidate.value if isinstance(candidate.value, str) else one_line(candidate.value)


def _candidates(place: Place, typed: Typed, text: Text, *, is_json: bool) -> Iterator[Candidate]:
    present = typed.spot.node.items.keys() - {typed.spot.key} if typed.spot.key is not None else set[str]()
    if place.path == () and place.flow.parent is None and not is_json:
        # Only one section of the file is parsed.
        present = top_level_keys(text.text[: typed.start] + text.text[typed.end :])
    if place.path == () and not present and (typed.spot.key is None or not is_json):
        yield Candidate("flow", Kind.Snippet, "a flow with an input, a step and an output", rank=0, snippet=FLOW)
    if typed.spot.key is not None:
        yield from _keys(place, present, typed)
        return
    if not typed.is_quoted:
        yield from _elements(place, typed, is_json=is_json)
    yield from _values(place, typed)
    if typed.opens_line:
        yield from _keys(place, present, typed)


def _elements(place: Place, typed: Typed, *, is_json: bool) -> Iterator[Candidate]:
    """Yield the elements of a list of steps or of cases."""
    path = place.path[:-1] if is_json and isinstance(typed.spot.node.part, int) else place.path
    if path in ELEMENTS and (typed.opens_line or is_json):
        body = ELEMENTS[path]
        yield Candidate("- " + body.partition(":")[0], Kind.Snippet, snippet=body if is_json else listed(body))


def _keys(place: Place, present: Iterable[str], typed: Typed) -> Iterator[Candidate]:
    path, defs, present = place.path, place.analysis.schema.get("$defs", {}), [*present]
    is_mocks = path[:1] == ("test",) and path[-1:] == ("mocks",)
    if is_mocks or path == ("schemas", "properties", "steps", "properties"):
        yield from (each._replace(is_key=True) for each in _all_steps(place) if each.value not in present)
    if path[:2] == ("test", "cases") and path[3:] == ("variables",):
        yield from (each._replace(is_key=True) for each in _variables(place.types, "$") if each.value not in present)
    for part, type in parts_of(place.data):
        if isinstance(part, str) and part not in present:
            yield Candidate(part, Kind.Field, type_text(type, 80), is_key=True)
    if place.is_expected:
        yield from (_matcher(name) for name in MATCHERS if not present)
    # Within braces, only what fits in one line.
    is_block = not typed.spot.node.is_flow or typed.opens_line
    for schema in place.schemas:
        properties, required = fields_of(schema)
        for name, inner in properties.items():
            if name not in present:
                inner = resolved(inner, defs)
                rank = 0 if name in required else 2 + _LAST.index(name) if name in _LAST else 1
                body = snippet_of_key(path, name, is_expression=place.is_expression, is_first=not present)
                body = body if is_block or "\n" not in body else ""
                yield Candidate(name, Kind.Property, _kind(inner), _text(inner), True, rank, body)


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
        yield from _variables(place.reads, typed.text)
    elif part == "$ref" and place.types is not None:
        yield from (Candidate(f"#/$defs/{name}", Kind.Reference) for name in place.types.model.defs)
    elif holder is not None and holder.part == "required" and holder.parent is not None:
        properties = holder.parent.get("properties")
        yield from (Candidate(name, Kind.Property) for name in properties.items) if properties is not None else ()
    elif part == "$type" and place.is_expected:
        yield from (Candidate(name, Kind.EnumMember) for name in JSON_TYPES)
    else:
        for schema in place.schemas:
            # A line is more likely to begin with a key than with a value.
            yield from (each._replace(rank=1 + typed.opens_line) for each in _allowed(schema))
        if place.is_expression and not typed.is_quoted:
            yield from _reads(place)


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
    for name in sorted(catalogue.known, key=lambda each: (each.startswith("/builtin/"), each)):
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


def _variables(flow: FlowTypes | None, text: str) -> Iterator[Candidate]:
    scope = flow.scope if flow is not None else None
    for name, schema in (scope.variables or {}).items() if scope is not None else ():
        type = variable_type(schema, scope.defs) if scope is not None else None
        yield Candidate(name, Kind.Variable, type_text(type, 80) if type is not None else "", _text(schema))
        if type is not None and (not text or text.startswith(("$.", name))):
            yield from (each._replace(value=f"$.{name}{each.value[1:]}") for each in _paths(type, ""))


def _reads(place: Place) -> Iterator[Candidate]:
    """Yield whole expressions that read a step, the input or a variable; first those with the name of the field."""
    steps = [{"$step": each.value} for each in islice(_steps(place), _MAX_READS)]
    fields = [{"$input": write_path([part])} for part, _ in islice(parts_of(place.input), _MAX_READS)]
    variables = [{"$variable": each.value} for each in _variables(place.reads, "$")]
    for value in (*steps, *fields, {"$input": "$"}, *variables):
        is_same = str(place.node.part) in "".join(value.values()) and isinstance(place.node.part, str)
        yield Candidate(value, Kind.Reference, rank=0 if is_same else 1)


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


def _matcher(name: str) -> Candidate:
    return Candidate(name, Kind.Keyword, "matcher", MATCHERS[name], True, 2)


def _item(
    each: Candidate, typed: Typed, text: Text, number: int, *, is_json: bool, has_snippets: bool
) -> types.CompletionItem:
    label = _label(each)
    start, end = typed.start, typed.end
    has_placeholders = False
    if each.snippet and (not each.is_key or (not is_json and _is_free(text, end, start))):
        new, has_placeholders = insertion(each.snippet, text, start, is_json=is_json, is_supported=has_snippets)
    elif typed.is_quoted:
        quote = text.text[start - 1]
        new = json.dumps(label, ensure_ascii=False)[1:-1] if quote == '"' else label.replace("'", "''")
    else:
        new = json.dumps(each.value, ensure_ascii=False) if is_json else one_line(each.value)
        if each.is_key and not text.text[end:].lstrip(" ").startswith(":"):
            new += ": "
    return types.CompletionItem(
        label=label,
        kind=each.kind,
        detail=each.detail or None,
        documentation=each.documentation or None,
        sort_text=f"{number:05d}",
        filter_text=label,
        insert_text_format=types.InsertTextFormat.Snippet if has_placeholders else None,
        text_edit=types.TextEdit(text.range(start, end), new),
    )


def _is_free(text: Text, end: int, start: int) -> bool:
    """Return whether nothing belongs to a key so far: nothing is behind it, and nothing is indented below it."""
    line, _, below = text.text[end:].partition("\n")
    following = next((each for each in below.split("\n", 20) if each.strip()), "")
    before = text.text[text.text.rfind("\n", 0, start) + 1 : start]
    depth = len(following) - len(following.lstrip(" "))
    return not line.strip() and (
        depth < len(before) or (depth == len(before) and not following.lstrip().startswith("- "))
    )
