"""Hover: types, what keys and components mean, and who reads a step, a variable or a field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lsprotocol import types
from stepflow_client._command import read, type_text, variable_type
from stepflow_client._data.flow_declarations import fields_of
from stepflow_client.flows.expressions import keyword_of, portable_path
from stepflow_client.flows.json_schema import resolved, type_names
from stepflow_client.flows.json_types import Type, behind, is_unknown

from stepflow_cli.lsp.cursor import spot_at
from stepflow_cli.lsp.flow_names import Mention, mention_at, of_same

from .analysis import Analysis
from .navigation import range_of
from .place import Place, place_of

_MAX_LENGTH = 600


def hover(analysis: Analysis, position: types.Position) -> types.Hover | None:
    """Return what is known about what is at a position."""
    if analysis.root is None:
        return None
    text, offset = analysis.text, analysis.text.offset(position)
    one = mention_at(analysis.mentions, offset)
    spot = spot_at(analysis.root, offset)
    place = place_of(analysis, spot.node)
    if one is not None and (place.types is None or one.flow is place.types.model.root or spot.key is None):
        lines, where = _of_name(analysis, place, one), range_of(one, text)
    elif spot.key is not None:
        key = spot.node.keys[spot.key]
        lines, where = _of_key(place, spot.key), text.range(key.start, key.end)
    else:
        lines, where = _of_value(place), text.range(spot.node.start, spot.node.end)
    if not lines:
        return None
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, "\n\n".join(lines)), where)


def _of_name(analysis: Analysis, place: Place, one: Mention) -> list[str]:
    if one.kind == "component":
        return _of_component(analysis, one.name)
    scope = place.types if place.types is not None and place.types.model.root is one.flow else place.reads
    same = of_same(analysis.mentions, one)
    lines = [f"**{one.kind}** {_code(one.name)}"]
    step = scope.steps.get(one.name) if scope is not None and one.kind == "step" else None
    if step is not None:
        component = step.step.component
        lines += [f"component: {_code(component)}", *_description(analysis, component)] if component else []
        lines.append(f"output: {_type(step.output)}")
    elif one.kind != "step" and scope is not None:
        declared = next((each for each in same if each.is_definition), None)
        schema = _schema_of(analysis, declared) if declared is not None else None
        lines += [] if schema is None else [f"type: {_type(variable_type(schema, scope.scope.defs))}", *_about(schema)]
        lines += _of_value(place) if schema is None or one.written != one.name else []
    users = list(dict.fromkeys(_code(each.user) if each.user else "the output" for each in same if each.is_read))
    lines.append(f"read by {', '.join(users)}" if users else "read by nothing")
    return lines


def _schema_of(analysis: Analysis, declared: Mention) -> Mapping[str, Any] | None:
    """Return the schema of a field or a variable from the place where it is declared."""
    spot = spot_at(analysis.root, declared.start) if analysis.root is not None else None
    schema = spot.node.items[spot.key].value if spot is not None and spot.key is not None else None
    return schema if isinstance(schema, Mapping) else None


def _of_key(place: Place, key: str) -> list[str]:
    defs = place.analysis.schema.get("$defs", {})
    known = [resolved(fields_of(each)[0].get(key), defs) for each in place.schemas]
    found = [each for each in known if isinstance(each, Mapping) and each]
    if not found:
        return []
    best = next(filter(_about, found), found[0])
    kind = f": {_code(' | '.join(map(str, type_names(best))))}" if type_names(best) else ""
    return [f"**{_escaped(key)}**{kind}", *_about(best)] if kind or _about(best) else []


def _of_value(place: Place) -> list[str]:
    node, holder = place.node, place.node.parent
    word = keyword_of(holder.items) if holder is not None else None
    if holder is None or word not in ("$step", "$input", "$variable") or node.part not in (word, "path"):
        return next((_about(each) for each in place.schemas if "enum" in each and _about(each)), [])
    if not place.is_expression or place.reads is None:
        return []
    behind = read(holder, word, place.reads.scope)
    found = behind.type if word != "$input" or behind.problem else _input_type(place, behind.type)
    return [f"type: {_type(found)}" if behind.problem is None else _escaped(behind.problem)]


def _input_type(place: Place, found: Type) -> Type:
    """Return the type of an input; of a flow without a schema, what its steps want."""
    parts = portable_path(place.node.value)
    return behind(place.input, parts).type if is_unknown(found) and parts is not None else found


def _of_component(analysis: Analysis, component: str) -> list[str]:
    known = analysis.catalogue.types(component)
    if known is None:
        return []
    lines = [f"**component** {_code(component)}", *_description(analysis, component)]
    return [*lines, f"input: {_type(known[0])}", f"output: {_type(known[1])}"]


def _description(analysis: Analysis, component: str | None) -> list[str]:
    text = analysis.catalogue.description(component) if component else None
    return [_escaped(text)] if text else []


def _about(schema: object) -> list[str]:
    text = schema.get("description") if isinstance(schema, dict) else None
    return [_escaped(text)] if isinstance(text, str) else []


def _type(type: Type) -> str:
    return _code(type_text(type, _MAX_LENGTH))


def _code(text: str) -> str:
    """Return a text as code in Markdown, whatever it contains."""
    line = " ".join(text.split())
    ticks = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    space = " " if len(ticks) > 1 else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def _escaped(text: str) -> str:
    """Return a text without meaning as Markdown: descriptions come from servers, and could hold links and pictures."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~])", r"\\\1", text)
