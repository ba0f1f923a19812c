"""Where a flow names its steps, variables, input fields and components: their definitions, and their uses. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from stepflow_client._command import FlowModel, Read
from stepflow_client._editing.text_edits import Edit, one_line
from stepflow_client.flows.expressions import Path, PathError, parse_path, path_part
from stepflow_client.flows.json_schema import referred_name
from stepflow_client.flows.nodes import Key, Node

_TOKEN = re.compile(r"""\.([^.\[]+)|\[\s*'([^']*)'\s*\]|\[\s*"([^"]*)"\s*\]|\[\s*\+?(\d+)\s*\]""")
_SIMPLE = re.compile(r"[^\W\d][\w-]*")
"""Names that a path can have behind a dot."""

Kind = Literal["step", "variable", "field", "component"]
Reads = Literal["input", "variable"]


class Mention(NamedTuple):
    """A place where a flow names something."""

    kind: Kind
    name: str
    scope: Hashable
    """Where the name is unique: together, they are what is named."""
    start: int
    end: int
    """The characters of the name in the file; of one with escapes, those of the whole value."""
    whole: Node | Key
    """The value or the key with the name."""
    written: str
    """The value: the name, or a path."""
    at: tuple[int, int]
    """The characters of the name in the value; in a path, with its dot or its brackets."""
    flow: Node
    is_definition: bool = False
    user: str | None = None
    """The step that reads it; None for the output and outside of steps."""
    is_read: bool = False

    def is_same(self, other: Mention) -> bool:
        """Return whether both name the same thing."""
        return (self.scope, self.name) == (other.scope, other.name)


def mentions_in(model: FlowModel, text: str) -> Iterator[Mention]:
    """Yield the places where a flow, and the flows inside its steps, name something."""
    for each in model.flows:
        found = _Mentions(each, text).all()
        # What is merged into a mapping stands somewhere else.
        yield from {(mention.start, mention.end): mention for mention in found if mention.start >= 0}.values()


class _Mentions:
    """The mentions of one flow."""

    def __init__(self, model: FlowModel, text: str) -> None:
        self.model, self.flow, self.text = model, model.root, text
        self.input, self.variables = model.schema("input"), model.schema("variables")

    def all(self) -> Iterator[Mention]:
        for step in self.model.steps:
            yield self.one("step", step.node.items["id"], step.id, is_definition=True)
            if isinstance(step.component, str):
                yield self.one("component", step.node.items["component"], step.component)
            yield from (mention for read in step.reads for mention in self.of_read(read, step.id))
        yield from (mention for read in self.model.output_reads for mention in self.of_read(read, None))
        for schema in (self.input, self.variables, *self.shared.values()):
            yield from self.declared(schema, is_top=schema is self.variables)
        yield from self.of_steps_by_key(self.model.schema("steps", "properties"))
        examples = self.flow.get("examples")
        for case in (*self.model.cases, *(examples.elements if examples is not None else ())):
            yield from self.of_steps_by_key(case.get("mocks"))
            yield from self.data(case.get("input"), self.input, "input")
            yield from self.data(case.get("variables"), self.variables, "variable")

    @property
    def shared(self) -> Mapping[str, Node]:
        node = self.flow.at("schemas", "$defs")
        return node.items if node is not None else {}

    def one(
        self, kind: Kind, whole: Node | Key, written: str, at: tuple[int, int] | None = None, name: str | None = None,
        scope: Hashable = None, **more: Any,
    ) -> Mention:  # fmt: skip
        """Return a mention; without `at`, its name is the whole value."""
        at, name = at or (0, len(written)), written if name is None else name
        quoted = self.text[whole.start : whole.start + 1] in ("'", '"')
        begin = whole.start + quoted + at[0] + self.text[whole.start + quoted + at[0] : whole.end].find(name)
        is_plain = self.text[whole.start + quoted : whole.end - quoted] == written
        start, end = (begin, begin + len(name)) if is_plain else (whole.start, whole.end)
        scope = scope or (kind if kind == "component" else (kind, id(self.flow)))
        return Mention(kind, name, scope, start, end, whole, written, at, self.flow, **more)

    def of_steps_by_key(self, node: Node | None) -> Iterator[Mention]:
        for name, key in node.keys.items() if node is not None else ():
            yield self.one("step", key, name)

    def of_read(self, read: Read, user: str | None) -> Iterator[Mention]:
        written = read.target.value
        if read.kind == "step" and read.step is not None:
            yield self.one("step", read.target, read.step, user=user, is_read=True)
        elif read.kind != "step" and isinstance(written, str):
            path: Path = ()
            schema = self.input if read.kind == "input" else self.variables
            for part, at in _tokens(written):
                if isinstance(part, str):
                    kind: Kind = "variable" if read.kind == "variable" and not path else "field"
                    scope = self.scope(schema, path, read.kind)
                    yield self.one(kind, read.target, written, at, part, scope, user=user, is_read=True)
                schema, path = self.part(schema, part), (*path, part)

    def declared(self, schema: Node | None, *, is_top: bool = False) -> Iterator[Mention]:
        """Yield the names of the fields in a schema; at the top of that of the variables, they are variables."""
        kind: Kind = "variable" if is_top else "field"
        properties = schema.get("properties") if schema is not None and schema.original is None else None
        required = schema.get("required") if schema is not None else None
        if properties is not None:
            for name, key in properties.keys.items():
                yield self.one(kind, key, name, scope=_scope(properties), is_definition=True)
            for each in required.elements if required is not None else ():
                if isinstance(each.value, str):
                    yield self.one(kind, each, each.value, scope=_scope(properties))
        for each in _inner(schema):
            yield from self.declared(each)

    def data(self, node: Node | None, schema: Node | None, reads: Reads, path: Path = ()) -> Iterator[Mention]:
        """Yield the names of the fields in the input of a test case, or of the variables there."""
        if node is None:
            return
        kind: Kind = "variable" if reads == "variable" and not path else "field"
        for name, child in node.items.items():
            yield self.one(kind, node.keys[name], name, scope=self.scope(schema, path, reads))
            yield from self.data(child, self.part(schema, name), reads, (*path, name))
        for child in node.elements:
            yield from self.data(child, self.part(schema, 0), reads, (*path, 0))

    def scope(self, schema: Node | None, path: Path, reads: str) -> Hashable:
        """Return the scope of the fields of a schema; without a declaration, that of the fields at a path."""
        properties = self.part(schema, "properties", is_keyword=True)
        return (reads, id(self.flow), path) if properties is None else _scope(properties)

    def part(self, schema: Node | None, part: str | int, *, is_keyword: bool = False) -> Node | None:
        """Return the schema of a field or an element, or the value of a keyword, of a schema or what it refers to."""
        for _ in range(len(self.shared) + 1):
            reference = schema.get("$ref") if schema is not None else None
            if reference is None:
                break
            schema = self.shared.get(referred_name(reference.value) or "")
        if schema is None or is_keyword:
            return schema.get(str(part)) if schema is not None else None
        return schema.get("items") if isinstance(part, int) else schema.at("properties", part)


def _scope(properties: Node) -> Hashable:
    return "fields", (properties.original or properties).start


def _inner(schema: Node | None) -> Iterator[Node]:
    for key in ("properties", "items", "additionalProperties", "anyOf", "oneOf", "allOf"):
        node = schema.get(key) if schema is not None else None
        if node is not None:
            yield from node.items.values() if key == "properties" else node.elements or [node]


def _tokens(path: str) -> list[tuple[str | int, tuple[int, int]]]:
    """Return the parts of a path with their characters; none if it is written in a way that is not understood."""
    try:
        parts = parse_path(path)
    except PathError:
        return []
    if not path.startswith("$"):
        return [(part, (0, len(path))) for part in parts]
    found: list[tuple[str | int, tuple[int, int]]] = []
    for match in _TOKEN.finditer(path):
        name = next((each for each in match.groups()[:3] if each is not None), None)
        found.append((int(match[4]) if name is None else name, match.span()))
    return found if tuple(part for part, _ in found) == parts else []


def mention_at(mentions: Iterable[Mention], offset: int) -> Mention | None:
    """Return what is named at an offset; None if nothing is."""
    return next((each for each in mentions if each.start <= offset <= each.end), None)


def of_same(mentions: Iterable[Mention], one: Mention) -> list[Mention]:
    """Return the places that name the same thing."""
    return [each for each in mentions if each.is_same(one)]


def renamed(text: str, mentions: Iterable[Mention], one: Mention, name: str) -> list[Edit]:
    """Return the edits that give something another name.

    Raises:
        ValueError: If the name cannot be written everywhere, or is taken. The message says why.
    """
    mentions = list(mentions)
    if not name.strip() or not name.isprintable() or (one.kind == "variable" and name.startswith("$")):
        raise ValueError("a name has at least one letter, no line breaks and, for a variable, no $ at its beginning")
    if one.kind == "component":
        if not re.fullmatch(r"(/[^/\s]+)+", name):
            raise ValueError("a component is a path such as /plugin/name")
    elif name != one.name and any(each.scope == one.scope and each.name == name for each in mentions):
        raise ValueError(f"there is a {one.kind} {name!r} already")
    if one.kind == "field" and one.flow.parent is not None and not any(
        each.is_definition for each in of_same(mentions, one)
    ):  # fmt: skip
        raise ValueError("the input of this flow is made by the step around it, and has no schema")
    return [_edit(text, each, name) for each in of_same(mentions, one)]


def _edit(text: str, one: Mention, name: str) -> Edit:
    whole, written = one.whole, text[one.whole.start : one.whole.end]
    quote = written[:1] if written[:1] in ("'", '"') and len(written) > 1 else ""
    if written != f"{quote}{one.written}{quote}" and not (quote == '"' and _decoded(written) == one.written):
        raise ValueError(f"the name is written with escapes or as an alias: {written}")
    if _SIMPLE.fullmatch(name) and one.start > whole.start + len(quote):
        return one.start, one.end, name
    begin, end = one.at
    is_path = one.written.startswith("$") and one.kind in ("variable", "field")
    if is_path:
        new = one.written[:begin] + _part(name) + one.written[end:]
    else:
        is_plain = one.kind in ("step", "component") or isinstance(whole, Key) or not re.search(r"[.\[\]]", name)
        new = name if is_plain else f"${_part(name)}"
    if not quote:
        return whole.start, whole.end, one_line(new)
    inner = json.dumps(new, ensure_ascii=False)[1:-1] if quote == '"' else new.replace("'", "''")
    return whole.start + 1, whole.end - 1, inner


def _part(name: str) -> str:
    """Return a name as a part of a path, if possible without the quotes that have to be escaped in double quotes."""
    return f"['{name}']" if path_part(name)[0] == "[" and "'" not in name else path_part(name)


def _decoded(written: str) -> Any:
    try:
        return json.loads(written)
    except ValueError:
        return None
