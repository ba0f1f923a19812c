"""Adds schemas to a flow file without changing anything else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..flows.syntax_tree import Key, Node
from . import yaml_and_json_edits
from .yaml_and_json_edits import Edit, edit_and_verify

# Maximum length of the lines that are added.
_MAX_LINE_LENGTH = 110

Schemas = Mapping[str, Any]


class _SchemaContainer(dict[str, Any]):
    """A mapping that contains schemas but isn't a schema itself, so each of its keys goes on a separate line."""


def add_schemas(content: bytes, schemas: Schemas, source: str) -> bytes:
    """Add `input`, `output` and `steps` to the `schemas.properties` in a flow file.

    Existing schemas are left unchanged.

    Raises:
        FlowFileError: If the schemas can't be added without changing other parts of the file, for example because
            `schemas` is an alias.
    """
    if not schemas:
        return content
    framed = _SchemaContainer(schemas)
    if "steps" in framed:
        framed["steps"] = _SchemaContainer(properties=_SchemaContainer(framed["steps"]["properties"]))
    added = {"schemas": _SchemaContainer(properties=framed)}

    def change(text: str, root: Node) -> tuple[Iterable[Edit], Any]:
        return _iter_edits_to_add_schemas(text, root, added, is_root=True), _merge_missing_schemas(root.value, added)

    return edit_and_verify(content, source, change, "schemas cannot be added without changing more of the file; "
                                "write 'schemas' as a mapping of its own, without aliases")  # fmt: skip


def _merge_missing_schemas(value: Any, added: Any) -> Any:
    """Return a value with any missing parts added."""
    if not isinstance(value, Mapping) or not isinstance(added, Mapping):
        return added if value is None else value
    return {**value, **{key: _merge_missing_schemas(value.get(key), part) for key, part in added.items()}}


def _iter_edits_to_add_schemas(text: str, mapping: Node, added: Schemas, *, is_root: bool = False) -> Iterator[Edit]:
    """Yield the edits that add missing parts to a mapping."""
    if not mapping.items or mapping.original is not None:
        raise yaml_and_json_edits.NotEditableError
    missing: dict[str, Any] = {}
    for name, value in added.items():
        key, node = mapping.keys.get(name), mapping.get(name)
        if key is None or node is None or key.start < 0:
            missing[name] = value
        elif text[node.start : node.end].strip() in ("", "~", "null", "{}"):
            yield from _iter_edits_to_fill_value(text, mapping, key, node, value)
        else:
            yield from _iter_edits_to_add_schemas(text, node, value)
    if missing and is_root:
        yield _build_edit_before_steps(text, mapping, missing)
    elif missing:
        yield yaml_and_json_edits.build_keys_addition(text, mapping, missing, _format_block_mapping)


def _iter_edits_to_fill_value(text: str, parent: Node, key: Key, node: Node, value: Any) -> Iterator[Edit]:
    """Yield the edits that replace null or an empty mapping with a value, keeping any comment on the same line."""
    if parent.is_flow:
        one_line = "\n" not in text[parent.start : parent.end]
        written = yaml_and_json_edits.format_flow_style_value(text, key, value, one_line=one_line)
        yield node.start, node.end, written if node.start > key.end + 1 else f" {written}"
        return
    yield node.start, node.end, ""
    end = yaml_and_json_edits.find_line_end(text, node.end)
    yield end, end, "\n" + _format_block_mapping(value, key.column + 1)


def _build_edit_before_steps(text: str, root: Node, values: Schemas) -> Edit:
    """Return the edit that adds keys above `steps` and its comments, or at the end if that isn't possible."""
    steps = root.keys.get("steps")
    above = text[: steps.start] if steps is not None else ""
    start = above.rfind("\n") + 1
    if steps is None or root.is_flow or steps == root.written_keys[0] or above[start:].strip():
        return yaml_and_json_edits.build_keys_addition(text, root, values, _format_block_mapping)
    while start and text[:start].splitlines()[-1].lstrip().startswith("#"):
        start = text.rfind("\n", 0, start - 1) + 1
    return start, start, _format_block_mapping(values, steps.column - 1) + "\n"


def _format_block_mapping(values: Schemas, indent: int) -> str:
    """Format keys in block style, with each schema on a single line if it fits."""
    lines = list[str]()
    for key, value in values.items():
        start = f"{' ' * indent}{yaml_and_json_edits.format_yaml_key(key)}:"
        short = f"{start} {yaml_and_json_edits.format_inline_yaml(value)}"
        is_short = len(short) <= _MAX_LINE_LENGTH and not isinstance(value, _SchemaContainer)
        if is_short or not value or not isinstance(value, (Mapping, list)):
            lines.append(short)
        elif isinstance(value, Mapping):
            lines += [start, _format_block_mapping(value, indent + 2)]
        else:
            lines.append(start)
            for element in value:
                line = f"{' ' * (indent + 2)}- {yaml_and_json_edits.format_inline_yaml(element)}"
                if len(line) > _MAX_LINE_LENGTH and element and isinstance(element, Mapping):
                    line = f"{' ' * (indent + 2)}- {_format_block_mapping(element, indent + 4).lstrip(' ')}"
                lines.append(line)
    return "\n".join(lines)
