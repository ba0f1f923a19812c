"""Definitions, references and renaming of names in a flow, its outline, and the lenses of its test cases."""

from __future__ import annotations

from glob import escape

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from stepflow_client._command import FlowModel, find_subflow
from stepflow_client.flows.source import Key, Node

from .analysis import Analysis
from .flow_names import find_mention, find_same_mentions, list_rename_edits
from .text import DocumentText

Kind = types.SymbolKind
RUN_CASE = "stepflow.runCase"
"""The command of an editor that runs a test case."""


def find_definition(analysis: Analysis, params: types.DefinitionParams) -> list[types.Location]:
    """Return the definition of the step, variable or field at a position."""
    return _find_locations(analysis, params, definitions=True, uses=False)


def find_references(analysis: Analysis, params: types.ReferenceParams) -> list[types.Location]:
    """Return the references to what is named at a position."""
    return _find_locations(analysis, params, definitions=params.context.include_declaration, uses=True)


def _find_locations(
    analysis: Analysis, params: types.DefinitionParams | types.ReferenceParams, *, definitions: bool, uses: bool
) -> list[types.Location]:
    mention = find_mention(analysis.mentions, analysis.text.to_offset(params.position))
    same = find_same_mentions(analysis.mentions, mention) if mention is not None else []
    chosen = [mention for mention in same if (definitions if mention.is_definition else uses)]
    uri, to_range = params.text_document.uri, analysis.text.to_range
    return [types.Location(uri, to_range(mention.start, mention.end)) for mention in chosen]


def prepare_rename(analysis: Analysis, params: types.PrepareRenameParams) -> types.PrepareRenamePlaceholder | None:
    """Return the range and the name at a position; None if there is none to rename."""
    mention = find_mention(analysis.mentions, analysis.text.to_offset(params.position))
    if mention is None:
        return None
    return types.PrepareRenamePlaceholder(analysis.text.to_range(mention.start, mention.end), mention.name)


def rename(analysis: Analysis, params: types.RenameParams) -> types.WorkspaceEdit:
    """Return the edits that rename what is at a position.

    Raises:
        JsonRpcInvalidParams: If it cannot be renamed. The message gives the reason.
    """
    mention = find_mention(analysis.mentions, analysis.text.to_offset(params.position))
    if mention is None:
        raise JsonRpcInvalidParams("there is no step, variable, input field or component here")
    try:
        edits = list_rename_edits(analysis.text.text, analysis.mentions, mention, params.new_name)
    except ValueError as error:
        raise JsonRpcInvalidParams(str(error)) from None
    changes = [types.TextEdit(analysis.text.to_range(start, end), new) for start, end, new in edits]
    return types.WorkspaceEdit({params.text_document.uri: changes})


def list_case_lenses(analysis: Analysis) -> list[types.CodeLens]:
    """Return "run this case" above each test case: a command of the editor, which gets arguments of `stepflow test`."""
    result = []
    for case in analysis.model.cases if analysis.model is not None else ():
        name = case.get("name")
        if name is not None and isinstance(name.value, str) and name.start >= 0:
            command = types.Command("run this case", RUN_CASE, arguments=[analysis.name, "--case", escape(name.value)])
            result.append(types.CodeLens(analysis.text.to_range(name.start, name.end), command))
    return result


def list_symbols(analysis: Analysis) -> list[types.DocumentSymbol]:
    """Return the outline of a flow: its variables, steps, output and test cases."""
    return _list_symbols(analysis.model, analysis.text) if analysis.model is not None else []


def _list_symbols(model: FlowModel, text: DocumentText) -> list[types.DocumentSymbol]:
    result: list[types.DocumentSymbol] = []

    def add(
        name: str, kind: types.SymbolKind, node: Node, label: Node | Key, detail: str | None = None
    ) -> types.DocumentSymbol | None:
        """Add a symbol, except for merged nodes, which are elsewhere, and empty names, which editors refuse."""
        if label.start < 0 or node.start < 0 or not name.strip():
            return None
        whole = text.to_range(min(label.start, node.start), max(label.end, node.end))
        own = text.to_range(label.start, label.end)
        symbol = types.DocumentSymbol(name, kind, whole, own, detail=detail, children=[])
        result.append(symbol)
        return symbol

    variables = model.schema("variables", "properties")
    if variables is not None:
        for name, node in variables.items.items():
            add(name, Kind.Variable, node, variables.keys[name])
    for step in model.steps:
        symbol = add(step.id, Kind.Function, step.node, step.node.items["id"], step.component)
        inner = find_subflow(step.node)
        if symbol is not None and inner is not None:
            symbol.children = _list_symbols(FlowModel(inner), text)
    if (output := model.root.get("output")) is not None:
        add("output", Kind.Property, output, model.root.keys["output"])
    for case in model.cases:
        label = case.get("name")
        if label is not None and isinstance(label.value, str):
            add(label.value, Kind.Event, case, label, "test case")
    return sorted(result, key=lambda symbol: (symbol.range.start.line, symbol.range.start.character))
