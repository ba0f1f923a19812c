"""Edits for texts that cannot be parsed: what the hint of the fault states, if it helps. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from ..flows.findings import Finding, Fix
from ..flows.source import FlowText
from .text_edits import Edit, apply_edits, find_line_end

# Maximum number of characters of a text that is parsed once more for each possible edit.
_MAX_LENGTH = 100_000
_QUOTED = re.compile(r'(?:quote it|put it in quotes|quote text with \': \': .+?): (".*")')


def add_syntax_fix(flow: FlowText, finding: Finding) -> Finding:
    """Return the finding of a text that cannot be parsed, with the edit that its hint states.

    Quotes around a text are safe. All else is a suggestion, because the rest of the text may be what is wrong.
    """
    lines = [0, *(each.end() for each in re.finditer("\r\n|\r|\n", flow.text))]
    line = min(finding.line, len(lines)) - 1
    start = lines[line] + finding.column - 1
    quoted = _QUOTED.fullmatch(finding.hint or "")
    old = json.loads(quoted[1]) if quoted is not None else ""
    if quoted is not None and old and flow.text.startswith(old, start):
        return finding._replace(fix=Fix(start, start + len(old), old, quoted[1]))
    if len(flow.text) > _MAX_LENGTH:
        return finding
    helpful: list[tuple[float, Fix]] = []
    for first, last, new in _iter_candidates(flow.text, finding, lines[line], start):
        error = FlowText(apply_edits(flow.text, [(first, last, new)]), flow.name).error
        # The later the next fault, the better.
        reached = math.inf if error is None else error.line or 0
        if reached > finding.line:
            helpful.append((reached, Fix(first, last, flow.text[first:last], new)))
    return finding._replace(suggestion=max(helpful, key=lambda each: each[0])[1]) if helpful else finding


def _iter_candidates(text: str, finding: Finding, begin: int, start: int) -> Iterator[Edit]:
    """Yield what the hint may mean; `begin` is where the line begins, and `start` where the fault is."""
    hint, end = finding.hint or "", find_line_end(text, start)
    content = re.match(r"[ \t]*", text[begin:end])
    depth = content.end() if content is not None else 0
    above = text[: max(begin - 1, 0)].rpartition("\n")[2]
    indent = len(above) - len(above.lstrip(" "))
    if found := re.match(r"write ([}\]]) after", hint):
        yield end, end, found[1]
        yield len(text.rstrip()), len(text.rstrip()), found[1]
    elif hint.startswith("close it"):
        yield end, end, text[start : start + 1]
        yield from ((each, each, text[start : start + 1]) for each in range(end - 1, max(start, end - 4), -1))
    elif hint.startswith("indent"):
        # Tabs, and a depth that no line above has.
        wanted = re.fullmatch(r"indent it to column (\d+)", hint)
        depths = [int(wanted[1]) - 1] if wanted is not None else [indent, indent + 2, max(indent - 2, 0)]
        yield from ((begin, begin + depth, " " * each) for each in depths)
    elif "'- '" in hint and depth >= 2:
        yield begin + depth - 2, begin + depth, "- "
    elif hint.endswith("remove one of them"):
        yield begin, min(end + 1, len(text)), ""
    elif hint.startswith("put text with"):
        value = re.compile(r"\{\{.*\}\}").search(text, begin, end)
        if value is not None:
            yield *value.span(), json.dumps(value[0], ensure_ascii=False)
