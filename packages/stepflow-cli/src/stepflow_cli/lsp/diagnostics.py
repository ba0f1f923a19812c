"""Diagnostics: the findings of the checks as the protocol has them."""

from __future__ import annotations

from lsprotocol import types
from stepflow_client.flows.findings import Finding

from .analysis import Analysis
from .text import Text

SOURCE = "stepflow"
_UNUSED = ("unused-step", "unused-variable", "unused-key")


def diagnostics_of(analysis: Analysis) -> list[types.Diagnostic]:
    """Return the diagnostics of a document."""
    return [diagnostic_of(each, analysis.text) for each in analysis.findings]


def diagnostic_of(finding: Finding, text: Text) -> types.Diagnostic:
    """Return the diagnostic of a finding."""
    hint = f" ({finding.hint})" if finding.hint else ""
    is_warning = finding.level == "warning"
    return types.Diagnostic(
        range=text.range(*span_of(finding, text)),
        message=f"{finding.message}{hint}",
        severity=types.DiagnosticSeverity.Warning if is_warning else types.DiagnosticSeverity.Error,
        code=finding.rule,
        source=SOURCE,
        tags=[types.DiagnosticTag.Unnecessary] if finding.rule in _UNUSED else None,
    )


def span_of(finding: Finding, text: Text) -> tuple[int, int]:
    """Return the characters that a finding marks: those it is about, of several lines the first one."""
    if finding.start < 0:
        return text.in_line(finding.line, finding.column)
    end = min(finding.end, text.line_end(finding.start))
    return finding.start, max(end, finding.start)
