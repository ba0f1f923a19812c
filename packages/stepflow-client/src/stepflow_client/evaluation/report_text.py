"""Evaluations as text: numbers, intervals and tables, for terminals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .._base.text import fine_duration, visible
from ..drawing.labels import columns as width
from .comparison import Comparison, EvaluationSummary, ScoreChange, ScoreMean, TimeChange

_CHANGE_HEADS = ("change", "95% interval", "cases", "better", "equal", "worse", "verdict")


def number_text(number: float, *, signed: bool = False) -> str:
    """Return a score as text: 0.850, 12.3, 1,240."""
    size = abs(number)
    if size < 0.0005:
        text = "0.000" if not size else f"{number:.1e}"
    else:
        text = f"{number:,.{3 if size < 10 else 1 if size < 1000 else 0}f}"
    return f"+{text}" if signed and number > 0 else text


def interval_text(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """Return an interval as text; `-` for none."""
    if low is None or high is None:
        return "-"
    return f"{number_text(low, signed=signed)} to {number_text(high, signed=signed)}"


def change_cells(change: ScoreChange) -> tuple[str, ...]:
    """Return the cells of a change: itself, its interval, the cases, wins, ties and losses, and the verdict."""
    counts = (change.cases, change.wins, change.ties, change.losses)
    interval = interval_text(change.low, change.high, signed=True)
    return (number_text(change.difference, signed=True), interval, *map("{:,}".format, counts), change.verdict)


def time_cells(change: TimeChange) -> tuple[str, ...]:
    """Return the cells of a change of times."""
    interval = "-" if change.low is None or change.high is None else f"x{change.low:.3f} to x{change.high:.3f}"
    return (f"x{change.ratio:.3f}", interval, f"{change.cases:,}", "", "", "", change.verdict)


def title_of(summary: EvaluationSummary) -> str:
    """Return what was evaluated, on one line."""
    repeats = f", {summary.repeats} times each" if summary.repeats > 1 else ""
    variants = len(summary.variants)
    counted = f"{summary.cases:,} case{'s' * (summary.cases != 1)}{repeats}"
    return f"{summary.name or 'evaluation'}: {counted}, {variants} variant{'s' * (variants != 1)}"


def summary_rows(summary: EvaluationSummary) -> Iterator[tuple[str, ...]]:
    """Yield a row for each score and variant, with the change from the first variant."""
    changes = {(each.score, found.after): each for found in summary.comparisons for each in found.scores}
    for mean in summary.means:
        change = changes.get((mean.score, mean.variant))
        yield (*_mean_cells(mean), *(change_cells(change) if change is not None else ("",) * len(_CHANGE_HEADS)))
    for comparison in summary.comparisons:
        failed = comparison.failed
        if comparison is summary.comparisons[0]:
            yield (failed.score, comparison.before, number_text(failed.before), "", *[""] * len(_CHANGE_HEADS))
        yield (failed.score, comparison.after, number_text(failed.after), "", *change_cells(failed))
    ratios = {each.after: each.time for each in summary.comparisons}
    for times in summary.times:
        ratio = ratios.get(times.variant)
        cells = ("",) * len(_CHANGE_HEADS) if ratio is None else time_cells(ratio)
        yield ("time p50", times.variant, fine_duration(times.p50), f"p95 {fine_duration(times.p95)}", *cells)


def _mean_cells(mean: ScoreMean) -> tuple[str, ...]:
    return mean.score, mean.variant, number_text(mean.mean), interval_text(mean.low, mean.high)


def summary_text(summary: EvaluationSummary) -> str:
    """Return a summary as a title, a table and remarks."""
    heads = ("score", "variant", "mean", "95% interval", *(_CHANGE_HEADS if summary.comparisons else ()))
    rows = [row[: len(heads)] for row in summary_rows(summary)]
    lines = [title_of(summary), "", *table_lines(heads, rows, left=2)]
    if summary.comparisons:
        lines += ["", f"Changes are from {summary.variants[0]}, in pairs of the same case."]
    return "\n".join([*lines, *summary.remarks])


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as a table."""
    heads = ("score", comparison.before, comparison.after, *_CHANGE_HEADS)
    rows = [
        (each.score, number_text(each.before), number_text(each.after), *change_cells(each))
        for each in (*comparison.scores, comparison.failed)
    ]
    if comparison.time is not None:
        rows.append(("time", "", "", *time_cells(comparison.time)))
    return "\n".join(table_lines(heads, rows, left=1))


def table_lines(heads: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """Return the lines of a table; the first columns and the last one are aligned at the left. Repeated names of the
    first column are left out."""
    shown = [[visible(cell) for cell in row] for row in (heads, *rows)]
    for above, row in zip([row[0] for row in shown], shown[1:], strict=False):
        row[0] = "" if row[0] == above and left > 1 else row[0]
    widths = [max(width(row[column]) for row in shown) for column in range(len(heads))]
    return [
        "  ".join(
            cell + " " * (widths[column] - width(cell))
            if column < left or column == len(heads) - 1
            else " " * (widths[column] - width(cell)) + cell
            for column, cell in enumerate(row)
        ).rstrip()
        for row in shown
    ]
