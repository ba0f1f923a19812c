"""Offline checks of a flow: all rules, suppressing comments, excerpts and safe fixes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fsdecode
from typing import TYPE_CHECKING, Any

from ..errors import FlowFileError
from .file import FlowSource, load_flow, read_file
from .findings import Finding, Findings
from .model import FlowModel
from .placed import Node, node_of
from .positions import locate, read_nodes
from .rules.components import Components, check_components, subflows
from .rules.expressions import check_expression
from .rules.references import check_references
from .rules.schemas import check_schemas
from .rules.shape import check_shape

if TYPE_CHECKING:
    from ..types import ValidationResult

__all__ = [
    "check",
    "check_root",
    "components_of",
    "excerpt_of",
    "find",
    "find_in_text",
    "fixed",
    "keep",
    "place_of",
    "read_text",
    "result_of",
    "text_of",
]

_IGNORE = re.compile(r"#\s*stepflow:\s*ignore(?P<file>-file)?(?:\[(?P<rules>[^\]]*)\])?")
_LEVELS = ("fatal", "error", "warning")
_DEEPEST = 20
_LARGEST = 2**64 - 1


def check(
    flow: FlowSource,
    *,
    components: Any = None,
    select: Collection[str] = (),
    ignore: Collection[str] = (),
    type_check: bool = False,
) -> ValidationResult:
    """Check a flow without a server.

    Example:
        result = check("flow.yaml")
        for each in result.diagnostics:
            print(each.file, each.line, each.rule, each.message)

    Args:
        flow: The path of a YAML or JSON file, or the flow itself, whose diagnostics then have no line.
        components: The components that the flow may use, as `list_components` returns them or as JSON objects; None if
            only the builtin ones are known.
        select: Rules to apply; all if empty.
        ignore: Rules to leave out. To leave out a rule in one place, put the comment `# stepflow: ignore[rule]` on the
            line, or alone on the line above.
        type_check: Whether to check types throughout the flow too, from the schemas of components to the expressions
            that read their outputs: the rules `type-mismatch`, `possible-mismatch`, `input-conflict` and
            `untyped-output`. Default False.

    Returns:
        The diagnostics, the most severe first. If the file is not valid YAML, this is one of them.

    Raises:
        FlowFileError: If the file cannot be read.
        InvalidArgumentError: If `flow` is neither a path nor a flow.
    """
    known = components_of(components)
    return result_of(find(flow, components=known, select=select, ignore=ignore, type_check=type_check))


def find(
    flow: FlowSource,
    *,
    components: Components | None = None,
    select: Collection[str] = (),
    ignore: Collection[str] = (),
    type_check: bool = False,
) -> list[Finding]:
    """Return the faults of a flow, like `check`, but as plain objects, which are faster to import."""
    if isinstance(flow, (str, PathLike)) and "\n" not in fsdecode(flow):
        name = fsdecode(flow)
        return keep(find_in_text(read_text(name), name, components, type_check=type_check), select, ignore)
    root = node_of(load_flow(flow))
    return keep(_sorted(check_root(root, components, type_check=type_check)), select, ignore)


def find_in_text(
    text: str, source: str, components: Components | None = None, *, type_check: bool = False, strict: bool = False
) -> list[Finding]:
    """Return the faults of the flow in a text.

    Args:
        text: YAML, or JSON if the source ends with `.json`.
        source: The name of the text.
        components: The components of a server, or None.
        type_check: Whether to check types throughout the flow too.
        strict: Whether outputs of unknown type are errors in that check.
    """
    lines = text.splitlines()
    try:
        found = check_root(read_nodes(text, source), components, type_check=type_check, strict=strict)
    except FlowFileError as error:
        rule = "duplicate-key" if "stands twice" in error.message else "syntax"
        message = re.sub(r" \(line \d+, column \d+\)$", "", error.message.removeprefix(f"{source} "))
        found = [Finding(rule, "fatal", message, "$", error.line or 1, error.column or 1)]
    placed = (replace(each, file=source, excerpt=excerpt_of(lines, each.line, each.column)) for each in found)
    return _sorted([each for each in placed if not _is_ignored(each, lines)])


def read_text(name: str) -> str:
    """Return the text of a file.

    Raises:
        FlowFileError: If it cannot be read, or is not UTF-8.
    """
    return text_of(read_file(name), name)


def text_of(content: bytes, name: str) -> str:
    """Return the content of a file as text.

    Raises:
        FlowFileError: If it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FlowFileError(f"{name} is not UTF-8 text (byte {error.start})", path=name) from None


def check_root(
    root: Node, components: Components | None, *, type_check: bool = False, strict: bool = False
) -> list[Finding]:
    """Return the faults of a flow, unordered. Comments do not suppress any."""
    found = Findings()
    _check_flow(root, "$", components, found, 0)
    if type_check and isinstance(root.value, dict):
        from .types.flow import Catalogue, type_flow
        from .types.model import UNKNOWN
        from .types.rules import check_types

        check_types(type_flow(root, "$", UNKNOWN, Catalogue(components)), found, strict=strict)
    return list(found.all.values())


def _check_flow(root: Node, path: str, components: Components | None, found: Findings, depth: int) -> None:
    check_shape(root, found, path)
    if not isinstance(root.value, dict):
        return
    model = FlowModel(root, path)
    for index, step in enumerate(steps.elements if (steps := root.get("steps")) else ()):
        if "input" in step.items:
            check_expression(step.items["input"], f"{path}.steps[{index}].input", found)
    if "output" in root.items:
        check_expression(root.items["output"], f"{path}.output", found)
    check_references(model, found, is_subflow=depth > 0)
    check_schemas(model, found)
    check_components(model, components, found)
    _check_numbers(root, path, found)
    if depth < _DEEPEST:
        for inner, where in list(subflows(model, found)):
            _check_flow(inner, where, components, found, depth + 1)


def _check_numbers(node: Node, path: str, found: Findings) -> None:
    if isinstance(node.value, int) and not -(2**63) <= node.value <= _LARGEST:
        found.add("large-integer", "warning", node, path, "servers turn an integer of this size into a float, which "
                  "loses digits", "put it in quotes")  # fmt: skip
    for key, child in node.items.items():
        _check_numbers(child, f"{path}.{key}", found)
    for index, child in enumerate(node.elements):
        _check_numbers(child, f"{path}[{index}]", found)


def _is_ignored(finding: Finding, lines: Sequence[str]) -> bool:
    at = finding.line - 1
    for index, line in enumerate(lines):
        if "stepflow:" not in line:
            continue
        comment = _IGNORE.search(line)
        if comment is None:
            continue
        own = not line[: comment.start()].strip()
        if not (comment["file"] or index == at or (own and index == at - 1)):
            continue
        rules = [each.strip() for each in (comment["rules"] or "").split(",") if each.strip()]
        if not rules or finding.rule in rules:
            return True
    return False


def _sorted(found: Sequence[Finding]) -> list[Finding]:
    return sorted(found, key=lambda each: (_LEVELS.index(each.level), each.line, each.column, each.rule))


def keep(found: Sequence[Finding], select: Collection[str], ignore: Collection[str]) -> list[Finding]:
    """Return the findings of the selected rules."""
    return [each for each in found if (not select or each.rule in select) and each.rule not in ignore]


def excerpt_of(lines: Sequence[str], line: int, column: int) -> str:
    """Return a line of a file with a mark below the column; empty if there is no such line."""
    if not 1 <= line <= len(lines):
        return ""
    text = lines[line - 1].replace("\t", " ")
    start = max(0, column - 60)
    shown = text[start : start + 100]
    return f"{shown}\n{' ' * (column - 1 - start)}^"


def place_of(text: str, source: str, path: str) -> tuple[int, int]:
    """Return the line and column of a server's diagnostic in a text; (1, 1) if they are unknown."""
    try:
        node = locate(read_nodes(text, source), path)
    except FlowFileError:
        return 1, 1
    return node.line or 1, node.column or 1


def fixed(text: str, found: Sequence[Finding]) -> tuple[str, int]:
    """Return a text with misspelt keys corrected, and the number of changes. The rest of the text is unchanged."""
    changes = sorted({each.fix for each in found if each.fix is not None}, reverse=True)
    done = 0
    for start, end, old, new in changes:
        token = text[start:end]
        if token.strip("'\"") == old:
            text = text[:start] + token.replace(old, new) + text[end:]
            done += 1
    return text, done


def components_of(components: Any) -> Components | None:
    """Return components (`ComponentInfo`, or their JSON) in the form that the checks use; None stays None.

    Servers do not report route prefixes: a component without `path` is listed by its name, without a leading slash. If
    some plugins could not be listed, components that are missing from the list may still exist.
    """
    if components is None:
        return None
    found = Components()
    found.is_whole = not getattr(components, "failed_plugins", None)
    for each in components:
        record = each if isinstance(each, Mapping) else each.model_dump()
        name = record.get("path") or str(record.get("name")).strip("/")
        schemas = (record.get("input_schema") or {}, record.get("output_schema") or {})
        # If two plugins have components with the same name, nothing is known about that name.
        found[name] = ({}, {}) if name in found else schemas
    return found


def result_of(found: Sequence[Finding]) -> ValidationResult:
    """Return findings as a `ValidationResult`."""
    from ..types import Diagnostic, DiagnosticLevel, ValidationResult

    diagnostics = [
        Diagnostic(
            level=DiagnosticLevel(each.level),
            kind=each.rule,
            message=each.message,
            path=each.path,
            rule=each.rule,
            file=each.file or None,
            line=each.line or None,
            column=each.column or None,
            excerpt=each.excerpt or None,
            hint=each.hint,
        )
        for each in found
    ]
    return ValidationResult(diagnostics=diagnostics)
