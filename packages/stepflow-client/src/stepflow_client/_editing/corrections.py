"""Corrected flows: all fixes of their findings that make them better. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from ..flows.findings import Finding, Fix
from ..flows.source import FlowText
from .text_edits import Edit, apply_edits

_MAX_ROUNDS = 100

Find = Callable[[FlowText], Sequence[Finding]]
"""A function that returns the findings of a flow."""


class Corrected(NamedTuple):
    """A corrected flow."""

    flow: FlowText
    found: Sequence[Finding]
    """The findings that are left."""
    number: int = 0
    """The number of corrections."""


def correct_flow(flow: FlowText, find: Find) -> Corrected:
    """Correct a flow until nothing is left that can be corrected; the rest of its text is unchanged.

    A correction is only made if the flow then has no more findings, and none that are more severe. A second call with
    the result changes nothing.
    """
    state = Corrected(flow, find(flow))
    for _ in range(_MAX_ROUNDS):
        fixes = _collect_fixes(state)
        # Try all fixes, then halves, quarters and so on, down to each alone: few of them are harmful.
        parts = [fixes] if fixes else []
        for part in parts:
            middle = len(part) // 2
            parts += [part[:middle], part[middle:]] if middle else []
        # Fixes are tried with those that they make possible; each alone without them, too.
        choices = [(part, _MAX_ROUNDS) for part in parts] + [([fix], 1) for fix in fixes]
        attempts = (_apply_fixes(state, chosen, find, rounds) for chosen, rounds in choices)
        better = next((attempt for attempt in attempts if attempt is not None and not _is_worse(attempt, state)), None)
        if better is None:
            break
        state = better
    return state


def _apply_fixes(state: Corrected, fixes: Collection[Fix], find: Find, rounds: int) -> Corrected | None:
    """Return the flow with these fixes and the fixes of findings that they reveal; None if nothing changes."""
    before = state.flow.text
    old = {(known.old, known.text) for known in _collect_fixes(state)}
    for _ in range(rounds):
        edits = [edit for fix in fixes if (edit := make_edit(state.flow.text, fix)) is not None]
        flow = FlowText(apply_edits(state.flow.text, edits), state.flow.name)
        state = Corrected(flow, find(flow), state.number + len(edits))
        fixes = [each for each in _collect_fixes(state) if (each.old, each.text) not in old]
        if not fixes:
            break
    return state if state.flow.text != before else None


def _collect_fixes(state: Corrected) -> list[Fix]:
    """Return the fixes of a flow's findings in the order of the file, without those that overlap an earlier one."""
    chosen: list[Fix] = []
    for fix in sorted({each.fix for each in state.found if each.fix is not None}):
        if make_edit(state.flow.text, fix) is not None and (not chosen or fix.start >= chosen[-1].end):
            chosen.append(fix)
    return chosen


def make_edit(text: str, fix: Fix) -> Edit | None:
    """Return the edit of a fix; None if the text is written in another way, with escapes for example."""
    written = text[fix.start : fix.end]
    if written == fix.old:
        return fix.start, fix.end, fix.text
    if len(written) > 1 and written[0] == written[-1] and written[0] in "'\"" and written[1:-1] == fix.old:
        return fix.start + 1, fix.end - 1, fix.text
    return None


def _is_worse(new: Corrected, old: Corrected) -> bool:
    if new.flow.error is not None or old.flow.error is not None:
        return new.flow.error is not None
    for levels in ({"fatal"}, {"fatal", "error"}, {"fatal", "error", "warning"}):
        after, before = (sum(each.level in levels for each in state.found) for state in (new, old))
        if after > before:
            return True
    return False
