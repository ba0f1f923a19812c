"""Corrects a flow by applying the fixes suggested by its findings, as long as they improve it. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from stepflow_client._editing.yaml_and_json_edits import Edit, apply_edits
from stepflow_client.flows.findings import Finding, Fix
from stepflow_client.flows.syntax_tree import FlowText

_MAX_ROUNDS = 100

Find = Callable[[FlowText], Sequence[Finding]]
"""A function that returns a flow's findings."""


class CorrectedFlow(NamedTuple):
    """A corrected flow."""

    flow: FlowText
    remaining_findings: Sequence[Finding]
    """The findings that remain after the corrections."""
    number: int = 0
    """The number of corrections made."""


def correct_flow(flow: FlowText, find: Find) -> CorrectedFlow:
    """Apply corrections to a flow until none are left, without changing the rest of its text.

    A correction is only kept if it doesn't lead to more findings or to more severe ones. Correcting the result again
    has no effect.
    """
    state = CorrectedFlow(flow, find(flow))
    for _ in range(_MAX_ROUNDS):
        fixes = _collect_fixes(state)
        # Few fixes do any harm, so try them all at once, then each half, each quarter and so on, down to single fixes.
        parts = [fixes] if fixes else []
        for part in parts:
            middle = len(part) // 2
            parts += [part[:middle], part[middle:]] if middle else []
        # First try fixes along with any follow-up fixes that they make possible, then try each fix alone.
        choices = [(part, _MAX_ROUNDS) for part in parts] + [([fix], 1) for fix in fixes]
        attempts = (_apply_fixes(state, chosen, find, rounds) for chosen, rounds in choices)
        better = next((attempt for attempt in filter(None, attempts) if not _is_worse_flow(attempt, state)), None)
        if better is None:
            break
        state = better
    return state


def _apply_fixes(state: CorrectedFlow, fixes: Collection[Fix], find: Find, rounds: int) -> CorrectedFlow | None:
    """Apply fixes, followed by the fixes for any findings that they reveal. Return None if nothing changes."""
    before = state.flow.text
    old = {(known.old, known.text) for known in _collect_fixes(state)}
    for _ in range(rounds):
        edits = [edit for fix in fixes if (edit := convert_fix_to_edit(state.flow.text, fix)) is not None]
        flow = FlowText(apply_edits(state.flow.text, edits), state.flow.name)
        state = CorrectedFlow(flow, find(flow), state.number + len(edits))
        fixes = [fix for fix in _collect_fixes(state) if (fix.old, fix.text) not in old]
        if not fixes:
            break
    return state if state.flow.text != before else None


def _collect_fixes(state: CorrectedFlow) -> list[Fix]:
    """Return the fixes for a flow's findings in file order, leaving out any fix that overlaps an earlier one."""
    chosen: list[Fix] = []
    for fix in sorted({finding.fix for finding in state.remaining_findings if finding.fix is not None}):
        if convert_fix_to_edit(state.flow.text, fix) is not None and (not chosen or fix.start >= chosen[-1].end):
            chosen.append(fix)
    return chosen


def convert_fix_to_edit(text: str, fix: Fix) -> Edit | None:
    """Return the edit for a fix, or None if the file writes the text differently (for example, with escapes)."""
    written = text[fix.start : fix.end]
    if written == fix.old:
        return fix.start, fix.end, fix.text
    if len(written) > 1 and written[0] == written[-1] and written[0] in "'\"" and written[1:-1] == fix.old:
        return fix.start + 1, fix.end - 1, fix.text
    return None


def _is_worse_flow(new: CorrectedFlow, old: CorrectedFlow) -> bool:
    if new.flow.error is not None or old.flow.error is not None:
        return new.flow.error is not None
    for levels in ({"fatal"}, {"fatal", "error"}, {"fatal", "error", "warning"}):
        after, before = (sum(finding.level in levels for finding in state.remaining_findings) for state in (new, old))
        if after > before:
            return True
    return False
