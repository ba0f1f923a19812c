"""Renders reports on runs as HTML pages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from datetime import datetime
from html import escape
from typing import Any

from .._base.text_formatting import cut, duration_text, quantile, short_json, visible_lines
from .._data.arguments import check_instances
from .._rules.failure_groups import MAX_GROUPS_SHOWN, group_failures
from .._rules.run_progress import ItemTime, StepTime
from ..types import RunArguments, RunItem, StepDetails
from ..types.run_explanation import get_displayed_step_state
from .charts import CHART_STYLE, Bar, draw_duration_histogram, draw_timeline, get_item_times_from_steps
from .drawn_graph import build_graph, fold_graph, get_worst_state
from .graph_text_formats import write_mermaid
from .json_tree import TREE_STYLE, json_tree
from .layout import DrawingUnavailableError
from .page_frame import HIDDEN_LOGO, PAGE_STYLE, STATUS_STYLE, STYLED_STATUSES, build_page, escape_html
from .report_data import RunReport
from .svg import GRAPH_STYLE, DrawOptions, draw_svg

__all__ = ["report_page"]

NUMERIC = re.compile("(<a [^>]*>)?[+x-]?[0-9]")
"""Matches the beginning of any cell that should be right-aligned."""

REPORT_STYLE = """
.brand{display:flex;gap:var(--space-2);align-items:center}.brand svg{flex:none;width:28px;height:28px}
h1{margin:0;line-height:1.3}h2{margin:0 0 var(--space-3)}
section{background:var(--surface);border:1px solid var(--line);border-radius:var(--radius-2);
padding:var(--space-4) var(--space-5);margin:var(--space-4) 0;min-width:0}section>:last-child{margin-bottom:0}
.facts{display:flex;flex-wrap:wrap;gap:var(--space-3) var(--space-6);margin:0}.facts div{min-width:0}
.facts dt{color:var(--soft);font-size:var(--text-1)}.facts dd{margin:0;overflow-wrap:anywhere}
.problem{color:var(--bad);white-space:pre-wrap;overflow-wrap:anywhere;margin:0 0 var(--space-2)}.soft{color:var(--soft)}
.sf,.ch{background:none}code{font-family:var(--mono)}
table{border-collapse:collapse;font-size:var(--text-2);max-width:100%;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:6px var(--space-4) 6px 0;text-align:left;vertical-align:top;
overflow-wrap:break-word}tbody tr:last-child>*{border-bottom:0}td:last-child,td>div{overflow-wrap:anywhere}
th{color:var(--soft);font-weight:500;font-size:var(--text-1);white-space:nowrap}
td:not(.n){min-width:6em}td>div{min-width:12em;white-space:pre-wrap}
.n{text-align:right;white-space:nowrap}.runs>*{min-width:0}
@media (min-width:1800px){body:has(.two){max-width:none}.two{display:grid;gap:0 var(--space-4);
grid-template-columns:1fr 1fr}}
@media (max-width:640px){body{padding:var(--space-3)}section{padding:var(--space-3)}
.stack thead{position:absolute;clip-path:inset(50%)}.stack,.stack tbody{display:block}
.stack tr{display:flex;flex-wrap:wrap;gap:2px var(--space-3);padding:8px 0;border-bottom:1px solid var(--line)}
.stack td{display:block;border:0;padding:0;min-width:0}.stack td:has(>div),.stack td:last-child{flex:1 1 100%}}
details.page{margin:6px 0}summary{cursor:pointer;padding:3px 0}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--panel);padding:8px}
@media print{body{max-width:none;padding:0;background:#fff;color:#000}tr,svg,section{break-inside:avoid}
section{border:0;padding:0}svg{max-width:100%;height:auto}.two{display:block}}
"""
"""The style for reports, in addition to the styles for pages, statuses, trees and charts."""


def build_section(title: str, content: str) -> str:
    """Return a section of a report."""
    return f"<section><h2>{title}</h2>{content}</section>"


def wrap_in_scroller(content: str, label: str) -> str:
    """Wrap content so that it scrolls sideways if it's too wide."""
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{label}">{content}</div>'


def escape_multiline(text: str) -> str:
    """Escape multi-line text so that none of its lines can begin a line of the document."""
    return escape(visible_lines(text)).replace("\n", "&#10;")


def capitalize(name: str) -> str:
    """Capitalize the first letter of a heading."""
    return name[:1].upper() + name[1:]


def build_table(
    heads: Sequence[str], rows: Iterable[str], *, stacks: bool = False, numbers: Container[int] = ()
) -> str:
    """Return a table. Headings and cells are HTML.

    Args:
        heads: The column headings.
        rows: The rows.
        stacks: Whether to stack each row's cells on narrow screens.
        numbers: The positions of numeric columns, whose headings are right-aligned.
    """
    head = "".join(f"<th{' class=n' if place in numbers else ''}>{name}</th>" for place, name in enumerate(heads))
    kind = ' class="stack"' if stacks else ""
    content = f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return wrap_in_scroller(content, f"table: {heads[0]}, {heads[-1]}")


def build_facts_list(facts: Sequence[tuple[str, str]]) -> str:
    """Format a list of facts, each passed as a name and its HTML value."""
    pairs = "".join(f"<div><dt>{capitalize(name)}</dt><dd>{value}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{pairs}</dl>'


def build_row(*cells: str) -> str:
    """Return a table row. Cells that start with a number are right-aligned."""
    return "<tr>" + "".join(f"<td{' class=n' if NUMERIC.match(cell) else ''}>{cell}</td>" for cell in cells) + "</tr>"


def format_status(status: str, text: str = "") -> str:
    """Format a status as an icon, word and color. `text` overrides the word."""
    kind = f"status {status}" if status in STYLED_STATUSES else "status"
    return f'<b class="{kind}">{escape_html(text or status.replace("_", " "))}</b>'


def collapse_text(text: str) -> str:
    """Return the text as HTML. If it's long, it's collapsed so that only the beginning shows."""
    shown = escape_multiline(text)
    if len(text) <= 160:
        return shown
    return f"<details><summary>{escape_multiline(cut(text, 121))}</summary>{shown}</details>"


_PAGE_SIZE = 100
_MAX_BARS = 40
_MAX_ITEMS_BYTES = 1_200_000


def report_page(reports: Sequence[RunReport]) -> str:
    """Return a report page for one or more runs. Two runs are shown side by side, below a comparison of their steps.

    Args:
        reports: The reports on the runs.
    """
    reports = check_instances(reports, "reports", RunReport)
    runs = " and ".join(report.run.flow_name or report.run.run_id for report in reports)
    parts = [f'<div class="brand">{HIDDEN_LOGO}<h1>{escape_html(runs)}</h1></div>']
    if len(reports) > 1:
        parts.append(_render_comparison(reports))
    parts.append(f'<div class="{"runs two" if len(reports) == 2 else "runs"}">')
    charts = [build_timeline_bars(report) for report in reports]
    # Use the same scale for all runs, so that durations can be compared by eye.
    right_edge = max((bar.end for bars in charts for bar in bars), default=0.0)
    for number, (report, bars) in enumerate(zip(reports, charts, strict=True)):
        parts.append(f"<article>{''.join(_iter_sections(report, bars, right_edge, number))}</article>")
    style = PAGE_STYLE + STATUS_STYLE + GRAPH_STYLE + CHART_STYLE + TREE_STYLE + REPORT_STYLE
    return build_page(f"Report of {runs}", "".join([*parts, "</div>"]), style)


def _iter_sections(report: RunReport, bars: Sequence[Bar], right_edge: float, number: int) -> Iterator[str]:
    """Yield the sections for a run, failures first."""
    yield build_section("Run", _render_summary(report))
    is_batch, arguments = len(report.items) != 1, report.given
    if is_batch and (errors := _render_errors(report.items)):
        yield build_section("Errors", errors)
    if not is_batch:
        yield build_section("Result", _render_result(report))
    if arguments is not None:
        yield build_section("Started with", _render_arguments(arguments, is_batch=is_batch))
    if report.flow:
        graph = build_graph(report.flow)
        drawn = fold_graph(graph)
        try:
            states = drawn.find_worst_box_states(find_worst_step_states(report))
            picture = draw_svg(drawn.graph, DrawOptions(states, style=False, name=f"run{number}"))
        except DrawingUnavailableError:
            hint = "Pictures need <code>pip install 'stepflow-client[draw]'</code>; this is the graph in Mermaid."
            picture = f"<p>{hint}</p><pre>{escape(write_mermaid(graph))}</pre>"
        yield build_section("Graph", wrap_in_scroller(picture, "graph"))
    if bars:
        title = "Timeline" if not is_batch else f"Timeline of the {len(bars)} slowest items"
        if len(bars) > _PAGE_SIZE:
            title = f"Timeline of the {_PAGE_SIZE} slowest steps"
            bars = sorted(bars, key=lambda bar: bar.start - bar.end)[:_PAGE_SIZE]
        yield build_section(title, wrap_in_scroller(draw_timeline(bars, right_edge=right_edge), "timeline"))
    durations = build_latency_html(get_item_times_from_steps(report.times))
    if durations:
        yield build_section("Latency of items", durations)
    if report.steps:
        yield build_section("Steps", _render_step_table(report))
    if is_batch:
        yield build_section("Items", _render_items(report.items, arguments.inputs if arguments is not None else None))


def _format_step_state(report: RunReport, step: StepDetails) -> str:
    """Format a step's state as a mark."""
    return format_status(step.status.value if report.was_run(step) else "not_run", step.text)


def _render_result(report: RunReport) -> str:
    """Format a single-item run's output, or the reason it failed."""
    result = report.items[0].result
    account = next(iter(report.accounts.values()), None)
    notes = []
    if account is not None and account.kind is not None:
        notes += [f"Not run as a result: {', '.join(account.not_run)}"] if account.not_run else []
        notes += [account.hint] if account.hint else []
        notes += [f"Unknown: {'; '.join(account.unknown)}"] if account.unknown else []
    if result is None:
        text = account.text if account is not None and account.kind is not None else "It has not ended."
        content = f"<p>{escape_multiline(text)}</p>"
    elif result.error is None:
        content = json_tree(result.output, limit=2_000)
    else:
        error = result.error
        step = f"Step <code>{escape_html(error.step_id)}</code>: " if error.step_id else ""
        code = f' <span class="soft">({escape_html(error.code.value)})</span>' if error.code else ""
        content = f'<p class="problem">{step}{escape_multiline(error.message)}{code}</p>'
        content += _collapse_error_details(error.details)
    return content + "".join(f'<p class="soft">{escape_multiline(note)}</p>' for note in notes)


def _collapse_error_details(details: object) -> str:
    return f"<details><summary>Details</summary>{json_tree(details)}</details>" if details else ""


def _render_summary(report: RunReport) -> str:
    run = report.run
    facts = [("status", format_status(run.status.value, report.run.text)), ("flow", escape_html(run.flow_name or "-"))]
    if len(report.items) != 1:
        counts = Counter({status: count for status, count in run.items.to_dict().items() if count})
        del counts["total"]
        texts = (f"{count} {escape_html(status)}" for status, count in counts.most_common())
        facts.append(("items", ", ".join(texts) or "none"))
    if run.created_at:
        text = escape(f"{run.created_at.astimezone():%Y-%m-%d %H:%M:%S %Z}")
        facts.append(("created", f'<time datetime="{run.created_at.isoformat()}">{text}</time>'))
    facts += [("took", duration_text(run.duration))] if run.duration is not None else []
    ids = (("run", run.run_id), ("flow ID", run.flow_id))
    facts += [(name, f"<code>{escape_html(text)}</code>") for name, text in ids]
    facts += [("times", "not reported by this server, or no step has started")] if not report.times else []
    return build_facts_list(facts)


def _render_arguments(arguments: RunArguments, *, is_batch: bool) -> str:
    rows: list[tuple[str, str]] = []
    if arguments.inputs is None:
        rows.append(("input", "unknown: this server does not return it, and it is not in the history"))
    elif is_batch:
        rows.append(("inputs", f"{len(arguments.inputs)}, with the items below"))
    else:
        rows += [("input", json_tree(value)) for value in arguments.inputs]
    rows += [("variables", json_tree(arguments.variables))] if arguments.variables else []
    rows += [("overrides", json_tree(arguments.overrides))] if arguments.overrides else []
    labels = ", ".join(f"{name}={value}" for name, value in arguments.labels.items())
    rows += [("labels", escape_html(labels))] if labels else []
    rows += [("note", escape_html(arguments.note))] if arguments.note else []
    if arguments.rerun_of is not None:
        rows.append(("rerun of", escape_html(arguments.rerun_of)))
        rows.append(("kept", escape_html(", ".join(arguments.kept) or "no step")))
    content = "".join(f"<tr><th>{capitalize(name)}</th><td>{value}</td></tr>" for name, value in rows)
    return f"<table>{content}</table>"


def find_worst_step_states(report: RunReport) -> dict[str, str]:
    """Return the state to draw for each step, i.e. its worst state across all items."""
    states: dict[str, set[str]] = defaultdict(set)
    for step in report.step_accounts.values():
        states[step.step_id].add(get_displayed_step_state(step))
    worst = {}
    for name, step_states in states.items():
        # Don't report a step as "not run" if it ran for any item.
        if "completed" in step_states:
            step_states.discard("not_run")
        worst[name] = get_worst_state(step_states)
    return {name: state for name, state in worst.items() if state not in ("", "not_started")}


def build_timeline_bars(report: RunReport, *, until: datetime | None = None) -> list[Bar]:
    """Return a run's timeline rows: its steps, or the 40 slowest items of a batch. The list is empty if no times are
    known.

    Args:
        report: The run's report.
        until: The time at which the bars of running steps end, if it's later than the last event.
    """
    started = [step for step in report.times if step.attempts and report._was_newly_run(step)]
    if not started:
        return []
    begin = min(step.attempts[0] for step in started)
    last = max(step.end or step.attempts[-1] for step in started)
    # If the run was cancelled, steps may have no end time.
    last = max(last, until or report.run.completed_at or last)

    def seconds(time: datetime) -> float:
        return (time - begin).total_seconds()

    if len(report.items) > 1:
        status = {item.index: item.status.value for item in report.items}
        bars = []
        for item in sorted(get_item_times_from_steps(started), key=lambda item: -item.duration)[:_MAX_BARS]:
            state = status.get(item.index, "running")
            bars.append(Bar(f"item {item.index}", seconds(item.start), seconds(item.end), state))
        return bars
    bars = []
    for step in started:
        first, *later = map(seconds, step.attempts)
        bars.append(Bar(step.step_id, first, seconds(step.end or last), step.status, tuple(later)))
    return bars


def _render_errors(items: Sequence[RunItem]) -> str:
    rows = []
    groups = group_failures(items)
    for group in groups[:MAX_GROUPS_SHOWN]:
        which = ", ".join(map(str, group.indexes[:10])) + (", …" if len(group.indexes) > 10 else "")
        text = f"<div>{escape_multiline(group.message[:1000])}</div>{_collapse_error_details(group.error.details)}"
        count, step, code = str(len(group.indexes)), escape_html(group.step_id or ""), escape_html(group.code)
        rows.append(build_row(count, step, code, text, f"<span>{which}</span>"))
    if not rows:
        return ""
    more = f"<p>{len(groups) - len(rows)} more</p>" if len(groups) > len(rows) else ""
    return build_table(("Count", "Step", "Code", "Message", "Items"), rows, stacks=True) + more


def build_latency_html(times: Sequence[ItemTime], url: Callable[[ItemTime], str] | None = None) -> str:
    """Format percentiles and a histogram of item durations as HTML. Empty if there are fewer than two items.

    Args:
        times: The items' times.
        url: A function that returns the URL to link a percentile to, given its item. By default, there are no links.
    """
    if len(times) < 2:
        return ""
    ordered = sorted(times, key=lambda item: item.duration)
    seconds = [item.duration for item in ordered]

    def cell(part: float) -> str:
        text = duration_text(quantile(seconds, part))
        return f'<a href="{escape(url(ordered[round(part * (len(ordered) - 1))]))}">{text}</a>' if url else text

    parts = {"50 %": 0.5, "90 %": 0.9, "95 %": 0.95, "99 %": 0.99, "Slowest": 1.0}
    shown = build_table(list(parts), [build_row(*map(cell, parts.values()))])
    return shown + wrap_in_scroller(draw_duration_histogram(seconds), "histogram")


def _format_step_state_counts(report: RunReport, steps: Sequence[StepDetails]) -> str:
    """Format the number of steps in each state."""
    counts = Counter(_format_step_state(report, step) for step in steps)
    return ", ".join(f"{state} {count}" for state, count in counts.items())


def _render_step_table(report: RunReport) -> str:
    times: dict[str, list[StepTime]] = defaultdict(list)
    for time in report.times:
        if report.was_run(time):
            times[time.step_id].append(time)
    rows = []
    if len(report.items) > 1:
        groups: dict[str, list[StepDetails]] = defaultdict(list)
        for step in report.steps:
            groups[step.step_id].append(step)
        for name, steps in groups.items():
            repeated = sum(len(time.attempts) > 1 for time in times[name])
            cells = [escape_html(name), escape_html(steps[0].component or ""), _format_step_state_counts(report, steps)]
            rows.append(build_row(*cells, str(repeated), *_format_percentiles(times[name])))
        return build_table(("Step", "Component", "Status", "Repeated", "Median", "95 %", "Slowest"), rows)
    for step in report.steps:
        took, attempts, value = "-", "-", ""
        if report.was_run(step):
            for time in times[step.step_id][:1]:
                attempts = str(len(time.attempts))
                took = duration_text(time.duration) if time.duration is not None else "-"
            value = f"<div>{collapse_text(step.error.message[:2000])}</div>" if step.error else json_tree(step.output)
        component, state = escape_html(step.component or ""), _format_step_state(report, step)
        rows.append(build_row(escape_html(step.step_id), component, state, took, attempts, value))
    heads = ("Step", "Component", "Status", "Duration", "Attempts", "Output or error")
    failed = [step.status.value == "failed" for step in report.steps]
    return _paginate_table(heads, rows, failed) if len(rows) > _PAGE_SIZE else build_table(heads, rows, stacks=True)


def _format_percentiles(times: Sequence[StepTime]) -> tuple[str, ...]:
    seconds = sorted(time.duration for time in times if time.duration is not None)
    return tuple(duration_text(quantile(seconds, part)) for part in (0.5, 0.95, 1.0)) if seconds else ("-", "-", "-")


def _render_items(items: Sequence[RunItem], inputs: Sequence[Any] | None) -> str:
    known = inputs if inputs is not None and len(inputs) == len(items) else None
    longest = max(100, min(4_000, _MAX_ITEMS_BYTES // max(1, len(items)) // (2 if known else 1)))
    heads = ("Item", "Status", "Step", *(("Input",) if known else ()), "Output or error")
    rows = []
    for place, item in enumerate(items):
        error = item.error
        text = error.message[:longest] if error else short_json(item.output, longest) if item.status.is_finished else ""
        cells = [str(item.index), format_status(item.status.value), escape_html(error.step_id or "") if error else ""]
        cells += [f"<div>{collapse_text(short_json(known[place], longest))}</div>"] if known else []
        rows.append(build_row(*cells, f"<div>{collapse_text(text)}</div>"))
    return _paginate_table(heads, rows, [item.status.value == "failed" for item in items])


def _paginate_table(heads: Sequence[str], rows: Sequence[str], failed: Sequence[bool]) -> str:
    """Split a long table into collapsible parts, the first of which is open."""
    pages = []
    for begin in range(0, len(rows), _PAGE_SIZE):
        shown, count = rows[begin : begin + _PAGE_SIZE], sum(failed[begin : begin + _PAGE_SIZE])
        title = f"{begin} to {begin + len(shown) - 1}" + (f": {count} failed" if count else "")
        content = build_table(heads, shown, stacks=True)
        opened = " open" if begin == 0 else ""
        pages.append(f'<details class="page"{opened}><summary>{title}</summary>{content}</details>')
    return "".join(pages)


def _render_comparison(reports: Sequence[RunReport]) -> str:
    names = list(dict.fromkeys(step.step_id for report in reports for step in report.steps))
    rows = []
    for name in names:
        cells = [escape_html(name)]
        for report in reports:
            counted = _format_step_state_counts(report, [step for step in report.steps if step.step_id == name]) or "-"
            times = [time for time in report.times if time.step_id == name and report.was_run(time)]
            cells += [counted, _format_percentiles(times)[0]]
        rows.append(build_row(*cells))
    heads = ["step"]
    for number in range(1, len(reports) + 1):
        heads += [f"run {number}", "median"]
    return build_section("Comparison of steps", build_table(heads, rows))
