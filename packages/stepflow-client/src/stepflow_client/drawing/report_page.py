"""Reports of runs as HTML pages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from html import escape
from typing import Any

from .._base.text import duration_text, quantile, short_json
from .._data.arguments import check_instances
from .._rules.failure_groups import MAX_GROUPS_SHOWN, failure_groups
from ..types import RunArguments, RunItem, StepDetails
from .charts import CHART_STYLE, Bar, ItemTime, StepTime, histogram, item_times, timeline
from .drawn_graph import flow_graph
from .folding import compact, worst
from .graph_text import mermaid
from .html import PAGE_STYLE, TREE_STYLE, json_tree, page
from .layout import DrawingUnavailableError
from .report_data import RunReport
from .report_parts import (
    REPORT_STYLE,
    escaped,
    facts_list,
    folded,
    local_time,
    message,
    row,
    scroll,
    section,
    status_mark,
    table,
    titled,
)  # fmt: skip
from .svg import STYLE, Look, svg
from .theme import HIDDEN_MARK, STATUS_STYLE

__all__ = ["report_page"]

_PAGE = 100
_MAX_BARS = 40
_ALL_ITEMS_BYTES = 1_200_000


def report_page(reports: Sequence[RunReport]) -> str:
    """Return one page about runs. Two runs are shown side by side, with a comparison of their steps above them.

    Args:
        reports: One or more runs.
    """
    reports = check_instances(reports, "reports", RunReport)
    runs = " and ".join(report.run.flow_name or report.run.run_id for report in reports)
    parts = [f'<div class="brand">{HIDDEN_MARK}<h1>{escaped(runs)}</h1></div>']
    if len(reports) > 1:
        parts.append(_comparison(reports))
    parts.append(f'<div class="{"runs two" if len(reports) == 2 else "runs"}">')
    charts = [bars_of(report) for report in reports]
    # One scale, so that durations can be compared by eye.
    whole = max((bar.end for bars in charts for bar in bars), default=0.0)
    for number, (report, bars) in enumerate(zip(reports, charts, strict=True)):
        parts.append(f"<article>{''.join(_sections(report, bars, whole, number))}</article>")
    style = PAGE_STYLE + STATUS_STYLE + STYLE + CHART_STYLE + TREE_STYLE + REPORT_STYLE
    return page(f"Report of {runs}", "".join([*parts, "</div>"]), style)


def _sections(report: RunReport, bars: Sequence[Bar], whole: float, number: int) -> Iterator[str]:
    """Yield the sections of a run, with failures before details."""
    yield section("Run", _summary(report))
    is_batch, given = len(report.items) != 1, report.given
    if is_batch and (errors := _errors(report.items)):
        yield section("Errors", errors)
    if not is_batch:
        yield section("Result", _result(report))
    if given is not None:
        yield section("Started with", _started_with(given, is_batch=is_batch))
    if report.flow:
        graph = flow_graph(report.flow)
        drawn = compact(graph)
        try:
            look = Look(drawn.states(statuses_of(report)), style=False, name=f"run{number}")
            picture = svg(drawn.graph, look)
        except DrawingUnavailableError:
            hint = "Pictures need <code>pip install 'stepflow-client[draw]'</code>; this is the graph in Mermaid."
            picture = f"<p>{hint}</p><pre>{escape(mermaid(graph))}</pre>"
        yield section("Graph", scroll(picture, "graph"))
    if bars:
        title = "Timeline" if not is_batch else f"Timeline of the {len(bars)} slowest items"
        if len(bars) > _PAGE:
            title = f"Timeline of the {_PAGE} slowest steps"
            bars = sorted(bars, key=lambda bar: bar.start - bar.end)[:_PAGE]
        yield section(title, scroll(timeline(bars, whole=whole), "timeline"))
    durations = latency(item_times(report.times))
    if durations:
        yield section("Latency of items", durations)
    if report.steps:
        yield section("Steps", _steps(report))
    if is_batch:
        yield section("Items", _items(report.items, given.inputs if given is not None else None))


def _step_state(report: RunReport, step: StepDetails) -> str:
    """Return the state of a step as a mark."""
    return status_mark(step.status.value if report.was_run(step) else "not_run", report._text_of(step))


def _result(report: RunReport) -> str:
    """Return the output of a run of one item, or why it did not succeed."""
    result = report.items[0].result
    account = next(iter(report.accounts.values()), None)
    notes = []
    if account is not None and account.kind is not None:
        notes += [f"Not run because of it: {', '.join(account.not_run)}"] if account.not_run else []
        notes += [account.hint] if account.hint else []
        notes += [f"Not known: {'; '.join(account.unknown)}"] if account.unknown else []
    if result is None:
        text = account.text if account is not None and account.kind is not None else "It has not ended."
        content = f"<p>{message(text)}</p>"
    elif result.error is None:
        content = json_tree(result.output, limit=2_000)
    else:
        error = result.error
        step = f"Step <code>{escaped(error.step_id)}</code>: " if error.step_id else ""
        code = f' <span class="soft">({escaped(error.code.value)})</span>' if error.code else ""
        content = f'<p class="problem">{step}{message(error.message)}{code}</p>{_details(error.details)}'
    return content + "".join(f'<p class="soft">{message(note)}</p>' for note in notes)


def _details(details: object) -> str:
    return f"<details><summary>Details</summary>{json_tree(details)}</details>" if details else ""


def _summary(report: RunReport) -> str:
    run = report.run
    facts = [("status", status_mark(run.status.value, report.run.text)), ("flow", escaped(run.flow_name or "-"))]
    if len(report.items) != 1:
        counts = Counter({status: count for status, count in run.items.to_dict().items() if count})
        del counts["total"]
        texts = (f"{count} {escaped(status)}" for status, count in counts.most_common())
        facts.append(("items", ", ".join(texts) or "none"))
    facts += [("created", local_time(run.created_at))] if run.created_at else []
    if run.duration is not None:
        facts.append(("took", duration_text(run.duration)))
    facts += [("run", f"<code>{escaped(run.run_id)}</code>"), ("flow id", f"<code>{escaped(run.flow_id)}</code>")]
    if not report.times:
        facts.append(("times", "not reported by this server, or no step has started"))
    return facts_list(facts)


def _started_with(given: RunArguments, *, is_batch: bool) -> str:
    rows: list[tuple[str, str]] = []
    if given.inputs is None:
        rows.append(("input", "not known: this server does not return it, and the history does not have it"))
    elif is_batch:
        rows.append(("inputs", f"{len(given.inputs)}, with the items below"))
    else:
        rows += [("input", json_tree(each)) for each in given.inputs]
    rows += [("variables", json_tree(given.variables))] if given.variables else []
    rows += [("overrides", json_tree(given.overrides))] if given.overrides else []
    labels = ", ".join(f"{name}={value}" for name, value in given.labels.items())
    rows += [("labels", escaped(labels))] if labels else []
    rows += [("note", escaped(given.note))] if given.note else []
    if given.rerun_of is not None:
        rows.append(("rerun of", escaped(given.rerun_of)))
        rows.append(("kept", escaped(", ".join(given.kept) or "no step")))
    return "<table>" + "".join(f"<tr><th>{titled(name)}</th><td>{value}</td></tr>" for name, value in rows) + "</table>"


def statuses_of(report: RunReport) -> dict[str, str]:
    """Return the state of each step by id, for pictures: the worst state over all items."""
    found: dict[str, list[str]] = defaultdict(list)
    for step in report.step_accounts.values():
        # A state that is not known is shown as the server's status.
        known = step.state if step.state != "unknown" or step.status is None else step.status.value
        found[step.step_id].append("completed" if step.is_kept else known)
    # A step that has run for some of the items is not shown as one that did not run.
    ran = {name: [s for s in each if s != "not_run" or "completed" not in each] for name, each in found.items()}
    states = {name: worst(each) for name, each in ran.items()}
    return {name: state for name, state in states.items() if state not in ("", "not_started")}


def bars_of(report: RunReport, *, until: datetime | None = None) -> list[Bar]:
    """Return the rows of a run's timeline: its steps, or the 40 slowest items of a batch; empty if there are no times.

    Args:
        report: The report of the run.
        until: Where the bars of running steps end, if that is later than all events.
    """
    started = [step for step in report.times if step.attempts and report._has_time(step)]
    if not started:
        return []
    begin = min(step.attempts[0] for step in started)
    last = max(step.end or step.attempts[-1] for step in started)
    # The steps of a cancelled run may have no end.
    last = max(last, until or report.run.completed_at or last)

    def seconds(time: datetime) -> float:
        return (time - begin).total_seconds()

    if len(report.items) > 1:
        status = {item.index: item.status.value for item in report.items}
        slowest = sorted(item_times(started), key=lambda item: -item.duration)[:_MAX_BARS]
        return [
            Bar(f"item {item.index}", seconds(item.start), seconds(item.end), status.get(item.index, "running"))
            for item in slowest
        ]
    return [
        Bar(
            step.step_id,
            seconds(step.attempts[0]),
            seconds(step.end or last),
            step.status,
            tuple(map(seconds, step.attempts[1:])),
        )
        for step in started
    ]


def _errors(items: Sequence[RunItem]) -> str:
    rows = []
    groups = failure_groups(items)
    for group in groups[:MAX_GROUPS_SHOWN]:
        which = ", ".join(map(str, group.indexes[:10])) + (", …" if len(group.indexes) > 10 else "")
        text = f"<div>{message(group.message[:1000])}</div>{_details(group.error.details)}"
        count, step, code = str(len(group.indexes)), escaped(group.step_id or ""), escaped(group.code)
        rows.append(row(count, step, code, text, f"<span>{which}</span>"))
    if not rows:
        return ""
    more = f"<p>{len(groups) - len(rows)} more</p>" if len(groups) > len(rows) else ""
    return table(("Count", "Step", "Code", "Message", "Items"), rows, stacks=True) + more


def latency(times: Sequence[ItemTime], url: Callable[[ItemTime], str] | None = None) -> str:
    """Return percentiles and a histogram of the durations of items, as HTML; empty for fewer than two items.

    Args:
        times: The times of the items.
        url: Returns the URL of the item that a percentile leads to. Default: they are no links.
    """
    if len(times) < 2:
        return ""
    ordered = sorted(times, key=lambda item: item.duration)
    seconds = [item.duration for item in ordered]

    def cell(part: float) -> str:
        text = duration_text(quantile(seconds, part))
        return f'<a href="{escape(url(ordered[round(part * (len(ordered) - 1))]))}">{text}</a>' if url else text

    parts = {"50 %": 0.5, "90 %": 0.9, "95 %": 0.95, "99 %": 0.99, "Slowest": 1.0}
    shown = table(list(parts), [row(*map(cell, parts.values()))])
    return shown + scroll(histogram(seconds), "histogram")


def _counted(report: RunReport, steps: Sequence[StepDetails]) -> str:
    """Return the number of these steps in each state."""
    counts = Counter(_step_state(report, step) for step in steps)
    return ", ".join(f"{state} {count}" for state, count in counts.items())


def _steps(report: RunReport) -> str:
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
            component, counted = escaped(steps[0].component or ""), _counted(report, steps)
            rows.append(row(escaped(name), component, counted, str(repeated), *_spread(times[name])))
        return table(("Step", "Component", "Status", "Repeated", "Median", "95 %", "Slowest"), rows)
    for step in report.steps:
        took, attempts, value = "-", "-", ""
        if report.was_run(step):
            for time in times[step.step_id][:1]:
                attempts = str(len(time.attempts))
                took = duration_text(time.duration) if time.duration is not None else "-"
            value = f"<div>{folded(step.error.message[:2000])}</div>" if step.error else json_tree(step.output)
        component, state = escaped(step.component or ""), _step_state(report, step)
        rows.append(row(escaped(step.step_id), component, state, took, attempts, value))
    heads = ("Step", "Component", "Status", "Duration", "Attempts", "Output or error")
    failed = [step.status.value == "failed" for step in report.steps]
    return _paged(heads, rows, failed) if len(rows) > _PAGE else table(heads, rows, stacks=True)


def _spread(times: Sequence[StepTime]) -> tuple[str, ...]:
    seconds = sorted(time.duration for time in times if time.duration is not None)
    return tuple(duration_text(quantile(seconds, part)) for part in (0.5, 0.95, 1.0)) if seconds else ("-", "-", "-")


def _items(items: Sequence[RunItem], inputs: Sequence[Any] | None) -> str:
    known = inputs if inputs is not None and len(inputs) == len(items) else None
    longest = max(100, min(4_000, _ALL_ITEMS_BYTES // max(1, len(items)) // (2 if known else 1)))
    heads = ("Item", "Status", "Step", *(("Input",) if known else ()), "Output or error")
    rows = []
    for place, item in enumerate(items):
        error = item.error
        text = error.message[:longest] if error else short_json(item.output, longest) if item.status.is_finished else ""
        cells = [str(item.index), status_mark(item.status.value), escaped(error.step_id or "") if error else ""]
        cells += [f"<div>{folded(short_json(known[place], longest))}</div>"] if known else []
        rows.append(row(*cells, f"<div>{folded(text)}</div>"))
    return _paged(heads, rows, [item.status.value == "failed" for item in items])


def _paged(heads: Sequence[str], rows: Sequence[str], failed: Sequence[bool]) -> str:
    """Return a long table in parts, of which the first is open."""
    pages = []
    for begin in range(0, len(rows), _PAGE):
        shown, count = rows[begin : begin + _PAGE], sum(failed[begin : begin + _PAGE])
        title = f"{begin} to {begin + len(shown) - 1}" + (f": {count} failed" if count else "")
        content = table(heads, shown, stacks=True)
        opened = " open" if begin == 0 else ""
        pages.append(f'<details class="page"{opened}><summary>{title}</summary>{content}</details>')
    return "".join(pages)


def _comparison(reports: Sequence[RunReport]) -> str:
    names = list(dict.fromkeys(step.step_id for report in reports for step in report.steps))
    rows = []
    for name in names:
        cells = [escaped(name)]
        for report in reports:
            counted = _counted(report, [step for step in report.steps if step.step_id == name]) or "-"
            times = [time for time in report.times if time.step_id == name and report.was_run(time)]
            cells += [counted, _spread(times)[0]]
        rows.append(row(*cells))
    heads = ["step"]
    for number in range(1, len(reports) + 1):
        heads += [f"run {number}", "median"]
    return section("Comparison of steps", table(heads, rows))
