"""Hover: types, descriptions of keys and components, and the readers of a step, variable or field."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lsprotocol import types
from stepflow_client._command import infer_variable_type, look_up_reference, type_text
from stepflow_client._data.flow_declarations import fields_of
from stepflow_client.flows.expressions import get_keyword, portable_path
from stepflow_client.flows.json_schema import get_type_names, resolve_ref
from stepflow_client.flows.json_types import Type, is_unknown, type_at_path

from .analysis import Analysis
from .cursor import find_key_or_value
from .flow_names import Mention, find_mention, find_same_mentions
from .place import FlowPlace, find_place

_MAX_LENGTH = 600


def describe_position(analysis: Analysis, position: types.Position) -> types.Hover | None:
    """Return the description of the name, key or value at a position."""
    if analysis.root is None:
        return None
    text, offset = analysis.text, analysis.text.to_offset(position)
    mention = find_mention(analysis.mentions, offset)
    spot = find_key_or_value(analysis.root, offset)
    place = find_place(analysis, spot.node)
    if mention is not None and (place.types is None or mention.flow is place.types.model.root or spot.key is None):
        lines, start, end = _describe_name(analysis, place, mention), mention.start, mention.end
    elif spot.key is not None:
        key = spot.node.keys[spot.key]
        lines, start, end = _describe_key(place, spot.key), key.start, key.end
    else:
        lines, start, end = _describe_value(place), spot.node.start, spot.node.end
    if not lines:
        return None
    return types.Hover(types.MarkupContent(types.MarkupKind.Markdown, "\n\n".join(lines)), text.to_range(start, end))


def _describe_name(analysis: Analysis, place: FlowPlace, mention: Mention) -> list[str]:
    lines = [f"**{mention.kind}** {_format_code(mention.name)}"]
    if mention.kind == "component":
        declared_types = analysis.catalogue.types(mention.name)
        if declared_types is None:
            return []
        given, returned = declared_types
        description = _escape(analysis.catalogue.description(mention.name))
        return [*lines, *description, f"input: {_format_type(given)}", f"output: {_format_type(returned)}"]
    scope = place.types if place.types is not None and place.types.model.root is mention.flow else place.reads
    same = find_same_mentions(analysis.mentions, mention)
    step = scope.steps.get(mention.name) if scope is not None and mention.kind == "step" else None
    if step is not None:
        component = step.step.component
        if component:
            lines += [f"component: {_format_code(component)}", *_escape(analysis.catalogue.description(component))]
        lines.append(f"output: {_format_type(step.output)}")
    elif mention.kind != "step" and scope is not None:
        schema = _declared_schema(analysis, same)
        if schema is not None:
            lines += [
                f"type: {_format_type(infer_variable_type(schema, scope.scope.defs))}",
                *_escape(schema.get("description")),
            ]
        if schema is None or mention.written != mention.name:
            lines += _describe_value(place)
    readers = list(
        dict.fromkeys(_format_code(other.user) if other.user else "the output" for other in same if other.is_read)
    )
    lines.append(f"read by {', '.join(readers)}" if readers else "read by nothing")
    return lines


def _declared_schema(analysis: Analysis, mentions: list[Mention]) -> Mapping[str, object] | None:
    definition = next((mention for mention in mentions if mention.is_definition), None)
    if definition is None or analysis.root is None:
        return None
    spot = find_key_or_value(analysis.root, definition.start)
    schema = spot.node.items[spot.key].value if spot.key is not None else None
    return schema if isinstance(schema, Mapping) else None


def _describe_key(place: FlowPlace, key: str) -> list[str]:
    defs = place.analysis.schema.get("$defs", {})
    schemas = [resolve_ref(fields_of(declared)[0].get(key), defs) for declared in place.schemas]
    schemas = [declared for declared in schemas if isinstance(declared, Mapping) and declared]
    if not schemas:
        return []
    schema = next((declared for declared in schemas if declared.get("description")), schemas[0])
    kinds, description = get_type_names(schema), _escape(schema.get("description"))
    if not kinds and not description:
        return []
    kind = f": {_format_code(' | '.join(map(str, kinds)))}" if kinds else ""
    return [f"**{''.join(_escape(key))}**{kind}", *description]


def _describe_value(place: FlowPlace) -> list[str]:
    node, holder = place.node, place.node.parent
    word = get_keyword(holder.items) if holder is not None else None
    if holder is None or word not in ("$step", "$input", "$variable") or node.part not in (word, "path"):
        # A value that a schema lists, such as an action of onError.
        described = (_escape(schema.get("description")) for schema in place.schemas if "enum" in schema)
        return next(filter(None, described), [])
    if not place.is_expression or place.reads is None:
        return []
    result = look_up_reference(holder, word, place.reads.scope)
    if result.problem is not None:
        return _escape(result.problem)
    type, path = result.type, portable_path(node.value)
    if word == "$input" and is_unknown(type) and path is not None:
        # A flow without an input schema: use what its steps expect.
        type = type_at_path(place.input, path).type
    return [f"type: {_format_type(type)}"]


def _format_type(type: Type) -> str:
    return _format_code(type_text(type, _MAX_LENGTH))


def _format_code(text: str) -> str:
    """Return a text as inline code in Markdown, with as many backticks as it needs."""
    line = " ".join(text.split())
    ticks = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    space = " " if len(ticks) > 1 else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def _escape(text: object) -> list[str]:
    """Return a text as a paragraph, if there is one. Texts of servers could contain links and images: escape them."""
    return [re.sub(r"([\\`*_{}\[\]<>()#+!|~])", r"\\\1", text)] if isinstance(text, str) and text else []
