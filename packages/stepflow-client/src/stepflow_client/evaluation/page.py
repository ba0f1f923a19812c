"""Evaluations as HTML: pages, and what notebooks show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .._base.text import duration_text
from ..drawing.charts import CHART_STYLE
from ..drawing.html import PAGE_STYLE, TREE_STYLE, page
from ..drawing.report_parts import (
    NUMBER,
    REPORT_STYLE,
    facts_list,
    message,
    row,
    scroll,
    section,
    status_mark,
    table,
    to_html,
)
from ..drawing.score_charts import SCORE_STYLE, Estimate, change_chart, histograms, share_chart
from ..drawing.theme import DARK, HIDDEN_MARK, LIGHT, STATUS_STYLE, css_properties
from .page_cases import CASES_SCRIPT, CASES_STYLE, CasesSection
from .report_text import (
    SLICE_HEADS,
    comparison_rows,
    format_change,
    format_interval,
    format_number,
    format_title,
    slice_cells,
    summary_rows,
)
from .trends import TREND_HEADS, TrendPoint, trend_cells
from .variant_comparison import Comparison, EvaluationSummary

if TYPE_CHECKING:
    from .gates import Gate
    from .report import EvaluationReport
    from .slices import SliceScore

_STYLE = """
.charts{display:flex;flex-wrap:wrap;gap:var(--space-4) var(--space-6)}.charts>*{min-width:0}
.charts h3{margin:0 0 var(--space-2);font-size:var(--text-3);overflow-wrap:anywhere}
.remarks{margin:var(--space-3) 0 0;padding-left:1.2em}.remarks li{overflow-wrap:anywhere}
.scores tr.first>*{border-top:1px solid var(--edge)}.scores td{white-space:nowrap}.scores td:not(.n){min-width:0}
"""
_PAGE_STYLE = PAGE_STYLE + STATUS_STYLE + CHART_STYLE + TREE_STYLE + REPORT_STYLE + SCORE_STYLE + _STYLE
_MARKS = {"better": "completed", "worse": "failed", "higher": "", "lower": "", "unclear": "not_run", "equal": "not_run"}
_MARKS |= {"passed": "completed", "failed": "failed", "inconclusive": "not_run"}


_NOTEBOOK_STYLE = (
    f".sfe{{{css_properties(LIGHT)}}}@media (prefers-color-scheme:dark){{.sfe{{{css_properties(DARK)}}}}}"
    ".sfe{display:flex;flex-wrap:wrap;gap:8px 24px}.sfe .ch{max-width:100%}"
)
_MAX_NOTEBOOK_CHARTS = 24


def report_page(
    report: EvaluationReport, ui_url: str | None, gates: Sequence[Gate], slices: Sequence[SliceScore]
) -> str:
    """Return the page of a report.

    Args:
        report: The report.
        ui_url: The address of `stepflow ui`, for links to the runs; None for no links.
        gates: The gates of the variants.
        slices: The scores of parts of the cases.
    """
    summary = report.summary()
    title = f"Evaluation of {summary.name}" if summary.name else "Evaluation"
    facts = [("cases", f"{summary.cases:,}"), ("repeats", str(summary.repeats))]
    facts.append(("variants", to_html(", ".join(summary.variants) or "none")))
    about = facts_list(facts) + _remarks_html(summary)
    parts = [f'<div class="brand">{HIDDEN_MARK}<h1>{to_html(title)}</h1></div>', section("Summary", about)]
    if gates:
        rows = [
            # The element keeps a sentence that begins with a number at the left.
            row(to_html(gate.condition), _outcome_mark(gate.outcome), f"<div>{message(gate.message)}</div>")
            for gate in gates
        ]
        parts.append(section("Gates", table(("gate", "outcome", "numbers"), rows, stacks=True)))
    if summary.means or summary.durations:
        parts.append(section("Scores", _scores_table(list(summary_rows(summary)))))
    if slices:
        parts.append(section("Slices", _scores_table([SLICE_HEADS, *map(slice_cells, slices)])))
    changes = list(change_charts(summary))
    if changes:
        parts.append(section(f"Changes from {to_html(summary.compared_with)}", _charts_html(changes)))
    distributions = list(distribution_charts(report, summary))
    if distributions:
        parts.append(section("Distributions", _charts_html(distributions)))
    parts.append(section("Cases", CasesSection(report, ui_url).html()))
    return page(title, "".join(parts), _PAGE_STYLE + CASES_STYLE, CASES_SCRIPT)


def notebook_html(value: EvaluationReport | EvaluationSummary | Comparison) -> str:
    """Return what notebooks show of a report, a summary or a comparison."""
    if isinstance(value, Comparison):
        heads, *rows = comparison_rows(value)
        return _plain_table(heads, rows)
    summary = value if isinstance(value, EvaluationSummary) else value.summary()
    heads, *rows = summary_rows(summary)
    text = f"<div>{to_html(format_title(summary))}</div>{_plain_table(heads, rows)}{_remarks_html(summary)}"
    charts = list(change_charts(summary))
    if not isinstance(value, EvaluationSummary):
        charts += distribution_charts(value, summary)
    drawn = "".join(f"<div><div>{to_html(name)}</div>{chart}</div>" for name, chart in charts[:_MAX_NOTEBOOK_CHARTS])
    style = f"<style>{_NOTEBOOK_STYLE}{CHART_STYLE}{SCORE_STYLE}</style>"
    return f'{text}{style}<div class="sfe">{drawn}</div>' if drawn else text


def trend_page(points: Sequence[TrendPoint]) -> str:
    """Return the page of several evaluations."""
    title = "Evaluations"
    content = f"<h1>{title}</h1>{section('Trend', _scores_table([TREND_HEADS, *map(trend_cells, points)]))}"
    return page(title, content, _PAGE_STYLE)


def _remarks_html(summary: EvaluationSummary) -> str:
    remarks = "".join(f"<li>{message(remark)}</li>" for remark in (*summary.notes, *summary.remarks))
    return f'<ul class="remarks">{remarks}</ul>' if remarks else ""


def _outcome_mark(word: str) -> str:
    return status_mark(_MARKS[word], word)


def _plain_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return table([*map(to_html, heads)], [row(*map(to_html, cells[: len(heads)])) for cells in rows])


def _scores_table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a line above each new name in the first column, and verdicts as marks."""
    heads, *content = rows
    numbers = {place for cells in content for place, cell in enumerate(cells) if NUMBER.match(cell)}
    body, above = [], ""
    for name, *cells in content:
        shown = [to_html(cell) for cell in (name if name != above else "", *cells)][: len(heads)]
        if heads[-1] == "verdict" and cells[-1]:
            shown[-1] = _outcome_mark(cells[-1])
        line = row(*shown)
        body.append(line.replace("<tr>", '<tr class="first">', 1) if name != above and above else line)
        above = name
    return f'<div class="scores">{table(heads, body, numbers=numbers)}</div>'


def _charts_html(charts: list[tuple[str, str]]) -> str:
    shown = "".join(f"<div><h3>{to_html(name)}</h3>{scroll(chart, to_html(name))}</div>" for name, chart in charts)
    return f'<div class="charts">{shown}</div>'


def change_charts(summary: EvaluationSummary) -> Iterator[tuple[str, str]]:
    """Yield a chart of each score, with the changes of all variants."""
    for score in dict.fromkeys(change.score for compared in summary.comparisons for change in compared.scores):
        estimates = [
            Estimate(
                compared.after,
                change.change,
                change.low,
                change.high,
                "{} ({})".format(*format_change(change)),
                change.verdict if change.verdict in ("better", "worse") else "",
            )
            for compared in summary.comparisons
            for change in compared.scores
            if change.score == score
        ]
        yield score, change_chart(score, estimates)
    times = [
        Estimate(
            compared.after,
            math.log(time.ratio),
            None if time.low is None else math.log(time.low),
            None if time.high is None else math.log(time.high),
            f"x{time.ratio:.3f}" + ("" if time.low is None else f" (x{time.low:.3f} to x{time.high:.3f})"),
            time.verdict if time.verdict in ("better", "worse") else "",
        )
        for compared in summary.comparisons
        if (time := compared.duration) is not None
    ]
    if times:
        yield "time, as a ratio", change_chart("time", times)


def distribution_charts(report: EvaluationReport, summary: EvaluationSummary) -> Iterator[tuple[str, str]]:
    """Yield a chart of each score: shares as bars, numbers as histograms; and the times."""
    variants = report._columns.variants
    for score, kind in report._columns.kinds.items():
        if kind == "number":
            numbers = [
                (name, variant.scores[score].means()) for name, variant in variants.items() if score in variant.scores
            ]
            yield score, histograms(score, numbers, format_number)
            continue
        estimates = [
            Estimate(
                mean.variant,
                mean.mean,
                mean.low,
                mean.high,
                f"{format_number(mean.mean)} ({format_interval(mean.low, mean.high, scale=mean.mean)})",
            )
            for mean in summary.means
            if mean.score == score
        ]
        yield score, share_chart(score, estimates)
    times = [(name, variant.times) for name, variant in variants.items() if variant.times]
    if times:
        yield "time", histograms("time", times, duration_text)
