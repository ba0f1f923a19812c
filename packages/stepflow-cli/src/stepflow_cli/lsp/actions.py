"""Code actions: the corrections of `validate --fix`, and the names that hints suggest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lsprotocol import types
from stepflow_client._base.text import cut
from stepflow_client._command import corrected, edit_of
from stepflow_client.flows.findings import Finding, Fix
from stepflow_client.flows.source import FlowText

from ..validation.checks import find
from .analysis import Analysis
from .diagnostics import diagnostic_of, span_of

Kind = types.CodeActionKind
_MAX_TITLE = 40
FIX_ALL = "source.fixAll.stepflow"


def actions_for(
    analysis: Analysis, uri: str, wanted: types.Range, only: Sequence[str] | None
) -> Iterator[types.CodeAction]:
    """Yield the code actions for a range of a document; `only` are the kinds that the client asks for, or None."""
    text = analysis.text
    start, end = text.offset(wanted.start), text.offset(wanted.end)
    if _is_wanted(Kind.QuickFix, only):
        for finding in analysis.findings:
            first, last = span_of(finding, text)
            if first <= end and start <= last:
                yield from _fixes(analysis, uri, finding)
    # All corrections are found by checking the flow again: only where it is asked for.
    if only is not None and _is_wanted(FIX_ALL, only) and analysis.kind == "flow":
        yield from _all_fixes(analysis, uri)


def _is_wanted(kind: str, only: Sequence[str] | None) -> bool:
    return only is None or any(kind == each or kind.startswith(f"{each}.") for each in only)


def _fixes(analysis: Analysis, uri: str, finding: Finding) -> Iterator[types.CodeAction]:
    fix = finding.fix or finding.suggestion
    edit = edit_of(analysis.text.text, fix) if fix is not None else None
    if fix is None or edit is None:
        return
    change = types.TextEdit(analysis.text.range(edit[0], edit[1]), edit[2])
    yield types.CodeAction(
        title=_title(fix),
        kind=Kind.QuickFix,
        diagnostics=[diagnostic_of(finding, analysis)],
        is_preferred=finding.fix is not None,
        edit=types.WorkspaceEdit(changes={uri: [change]}),
    )


def _title(fix: Fix) -> str:
    old, new = (cut(" ".join(each.split()), _MAX_TITLE) for each in (fix.old, fix.text))
    if not old or not new:
        return f"Add {new.lstrip(', ')}" if new else f"Remove {old}"
    return f"Write {new}" if "\n" in fix.old or len(fix.old) > _MAX_TITLE else f"Replace {old} with {new}"


def _all_fixes(analysis: Analysis, uri: str) -> Iterator[types.CodeAction]:
    text, rules = analysis.text, analysis.rules
    new = corrected(FlowText(text.text, analysis.name), lambda flow: find(flow, rules)).flow.text
    if new == text.text:
        return
    # Only what differs: editors keep the cursor and the folds of the rest.
    start = _common(text.text, new)
    behind = _common(text.text[start:][::-1], new[start:][::-1])
    change = types.TextEdit(text.range(start, len(text.text) - behind), new[start : len(new) - behind])
    yield types.CodeAction(
        title="Correct all that is clear", kind=FIX_ALL, edit=types.WorkspaceEdit(changes={uri: [change]})
    )


def _common(one: str, other: str) -> int:
    """Return the number of characters with which both texts begin."""
    pairs = zip(one, other, strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
