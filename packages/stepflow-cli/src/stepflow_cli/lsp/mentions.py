"""Find where a flow's steps, variables, input fields and components are defined and used."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from stepflow_client._command import FlowAnalysis, LocatedReference
from stepflow_client._editing.yaml_and_json_edits import Edit, format_inline_yaml
from stepflow_client.flows.expressions import Path, PathError, format_path_part, parse_path
from stepflow_client.flows.json_schema import parse_ref_name
from stepflow_client.flows.syntax_tree import Key, Node

_PATH_PART = re.compile(r"""\.([^.\[]+)|\[\s*'([^']*)'\s*\]|\[\s*"([^"]*)"\s*\]|\[\s*\+?(\d+)\s*\]""")
# A name that can follow a dot in a path.
_NAME_AFTER_DOT = re.compile(r"[^\W\d][\w-]*")

Kind = Literal["step", "variable", "field", "component"]
Reads = Literal["input", "variable"]


class Mention(NamedTuple):
    """A place where a flow defines or uses a name."""

    kind: Kind
    name: str
    scope: Hashable
    """Mentions with the same scope and name refer to the same thing."""
    start: int
    end: int
    """`start` and `end` are the name's range in the file, or the whole value's range if the name can't be located."""
    node: Node | Key
    """The value or key containing the name."""
    text: str
    """The text of the value, either just the name or a path."""
    span: tuple[int, int]
    """The range within `text` that contains the name, including its dot or brackets in a path."""
    flow: Node
    is_definition: bool = False
    user: str | None = None
    """The step that uses the name, or None for the flow's output."""
    is_read: bool = False


def find_mentions(model: FlowAnalysis, text: str) -> Iterator[Mention]:
    """Yield all mentions in a flow and its nested flows."""
    for flow in model.all_flows:
        # Skip values merged from a YAML anchor, because they are written elsewhere in the text.
        collector = _MentionCollector(flow, text, model.cases)
        mentions = [mention for mention in collector.iter_mentions() if mention.start >= 0]
        yield from {(mention.start, mention.end): mention for mention in mentions}.values()


class _MentionCollector:
    def __init__(self, model: FlowAnalysis, text: str, mocking_cases: Sequence[Node]) -> None:
        self.model, self.flow, self.text, self.mocking_cases = model, model.root, text, mocking_cases
        self.input, self.variables = model.find_flow_schema("input"), model.find_flow_schema("variables")
        self.shared = self.flow.items_at("schemas", "$defs")

    def iter_mentions(self) -> Iterator[Mention]:
        for step in self.model.steps:
            yield self.make_mention("step", step.node.items["id"], step.id, is_definition=True)
            if isinstance(step.component, str):
                yield self.make_mention("component", step.node.items["component"], step.component)
            for read in step.reads:
                yield from self.iter_reference_mentions(read, step.id)
        for read in self.model.output_reads:
            yield from self.iter_reference_mentions(read, None)
        for schema in (self.input, self.variables, *self.shared.values()):
            yield from self.iter_declared_fields(schema, is_top=schema is self.variables)
        yield from self.iter_step_key_mentions(self.model.find_flow_schema("steps", "properties"))
        # A mock replaces every step with its ID, both in the outermost flow and in all flows nested in its steps.
        for case in self.mocking_cases:
            yield from self.iter_step_key_mentions(case.get("mocks"))
        for case in (*self.model.cases, *self.flow.elements_at("examples")):
            yield from self.iter_test_data_fields(case.get("input"), self.input, "input")
            yield from self.iter_test_data_fields(case.get("variables"), self.variables, "variable")

    def make_mention(
        self, kind: Kind, node: Node | Key, text: str, span: tuple[int, int] | None = None, name: str | None = None,
        scope: Hashable = None, **more: Any,
    ) -> Mention:  # fmt: skip
        """Create a mention. If `span` is omitted, the name is the whole value."""
        span, name = span or (0, len(text)), text if name is None else name
        starts = _find_character_starts(self.text, node, text)
        at = text.find(name, span[0])
        start, end = (starts[at], starts[at + len(name)]) if starts else (node.start, node.end)
        scope = scope or (kind if kind == "component" else (kind, id(self.flow)))
        return Mention(kind, name, scope, start, end, node, text, span, self.flow, **more)

    def iter_step_key_mentions(self, node: Node | None) -> Iterator[Mention]:
        for name, key in node.keys.items() if node is not None else ():
            yield self.make_mention("step", key, name)

    def iter_reference_mentions(self, read: LocatedReference, user: str | None) -> Iterator[Mention]:
        written = read.argument.value
        if read.kind == "step" and read.step_id is not None:
            yield self.make_mention("step", read.argument, read.step_id, user=user, is_read=True)
        elif read.kind != "step" and isinstance(written, str):
            path: Path = ()
            schema = self.input if read.kind == "input" else self.variables
            for part, at in _split_path_with_ranges(written):
                if isinstance(part, str):
                    kind: Kind = "variable" if read.kind == "variable" and not path else "field"
                    scope = self.get_field_scope(schema, path, read.kind)
                    yield self.make_mention(kind, read.argument, written, at, part, scope, user=user, is_read=True)
                schema, path = self.get_property_or_element_schema(schema, part), (*path, part)

    def iter_declared_fields(self, schema: Node | None, *, is_top: bool = False) -> Iterator[Mention]:
        """Yield the fields declared in a schema. Top-level fields of the variables schema are variables."""
        if schema is None:
            return
        kind: Kind = "variable" if is_top else "field"
        properties = schema.get("properties")
        if properties is not None and schema.original is None:
            for name, key in properties.keys.items():
                yield self.make_mention(kind, key, name, scope=_make_fields_scope_key(properties), is_definition=True)
            for element in schema.elements_at("required"):
                if isinstance(element.value, str):
                    yield self.make_mention(kind, element, element.value, scope=_make_fields_scope_key(properties))
        for keyword in ("properties", "items", "additionalProperties", "anyOf", "oneOf", "allOf"):
            node = schema.get(keyword)
            if node is not None:
                for inner in node.items.values() if keyword == "properties" else node.elements or [node]:
                    yield from self.iter_declared_fields(inner)

    def iter_test_data_fields(
        self, node: Node | None, schema: Node | None, reads: Reads, path: Path = ()
    ) -> Iterator[Mention]:
        if node is None:
            return
        kind: Kind = "variable" if reads == "variable" and not path else "field"
        for name, child in node.items.items():
            yield self.make_mention(kind, node.keys[name], name, scope=self.get_field_scope(schema, path, reads))
            yield from self.iter_test_data_fields(
                child, self.get_property_or_element_schema(schema, name), reads, (*path, name)
            )
        for child in node.elements:
            yield from self.iter_test_data_fields(
                child, self.get_property_or_element_schema(schema, 0), reads, (*path, 0)
            )

    def get_field_scope(self, schema: Node | None, path: Path, reads: str) -> Hashable:
        """Return the scope for fields of a schema.

        If the fields aren't declared in a schema, use their path as the scope.
        """
        schema = self.resolve_schema_reference(schema)
        properties = schema.get("properties") if schema is not None else None
        return (reads, id(self.flow), path) if properties is None else _make_fields_scope_key(properties)

    def get_property_or_element_schema(self, schema: Node | None, part: str | int) -> Node | None:
        schema = self.resolve_schema_reference(schema)
        if schema is None:
            return None
        return schema.get("items") if isinstance(part, int) else schema.at("properties", part)

    def resolve_schema_reference(self, schema: Node | None) -> Node | None:
        for _ in range(len(self.shared) + 1):
            reference = schema.get("$ref") if schema is not None else None
            if reference is None:
                break
            schema = self.shared.get(parse_ref_name(reference.value) or "")
        return schema


def _find_character_starts(source: str, node: Node | Key, text: str) -> Sequence[int]:
    """Return where each character of a value starts in its file, plus where the last one ends.

    The result is empty if this can't be determined (because the value is an alias or contains rare escapes).
    """
    escape = {"'": "''", '"': r"\\(?:u[dD][89abAB]..\\u....|u....|.)"}.get(source[node.start : node.start + 1])
    if escape is None:
        return range(node.start, node.end + 1) if source[node.start : node.end] == text else ()
    tokens = re.compile(rf"{escape}|.", re.DOTALL).finditer(source, node.start + 1, node.end - 1)
    starts = [*(token.start() for token in tokens), node.end - 1]
    return starts if len(starts) == len(text) + 1 else ()


def _make_fields_scope_key(properties: Node) -> Hashable:
    return "fields", (properties.original or properties).start


def _split_path_with_ranges(path: str) -> list[tuple[str | int, tuple[int, int]]]:
    """Return a path's parts along with their ranges, or an empty list if `_PATH_PART` doesn't support its syntax."""
    try:
        parts = parse_path(path)
    except PathError:
        return []
    if not path.startswith("$"):
        return [(part, (0, len(path))) for part in parts]
    tokens: list[tuple[str | int, tuple[int, int]]] = []
    for match in _PATH_PART.finditer(path):
        name = next((group for group in match.groups()[:3] if group is not None), None)
        tokens.append((int(match[4]) if name is None else name, match.span()))
    return tokens if tuple(part for part, _ in tokens) == parts else []


def find_mention_at(mentions: Iterable[Mention], offset: int) -> Mention | None:
    """Return the mention at an offset, if any."""
    return next((mention for mention in mentions if mention.start <= offset <= mention.end), None)


def find_same_mentions(mentions: Sequence[Mention], *starts: Mention) -> list[Mention]:
    """Return all mentions of whatever the given mentions refer to. A mock can refer to several steps."""
    names = {(other.scope, other.name) for other in _find_mentions_at_same_ranges(mentions, starts)}
    same = (other for other in mentions if (other.scope, other.name) in names)
    return [*{(other.start, other.end): other for other in same}.values()]


def _find_mentions_at_same_ranges(mentions: Iterable[Mention], starts: Iterable[Mention]) -> Iterator[Mention]:
    ranges = {(mention.start, mention.end) for mention in starts}
    return (other for other in mentions if (other.start, other.end) in ranges)


def list_rename_edits(text: str, mentions: Sequence[Mention], mention: Mention, name: str) -> list[Edit]:
    """Return the edits that rename what a mention refers to, as well as any other steps that share its mock.

    Raises:
        ValueError: If the name is invalid or already taken, or a mention can't be edited. The message says why.
    """
    same = find_same_mentions(mentions, *find_same_mentions(mentions, mention))
    scopes = {other.scope for other in _find_mentions_at_same_ranges(mentions, same)}
    if not name.strip() or not name.isprintable() or (mention.kind == "variable" and name.startswith("$")):
        raise ValueError("a name needs at least one character and no line breaks; a variable cannot start with $")
    if mention.kind == "component":
        if not re.fullmatch(r"(/[^/\s]+)+", name):
            raise ValueError("a component must be a path such as /plugin/name")
    elif name != mention.name and any(other.scope in scopes and other.name == name for other in mentions):
        raise ValueError(f"there is already a {mention.kind} {name!r}")
    if mention.kind == "field" and mention.flow.parent is not None and not any(other.is_definition for other in same):
        raise ValueError("this flow gets its input from the step around it, and the input has no schema")
    return [_build_mention_rename_edit(text, other, name) for other in same]


def _build_mention_rename_edit(text: str, mention: Mention, name: str) -> Edit:
    whole, written = mention.node, text[mention.node.start : mention.node.end]
    quote = written[:1] if written[:1] in ("'", '"') and len(written) > 1 else ""
    if mention.start == whole.start and written != mention.text:
        raise ValueError(f"the name is written with escapes or as an alias: {written}")
    if _NAME_AFTER_DOT.fullmatch(name) and mention.start > whole.start + len(quote):
        return mention.start, mention.end, name
    # Prefer single quotes in paths, because double quotes might have to be escaped.
    part = format_path_part(name)
    part = f"['{name}']" if part[0] == "[" and "'" not in name else part
    begin, end = mention.span
    new = name
    if mention.is_read and mention.kind != "step":
        if mention.text.startswith("$"):
            new = mention.text[:begin] + part + mention.text[end:]
        elif re.search(r"[.\[\]]|^\$", name):
            new = f"${part}"
    if not quote:
        return whole.start, whole.end, format_inline_yaml(new)
    inner = json.dumps(new, ensure_ascii=False)[1:-1] if quote == '"' else new.replace("'", "''")
    return whole.start + 1, whole.end - 1, inner
