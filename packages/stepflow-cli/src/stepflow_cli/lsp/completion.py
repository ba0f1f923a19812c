"""Complete keys, steps, components, variables, paths, expressions, and the values that schemas allow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from lsprotocol import types
from stepflow_client._command import FlowTypes, format_type, infer_variable_type
from stepflow_client._data.flow_declarations import get_fields
from stepflow_client._editing.yaml_and_json_edits import format_inline_yaml
from stepflow_client.flows.expected_results import MATCHERS
from stepflow_client.flows.expressions import Path, PathError, format_path, format_path_part, parse_path
from stepflow_client.flows.json_schema import JSON_TYPES, get_type_names, resolve_ref
from stepflow_client.flows.project import find_top_level_keys
from stepflow_client.flows.reading import parse_yaml
from stepflow_client.flows.type_system import ListOf, ObjectOf, Type, is_unknown, iter_typed_paths, look_up_path

from .cursor import DocumentText, TypedWord, find_typed_word
from .document_analysis import Analysis, is_completable_document
from .navigation import find_component_description
from .node_scope_and_schemas import NodeContext, build_node_context

_STEP_SNIPPET = "id: ${1:name}\ncomponent: ${2:/builtin/noop}\ninput: $3"
_CASE_SNIPPET = "name: ${1:usual}\ninput: {$2}\noutput: {outcome: success, result: $3}"
_OBJECT_SNIPPET = "type: object\nproperties:\n  ${1:name}: {type: ${2:string}}\nrequired: [${1:name}]"


def _format_key_with_body(key: str, body: str) -> str:
    """Return a key with a body that is indented below it."""
    return f"{key}:\n  " + body.replace("\n", "\n  ")


def _add_list_dash(body: str) -> str:
    """Put a dash in front of a body, and indent the other lines to match."""
    return "- " + body.replace("\n", "\n  ")


FLOW = """\
name: ${1:my_flow}
schemas:
  properties:
    input:
      type: object
      properties:
        ${2:question}: {type: ${3:string}}
      required: [${2:question}]
steps:
  - id: ${4:ask}
    component: ${5:/builtin/create_messages}
    input:
      user_prompt: {\\$input: \\$.${2:question}}
output: {\\$step: ${4:ask}}
"""
"""A complete flow, which is offered in empty files."""
ELEMENT_SNIPPETS: Mapping[Path, str] = {("steps",): _STEP_SNIPPET, ("test", "cases"): _CASE_SNIPPET}
"""Snippets for list elements, by the path of the list in the flow."""
_KEY_SNIPPETS: Mapping[tuple[Path, str], str] = {
    # In these paths, every list index is replaced by 0.
    ((), "schemas"): _format_key_with_body(
        "schemas", _format_key_with_body("properties", _format_key_with_body("input", _OBJECT_SNIPPET))
    ),
    ((), "steps"): _format_key_with_body("steps", _add_list_dash(_STEP_SNIPPET)),
    ((), "test"): _format_key_with_body("test", _format_key_with_body("cases", _add_list_dash(_CASE_SNIPPET))),
    ((), "examples"): _format_key_with_body("examples", _add_list_dash("name: ${1:usual}\ninput: {$2}")),
    (("schemas", "properties"), "input"): _format_key_with_body("input", _OBJECT_SNIPPET),
    (("schemas", "properties"), "output"): _format_key_with_body("output", _OBJECT_SNIPPET),
    (("schemas", "properties"), "variables"): _format_key_with_body("variables", _OBJECT_SNIPPET),
    (("steps", 0), "onError"): "onError: {action: ${1:retry}, maxRetries: ${2:3}}",
    (("test",), "cases"): _format_key_with_body("cases", _add_list_dash(_CASE_SNIPPET)),
    (("test", "cases", 0), "output"): "output: {outcome: ${1:success}, result: $2}",
}
_EXPRESSION_SNIPPETS = {"$if": "\\$if: $1\nthen: $2\nelse: $3", "$coalesce": "\\$coalesce: [$1]"}
_PLACEHOLDER = re.compile(r"\$(?:\d|\{\d:([^}]*)\})|\\(\$)")


def get_key_snippet(path: Path, key: str, *, is_expression: bool, is_first: bool) -> str:
    """Return the snippet for a flow key (starting with the key), or an empty string if there is none.

    Args:
        path: The path of the mapping.
        key: The key.
        is_expression: Whether the mapping is an expression.
        is_first: Whether the mapping has no other keys.
    """
    element = ELEMENT_SNIPPETS.get(path[:-1], "") if path and is_first else ""
    if element.startswith(f"{key}:"):
        return element
    place = tuple(0 if isinstance(part, int) else part for part in path), key
    return _KEY_SNIPPETS.get(place) or (_EXPRESSION_SNIPPETS.get(key, "") if is_expression else "")


def render_snippet(body: str, text: DocumentText, start: int, *, is_json: bool, is_supported: bool) -> tuple[str, bool]:
    """Return the text to insert for a snippet, along with whether it contains placeholders.

    Args:
        body: The snippet.
        text: The document.
        start: The offset at which to insert the snippet.
        is_json: Whether the document is JSON. If it is, no placeholders are used.
        is_supported: Whether the editor supports snippets. If it does, it indents their lines like the current line.
    """
    plain = _PLACEHOLDER.sub(lambda match: match[1] or match[2] or "", body)
    if is_json:
        return json.dumps(parse_yaml(plain, "snippet"), indent=2), False
    before = text.text[text.text.rfind("\n", 0, start) + 1 : start]
    own = len(before) - len(before.lstrip(" "))
    indent = " " * (len(before) - own if is_supported else len(before))
    return (body if is_supported else plain).replace("\n", f"\n{indent}"), is_supported


Kind = types.CompletionItemKind
TRIGGER_CHARACTERS = ["$", ".", "/", '"', "'", "[", "{", " "]
"""Characters that make an editor request completions right away."""
# If there are more candidates than this, only return those that match the typed prefix.
_MAX_ITEMS = 200
# Suggest complete expressions for at most this many steps and at most this many input fields.
_MAX_SUGGESTED_READS = 5
_RARE_KEYS = ("$schema", "schema", "version", "metadata", "configFile", "config", "stepflow_config")
# These keys are listed last, in this order.
_KEYS_LISTED_LAST = ("$step", "$input", "$variable", "$if", "$coalesce", "$literal", *_RARE_KEYS)


class Candidate(NamedTuple):
    """A possible completion."""

    value: Any
    """The key or JSON value."""
    kind: types.CompletionItemKind
    detail: str = ""
    documentation: str = ""
    is_key: bool = False
    rank: int = 1
    """Lower ranks are listed first."""
    snippet: str = ""
    """A snippet that is inserted instead of the value."""


def list_completions(
    analysis: Analysis, text: DocumentText, position: types.Position, *, has_snippets: bool = False
) -> types.CompletionList:
    """Return the completions at a position. The text may be newer than the analysis."""
    offset = text.to_offset(position)
    typed = find_typed_word(text.text, analysis.name, offset) if is_completable_document(analysis, text) else None
    if typed is None:
        return types.CompletionList(is_incomplete=False, items=[])
    place = build_node_context(analysis, typed.target.node, typed.first_step)
    is_json = analysis.name.lower().endswith(".json") or text.text.lstrip()[:1] == "{"
    chosen = dict[tuple[str, bool], Candidate]()
    candidates = _iter_candidates(place, typed, text, is_json=is_json)
    matches = (item for item in candidates if _get_label(item).startswith(typed.text) or len(chosen) < _MAX_ITEMS)
    for candidate in islice(matches, 2 * _MAX_ITEMS):
        chosen.setdefault((_get_label(candidate), candidate.is_key), candidate)
    # Every editor filters the completions, but some don't sort them.
    best = sorted(chosen.values(), key=lambda each: (not _get_label(each).startswith(typed.text), each.rank))
    items = [
        _build_item(each, typed, text, number, is_json=is_json, has_snippets=has_snippets)
        for number, each in enumerate(best)
    ]
    return types.CompletionList(is_incomplete=len(chosen) >= _MAX_ITEMS, items=items)


def _get_label(candidate: Candidate) -> str:
    return candidate.value if isinstance(candidate.value, str) else format_inline_yaml(candidate.value)


def _build_item(
    candidate: Candidate, typed: TypedWord, text: DocumentText, number: int, *, is_json: bool, has_snippets: bool
) -> types.CompletionItem:
    label, snippet = _get_label(candidate), candidate.snippet
    start, end = typed.start, typed.end
    has_placeholders = False
    if snippet and (not candidate.is_key or (not is_json and _lacks_value(text, start, end))):
        new, has_placeholders = render_snippet(snippet, text, start, is_json=is_json, is_supported=has_snippets)
    elif typed.is_quoted:
        quote = text.text[start - 1]
        new = json.dumps(label, ensure_ascii=False)[1:-1] if quote == '"' else label.replace("'", "''")
    else:
        new = json.dumps(candidate.value, ensure_ascii=False) if is_json else format_inline_yaml(candidate.value)
        if candidate.is_key and not text.text[end:].lstrip(" ").startswith(":"):
            new += ": "
    return types.CompletionItem(
        label=label,
        kind=candidate.kind,
        detail=candidate.detail or None,
        documentation=candidate.documentation or None,
        sort_text=f"{number:05d}",
        filter_text=label,
        insert_text_format=types.InsertTextFormat.Snippet if has_placeholders else None,
        text_edit=types.TextEdit(text.to_range(start, end), new),
    )


def _lacks_value(text: DocumentText, start: int, end: int) -> bool:
    """Return True if a key has no value yet, either on its own line or indented below it."""
    line, _, below = text.text[end:].partition("\n")
    following = next((below_line for below_line in below.split("\n", 20) if below_line.strip()), "")
    before = text.text[text.text.rfind("\n", 0, start) + 1 : start]
    depth = len(following) - len(following.lstrip(" "))
    is_sibling = depth == len(before) and not following.lstrip().startswith("- ")
    return not line.strip() and (depth < len(before) or is_sibling)


def _iter_candidates(place: NodeContext, typed: TypedWord, text: DocumentText, *, is_json: bool) -> Iterator[Candidate]:
    key = typed.target.key
    present = typed.target.node.items.keys() - {key} if key is not None else set[str]()
    if place.path == () and place.flow.parent is None and not is_json:
        # The tree covers only one section, so look for the keys in the whole text.
        present = find_top_level_keys(text.text[: typed.start] + text.text[typed.end :])
    if place.path == () and not present and (key is None or not is_json):
        yield Candidate("flow", Kind.Snippet, "a flow with an input, a step and an output", rank=0, snippet=FLOW)
    if key is None:
        in_list = is_json and isinstance(typed.target.node.part, int)
        element = ELEMENT_SNIPPETS.get(place.path[:-1] if in_list else place.path)
        if element is not None and not typed.is_quoted and (typed.opens_line or is_json):
            label = "- " + element.partition(":")[0]
            yield Candidate(label, Kind.Snippet, snippet=element if is_json else _add_list_dash(element))
        yield from _iter_value_candidates(place, typed)
    if key is not None or typed.opens_line:
        yield from _iter_key_candidates(place, present, typed)


def _iter_key_candidates(place: NodeContext, present: Iterable[str], typed: TypedWord) -> Iterator[Candidate]:
    path, defs, present = place.path, place.analysis.schema.get("$defs", {}), [*present]
    is_mocks = path[:1] == ("test",) and path[-1:] == ("mocks",)
    if place.types is not None and (is_mocks or path == ("schemas", "properties", "steps", "properties")):
        for step_id, step in place.types.steps.items():
            if step_id not in present:
                yield Candidate(step_id, Kind.Reference, step.step.component or "", is_key=True)
    if path[:2] == ("test", "cases") and path[3:] == ("variables",):
        for variable in _iter_variable_candidates(place.types, "$"):
            if variable.value not in present:
                yield variable._replace(is_key=True)
    for part, type in _iter_fields_with_types(place.test_data_type):
        if isinstance(part, str) and part not in present:
            yield Candidate(part, Kind.Field, format_type(type, 80), is_key=True)
    if place.is_expected_output and not present:
        for name, description in MATCHERS.items():
            yield Candidate(name, Kind.Keyword, "matcher", description, is_key=True, rank=2)
    # Inside braces, offer only single-line snippets.
    is_block = not typed.target.node.is_flow or typed.opens_line
    for schema in place.applicable_schemas:
        properties, required = get_fields(schema)
        for name, unresolved in properties.items():
            if name in present:
                continue
            inner = resolve_ref(unresolved, defs)
            rank = 0 if name in required else 2 + _KEYS_LISTED_LAST.index(name) if name in _KEYS_LISTED_LAST else 1
            snippet = get_key_snippet(path, name, is_expression=place.allows_expressions, is_first=not present)
            snippet = snippet if is_block or "\n" not in snippet else ""
            kinds = " | ".join(map(str, get_type_names(inner))) if isinstance(inner, Mapping) else ""
            yield Candidate(name, Kind.Property, kinds, _get_schema_description(inner), True, rank, snippet)


def _iter_value_candidates(place: NodeContext, typed: TypedWord) -> Iterator[Candidate]:
    holder, part = typed.target.node.parent, typed.target.node.part
    if place.path[:1] == ("steps",) and place.path[2:] == ("component",):
        yield from _iter_component_candidates(place)
    elif place.allows_expressions and holder is not None and part == "$step":
        yield from _iter_step_candidates(place)
    elif place.allows_expressions and holder is not None and part == "path" and "$step" in holder.items:
        step = next((each for each in place.readable_steps if each.step.id == holder.items["$step"].value), None)
        yield from _iter_path_candidates(step.output, typed.text) if step is not None else ()
    elif place.allows_expressions and part == "$input":
        yield from _iter_path_candidates(place.flow_input_type, typed.text)
    elif place.allows_expressions and part == "$variable":
        yield from _iter_variable_candidates(place.reads, typed.text)
    elif part == "$ref" and place.types is not None:
        yield from (Candidate(f"#/$defs/{name}", Kind.Reference) for name in place.types.model.defs)
    elif holder is not None and holder.part == "required" and holder.parent is not None:
        properties = holder.parent.get("properties")
        yield from ((Candidate(name, Kind.Property) for name in properties.items) if properties is not None else ())
    elif part == "$type" and place.is_expected_output:
        yield from (Candidate(name, Kind.EnumMember) for name in JSON_TYPES)
    else:
        # At the start of a line, the user is more likely to be typing a key than a value.
        rank = 2 if typed.opens_line else 1
        for schema in place.applicable_schemas:
            values = [*schema["enum"]] if isinstance(schema.get("enum"), list) else []
            values += [schema["const"]] if "const" in schema else []
            values += [True, False] if "boolean" in get_type_names(schema) and not values else []
            for value in values:
                kind = Kind.EnumMember if isinstance(value, str) else Kind.Constant
                if not isinstance(value, (dict, list)):
                    yield Candidate(value, kind, documentation=_get_schema_description(schema), rank=rank)
        if place.allows_expressions and not typed.is_quoted:
            yield from _iter_expression_candidates(place)


def _iter_component_candidates(place: NodeContext) -> Iterator[Candidate]:
    catalog = place.analysis.catalog
    for name in sorted(catalog.known, key=lambda word: (word.startswith("/builtin/"), word)):
        plugin = catalog.known.plugins.get(name)
        path = name if name.startswith("/") else f"/{plugin}/{name}" if plugin else None
        if path is not None:
            declared = catalog.find_input_and_output_types(path)
            detail = f"{format_type(declared[0], 60)} -> {format_type(declared[1], 60)}" if declared is not None else ""
            yield Candidate(path, Kind.Function, detail, find_component_description(catalog, path) or "")


def _iter_step_candidates(place: NodeContext) -> Iterator[Candidate]:
    # List the nearest steps first, because most steps read the output of the step before them.
    for step in reversed(place.readable_steps):
        yield Candidate(step.step.id, Kind.Reference, format_type(step.output, 80), step.step.component or "")


def _iter_variable_candidates(flow: FlowTypes | None, prefix: str) -> Iterator[Candidate]:
    if flow is None:
        return
    for name, schema in flow.model.variables[0].items():
        type = infer_variable_type(schema, flow.model.defs)
        yield Candidate(name, Kind.Variable, format_type(type, 80), _get_schema_description(schema))
        if not prefix or prefix.startswith(("$.", name)):
            yield from (path._replace(value=f"$.{name}{path.value[1:]}") for path in _iter_path_candidates(type, ""))


def _iter_expression_candidates(place: NodeContext) -> Iterator[Candidate]:
    """Yield whole expressions. Those that contain the name of the field being completed come first."""
    steps = [{"$step": step.value} for step in islice(_iter_step_candidates(place), _MAX_SUGGESTED_READS)]
    parts = islice(_iter_fields_with_types(place.flow_input_type), _MAX_SUGGESTED_READS)
    fields = [{"$input": format_path([part])} for part, _ in parts]
    variables = [{"$variable": variable.value} for variable in _iter_variable_candidates(place.reads, "$")]
    for value in (*steps, *fields, {"$input": "$"}, *variables):
        has_same_name = isinstance(place.node.part, str) and place.node.part in "".join(value.values())
        yield Candidate(value, Kind.Reference, rank=0 if has_same_name else 1)


def _iter_path_candidates(type: Type, text: str) -> Iterator[Candidate]:
    """Yield paths into a type that continue the typed text, along with other paths that are known to exist."""
    begin = text[: max(text.rfind("."), text.rfind("["))] if text.startswith("$") else ""
    inner = type
    if begin not in ("", "$"):
        try:
            inner = look_up_path(type, parse_path(begin)).type
        except PathError:
            return
    following = [(f"{begin or '$'}{format_path_part(part)}", each) for part, each in _iter_fields_with_types(inner)]
    certain = [(path, each) for path, each in iter_typed_paths(type) if path.startswith(begin)]
    for path, each in (*following, *certain):
        yield Candidate(path, Kind.Field, "" if is_unknown(each) else format_type(each, 80))


def _iter_fields_with_types(type: Type) -> Iterator[tuple[str | int, Type]]:
    """Yield each field, and the first element of each list, along with its type. All members of a union are covered."""
    for member in type.members:
        match member:
            case ObjectOf(fields):
                yield from ((name, field.type) for name, field in fields.items())
            case ListOf(items):
                yield 0, items


def _get_schema_description(schema: Any) -> str:
    text = schema.get("description") if isinstance(schema, Mapping) else None
    return text if isinstance(text, str) else ""
