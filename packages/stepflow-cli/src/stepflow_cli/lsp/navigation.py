"""Definitions, references and renaming of what a flow names, and its outline."""

from __future__ import annotations

from glob import escape

from lsprotocol import types
from stepflow_client._command import FlowModel, Step, flow_within
from stepflow_client.flows.source import Key, Node

from stepflow_cli.lsp.flow_names import Mention, mention_at, of_same, renamed

from .analysis import Analysis
from .text import Text

Kind = types.SymbolKind
RUN_CASE = "stepflow.runCase"
"""The command of an editor that runs a test case."""


def definition(analysis: Analysis, position: types.Position) -> list[types.Range]:
    """Return where the step, the variable or the field at a position is defined."""
    found = _same(analysis, position)
    return [range_of(each, analysis.text) for each in found if each.is_definition]


def references(analysis: Analysis, position: types.Position, *, with_definition: bool) -> list[types.Range]:
    """Return where the flow names what is at a position."""
    found = _same(analysis, position)
    return [range_of(each, analysis.text) for each in found if with_definition or not each.is_definition]


def name_at(analysis: Analysis, position: types.Position) -> tuple[types.Range, str] | None:
    """Return the range and the name of what is at a position, if it can be renamed."""
    one = mention_at(analysis.mentions, analysis.text.offset(position))
    return (range_of(one, analysis.text), one.name) if one is not None else None


def rename(analysis: Analysis, position: types.Position, name: str) -> list[types.TextEdit]:
    """Return the edits that rename what is at a position.

    Raises:
        ValueError: If it cannot be renamed. The message says why.
    """
    one = mention_at(analysis.mentions, analysis.text.offset(position))
    if one is None:
        raise ValueError("there is no step, variable, input field or component here")
    edits = renamed(analysis.text.text, analysis.mentions, one, name)
    return [types.TextEdit(analysis.text.range(start, end), new) for start, end, new in edits]


def range_of(mention: Mention, text: Text) -> types.Range:
    """Return the range of a name, without the quotes and the path around it."""
    return text.range(mention.start, mention.end)


def _same(analysis: Analysis, position: types.Position) -> list[Mention]:
    one = mention_at(analysis.mentions, analysis.text.offset(position))
    return of_same(analysis.mentions, one) if one is not None else []


def lenses(analysis: Analysis) -> list[types.CodeLens]:
    """Return "run this case" above each test case: a command of the editor, which gets arguments of `stepflow test`."""
    found = []
    for case in analysis.model.cases if analysis.model is not None else ():
        named = case.get("name")
        if named is not None and isinstance(named.value, str) and named.start >= 0:
            command = types.Command("run this case", RUN_CASE, arguments=[analysis.name, "--case", escape(named.value)])
            found.append(types.CodeLens(analysis.text.range(named.start, named.end), command))
    return found


def symbols(analysis: Analysis) -> list[types.DocumentSymbol]:
    """Return the outline of a flow: its variables, steps, output and test cases."""
    return _symbols(analysis.model, analysis.text) if analysis.model is not None else []


def _symbols(model: FlowModel, text: Text) -> list[types.DocumentSymbol]:
    found: list[types.DocumentSymbol | None] = []
    variables = model.schema("variables", "properties")
    for name, node in variables.items.items() if variables is not None else ():
        key = variables.keys[name] if variables is not None else None
        found.append(_symbol(text, name, Kind.Variable, node, key))
    found += [_step(step, text) for step in model.steps]
    if (output := model.root.get("output")) is not None:
        found.append(_symbol(text, "output", Kind.Property, output, model.root.keys["output"]))
    for case in model.cases:
        named = case.get("name")
        if named is not None and isinstance(named.value, str):
            found.append(_symbol(text, named.value, Kind.Event, case, named, detail="test case"))
    return sorted(filter(None, found), key=lambda each: (each.range.start.line, each.range.start.character))


def _step(step: Step, text: Text) -> types.DocumentSymbol | None:
    named = step.node.items["id"]
    found = _symbol(text, step.id, Kind.Function, step.node, named, detail=step.component)
    inner = flow_within(step.node)
    if found is not None and inner is not None:
        found.children = _symbols(FlowModel(inner), text)
    return found


def _symbol(
    text: Text, name: str, kind: types.SymbolKind, node: Node, named: Node | Key | None, *, detail: str | None = None
) -> types.DocumentSymbol | None:
    """Return a symbol; None for what is merged from elsewhere, and for an empty name, which editors refuse."""
    if named is None or named.start < 0 or node.start < 0 or not name.strip():
        return None
    start, end = min(named.start, node.start), max(named.end, node.end)
    return types.DocumentSymbol(
        name, kind, text.range(start, end), text.range(named.start, named.end), detail=detail, children=[]
    )
