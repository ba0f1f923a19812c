"""Diagnostics: the findings of the checks as the protocol has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lsprotocol import types
from stepflow_client.flows.findings import RULES, Finding

from .analysis import Analysis
from .text import Text

SOURCE = "stepflow"
RULES_PAGE = ""
"""The public address of docs/guides/editing-flows.md, which has an anchor for each rule; there is none yet."""
_UNUSED = ("unused-step", "unused-variable", "unused-key")


def diagnostics_of(analysis: Analysis) -> list[types.Diagnostic]:
    """Return the diagnostics of a document."""
    found = [diagnostic_of(each, analysis) for each in analysis.findings]
    return found + [_of_server(each, analysis.text) for each in analysis.of_server]


def diagnostic_of(finding: Finding, analysis: Analysis) -> types.Diagnostic:
    """Return the diagnostic of a finding; one about types is a note, unless the settings ask for a check of types."""
    text, is_note = analysis.text, finding.of_types and not analysis.rules.type_check
    hint = f" ({finding.hint})" if finding.hint else ""
    return types.Diagnostic(
        range=text.range(*span_of(finding, text)),
        message=f"{finding.message}{hint}",
        severity=types.DiagnosticSeverity.Information if is_note else _severity(finding.level),
        code=finding.rule,
        code_description=_page_of(finding.rule),
        source=SOURCE,
        tags=[types.DiagnosticTag.Unnecessary] if finding.rule in _UNUSED else None,
    )


def _page_of(rule: str) -> types.CodeDescription | None:
    return types.CodeDescription(f"{RULES_PAGE}#{rule}") if RULES_PAGE and rule in RULES else None


def _of_server(record: Mapping[str, Any], text: Text) -> types.Diagnostic:
    hint = f" ({record['hint']})" if record.get("hint") else ""
    return types.Diagnostic(
        range=text.range(*text.in_line(record["line"], record["column"])),
        message=f"{record['message']}{hint}",
        severity=_severity(record["level"]),
        code=record["kind"],
        source=f"{SOURCE} server",
    )


def _severity(level: str) -> types.DiagnosticSeverity:
    return types.DiagnosticSeverity.Warning if level == "warning" else types.DiagnosticSeverity.Error


def span_of(finding: Finding, text: Text) -> tuple[int, int]:
    """Return the characters that a finding marks: those it is about, of several lines the first one."""
    if finding.start < 0:
        return text.in_line(finding.line, finding.column)
    end = min(finding.end, text.line_end(finding.start))
    return finding.start, max(end, finding.start)
