"""Formats evaluations for terminals: numbers, intervals and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from .._base.text_formatting import duration_text, visible
from ..drawing.drawn_graph import measure_text_columns as width
from .variant_comparison import Comparison, DurationChange, EvaluationSummary, ScoreChange, SliceScore

_CHANGE_HEADS = ("change", "95% interval", "cases", "better", "equal", "worse", "verdict")
SLICE_HEADS = ("slice", "score", "variant", "cases", "mean", "change", "95% interval", "verdict")


def format_number(number: float, *, signed: bool = False, scale: float | None = None) -> str:
    """Format a score with about three significant digits, e.g. 0.850, 0.0102, 12.30 or 1,240.

    Args:
        number: The score.
        signed: Whether to prefix positive numbers with a plus sign. Defaults to False.
        scale: A number whose magnitude determines how many digits to show. Defaults to the score itself.
    """
    size = abs(number if scale is None else scale)
    digits = next((digits for limit, digits in ((10, 3), (100, 2), (10_000, 1)) if size < limit), 0)
    if 0 < size < 0.1:
        digits = min(6, 2 - math.floor(math.log10(size)))
    text = f"{number:,.{digits}f}"
    if not text.strip("-0."):
        return text.lstrip("-")
    return f"+{text}" if signed and number > 0 else text


def format_interval(low: float | None, high: float | None, *, signed: bool = False, scale: float | None = None) -> str:
    """Format an interval, or return `-` if there is none."""
    if low is None or high is None:
        return "-"
    scale = max(abs(low), abs(high)) if scale is None else scale
    return f"{format_number(low, signed=signed, scale=scale)} to {format_number(high, signed=signed, scale=scale)}"


def format_change(change: ScoreChange | SliceScore) -> tuple[str, str]:
    """Format a change and its interval to the same precision as the scores."""
    difference = change.change or 0.0
    after = change.after if isinstance(change, ScoreChange) else change.mean
    scale = max(abs(after), abs(after - difference))
    interval = format_interval(change.low, change.high, signed=True, scale=scale)
    return format_number(difference, signed=True, scale=scale), interval


def format_change_cells(change: ScoreChange) -> tuple[str, ...]:
    """Return a change's table cells: difference, interval, cases, wins, ties and losses, and verdict."""
    counts = (change.cases, change.wins, change.ties, change.losses)
    return (*format_change(change), *map("{:,}".format, counts), change.verdict or "")


def format_duration_change_cells(change: DurationChange) -> tuple[str, ...]:
    """Return the table cells for a change in duration."""
    interval = "-" if change.low is None or change.high is None else f"x{change.low:.3f} to x{change.high:.3f}"
    return (f"x{change.ratio:.3f}", interval, f"{change.cases:,}", "", "", "", change.verdict or "")


def format_title(summary: EvaluationSummary) -> str:
    """Return a one-line title for an evaluation."""
    repeats = f", {summary.repeats} times each" if summary.repeats > 1 else ""
    variants = len(summary.variants)
    counted = f"{summary.cases:,} case{'s' * (summary.cases != 1)}{repeats}"
    return f"{summary.name or 'evaluation'}: {counted}, {variants} variant{'s' * (variants != 1)}"


def iter_summary_rows(summary: EvaluationSummary) -> Iterator[tuple[str, ...]]:
    """Yield the headings, then a row for each score and variant with its change from the first variant or baseline.
    Rows for failures and durations come last."""
    yield ("score", "variant", "mean", "95% interval", *(_CHANGE_HEADS if summary.comparisons else ()))
    no_change = ("",) * len(_CHANGE_HEADS)
    changes = {(score.score, compared.after): score for compared in summary.comparisons for score in compared.scores}
    for mean in summary.means:
        change = changes.get((mean.score, mean.variant))
        interval = format_interval(mean.low, mean.high, scale=mean.mean)
        more = no_change if change is None else format_change_cells(change)
        yield (mean.score, mean.variant, format_number(mean.mean), interval, *more)
    before = set[str]()
    for comparison in summary.comparisons:
        failed = comparison.failed
        if failed is None:
            continue
        if comparison.before not in before:
            before.add(comparison.before)
            yield (failed.score, comparison.before, format_number(failed.before), "", *no_change)
        yield (failed.score, comparison.after, format_number(failed.after), "", *format_change_cells(failed))
    ratios = {comparison.after: comparison.duration for comparison in summary.comparisons}
    for times in summary.durations:
        ratio = ratios.get(times.variant)
        change_of_time = no_change if ratio is None else format_duration_change_cells(ratio)
        cells = "time p50", times.variant, duration_text(times.p50), f"p95 {duration_text(times.p95)}"
        yield (*cells, *change_of_time)


def format_slice_cells(score: SliceScore) -> tuple[str, ...]:
    """Return the cells of a slice's score, in the order of `SLICE_HEADS`."""
    change = ("", "") if score.change is None else format_change(score)
    numbers = f"{score.cases:,}", format_number(score.mean)
    return score.value, score.score, score.variant, *numbers, *change, score.verdict or ""


def format_summary(summary: EvaluationSummary) -> str:
    """Format a summary as a title, a table and remarks."""
    lines = [format_title(summary), "", *format_table_lines(list(iter_summary_rows(summary)), left=2)]
    return "\n".join([*lines, *([""] if summary.notes else []), *summary.notes, *summary.remarks])


def format_comparison(comparison: Comparison) -> str:
    """Format a comparison as a table."""
    return "\n".join(format_table_lines(list(iter_comparison_rows(comparison)), left=1))


def iter_comparison_rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield the headings, then a row for each score and, if durations are known, a row for durations."""
    yield ("score", comparison.before, comparison.after, *_CHANGE_HEADS)
    for change in comparison._get_all_score_changes():
        yield (change.score, format_number(change.before), format_number(change.after), *format_change_cells(change))
    if comparison.duration is not None:
        yield ("time", "", "", *format_duration_change_cells(comparison.duration))


def format_table_lines(rows: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """Return a table's lines. The first row contains the headings. The last column and the first `left` columns are
    left-aligned. If `left` is more than 1, repeated names in the first column are left blank."""
    count = len(rows[0])
    shown = [[visible(cell) for cell in row[:count]] for row in rows]
    for above, row in zip([row[0] for row in shown], shown[1:], strict=False):
        row[0] = "" if row[0] == above and left > 1 else row[0]
    widths = [max(width(row[column]) for row in shown) for column in range(count)]
    lines = []
    for row in shown:
        cells = []
        for column, cell in enumerate(row):
            padding = " " * (widths[column] - width(cell))
            cells.append(cell + padding if column < left or column == count - 1 else padding + cell)
        lines.append("  ".join(cells).rstrip())
    return lines
