"""The report of an evaluation as an HTML page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from .._base.text import duration_text
from ..drawing.charts import CHART_STYLE
from ..drawing.html import PAGE_STYLE, TREE_STYLE, page
from ..drawing.report_parts import REPORT_STYLE, escaped, facts_list, message, row, scroll, section, status_mark, table
from ..drawing.score_charts import SCORE_STYLE, Estimate, change_chart, histograms, share_chart
from ..drawing.theme import HIDDEN_MARK, STATUS_STYLE
from .columns import Column
from .page_cases import CASES_SCRIPT, CASES_STYLE, cases_section
from .report_text import change_texts, interval_text, number_text, summary_rows

if TYPE_CHECKING:
    from .gates import Gate
    from .report import EvaluationReport
    from .variant_comparison import EvaluationSummary

_STYLE = """
.charts{display:flex;flex-wrap:wrap;gap:var(--space-4) var(--space-6)}.charts>*{min-width:0}
.charts h3{margin:0 0 var(--space-2);font-size:var(--text-3);overflow-wrap:anywhere}
.remarks{margin:var(--space-3) 0 0;padding-left:1.2em}.remarks li{overflow-wrap:anywhere}
.scores tr.first>*{border-top:1px solid var(--edge)}.scores td{white-space:nowrap}.scores td:not(.n){min-width:0}
.scores th:nth-child(n+3):nth-child(-n+10){text-align:right}
"""
_MARKS = {"better": "completed", "worse": "failed", "higher": "", "lower": "", "unclear": "not_run", "equal": "not_run"}
_MARKS |= {"passed": "completed", "failed": "failed", "inconclusive": "not_run"}


def report_page(report: EvaluationReport, ui_url: str | None, gates: Sequence[Gate]) -> str:
    """Return the page of a report.

    Args:
        report: The report.
        ui_url: The address of `stepflow ui`, for links to the runs; None for no links.
        gates: What the variants must meet.
    """
    summary = report.summary()
    title = f"Evaluation of {summary.name}" if summary.name else "Evaluation"
    parts = [f'<div class="brand">{HIDDEN_MARK}<h1>{escaped(title)}</h1></div>', section("Summary", _about(summary))]
    if gates:
        parts.append(section("Gates", _gates(gates)))
    if summary.means or summary.durations:
        parts.append(section("Scores", _scores(summary)))
    changes = list(change_charts(summary))
    if changes:
        parts.append(section(f"Changes from {escaped(summary.compared_with)}", _charts(changes)))
    distributions = list(distribution_charts(report, summary))
    if distributions:
        parts.append(section("Distributions", _charts(distributions)))
    parts.append(section("Cases", cases_section(report, ui_url)))
    style = PAGE_STYLE + STATUS_STYLE + CHART_STYLE + TREE_STYLE + REPORT_STYLE + SCORE_STYLE + _STYLE + CASES_STYLE
    return page(title, "".join(parts), style, CASES_SCRIPT)


def _about(summary: EvaluationSummary) -> str:
    facts = [("cases", f"{summary.cases:,}"), ("repeats", str(summary.repeats))]
    facts.append(("variants", escaped(", ".join(summary.variants) or "none")))
    remarks = "".join(f"<li>{message(each)}</li>" for each in (*summary.notes, *summary.remarks))
    return facts_list(facts) + (f'<ul class="remarks">{remarks}</ul>' if remarks else "")


def _gates(gates: Sequence[Gate]) -> str:
    rows = [
        row(escaped(each.condition), status_mark(_MARKS[each.outcome], each.outcome), message(each.message))
        for each in gates
    ]
    return table(("gate", "outcome", "numbers"), rows)


def _scores(summary: EvaluationSummary) -> str:
    has_changes = bool(summary.comparisons)
    heads, *found = summary_rows(summary)
    rows, above = [], ""
    for name, *cells in found:
        shown = [escaped(cell) for cell in (name if name != above else "", *cells)][: len(heads)]
        if has_changes and cells[-1]:
            shown[-1] = status_mark(_MARKS[cells[-1]], cells[-1])
        line = row(*shown)
        rows.append(line.replace("<tr>", '<tr class="first">', 1) if name != above and above else line)
        above = name
    return f'<div class="scores">{table(heads, rows)}</div>'


def _charts(charts: list[tuple[str, str]]) -> str:
    shown = "".join(f"<div><h3>{escaped(name)}</h3>{scroll(chart, escaped(name))}</div>" for name, chart in charts)
    return f'<div class="charts">{shown}</div>'


def change_charts(summary: EvaluationSummary) -> Iterator[tuple[str, str]]:
    """Yield a chart of each score, with the changes of all variants."""
    for score in dict.fromkeys(each.score for found in summary.comparisons for each in found.scores):
        estimates = [
            Estimate(
                found.after,
                each.change,
                each.low,
                each.high,
                "{} ({})".format(*change_texts(each)),
                each.verdict if each.verdict in ("better", "worse") else "",
            )
            for found in summary.comparisons
            for each in found.scores
            if each.score == score
        ]
        yield score, change_chart(score, estimates)
    times = [(found.after, found.duration) for found in summary.comparisons if found.duration is not None]
    if times:
        yield (
            "time, as a ratio",
            change_chart(
                "time",
                [
                    Estimate(
                        variant,
                        math.log(each.ratio),
                        None if each.low is None else math.log(each.low),
                        None if each.high is None else math.log(each.high),
                        f"x{each.ratio:.3f}" + ("" if each.low is None else f" (x{each.low:.3f} to x{each.high:.3f})"),
                        each.verdict if each.verdict in ("better", "worse") else "",
                    )
                    for variant, each in times
                ],
            ),
        )


def distribution_charts(report: EvaluationReport, summary: EvaluationSummary) -> Iterator[tuple[str, str]]:
    """Yield a chart of each score: shares as bars, numbers as histograms; and the times."""
    variants = report._columns.variants
    for score, kind in report._columns.kinds.items():
        if kind == "number":
            found = [(name, each.scores.get(score, Column()).means()) for name, each in variants.items()]
            yield score, histograms(score, [pair for pair in found if pair[1]], number_text)
            continue
        estimates = [
            Estimate(
                each.variant,
                each.mean,
                each.low,
                each.high,
                f"{number_text(each.mean)} ({interval_text(each.low, each.high, scale=each.mean)})",
            )
            for each in summary.means
            if each.score == score
        ]
        yield score, share_chart(score, estimates)
    times = [(name, each.times) for name, each in variants.items() if each.times]
    if times:
        yield "time", histograms("time", times, duration_text)
