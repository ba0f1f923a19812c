"""Implements hover, go to definition, find references, rename, document symbols, and test case lenses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from glob import escape

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from stepflow_client._command import FlowAnalysis, format_type, infer_variable_type, look_up_reference
from stepflow_client._data.flow_declarations import get_fields
from stepflow_client.flows.components import ComponentCatalog
from stepflow_client.flows.expressions import get_keyword, parse_unambiguous_path
from stepflow_client.flows.json_schema import get_type_names, resolve_ref
from stepflow_client.flows.syntax_tree import Key, Node
from stepflow_client.flows.type_system import Type, is_unknown, look_up_path

from .cursor import DocumentText, find_key_or_value_at
from .document_analysis import Analysis
from .mentions import Mention, find_mention_at, find_same_mentions, list_rename_edits
from .node_scope_and_schemas import NodeContext, build_node_context

_MAX_TYPE_LENGTH = 600
# Descriptions of the builtin components.
_BUILTIN_DESCRIPTIONS = {
    "/builtin/create_messages": "Build a list of chat messages from a prompt and instructions.",
    "/builtin/put_blob": "Store a value and return its ID.",
    "/builtin/get_blob": "Return a blob's value.",
    "/builtin/load_file": "Read a JSON, YAML or text file on the server.",
    "/builtin/map": "Run a flow for each element of a list. An element that fails doesn't fail the step.",
    "/builtin/iterate": "Run a flow repeatedly, feeding `next` from its output back in, until it returns a `result`.",
    "/builtin/eval": "Run a stored flow.",
    "/builtin/openai": "Send messages to a chat model.",
    "/builtin/noop": "Return the input (0.13 and later).",
    "/builtin/sleep": "Wait (0.13 and later).",
}


def find_component_description(catalog: ComponentCatalog, component: str) -> str | None:
    """Return a component's description, or None if it doesn't have one."""
    name = catalog.known.find_listed_name(component)
    description = catalog.known.descriptions.get(name) if name is not None else None
    return description or _BUILTIN_DESCRIPTIONS.get(component)


def build_hover(analysis: Analysis, position: types.Position) -> types.Hover | None:
    """Return the hover text for the name, key or value at a position."""
    if analysis.root is None:
        return None
    text, offset = analysis.text, analysis.text.to_offset(position)
    mention = find_mention_at(analysis.mentions, offset)
    spot = find_key_or_value_at(analysis.root, offset)
    place = build_node_context(analysis, spot.node)
    if mention is not None and (place.types is None or mention.flow is place.types.model.root or spot.key is None):
        lines, start, end = _describe_mention(analysis, place, mention), mention.start, mention.end
    elif spot.key is not None:
        key = spot.node.keys[spot.key]
        lines, start, end = _describe_key(place, spot.key), key.start, key.end
    else:
        lines, start, end = _describe_value(place), spot.node.start, spot.node.end
    if not lines:
        return None
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, "\n\n".join(lines)), text.to_range(start, end))


def _describe_mention(analysis: Analysis, place: NodeContext, mention: Mention) -> list[str]:
    lines = [f"**{mention.kind}** {_format_inline_code(mention.name)}"]
    if mention.kind == "component":
        declared_types = analysis.catalog.find_input_and_output_types(mention.name)
        if declared_types is None:
            return []
        given, returned = declared_types
        description = _escape_markdown(find_component_description(analysis.catalog, mention.name))
        return [*lines, *description, f"input: {_format_type(given)}", f"output: {_format_type(returned)}"]
    scope = place.types if place.types is not None and place.types.model.root is mention.flow else place.reads
    same = find_same_mentions(analysis.mentions, mention)
    definition = next((other for other in same if other.is_definition), None)
    step = None
    if mention.kind == "step" and definition is not None and isinstance(definition.node, Node):
        # A mock can refer to a step in a nested flow.
        types = build_node_context(analysis, definition.node).types
        step = types.steps.get(mention.name) if types is not None else None
    if step is not None:
        component = step.step.component
        if component:
            lines += [
                f"component: {_format_inline_code(component)}",
                *_escape_markdown(find_component_description(analysis.catalog, component)),
            ]
        lines.append(f"output: {_format_type(step.output)}")
    elif mention.kind != "step" and scope is not None:
        schema = _find_declared_schema(analysis, definition)
        if schema is not None:
            lines.append(f"type: {_format_type(infer_variable_type(schema, scope.model.defs))}")
            lines += _escape_markdown(schema.get("description"))
        if schema is None or mention.text != mention.name:
            lines += _describe_value(place)
    readers = (_format_inline_code(other.user) if other.user else "the output" for other in same if other.is_read)
    lines.append(f"read by {', '.join(dict.fromkeys(readers)) or 'nothing'}")
    return lines


def _find_declared_schema(analysis: Analysis, definition: Mention | None) -> Mapping[str, object] | None:
    if definition is None or analysis.root is None:
        return None
    spot = find_key_or_value_at(analysis.root, definition.start)
    schema = spot.node.items[spot.key].value if spot.key is not None else None
    return schema if isinstance(schema, Mapping) else None


def _describe_key(place: NodeContext, key: str) -> list[str]:
    defs = place.analysis.schema.get("$defs", {})
    schemas = [resolve_ref(get_fields(declared)[0].get(key), defs) for declared in place.applicable_schemas]
    schemas = [declared for declared in schemas if isinstance(declared, Mapping) and declared]
    if not schemas:
        return []
    schema = next((declared for declared in schemas if declared.get("description")), schemas[0])
    kinds, description = get_type_names(schema), _escape_markdown(schema.get("description"))
    if not kinds and not description:
        return []
    kind = f": {_format_inline_code(' | '.join(map(str, kinds)))}" if kinds else ""
    return [f"**{''.join(_escape_markdown(key))}**{kind}", *description]


def _describe_value(place: NodeContext) -> list[str]:
    node, holder = place.node, place.node.parent
    word = get_keyword(holder.items) if holder is not None else None
    if holder is None or word not in ("$step", "$input", "$variable") or node.part not in (word, "path"):
        # The value might be one of the values listed in a schema, such as an onError action.
        listing = (schema for schema in place.applicable_schemas if "enum" in schema)
        return next(filter(None, (_escape_markdown(schema.get("description")) for schema in listing)), [])
    if not place.allows_expressions or place.reads is None:
        return []
    result = look_up_reference(holder, word, place.reads)
    if result.problem is not None:
        return _escape_markdown(result.problem)
    type, path = result.type, parse_unambiguous_path(node.value)
    if word == "$input" and is_unknown(type) and path is not None:
        # If the flow has no input schema, use the type that its steps expect.
        type = look_up_path(place.flow_input_type, path).type
    return [f"type: {_format_type(type)}"]


def _format_type(type: Type) -> str:
    return _format_inline_code(format_type(type, _MAX_TYPE_LENGTH))


def _format_inline_code(text: str) -> str:
    """Format text as a code span. If the text contains backticks, use a longer fence."""
    line = " ".join(text.split())
    ticks = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    space = " " if len(ticks) > 1 else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def _escape_markdown(text: object) -> list[str]:
    """Escape any Markdown in a string. Otherwise, text from a server could add links or images."""
    return [re.sub(r"([\\`*_{}\[\]<>()#+!|~])", r"\\\1", text)] if isinstance(text, str) and text else []


Kind = types.SymbolKind
RUN_CASE = "stepflow.runCase"
"""The name of the editor command that runs a test case."""


def find_definition(analysis: Analysis, params: types.DefinitionParams) -> list[types.Location]:
    """Return the definition of the step, variable or field named at a position."""
    return _find_mention_locations(analysis, params, definitions=True, uses=False)


def find_references(analysis: Analysis, params: types.ReferenceParams) -> list[types.Location]:
    """Return all references to the name at a position."""
    return _find_mention_locations(analysis, params, definitions=params.context.include_declaration, uses=True)


def _find_mention_locations(
    analysis: Analysis, params: types.DefinitionParams | types.ReferenceParams, *, definitions: bool, uses: bool
) -> list[types.Location]:
    mention = find_mention_at(analysis.mentions, analysis.text.to_offset(params.position))
    same = find_same_mentions(analysis.mentions, mention) if mention is not None else []
    chosen = [mention for mention in same if (definitions if mention.is_definition else uses)]
    uri, to_range = params.text_document.uri, analysis.text.to_range
    return [types.Location(uri, to_range(mention.start, mention.end)) for mention in chosen]


def prepare_rename(analysis: Analysis, params: types.PrepareRenameParams) -> types.PrepareRenamePlaceholder | None:
    """Return the name at a position and its range, or None if there's nothing to rename."""
    mention = find_mention_at(analysis.mentions, analysis.text.to_offset(params.position))
    if mention is None:
        return None
    return types.PrepareRenamePlaceholder(analysis.text.to_range(mention.start, mention.end), mention.name)


def build_rename(analysis: Analysis, params: types.RenameParams) -> types.WorkspaceEdit:
    """Return the edits that rename the name at a position.

    Raises:
        JsonRpcInvalidParams: If the name can't be changed. The message says why.
    """
    mention = find_mention_at(analysis.mentions, analysis.text.to_offset(params.position))
    if mention is None:
        raise JsonRpcInvalidParams("no step, variable, input field or component here")
    try:
        edits = list_rename_edits(analysis.text.text, analysis.mentions, mention, params.new_name)
    except ValueError as error:
        raise JsonRpcInvalidParams(str(error)) from None
    changes = [types.TextEdit(analysis.text.to_range(start, end), new) for start, end, new in edits]
    return types.WorkspaceEdit({params.text_document.uri: changes})


def list_test_case_lenses(analysis: Analysis) -> list[types.CodeLens]:
    """Return a "run this case" lens for each test case. The editor command gets the arguments for `stepflow test`."""
    result = []
    for case in analysis.model.cases if analysis.model is not None else ():
        name = case.get("name")
        if name is not None and isinstance(name.value, str) and name.start >= 0:
            command = types.Command("run this case", RUN_CASE, arguments=[analysis.name, "--case", escape(name.value)])
            result.append(types.CodeLens(analysis.text.to_range(name.start, name.end), command))
    return result


def list_symbols(analysis: Analysis) -> list[types.DocumentSymbol]:
    """Return an outline of the flow's variables, steps, output and test cases."""
    return _build_outline(analysis.model, analysis.text) if analysis.model is not None else []


def _build_outline(model: FlowAnalysis, text: DocumentText) -> list[types.DocumentSymbol]:
    result: list[types.DocumentSymbol] = []

    def add_symbol(
        name: str, kind: types.SymbolKind, node: Node, label: Node | Key, detail: str | None = None
    ) -> types.DocumentSymbol | None:
        """Add a symbol.

        Merged nodes are skipped (they are elsewhere in the text), and so are empty names (editors reject them).
        """
        if label.start < 0 or node.start < 0 or not name.strip():
            return None
        whole = text.to_range(min(label.start, node.start), max(label.end, node.end))
        own = text.to_range(label.start, label.end)
        symbol = types.DocumentSymbol(name, kind, whole, own, detail=detail, children=[])
        result.append(symbol)
        return symbol

    variables = model.find_flow_schema("variables", "properties")
    if variables is not None:
        for name, node in variables.items.items():
            add_symbol(name, Kind.Variable, node, variables.keys[name])
    for step in model.steps:
        symbol = add_symbol(step.id, Kind.Function, step.node, step.node.items["id"], step.component)
        if symbol is not None and step.subflow is not None:
            symbol.children = _build_outline(FlowAnalysis(step.subflow), text)
    if (output := model.root.get("output")) is not None:
        add_symbol("output", Kind.Property, output, model.root.keys["output"])
    for case in model.cases:
        label = case.get("name")
        if label is not None and isinstance(label.value, str):
            add_symbol(label.value, Kind.Event, case, label, "test case")
    return sorted(result, key=lambda symbol: (symbol.range.start.line, symbol.range.start.character))
