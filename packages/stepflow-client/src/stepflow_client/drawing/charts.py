"""Charts of item and step times, and of variant scores."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import NamedTuple

from .._base.text_formatting import duration_text
from .._rules.run_progress import ItemTime, ItemTimes, StepTime
from .drawn_graph import cut_label
from .page_frame import escape_html, format_px


def get_item_times_from_steps(steps: Iterable[StepTime]) -> list[ItemTime]:
    """Return the start and end times of each item with at least one finished step, sorted by index."""
    times = ItemTimes("")
    for step in steps:
        if step.attempts and step.end is not None:
            times.record_step_start(step.item_index, step.attempts[0])
            times.record_step_end(step.item_index, step.end)
    return times.times


CHART_STYLE = """
.ch{background:var(--bg)}.ch text{fill:var(--text);font:12px ui-monospace,"DejaVu Sans Mono",Menlo,monospace}
.ch .soft{fill:var(--soft);font-size:11px}.ch line{stroke:var(--line)}.ch rect{fill:var(--run)}
.ch .row{fill:transparent}.ch a:hover .row{fill:var(--panel)}
.ch .completed{fill:color-mix(in srgb,var(--good) 75%,var(--surface))}
.ch .failed,.ch .recovery_failed{fill:color-mix(in srgb,var(--bad) 80%,var(--surface))}.ch .cancelled{fill:var(--soft)}
.ch .attempt{stroke:var(--text);stroke-width:2}
"""
_ROW_HEIGHT = 24
_TOP_MARGIN = 28
_LEFT_MARGIN = 230
_TIMELINE_WIDTH = 640
_RIGHT_MARGIN = 90


class Bar(NamedTuple):
    """A row in a timeline. Times are in seconds from the start of the timeline."""

    label: str
    start: float
    end: float
    status: str
    later_attempts: tuple[float, ...] = ()
    href: str = ""
    is_selected: bool = False
    """Whether this is the current link."""
    since: str = ""
    """The start time in ISO 8601 format, set only if the row is still running and the page is live."""


_MINUTES, _HOURS = (1, 2, 5, 10, 15, 30), (1, 2, 3, 6, 12)
# The tick intervals of a time axis, in seconds. Below this range, intervals are 1, 2 or 5 times a power of ten; above
# it, they are whole days.
_TICK_INTERVALS = (1, 2, 5, 10, 15, 30, *(60 * count for count in _MINUTES), *(3600 * count for count in _HOURS))


def choose_ticks(end: float, begin: float = 0.0) -> list[tuple[float, str]]:
    """Choose round times for a timeline's axis and label them, e.g. 0, 20ms, 40ms or 0, 1m, 2m."""
    # Show at most 8 ticks.
    least = max(end - begin, 1e-6) / 8
    if least <= 1 or least > _TICK_INTERVALS[-1]:
        unit = 1.0 if least <= 1 else 86_400.0
        power = unit * 10.0 ** math.floor(math.log10(least / unit) + 1e-9) if least <= 1 or least > unit else unit
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))
    else:
        step = next(interval for interval in _TICK_INTERVALS if interval >= least)
    numbers = range(math.ceil(begin / step - 1e-9), int(end / step + 1e-9) + 1)
    return [(step * number, _format_tick(step * number, step)) for number in numbers]


def _format_tick(seconds: float, step: float) -> str:
    """Format a tick's label, given the interval between ticks."""
    if not seconds:
        return "0"
    if step >= 10:
        # Shorten whole minutes, hours and days, e.g. 2m00s to 2m.
        return re.sub(r"(?<=[mhd])00[smh]$", "", duration_text(seconds))
    unit, size = ("s", 1.0) if step >= 0.1 else ("ms", 1e-3) if step >= 1e-4 else ("µs", 1e-6)
    return f"{seconds / size:.6g}{unit}"


def draw_timeline(
    bars: Sequence[Bar],
    *,
    right_edge: float | None = None,
    span: tuple[float, float] | None = None,
    zoom: Callable[[float, float], str] | None = None,
) -> str:
    """Draw a Gantt chart with one row per bar, a time scale at the top, and a mark wherever a later attempt starts.

    Args:
        bars: The rows.
        right_edge: The time at the right edge, in seconds. Pass the same value to several timelines to give them the
            same scale. Defaults to the end of the last bar.
        span: The time span to show, in seconds. Rows entirely outside it aren't drawn. Defaults to the whole timeline.
        zoom: A function that returns the URL for a time span. If omitted, the scale isn't clickable.
    """
    right_edge = right_edge or max((bar.end for bar in bars), default=0.0) or 0.001
    begin, end = span or (0.0, right_edge)
    bars = [bar for bar in bars if bar.end >= begin and bar.start <= end]
    height, width = len(bars) * _ROW_HEIGHT + _TOP_MARGIN, _LEFT_MARGIN + _TIMELINE_WIDTH + _RIGHT_MARGIN
    scale = _TIMELINE_WIDTH / (end - begin)

    def x(time: float) -> float:
        """Return the horizontal position of a time, clipped to the visible span."""
        return _LEFT_MARGIN + (min(max(time, begin), end) - begin) * scale

    role = "group" if zoom is not None or any(bar.href for bar in bars) else "img"
    parts = [make_chart_start(width, height, "timeline", role, f' data-scale="{scale:.6g}"')]
    marks = choose_ticks(end, begin)
    following = [*marks[1:], (end, duration_text(end))]
    for (time, label), (next_time, next_label) in zip(marks, following, strict=True):
        edge = format_px(x(time))
        parts.append(f'<line x1="{edge}" y1="20" x2="{edge}" y2="{height}"/>')
        text = f'<text class="soft" x="{format_px(x(time) + 3)}" y="16">{label}</text>'
        wide = x(next_time) - x(time)
        if zoom is None or wide < _ROW_HEIGHT:
            parts.append(text)
            continue
        area = f'<rect class="row" x="{edge}" width="{format_px(wide)}" height="{_ROW_HEIGHT}"/>'
        about = f"<title>Zoom into {label} to {next_label}</title>"
        parts.append(f'<a href="{escape(zoom(time, next_time))}">{about}{area}{text}</a>')
    for number, bar in enumerate(bars):
        y, left, wide = _TOP_MARGIN - 2 + number * _ROW_HEIGHT, x(bar.start), max(2.0, x(bar.end) - x(bar.start))
        duration = duration_text(bar.end - bar.start)
        about = f"{bar.label}: {bar.status}, {duration}"
        about += f", {len(bar.later_attempts) + 1} attempts" if bar.later_attempts else ""
        since = f' data-since="{escape(bar.since)}"' if bar.since else ""
        kind = "".join(letter for letter in bar.status if letter.isalnum() or letter == "_")
        place = f'x="{format_px(left)}" y="{y}" width="{format_px(wide)}" height="16"'
        # Make the whole row clickable.
        area = f'<rect class="row" y="{y - 4}" width="{width}" height="{_ROW_HEIGHT}"/>' if bar.href else ""
        row = f'{area}<title>{escape_html(about)}</title><text y="{y + 12}">{escape(cut_label(bar.label))}</text>'
        row += f'<rect class="span {kind}" {place} rx="2"{since}/>'
        for time in bar.later_attempts:
            at = format_px(x(time))
            row += f'<line class="attempt" x1="{at}" y1="{y}" x2="{at}" y2="{y + 16}"/>'
        row += f'<text class="soft" x="{format_px(left + wide + 5)}" y="{y + 12}"{since}>{duration}</text>'
        current = ' aria-current="true"' if bar.is_selected else ""
        link = f'<a href="{escape(bar.href)}" data-step="{escape_html(bar.label)}"{current}>{row}</a>'
        parts.append(link if bar.href else f"<g>{row}</g>")
    return "".join(parts) + "</svg>"


def draw_duration_histogram(values: Sequence[float]) -> str:
    """Draw a histogram of durations, with bins of equal width."""
    low, high = min(values), max(values)
    step = (high - low) / _BIN_COUNT or 1.0
    counts = count_values_per_bin(values, low, step)
    most = max(counts)
    parts = [make_chart_start(760, 170, "histogram of durations")]
    for index, count in enumerate(counts):
        tall = 120 * count / most
        begin = low + index * step
        about = f"{duration_text(begin)} to {duration_text(begin + step)}: {count}"
        rect = f'x="{index * 30 + 10}" y="{140 - tall:.1f}" width="27" height="{tall:.1f}"'
        text = f'<text class="soft" x="{index * 30 + 10}" y="{134 - tall:.1f}">{count}</text>' if count else ""
        parts.append(f"<g><title>{about}</title><rect {rect}/>{text}</g>")
    for index in range(0, _BIN_COUNT + 1, 6):
        # Keep the last label inside the right edge.
        place = f'x="{index * 30 + 10}"' if index < _BIN_COUNT else 'x="757" text-anchor="end"'
        parts.append(f'<text class="soft" {place} y="160">{duration_text(low + index * step)}</text>')
    return "".join(parts) + "</svg>"


def count_values_per_bin(values: Iterable[float], low: float, step: float) -> list[int]:
    """Count the values in each bin of a histogram."""
    counts = [0] * _BIN_COUNT
    for value in values:
        counts[min(_BIN_COUNT - 1, int((value - low) / step))] += 1
    return counts


def make_chart_start(width: int, height: int, name: str, role: str = "img", extra_attributes: str = "") -> str:
    """Return a chart's opening tags, given its size in pixels."""
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg class="ch" role="{role}" aria-label="{name}" {size}{extra_attributes}><title>{name}</title>'


SCORE_STYLE = """
.ch .whisker{stroke:var(--text);stroke-width:1.5}.ch .track{fill:var(--quiet-soft)}.ch .zero{stroke:var(--edge)}
.ch .better{fill:var(--good)}.ch .worse{fill:var(--bad)}.ch .point{fill:var(--soft)}
.ch .point.better{fill:var(--good)}.ch .point.worse{fill:var(--bad)}.ch .group{font-weight:600}
"""
_SCORES_LEFT, _PLOT, _SCORES_RIGHT, _SCORES_ROW = 120, 250, 200, 22
_SCORES_WIDTH = _SCORES_LEFT + _PLOT + _SCORES_RIGHT
_BIN_COUNT = 24
_HISTOGRAM_HEIGHT = 44


class Estimate(NamedTuple):
    """A variant's estimated value, with its confidence interval."""

    label: str
    value: float
    low: float | None
    high: float | None
    text: str
    """The value and interval in words."""
    verdict: str = ""
    """`better` or `worse`, which determines the color. Empty if it's neither."""


def draw_variant_rate_bars(name: str, estimates: Sequence[Estimate]) -> str:
    """Draw a bar for each variant on a scale from 0 to 1, along with its interval."""

    def draw(estimate: Estimate, y: int) -> str:
        track = f'<rect class="track" x="{_SCORES_LEFT}" y="{y}" width="{_PLOT}" height="14" rx="2"/>'
        bar = f'<rect x="{_SCORES_LEFT}" y="{y}" width="{format_px(_PLOT * estimate.value)}" height="14" rx="2"/>'
        return track + bar + _draw_confidence_interval(estimate, y, lambda value: _SCORES_LEFT + _PLOT * value)

    return _draw_estimate_chart(f"shares: {escape_html(name)}", "", estimates, draw)


def draw_change_chart(name: str, estimates: Sequence[Estimate]) -> str:
    """Draw a point and an interval for each variant, next to a vertical line at zero."""
    ends = [end for estimate in estimates for end in (estimate.value, estimate.low, estimate.high) if end is not None]
    most = max(map(abs, ends), default=0.0) * 1.05 or 1.0
    middle = _SCORES_LEFT + _PLOT / 2

    def place(value: float) -> float:
        return middle + _PLOT / 2 * value / most

    def draw(estimate: Estimate, y: int) -> str:
        kind = f"point {estimate.verdict}".rstrip()
        point = f'<circle class="{kind}" cx="{format_px(place(estimate.value))}" cy="{y + 7}" r="5"/>'
        return _draw_confidence_interval(estimate, y, place) + point

    zero = f'<line class="zero" x1="{middle:.0f}" y1="0" x2="{middle:.0f}" y2="{len(estimates) * _SCORES_ROW + 4}"/>'
    return _draw_estimate_chart(f"changes: {escape_html(name)}", zero, estimates, draw)


def _draw_estimate_chart(
    title: str, below: str, estimates: Sequence[Estimate], draw: Callable[[Estimate, int], str]
) -> str:
    parts = [make_chart_start(_SCORES_WIDTH, len(estimates) * _SCORES_ROW + 4, title), below]
    for number, estimate in enumerate(estimates):
        y = number * _SCORES_ROW + 4
        about = escape_html(f"{estimate.label}: {estimate.text}")
        parts.append(f'<g><title>{about}</title><text y="{y + 12}">{escape(cut_label(estimate.label, 16))}</text>')
        at = f'x="{_SCORES_LEFT + _PLOT + 8}" y="{y + 12}"'
        parts.append(f'{draw(estimate, y)}<text class="soft" {at}>{escape(estimate.text)}</text></g>')
    return "".join(parts) + "</svg>"


def _draw_confidence_interval(estimate: Estimate, y: int, place: Callable[[float], float]) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    low, high = format_px(place(estimate.low)), format_px(place(estimate.high))
    ends = "".join(f'<line class="whisker" x1="{x}" y1="{y + 3}" x2="{x}" y2="{y + 11}"/>' for x in (low, high))
    return f'<line class="whisker" x1="{low}" y1="{y + 7}" x2="{high}" y2="{y + 7}"/>{ends}'


def draw_variant_histograms(name: str, values: Mapping[str, Sequence[float]], text: Callable[[float], str]) -> str:
    """Draw one histogram per variant, stacked vertically, all with the same bins and scale.

    Args:
        name: What the values measure, for use in the title.
        values: The values of each variant.
        text: A function that formats a value.
    """
    numbers = [value for of_variant in values.values() for value in of_variant]
    low, high = min(numbers), max(numbers)
    step = (high - low) / _BIN_COUNT or 1.0
    counted = [(label, count_values_per_bin(of_variant, low, step)) for label, of_variant in values.items()]
    most = max(max(counts) for _, counts in counted) or 1
    width, height = _SCORES_LEFT + _BIN_COUNT * 18 + 10, len(values) * (_HISTOGRAM_HEIGHT + 8) + 22
    parts = [make_chart_start(width, height, f"histograms: {escape_html(name)}")]
    for row, (label, counts) in enumerate(counted):
        bottom = (row + 1) * (_HISTOGRAM_HEIGHT + 8)
        parts.append(f'<text y="{bottom - 4}">{escape(cut_label(label, 16))}</text>')
        parts.append(f'<line x1="{_SCORES_LEFT}" y1="{bottom}" x2="{_SCORES_LEFT + _BIN_COUNT * 18}" y2="{bottom}"/>')
        for index, count in enumerate(counts):
            tall = _HISTOGRAM_HEIGHT * count / most
            about = f"{label}: {text(low + index * step)} to {text(low + (index + 1) * step)}: {count}"
            at = f'x="{_SCORES_LEFT + index * 18}" y="{bottom - tall:.1f}" width="16" height="{tall:.1f}"'
            parts.append(f"<g><title>{escape_html(about)}</title><rect {at}/></g>" if count else "")
    for index in range(0, _BIN_COUNT + 1, 6):
        anchor = ' text-anchor="end"' if index == _BIN_COUNT else ""
        at = f'x="{_SCORES_LEFT + index * 18}" y="{len(values) * (_HISTOGRAM_HEIGHT + 8) + 16}"{anchor}'
        parts.append(f'<text class="soft" {at}>{escape(text(low + index * step))}</text>')
    return "".join(parts) + "</svg>"
