"""Charts of scores: shares, changes with their intervals, and distributions, a row for each variant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from .._base.text import visible
from .charts import count_bins, start_chart
from .labels import cut, format_px

SCORE_STYLE = """
.ch .whisker{stroke:var(--text);stroke-width:1.5}.ch .track{fill:var(--quiet-soft)}.ch .zero{stroke:var(--edge)}
.ch .better{fill:var(--good)}.ch .worse{fill:var(--bad)}.ch .point{fill:var(--soft)}
.ch .point.better{fill:var(--good)}.ch .point.worse{fill:var(--bad)}.ch .group{font-weight:600}
"""
_LEFT, _PLOT, _RIGHT, _ROW = 120, 250, 200, 22
_WIDTH = _LEFT + _PLOT + _RIGHT
_BINS = 24
_TALL = 44


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of a variant, and the interval that contains the true one."""

    label: str
    value: float
    low: float | None
    high: float | None
    text: str
    """The number and the interval in words."""
    verdict: str = ""
    """`better` or `worse`, for the colour."""


def share_chart(name: str, estimates: Sequence[Estimate]) -> str:
    """Return a bar from 0 to 1 for each variant, with its interval."""

    def draw(estimate: Estimate, y: int) -> str:
        track = f'<rect class="track" x="{_LEFT}" y="{y}" width="{_PLOT}" height="14" rx="2"/>'
        bar = f'<rect x="{_LEFT}" y="{y}" width="{format_px(_PLOT * estimate.value)}" height="14" rx="2"/>'
        return track + bar + _whisker(estimate, y, lambda value: _LEFT + _PLOT * value)

    return _rows(f"shares: {escape(visible(name))}", "", estimates, draw)


def change_chart(name: str, estimates: Sequence[Estimate]) -> str:
    """Return a point with its interval for each variant, beside a line at zero."""
    ends = [
        abs(end) for estimate in estimates for end in (estimate.value, estimate.low, estimate.high) if end is not None
    ]
    most = max(ends, default=0.0) * 1.05 or 1.0
    middle = _LEFT + _PLOT / 2

    def place(value: float) -> float:
        return middle + _PLOT / 2 * value / most

    def draw(estimate: Estimate, y: int) -> str:
        kind = f"point {estimate.verdict}".rstrip()
        point = f'<circle class="{kind}" cx="{format_px(place(estimate.value))}" cy="{y + 7}" r="5"/>'
        return _whisker(estimate, y, place) + point

    zero = f'<line class="zero" x1="{middle:.0f}" y1="0" x2="{middle:.0f}" y2="{len(estimates) * _ROW + 4}"/>'
    return _rows(f"changes: {escape(visible(name))}", zero, estimates, draw)


def _rows(title: str, below: str, estimates: Sequence[Estimate], draw: Callable[[Estimate, int], str]) -> str:
    parts = [start_chart(_WIDTH, len(estimates) * _ROW + 4, title), below]
    for number, estimate in enumerate(estimates):
        y = number * _ROW + 4
        about = escape(visible(f"{estimate.label}: {estimate.text}"))
        parts.append(f'<g><title>{about}</title><text y="{y + 12}">{escape(cut(estimate.label, 16))}</text>')
        parts.append(draw(estimate, y))
        parts.append(f'<text class="soft" x="{_LEFT + _PLOT + 8}" y="{y + 12}">{escape(estimate.text)}</text></g>')
    return "".join(parts) + "</svg>"


def _whisker(estimate: Estimate, y: int, place: Callable[[float], float]) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = format_px(place(estimate.low)), format_px(place(estimate.high))
    ends = "".join(f'<line class="whisker" x1="{x}" y1="{y + 3}" x2="{x}" y2="{y + 11}"/>' for x in (low, high))
    return f'<line class="whisker" x1="{low}" y1="{y + 7}" x2="{high}" y2="{y + 7}"/>{ends}'


def histograms(name: str, values: Sequence[tuple[str, Sequence[float]]], text: Callable[[float], str]) -> str:
    """Return a histogram for each variant, one below the other, with common bins and scale; `text` formats values."""
    numbers = [value for _, estimate in values for value in estimate]
    low, high = min(numbers), max(numbers)
    step = (high - low) / _BINS or 1.0
    counted = [(label, count_bins(estimate, low, step, _BINS)) for label, estimate in values]
    most = max(max(counts) for _, counts in counted) or 1
    width, height = _LEFT + _BINS * 18 + 10, len(values) * (_TALL + 8) + 22
    parts = [start_chart(width, height, f"histograms: {escape(visible(name))}")]
    for row, (label, counts) in enumerate(counted):
        bottom = (row + 1) * (_TALL + 8)
        parts.append(f'<text y="{bottom - 4}">{escape(cut(label, 16))}</text>')
        parts.append(f'<line x1="{_LEFT}" y1="{bottom}" x2="{_LEFT + _BINS * 18}" y2="{bottom}"/>')
        for index, count in enumerate(counts):
            tall = _TALL * count / most
            about = f"{label}: {text(low + index * step)} to {text(low + (index + 1) * step)}: {count}"
            at = f'x="{_LEFT + index * 18}" y="{bottom - tall:.1f}" width="16" height="{tall:.1f}"'
            parts.append(f"<g><title>{escape(visible(about))}</title><rect {at}/></g>" if count else "")
    for index in range(0, _BINS + 1, 6):
        anchor = ' text-anchor="end"' if index == _BINS else ""
        at = f'x="{_LEFT + index * 18}" y="{len(values) * (_TALL + 8) + 16}"{anchor}'
        parts.append(f'<text class="soft" {at}>{escape(text(low + index * step))}</text>')
    return "".join(parts) + "</svg>"
