"""Suggests edits that fix syntax errors in text that can't be parsed. No I/O."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from ..flows.findings import Finding, Fix
from ..flows.syntax_tree import FlowText
from .yaml_and_json_edits import Edit, apply_edits, find_line_end

# Don't look for edits in text with more characters than this, because it's parsed again for each candidate.
_MAX_TEXT_LENGTH = 100_000
_QUOTED_TEXT_IN_HINT = re.compile(r'(?:quote it|put it in quotes|quote text with \': \': .+?): (".*")')


def add_syntax_fix(flow: FlowText, finding: Finding) -> Finding:
    """Add the edit implied by a syntax error's hint to the error's finding.

    Adding quotes is a safe fix. Any other edit is only a suggestion, because the actual mistake might be elsewhere.
    """
    lines = [0, *(match.end() for match in re.finditer("\r\n|\r|\n", flow.text))]
    line = min(finding.line, len(lines)) - 1
    start = lines[line] + finding.column - 1
    quoted = _QUOTED_TEXT_IN_HINT.fullmatch(finding.hint or "")
    old = json.loads(quoted[1]) if quoted is not None else ""
    if quoted is not None and old and flow.text.startswith(old, start):
        return finding._replace(fix=Fix(start, start + len(old), old, quoted[1]))
    if len(flow.text) > _MAX_TEXT_LENGTH:
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
    """Yield edits that the hint might be referring to.

    `begin` is the start of the line, and `start` is the start of the error.
    """
    hint, end = finding.hint or "", find_line_end(text, start)
    depth = end - begin - len(text[begin:end].lstrip(" \t"))
    above = text[: max(begin - 1, 0)].rpartition("\n")[2]
    indent = len(above) - len(above.lstrip(" "))
    if found := re.match(r"write ([}\]]) after", hint):
        yield end, end, found[1]
        yield len(text.rstrip()), len(text.rstrip()), found[1]
    elif hint.startswith("add a quote"):
        yield end, end, text[start : start + 1]
        yield from ((index, index, text[start : start + 1]) for index in range(end - 1, max(start, end - 4), -1))
    elif hint.startswith("indent"):
        # The line is indented with tabs, or to a depth that doesn't match any of the lines above.
        wanted = re.fullmatch(r"indent it to column (\d+)", hint)
        depths = [indent, indent + 2, max(indent - 2, 0)]
        if wanted is not None:
            depths = [int(wanted[1]) - 1]
        elif above.rstrip().endswith(":"):
            depths.insert(0, indent + 2)
        yield from ((begin, begin + depth, " " * column) for column in depths)
    elif "'- '" in hint and depth >= 2:
        yield begin + depth - 2, begin + depth, "- "
    elif hint.endswith("remove one of them"):
        yield begin, min(end + 1, len(text)), ""
    elif hint.startswith("put text with"):
        value = re.compile(r"\{\{.*\}\}").search(text, begin, end)
        if value is not None:
            yield *value.span(), json.dumps(value[0], ensure_ascii=False)
