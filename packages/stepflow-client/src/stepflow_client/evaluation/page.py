"""HTML views of evaluations: pages, side-by-side outputs, and notebook output."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from heapq import nlargest
from html import escape
from itertools import islice
from typing import Any

from .._base.text_formatting import duration_text, short_json
from .._runs.run_differences import ABSENT, find_value_changes
from ..drawing import charts, page_frame
from ..drawing.json_tree import TREE_STYLE, json_tree
from ..drawing.page_frame import escape_html
from ..drawing.report_page import (
    NUMERIC,
    REPORT_STYLE,
    build_facts_list,
    build_row,
    build_section,
    build_table,
    escape_multiline,
    format_status,
    wrap_in_scroller,
)
from ..flows.expressions import format_path
from . import report_text
from .gates import Gate
from .records import EvaluationItem
from .report import TREND_HEADS, EvaluationReport, TrendPoint, format_trend_cells
from .score_columns import Column
from .variant_comparison import Comparison, EvaluationSummary, SliceScore

_MAX_CASES = 500
# Maximum total size of the cases on the page.
_MAX_CASES_BYTES = 4_000_000
# Number of cases shown before you click "more".
_INITIAL_CASES = 50
_MAX_CHANGES = 20
# Subtracted from each case's rating if there is only one variant, so that no case counts as a regression.
_NO_REGRESSION = 1e9
# Maximum text length, in characters.
_MAX_TEXT_LENGTH = 2_000

CASES_STYLE = """
.filter{display:flex;flex-wrap:wrap;gap:var(--space-3);align-items:center;margin-bottom:var(--space-3)}
.filter input[type=search]{font:inherit;color:inherit;background:var(--bg);border:1px solid var(--edge);
border-radius:var(--radius);padding:5px 8px;min-width:0;width:16em}
.filter[hidden],.case[hidden],.more[hidden]{display:none}
.case{border-top:1px solid var(--line);padding:4px 0}.case>summary{display:flex;flex-wrap:wrap;
gap:2px var(--space-3);align-items:baseline;padding:5px 0}.case>summary>b{overflow-wrap:anywhere}
.case>summary::before{content:"\\25b8";color:var(--soft)}.case[open]>summary::before{content:"\\25be"}
.case>summary::-webkit-details-marker{display:none}
.case .values{color:var(--soft);font-size:var(--text-2)}.case .values.worse{color:var(--bad)}
.case .values.better{color:var(--good)}
.sides{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,260px),1fr));gap:var(--space-3);
margin:var(--space-2) 0 var(--space-4)}
.side{border:1px solid var(--line);border-radius:var(--radius);padding:var(--space-3);min-width:0;
overflow-wrap:anywhere}.side h3{margin:0 0 var(--space-2);font-size:var(--text-2)}
.repeat{border-top:1px solid var(--line);padding:4px 0}.repeat>summary{padding:3px 0;font-size:var(--text-2)}
.side h4{margin:var(--space-3) 0 2px;font-size:var(--text-1);
color:var(--soft);font-weight:500}.side p{margin:0 0 var(--space-1)}
ins{text-decoration:none;background:var(--good-soft);color:var(--good)}
del{background:var(--bad-soft);color:var(--bad)}a{color:var(--link)}
.more{font:inherit;color:var(--link);background:var(--panel);border:1px solid var(--line);border-radius:var(--radius);
padding:6px 12px;margin-top:var(--space-3);cursor:pointer}
"""

CASES_SCRIPT = f"""
const cases=[...document.querySelectorAll(".case")],filter=document.querySelector(".filter"),
more=document.querySelector(".more"),text=filter&&filter.querySelector("[type=search]"),
only=filter&&filter.querySelector("[type=checkbox]"),count=document.getElementById("count");
let most={_INITIAL_CASES};
function show(){{
const words=text.value.toLowerCase();let matched=0;
for(const item of cases){{
const fits=(!only||!only.checked||!!item.dataset.worse)&&(!words||item.textContent.toLowerCase().includes(words));
matched+=fits;item.hidden=!fits||matched>most;
}}
count.textContent=matched+(matched===1?" case":" cases");
more.hidden=matched<=most;more.textContent=Math.min({_INITIAL_CASES},matched-most)+" more";
}}
if(filter){{
filter.hidden=false;
text.addEventListener("input",()=>{{most={_INITIAL_CASES};show()}});
if(only)only.addEventListener("change",()=>{{most={_INITIAL_CASES};show()}});
more.addEventListener("click",()=>{{most+={_INITIAL_CASES};show()}});
show();
}}
"""


class CasesSection:
    """The cases in a report, worst first, up to a limit on their total size."""

    def __init__(self, report: EvaluationReport, ui_url: str | None) -> None:
        self._report = report
        self._variants = report._columns.variants
        self._kinds = report._columns.kinds
        self._secrets = report._secrets
        self._ui_url = ui_url
        self._pairs = [(self._variants[before], self._variants[after]) for after, before in report.baselines.items()]

    def render(self) -> str:
        """Render the cases and the filter controls."""
        report = self._report
        badness = self._rate_cases_by_badness()
        order = nlargest(_MAX_CASES, badness, key=badness.__getitem__)
        items: dict[str, dict[str, list[EvaluationItem]]] = {case: {} for case in order}
        for item in report:
            if item.case in items:
                items[item.case].setdefault(item.variant, []).append(item)
        cases: list[str] = []
        size = 0
        for name in order:
            case = self._render_case(name, items[name], is_worse=badness[name] > 0)
            size += len(case)
            if size > _MAX_CASES_BYTES and cases:
                break
            cases.append(case)
        only = '<label><input type="checkbox"> only regressions</label>' if len(report.variants) > 1 else ""
        search = '<input type="search" placeholder="filter" aria-label="filter cases by text">'
        count = '<span class="soft" id="count" role="status"></span>'
        rest = '<button class="more" type="button" hidden>more</button>'
        if left := len(report.cases) - len(cases):
            hint = "to get them all, use the report's <code>to_dicts(include_outputs=True)</code>"
            rest += f'<p class="soft">the {left:,} best cases are not on this page; {hint}.</p>'
        return f'<div class="filter" hidden>{search}{only}{count}</div>{"".join(cases)}{rest}'

    def _rate_cases_by_badness(self) -> dict[str, float]:
        """Rate how much worse each case got, relative to the score's range. If there is only one variant, rate how bad
        each case is.

        A failure is worse than any score. If the baseline failed, the case isn't a regression, but it sorts before
        other cases.
        """
        ranges: dict[str, float] = {}
        for score, kind in self._kinds.items():
            columns = (variant.scores.get(score, Column()) for variant in self._variants.values())
            values = [value for column in columns for value in column.list_case_means()]
            if kind != "label" and values:
                ranges[score] = (max(values) - min(values)) or 1.0
        pairs = self._pairs or [(variant, variant) for variant in islice(self._variants.values(), 1)]
        badness: dict[str, float] = {}
        for name, number in self._report._columns.cases.items():
            marks = [-math.inf]
            for before, after in pairs:
                was_failed = before.failures.get_case_mean(number) or 0.0
                marks += [-0.5] if was_failed else []
                marks += [2.0] if (after.failures.get_case_mean(number) or 0.0) > was_failed else []
            for score, width in ranges.items():
                marks += [change / width for change in self._measure_worsening(score, number)]
                value = pairs[0][1].scores.get(score, Column()).get_case_mean(number)
                if not self._pairs and value is not None:
                    # There can't be a regression if there is only one variant.
                    marks.append(self._report._rules.get_badness_sign(score) * value / width - _NO_REGRESSION)
            badness[name] = max(marks)
        return badness

    def _measure_worsening(self, score: str, case: int) -> list[float]:
        """Return how much worse a score gets in a case, for each pair of variants that both have the score."""
        changes = []
        for pair in self._pairs:
            before, after = (variant.scores.get(score, Column()).get_case_mean(case) for variant in pair)
            if before is not None and after is not None:
                changes.append(self._report._rules.get_badness_sign(score) * (after - before))
        return changes

    def _render_case(self, name: str, items: Mapping[str, Sequence[EvaluationItem]], *, is_worse: bool) -> str:
        number = self._report._columns.cases[name]
        values = "".join(self._render_score_in_case(score, number) for score in self._report.scores)
        sides = []
        for first, *_ in islice(items.values(), 1):
            sides.append(f"<h3>case</h3><h4>input</h4>{self._render_json_tree(first.input)}")
            if first.expected is not None:
                sides[0] += f"<h4>expected</h4>{self._render_json_tree(first.expected)}"
        for variant in self._report.variants:
            if variant in items:
                before, *_ = items.get(self._report.baselines.get(variant, ""), [None])
                sides.append(self._render_variant_repeats(items[variant], before))
        body = "".join(f'<div class="side">{side}</div>' for side in sides)
        title = f"<summary><b>{escape_html(name)}</b>{values}</summary>"
        worse = ' data-worse="1"' if is_worse else ""
        return f'<details class="case"{worse}>{title}<div class="sides">{body}</div></details>'

    def _render_score_in_case(self, score: str, case: int) -> str:
        """Render a score's values in one case. Return an empty string if there are several variants and they all
        agree."""
        columns = {name: variant.scores.get(score, Column()) for name, variant in self._variants.items()}
        means = {name: column.get_case_mean(case) for name, column in columns.items()}
        if len(means) > 1 and (len(set(means.values())) == 1 or self._kinds[score] == "label"):
            return ""
        texts = {name: "none" if value is None else report_text.format_number(value) for name, value in means.items()}
        # Show variants with the same baseline in one row.
        rows: dict[str, list[str]] = {}
        for after, before in self._report.baselines.items():
            rows.setdefault(before, [texts[before]]).append(texts[after])
        shown = ", ".join(" → ".join(row) for row in rows.values()) or ", ".join(texts.values())
        changes = self._measure_worsening(score, case)
        kind = " worse" if max(changes, default=0) > 0 else " better" if min(changes, default=0) < 0 else ""
        return f'<span class="values{kind}">{escape_html(score)} {shown}</span>'

    def _render_json_tree(self, value: Any) -> str:
        return json_tree(self._secrets.hide_in(value), limit=60, longest=_MAX_TEXT_LENGTH)

    def _render_variant_repeats(self, items: Sequence[EvaluationItem], before: EvaluationItem | None) -> str:
        """Render a case's repeats for one variant, grouping those with the same output and scores.

        Args:
            items: The repeats.
            before: The case's first repeat for the variant that this one is compared with.
        """
        groups: dict[str, list[EvaluationItem]] = {}
        for item in items:
            key = [item.status, item.output, item.error, item.scores, item.score_errors]
            groups.setdefault(json.dumps(key, default=repr), []).append(item)
        mark = format_status(items[0].status) if len(groups) == 1 else ""
        parts = [f"<h3>{escape_html(items[0].variant)} {mark}</h3>"]
        if len(items) > 1:
            spread = escape_html(self._secrets.hide_in_text(", ".join(_describe_repeats(items))))
            parts.append(f'<p class="soft">{spread}</p>')
        for place, group in enumerate(groups.values()):
            body = self._render_equal_repeats(group, before)
            if len(groups) > 1:
                numbers = ", ".join(str(item.repeat + 1) for item in group)
                title = f"<summary>repeat {numbers} {format_status(group[0].status)}</summary>"
                body = f'<details class="repeat"{"" if place else " open"}>{title}{body}</details>'
            parts.append(body)
        return "".join(parts)

    def _render_equal_repeats(self, items: Sequence[EvaluationItem], before: EvaluationItem | None) -> str:
        """Render repeats that share the same output and scores, with links to their runs."""
        hide, item = self._secrets.hide_in_text, items[0]
        parts = []
        for repeat in items:
            time = f' <span class="soft">{duration_text(repeat.duration)}</span>' if repeat.duration else ""
            parts.append(f"<p>{self._render_run_link(repeat)}{time}</p>")
        for name, value in item.scores.items():
            parts.append(f"<p>{escape_html(name)} <b>{escape_html(hide(_format_score(value)))}</b></p>")
        for name, text in item.score_errors.items():
            parts.append(f"<p>{escape_html(name)}: {escape_multiline(hide(text))}</p>")
        if item.error is not None:
            parts.append(f'<p class="problem">{escape_multiline(hide(item.error[:_MAX_TEXT_LENGTH]))}</p>')
        if item.is_success:
            parts.append(f"<h4>output</h4>{self._render_json_tree(item.output)}")
        if before is not None and before.is_success and item.is_success:
            outputs = (self._secrets.hide_in(shown.output) for shown in (before, item))
            differences = "".join(_render_differences(*outputs))
            if differences:
                parts.append(f"<h4>differences from {escape_html(before.variant)}</h4>{differences}")
        return "".join(parts)

    def _render_run_link(self, item: EvaluationItem) -> str:
        if item.run_id is None:
            return ""
        text, path = f"run {item.run_id}", f"/runs/{item.run_id}"
        if item.item_index is not None:
            text, path = f"{text} item {item.item_index}", f"{path}/items/{item.item_index}"
        if self._ui_url is None:
            return f'<span class="soft">{escape_html(text)}</span>'
        return f'<a href="{escape(self._ui_url.rstrip("/") + path)}">{escape_html(text)}</a>'


def _describe_repeats(items: Sequence[EvaluationItem]) -> Iterator[str]:
    """Yield descriptions of how a case's repeats differ."""
    yield f"{len(items)} repeats"
    failed = sum(not item.is_success for item in items)
    if failed:
        yield f"{failed} failed"
    for name in dict.fromkeys(name for item in items for name in item.scores):
        values = [item.scores[name] for item in items if name in item.scores]
        if any(isinstance(value, str) for value in values):
            counts = Counter(map(_format_score, values)).most_common()
            yield f"{name} {' and '.join(f'{count} x {label}' for label, count in counts)}"
        elif all(isinstance(value, bool) for value in values):
            yield f"{name} {sum(map(bool, values))} of {len(values)}"
        else:
            yield f"{name} {_format_value_range([float(value) for value in values], report_text.format_number)}"
    times = [item.duration for item in items if item.duration is not None]
    if times:
        yield _format_value_range(times, duration_text)


def _format_value_range(values: Sequence[float], text: Callable[[float], str]) -> str:
    low, high = text(min(values)), text(max(values))
    return low if low == high else f"{low} to {high}"


def _format_score(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return report_text.format_number(value) if isinstance(value, (int, float)) else str(value)


def _render_differences(before: Any, after: Any) -> Iterator[str]:
    """Yield the differences between two outputs."""
    changes = list(find_value_changes(before, after))
    for change in changes[:_MAX_CHANGES]:
        path = f"<code>{escape_html(format_path(change.path))}</code> "
        if isinstance(change.a, str) and isinstance(change.b, str):
            yield f"<p>{path}{_mark_changed_words(change.a[:_MAX_TEXT_LENGTH], change.b[:_MAX_TEXT_LENGTH])}</p>"
        else:
            old = "" if change.a is ABSENT else f"<del>{escape_html(short_json(change.a, 200))}</del> "
            new = "" if change.b is ABSENT else f"<ins>{escape_html(short_json(change.b, 200))}</ins>"
            yield f"<p>{path}{old}{new}</p>"
    if len(changes) > _MAX_CHANGES:
        yield f'<p class="soft">{len(changes) - _MAX_CHANGES} more</p>'


def _mark_changed_words(before: str, after: str) -> str:
    """Merge two strings into one, marking the words found in only one of them."""
    old, new = (re.findall(r"\s+|[^\s]+", text) for text in (before, after))
    parts = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        removed, added = escape_multiline("".join(old[a:b])), escape_multiline("".join(new[c:d]))
        if kind == "equal":
            parts.append(removed)
        else:
            parts += [f"<del>{removed}</del>" if removed else "", f"<ins>{added}</ins>" if added else ""]
    return "".join(parts)


_STYLE = """
.charts{display:flex;flex-wrap:wrap;gap:var(--space-4) var(--space-6)}.charts>*{min-width:0}
.charts h3{margin:0 0 var(--space-2);font-size:var(--text-3);overflow-wrap:anywhere}
.remarks{margin:var(--space-3) 0 0;padding-left:1.2em}.remarks li{overflow-wrap:anywhere}
.scores tr.first>*{border-top:1px solid var(--edge)}.scores td{white-space:nowrap}.scores td:not(.n){min-width:0}
"""
_PAGE_STYLE = page_frame.PAGE_STYLE + page_frame.STATUS_STYLE + charts.CHART_STYLE + TREE_STYLE
_PAGE_STYLE += REPORT_STYLE + charts.SCORE_STYLE + _STYLE
_MARKS = {"better": "completed", "worse": "failed", "higher": "", "lower": "", "unclear": "not_run", "equal": "not_run"}
_MARKS |= {"passed": "completed", "failed": "failed", "inconclusive": "not_run"}


_LIGHT, _DARK = page_frame.format_css_variables(page_frame.LIGHT), page_frame.format_css_variables(page_frame.DARK)
_NOTEBOOK_STYLE = (
    f".sfe{{{_LIGHT}}}@media (prefers-color-scheme:dark){{.sfe{{{_DARK}}}}}"
    ".sfe{display:flex;flex-wrap:wrap;gap:8px 24px}.sfe .ch{max-width:100%}"
)
_MAX_NOTEBOOK_CHARTS = 24


def render_report_page(
    report: EvaluationReport, ui_url: str | None, gates: Sequence[Gate], slices: Sequence[SliceScore]
) -> str:
    """Render a report as a page.

    Args:
        report: The report.
        ui_url: The address of `stepflow ui`, for links to the runs. None means no links.
        gates: The variants' gates.
        slices: Scores for subsets of the cases.
    """
    summary = report.summary()
    title = f"Evaluation of {summary.name}" if summary.name else "Evaluation"
    facts = [("cases", f"{summary.cases:,}"), ("repeats", str(summary.repeats))]
    facts.append(("variants", escape_html(", ".join(summary.variants) or "none")))
    about = build_facts_list(facts) + _render_remarks(summary)
    brand = f'<div class="brand">{page_frame.HIDDEN_LOGO}<h1>{escape_html(title)}</h1></div>'
    parts = [brand, build_section("Summary", about)]
    if gates:
        rows = []
        for gate in gates:
            # The div keeps messages left-aligned even if they start with a number.
            message = f"<div>{escape_multiline(gate.message)}</div>"
            outcome = format_status(_MARKS[gate.outcome], gate.outcome)
            rows.append(build_row(escape_html(gate.condition), outcome, message))
        parts.append(build_section("Gates", build_table(("gate", "outcome", "numbers"), rows, stacks=True)))
    if summary.means or summary.durations:
        parts.append(build_section("Scores", _render_scores_table(list(report_text.iter_summary_rows(summary)))))
    if slices:
        cells = map(report_text.format_slice_cells, slices)
        parts.append(build_section("Slices", _render_scores_table([report_text.SLICE_HEADS, *cells])))
    changes = list(iter_change_charts(summary))
    if changes:
        parts.append(build_section(f"Changes from {escape_html(summary.compared_with)}", _wrap_named_charts(changes)))
    distributions = list(iter_distribution_charts(report, summary))
    if distributions:
        parts.append(build_section("Distributions", _wrap_named_charts(distributions)))
    parts.append(build_section("Cases", CasesSection(report, ui_url).render()))
    return page_frame.build_page(title, "".join(parts), _PAGE_STYLE + CASES_STYLE, CASES_SCRIPT)


def render_for_notebook(value: EvaluationReport | EvaluationSummary | Comparison) -> str:
    """Render a report, summary or comparison for notebooks."""
    if isinstance(value, Comparison):
        heads, *rows = report_text.iter_comparison_rows(value)
        return _render_plain_table(heads, rows)
    summary = value if isinstance(value, EvaluationSummary) else value.summary()
    heads, *rows = report_text.iter_summary_rows(summary)
    title = escape_html(report_text.format_title(summary))
    text = f"<div>{title}</div>{_render_plain_table(heads, rows)}{_render_remarks(summary)}"
    named_charts = list(iter_change_charts(summary))
    if not isinstance(value, EvaluationSummary):
        named_charts += iter_distribution_charts(value, summary)
    shown = named_charts[:_MAX_NOTEBOOK_CHARTS]
    drawn = "".join(f"<div><div>{escape_html(name)}</div>{chart}</div>" for name, chart in shown)
    style = f"<style>{_NOTEBOOK_STYLE}{charts.CHART_STYLE}{charts.SCORE_STYLE}</style>"
    return f'{text}{style}<div class="sfe">{drawn}</div>' if drawn else text


def render_trend_page(points: Sequence[TrendPoint]) -> str:
    """Render a page that shows the trend across several evaluations."""
    table = _render_scores_table([TREND_HEADS, *map(format_trend_cells, points)])
    return page_frame.build_page("Evaluations", f"<h1>Evaluations</h1>{build_section('Trend', table)}", _PAGE_STYLE)


def _render_remarks(summary: EvaluationSummary) -> str:
    remarks = "".join(f"<li>{escape_multiline(remark)}</li>" for remark in (*summary.notes, *summary.remarks))
    return f'<ul class="remarks">{remarks}</ul>' if remarks else ""


def _render_plain_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    body = [build_row(*map(escape_html, cells[: len(heads)])) for cells in rows]
    return build_table([*map(escape_html, heads)], body)


def _render_scores_table(rows: Sequence[Sequence[str]]) -> str:
    """Render a table that shows verdicts as marks, with a line above each new name in the first column."""
    heads, *content = rows
    numbers = {place for cells in content for place, cell in enumerate(cells) if NUMERIC.match(cell)}
    body, above = [], ""
    for name, *cells in content:
        shown = [escape_html(cell) for cell in (name if name != above else "", *cells)][: len(heads)]
        if heads[-1] == "verdict" and cells[-1]:
            shown[-1] = format_status(_MARKS[cells[-1]], cells[-1])
        line = build_row(*shown)
        body.append(line.replace("<tr>", '<tr class="first">', 1) if name != above and above else line)
        above = name
    return f'<div class="scores">{build_table(heads, body, numbers=numbers)}</div>'


def _wrap_named_charts(named_charts: Sequence[tuple[str, str]]) -> str:
    named = [(escape_html(name), chart) for name, chart in named_charts]
    shown = "".join(f"<div><h3>{name}</h3>{wrap_in_scroller(chart, name)}</div>" for name, chart in named)
    return f'<div class="charts">{shown}</div>'


def iter_change_charts(summary: EvaluationSummary) -> Iterator[tuple[str, str]]:
    """Yield a chart for each score, showing every variant's change."""
    estimates: dict[str, list[charts.Estimate]] = {}
    times = []
    for compared in summary.comparisons:
        for change in compared.scores:
            text = "{} ({})".format(*report_text.format_change(change))
            verdict = change.verdict if change.verdict in ("better", "worse") else ""
            estimate = charts.Estimate(compared.after, change.change, change.low, change.high, text, verdict)
            estimates.setdefault(change.score, []).append(estimate)
        if (time := compared.duration) is not None:
            low, high = (None if end is None else math.log(end) for end in (time.low, time.high))
            text = f"x{time.ratio:.3f}" + ("" if time.low is None else f" (x{time.low:.3f} to x{time.high:.3f})")
            verdict = time.verdict if time.verdict in ("better", "worse") else ""
            times.append(charts.Estimate(compared.after, math.log(time.ratio), low, high, text, verdict))
    for score, of_variants in estimates.items():
        yield score, charts.draw_change_chart(score, of_variants)
    if times:
        yield "time, as a ratio", charts.draw_change_chart("time", times)


def iter_distribution_charts(report: EvaluationReport, summary: EvaluationSummary) -> Iterator[tuple[str, str]]:
    """Yield a chart for each score (bars for shares, histograms for numbers), then a chart for durations."""
    variants = report._columns.variants
    for score, kind in report._columns.kinds.items():
        if kind == "number":
            columns = {name: variant.scores[score] for name, variant in variants.items() if score in variant.scores}
            means = {name: column.list_case_means() for name, column in columns.items()}
            yield score, charts.draw_variant_histograms(score, means, report_text.format_number)
            continue
        estimates = []
        for mean in [mean for mean in summary.means if mean.score == score]:
            interval = report_text.format_interval(mean.low, mean.high, scale=mean.mean)
            text = f"{report_text.format_number(mean.mean)} ({interval})"
            estimates.append(charts.Estimate(mean.variant, mean.mean, mean.low, mean.high, text))
        yield score, charts.draw_variant_rate_bars(score, estimates)
    times = {name: variant.times for name, variant in variants.items() if variant.times}
    if times:
        yield "time", charts.draw_variant_histograms("time", times, duration_text)
