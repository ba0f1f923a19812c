"""Charts of times: the items and steps of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from .._base.text import fine_duration, visible
from .._rules.step_times import ItemTime, ItemTimes, StepTime, step_times
from .labels import cut

__all__ = [
    "CHART_STYLE",
    "Bar",
    "ItemTime",
    "StepTime",
    "histogram",
    "item_times",
    "percentile",
    "step_times",
    "timeline",
]


def item_times(steps: Iterable[StepTime]) -> list[ItemTime]:
    """Return the times of the items with at least one step that has ended, sorted by index."""
    times = ItemTimes("")
    for step in steps:
        if step.attempts and step.end is not None:
            times.start(step.item_index, step.attempts[0])
            times.end(step.item_index, step.end)
    return times.found


def percentile(sorted_values: Sequence[float], part: float) -> float:
    """Return a percentile: the smallest value that at least this part (0 to 1) of the values do not exceed."""
    return sorted_values[max(0, math.ceil(len(sorted_values) * part) - 1)]


CHART_STYLE = """
.ch{background:var(--bg)}.ch text{fill:var(--text);font:12px ui-monospace,"DejaVu Sans Mono",Menlo,monospace}
.ch .soft{fill:var(--soft);font-size:11px}.ch line{stroke:var(--line)}.ch rect{fill:var(--run)}
.ch .completed{fill:var(--good)}.ch .failed,.ch .recovery_failed{fill:var(--bad)}.ch .cancelled{fill:var(--soft)}
.ch .attempt{stroke:var(--text);stroke-width:2}
"""
_ROW = 22
_LEFT = 230
_WIDTH = 640


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a timeline. Times are in seconds from the start of the timeline."""

    label: str
    start: float
    end: float
    status: str
    attempts: tuple[float, ...] = ()
    """The start times of further attempts."""


def timeline(bars: Sequence[Bar]) -> str:
    """Return a Gantt chart: a row for each bar, a scale above them, and a mark at each further attempt."""
    whole = max((bar.end for bar in bars), default=0.0) or 0.001
    height = len(bars) * _ROW + 30
    parts = [_open(_LEFT + _WIDTH + 90, height, "timeline")]
    for tick in range(5):
        x = _LEFT + _WIDTH * tick / 4
        parts.append(f'<line x1="{x:.0f}" y1="20" x2="{x:.0f}" y2="{height}"/>')
        parts.append(f'<text class="soft" x="{x + 3:.0f}" y="14">{fine_duration(whole * tick / 4)}</text>')
    for row, bar in enumerate(bars):
        y = 26 + row * _ROW
        x = _LEFT + _WIDTH * bar.start / whole
        width = max(2.0, _WIDTH * (bar.end - bar.start) / whole)
        about = f"{bar.label}: {bar.status}, {fine_duration(bar.end - bar.start)}"
        about += f", {len(bar.attempts) + 1} attempts" if bar.attempts else ""
        parts.append(f"<g><title>{escape(visible(about))}</title>")
        parts.append(f'<text x="0" y="{y + 13}">{escape(cut(bar.label))}</text>')
        parts.append(f'<rect class="{_word(bar.status)}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="16" rx="2"/>')
        for time in bar.attempts:
            at = _LEFT + _WIDTH * time / whole
            parts.append(f'<line class="attempt" x1="{at:.1f}" y1="{y}" x2="{at:.1f}" y2="{y + 16}"/>')
        parts.append(
            f'<text class="soft" x="{x + width + 5:.1f}" y="{y + 13}">{fine_duration(bar.end - bar.start)}</text></g>'
        )
    return "".join(parts) + "</svg>"


def histogram(values: Sequence[float], bins: int = 24) -> str:
    """Return a histogram of durations, with bins of equal width."""
    low, high = min(values), max(values)
    step = (high - low) / bins or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / step))] += 1
    most = max(counts)
    parts = [_open(760, 170, "histogram of durations")]
    for index, count in enumerate(counts):
        tall = 120 * count / most
        begin = low + index * step
        about = f"{fine_duration(begin)} to {fine_duration(begin + step)}: {count}"
        rect = f'x="{index * 30 + 10}" y="{140 - tall:.1f}" width="27" height="{tall:.1f}"'
        parts.append(f"<g><title>{about}</title><rect {rect}/>")
        parts.append(
            f'<text class="soft" x="{index * 30 + 10}" y="{134 - tall:.1f}">{count}</text></g>' if count else "</g>"
        )
    for index in range(0, bins + 1, 6):
        # The last label ends at the right edge.
        place = f'x="{index * 30 + 10}"' if index < bins else 'x="757" text-anchor="end"'
        parts.append(f'<text class="soft" {place} y="160">{fine_duration(low + index * step)}</text>')
    return "".join(parts) + "</svg>"


def _open(width: int, height: int, name: str) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg class="ch" role="img" {size}><title>{name}</title>'


def _word(status: str) -> str:
    return "".join(letter for letter in status if letter.isalnum() or letter == "_")
