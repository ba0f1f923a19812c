"""Corrects flows by applying fixes that improve them, and suggests fixes for text that can't be parsed. No I/O."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from ..flows.findings import Finding, Fix
from ..flows.source import FlowText
from .text_edits import Edit, apply_edits, find_line_end

# Maximum length of text, in characters, that may be reparsed for each possible edit.
_MAX_LENGTH = 100_000
_QUOTED = re.compile(r'(?:quote it|put it in quotes|quote text with \': \': .+?): (".*")')


def add_syntax_fix(flow: FlowText, finding: Finding) -> Finding:
    """Add the edit that a syntax error's hint implies to its finding.

    Quoting text is safe. Anything else is only a suggestion, because the actual mistake may be elsewhere.
    """
    lines = [0, *(match.end() for match in re.finditer("\r\n|\r|\n", flow.text))]
    line = min(finding.line, len(lines)) - 1
    start = lines[line] + finding.column - 1
    quoted = _QUOTED.fullmatch(finding.hint or "")
    old = json.loads(quoted[1]) if quoted is not None else ""
    if quoted is not None and old and flow.text.startswith(old, start):
        return finding._replace(fix=Fix(start, start + len(old), old, quoted[1]))
    if len(flow.text) > _MAX_LENGTH:
        return finding
    helpful: list[tuple[float, Fix]] = []
    for first, last, new in _iter_syntax_edits(flow.text, finding, lines[line], start):
        error = FlowText(apply_edits(flow.text, [(first, last, new)]), flow.name).error
        # Prefer the candidate that lets the parser get furthest before the next error.
        reached = math.inf if error is None else error.line or 0
        if reached > finding.line:
            helpful.append((reached, Fix(first, last, flow.text[first:last], new)))
    return finding._replace(suggestion=max(helpful, key=lambda candidate: candidate[0])[1]) if helpful else finding


def _iter_syntax_edits(text: str, finding: Finding, begin: int, start: int) -> Iterator[Edit]:
    """Yield edits the hint may refer to. `begin` is the start of the line, `start` that of the error."""
    hint, end = finding.hint or "", find_line_end(text, start)
    depth = end - begin - len(text[begin:end].lstrip(" \t"))
    above = text[: max(begin - 1, 0)].rpartition("\n")[2]
    indent = len(above) - len(above.lstrip(" "))
    if found := re.match(r"write ([}\]]) after", hint):
        yield end, end, found[1]
        yield len(text.rstrip()), len(text.rstrip()), found[1]
    elif hint.startswith("close it"):
        yield end, end, text[start : start + 1]
        yield from ((index, index, text[start : start + 1]) for index in range(end - 1, max(start, end - 4), -1))
    elif hint.startswith("indent"):
        # Handle tabs, and indentation that matches none of the lines above.
        wanted = re.fullmatch(r"indent it to column (\d+)", hint)
        depths = [int(wanted[1]) - 1] if wanted is not None else [indent, indent + 2, max(indent - 2, 0)]
        yield from ((begin, begin + depth, " " * column) for column in depths)
    elif "'- '" in hint and depth >= 2:
        yield begin + depth - 2, begin + depth, "- "
    elif hint.endswith("remove one of them"):
        yield begin, min(end + 1, len(text)), ""
    elif hint.startswith("put text with"):
        value = re.compile(r"\{\{.*\}\}").search(text, begin, end)
        if value is not None:
            yield *value.span(), json.dumps(value[0], ensure_ascii=False)


_MAX_ROUNDS = 100

Find = Callable[[FlowText], Sequence[Finding]]
"""A function that returns a flow's findings."""


class CorrectedFlow(NamedTuple):
    """A corrected flow."""

    flow: FlowText
    remaining_findings: Sequence[Finding]
    """The remaining findings."""
    number: int = 0
    """Number of corrections made."""


def correct_flow(flow: FlowText, find: Find) -> CorrectedFlow:
    """Apply corrections to a flow until there are none left, leaving the rest of its text unchanged.

    A correction is only kept if it doesn't lead to more findings, or more severe ones. Correcting the result again has
    no effect.
    """
    state = CorrectedFlow(flow, find(flow))
    for _ in range(_MAX_ROUNDS):
        fixes = _collect_fixes(state)
        # Try all fixes at once, then halves, quarters and so on down to single fixes, since few are harmful.
        parts = [fixes] if fixes else []
        for part in parts:
            middle = len(part) // 2
            parts += [part[:middle], part[middle:]] if middle else []
        # Try fixes together with any follow-up fixes they enable, then each one alone without them.
        choices = [(part, _MAX_ROUNDS) for part in parts] + [([fix], 1) for fix in fixes]
        attempts = (_apply_fixes(state, chosen, find, rounds) for chosen, rounds in choices)
        better = next((attempt for attempt in filter(None, attempts) if not _is_worse_flow(attempt, state)), None)
        if better is None:
            break
        state = better
    return state


def _apply_fixes(state: CorrectedFlow, fixes: Collection[Fix], find: Find, rounds: int) -> CorrectedFlow | None:
    """Apply fixes, followed by fixes for any findings they reveal. Return None if nothing changes."""
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
    """Return the fixes for a flow's findings in file order, dropping any that overlap an earlier one."""
    chosen: list[Fix] = []
    for fix in sorted({finding.fix for finding in state.remaining_findings if finding.fix is not None}):
        if convert_fix_to_edit(state.flow.text, fix) is not None and (not chosen or fix.start >= chosen[-1].end):
            chosen.append(fix)
    return chosen


def convert_fix_to_edit(text: str, fix: Fix) -> Edit | None:
    """Return a fix's edit, or None if the text is written differently, e.g. with escapes."""
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
