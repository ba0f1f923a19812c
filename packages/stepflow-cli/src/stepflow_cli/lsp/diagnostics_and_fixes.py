"""Show findings as diagnostics, with code actions to fix them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lsprotocol import types
from stepflow_client._base.text_formatting import cut
from stepflow_client.flows.findings import Finding
from stepflow_client.flows.syntax_tree import FlowText

from ..validation.flow_checks import find_offline_findings
from ..validation.flow_corrections import convert_fix_to_edit, correct_flow
from .cursor import DocumentText
from .document_analysis import Analysis

DIAGNOSTIC_SOURCE = "stepflow"
FIX_ALL_KIND = "source.fixAll.stepflow"
_UNUSED_RULES = ("unused-step", "unused-variable", "unused-key")
_MAX_TITLE_LENGTH = 40


def build_diagnostics(analysis: Analysis) -> list[types.Diagnostic]:
    """Return diagnostics for the offline findings, followed by those for the server's findings."""
    text, diagnostics = analysis.text, [_build_diagnostic(finding, analysis) for finding in analysis.findings]
    for record in analysis.server_findings:
        diagnostics.append(
            types.Diagnostic(
                range=text.to_range(*text.get_span_to_line_end(record["line"], record["column"])),
                message=_join_message_and_hint(record["message"], record.get("hint")),
                severity=_get_severity(record["level"]),
                code=record["kind"],
                source=f"{DIAGNOSTIC_SOURCE} server",
            )
        )
    return diagnostics


def _build_diagnostic(finding: Finding, analysis: Analysis) -> types.Diagnostic:
    # Types are always checked, but type findings are only shown as information unless the settings enable type checks.
    is_note = finding.is_type_finding and not analysis.rules.type_check
    return types.Diagnostic(
        range=analysis.text.to_range(*_get_finding_span(finding, analysis.text)),
        message=_join_message_and_hint(finding.message, finding.hint),
        severity=types.DiagnosticSeverity.Information if is_note else _get_severity(finding.level),
        code=finding.rule,
        source=DIAGNOSTIC_SOURCE,
        tags=[types.DiagnosticTag.Unnecessary] if finding.rule in _UNUSED_RULES else None,
    )


def _join_message_and_hint(message: str, hint: str | None) -> str:
    return f"{message} ({hint})" if hint else message


def _get_severity(level: str) -> types.DiagnosticSeverity:
    return types.DiagnosticSeverity.Warning if level == "warning" else types.DiagnosticSeverity.Error


def _get_finding_span(finding: Finding, text: DocumentText) -> tuple[int, int]:
    """Return the start and end offsets of a finding, cutting it off at the end of its first line."""
    if finding.start < 0:
        return text.get_span_to_line_end(finding.line, finding.column)
    return finding.start, max(finding.start, min(finding.end, text.get_line_end(finding.start)))


def list_code_actions(analysis: Analysis, params: types.CodeActionParams) -> list[types.CodeAction]:
    """Return a fix for each finding in a range and, if requested, an action that fixes all findings in the file."""
    text, uri, kinds = analysis.text, params.text_document.uri, params.context.only
    start, end = text.to_offset(params.range.start), text.to_offset(params.range.end)
    actions: list[types.CodeAction] = []
    if _is_kind_requested(types.CodeActionKind.QuickFix, kinds):
        for finding in analysis.findings:
            first, last = _get_finding_span(finding, text)
            if first <= end and start <= last:
                actions.extend(_build_quick_fix(analysis, uri, finding))
    # Building the "fix all" action means rechecking the whole flow, so only do it if the editor asks for that action.
    if kinds is not None and _is_kind_requested(FIX_ALL_KIND, kinds) and analysis.kind == "flow":
        actions.extend(_build_fix_all_action(analysis, uri))
    return actions


def _is_kind_requested(kind: str, kinds: Sequence[str] | None) -> bool:
    return kinds is None or any(kind == requested or kind.startswith(f"{requested}.") for requested in kinds)


def _build_quick_fix(analysis: Analysis, uri: str, finding: Finding) -> Iterator[types.CodeAction]:
    fix = finding.fix or finding.suggestion
    edit = convert_fix_to_edit(analysis.text.text, fix) if fix is not None else None
    if fix is None or edit is None:
        return
    old, new = (cut(" ".join(words.split()), _MAX_TITLE_LENGTH) for words in (fix.old, fix.text))
    if not new:
        title = f"Remove {old}"
    elif not old:
        title = f"Add {new.lstrip(', ')}"
    elif "\n" in fix.old or len(fix.old) > _MAX_TITLE_LENGTH:
        title = f"Write {new}"
    else:
        title = f"Replace {old} with {new}"
    yield types.CodeAction(
        title=title,
        kind=types.CodeActionKind.QuickFix,
        diagnostics=[_build_diagnostic(finding, analysis)],
        is_preferred=finding.fix is not None,
        edit=types.WorkspaceEdit({uri: [types.TextEdit(analysis.text.to_range(edit[0], edit[1]), edit[2])]}),
    )


def _build_fix_all_action(analysis: Analysis, uri: str) -> Iterator[types.CodeAction]:
    old = analysis.text.text
    new = correct_flow(FlowText(old, analysis.name), lambda flow: find_offline_findings(flow, analysis.rules)).flow.text
    if new == old:
        return
    # Only replace the part that differs, so that editors don't move the cursor or open folds elsewhere.
    start = _common_prefix_length(old, new)
    tail = _common_prefix_length(old[start:][::-1], new[start:][::-1])
    change = types.TextEdit(analysis.text.to_range(start, len(old) - tail), new[start : len(new) - tail])
    edit = types.WorkspaceEdit({uri: [change]})
    yield types.CodeAction("Fix everything that can be fixed safely", FIX_ALL_KIND, edit=edit)


def _common_prefix_length(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
