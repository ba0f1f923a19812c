"""Evaluations in notebooks: tables, and charts of the changes and the scores."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .._base.text import visible, visible_lines
from ..drawing.charts import CHART_STYLE
from ..drawing.score_charts import SCORE_STYLE
from ..drawing.theme import DARK, LIGHT, properties
from .page import change_charts, distribution_charts
from .report import EvaluationReport
from .report_text import comparison_rows, summary_rows, title_of
from .variant_comparison import Comparison, EvaluationSummary

_MAX_CHARTS = 24
_STYLE = (
    f".sfe{{{properties(LIGHT)}}}@media (prefers-color-scheme:dark){{.sfe{{{properties(DARK)}}}}}"
    ".sfe{display:flex;flex-wrap:wrap;gap:8px 24px}.sfe .ch{max-width:100%}"
)


def html(value: EvaluationReport | EvaluationSummary | Comparison) -> str:
    """Return a report, a summary or a comparison as HTML."""
    if isinstance(value, Comparison):
        heads, *rows = comparison_rows(value)
        return _table(heads, rows)
    summary = value.summary() if isinstance(value, EvaluationReport) else value
    heads, *rows = summary_rows(summary)
    remarks = "".join(f"<li>{escape(visible_lines(each))}</li>" for each in (*summary.notes, *summary.remarks))
    text = f"<div>{escape(visible(title_of(summary)))}</div>{_table(heads, rows)}<ul>{remarks}</ul>"
    charts = [*change_charts(summary)]
    charts += distribution_charts(value, summary) if isinstance(value, EvaluationReport) else []
    drawn = "".join(f"<div><div>{escape(visible(name))}</div>{chart}</div>" for name, chart in charts[:_MAX_CHARTS])
    style = f"<style>{_STYLE}{CHART_STYLE}{SCORE_STYLE}</style>"
    return f'{text}{style}<div class="sfe">{drawn}</div>' if drawn else text


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(visible(each))}</th>" for each in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(visible(cell))}</td>" for cell in row[: len(heads)]) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
