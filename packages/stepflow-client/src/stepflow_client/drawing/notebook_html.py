"""HTML for notebooks, up to 100 kB: tables of results, runs and lists, collapsible JSON, and flow graphs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import singledispatch
from html import escape
from types import SimpleNamespace
from typing import Any

from .. import types
from .._async.run_handle import RunHandle
from .._base.text_formatting import cut, duration_text, short_json
from .._rules.failure_groups import MAX_GROUPS_SHOWN, group_failures
from .._sync.run_handle import SyncRunHandle
from ..types.model_base import Listing
from ..types.runs import ITEM_COLUMNS
from . import draw
from .json_tree import TREE_STYLE, json_tree
from .report_data import RunReport, mask_snapshot
from .report_page import find_worst_step_states

_MAX_TABLE_BYTES = 95_000
_MAX_ROWS = 50
_MAX_CELL_LENGTH = 300
_MAX_LINE_LENGTH = 80
_STATUS_ICONS = {
    "completed": ("✓", "#2e9e5b"),
    "failed": ("✗", "#e0463a"),
    "recovery_failed": ("✗", "#e0463a"),
    "running": ("▶", "#3f86e8"),
    "cancelled": ("■", "#808a9a"),
}
_MAX_PLAIN_LENGTH = 10_000
_COMPONENT_COLUMNS = ("name", "plugin", "description")
_LEFT_ALIGNED = "style='text-align:left;vertical-align:top'"


def build_mime_bundle(value: Any) -> dict[str, str]:
    """Return a value in the two formats that notebooks use: HTML and its `repr` (limited to 10,000 characters)."""
    return {"text/html": format_html(value), "text/plain": cut(repr(value), _MAX_PLAIN_LENGTH)}


@singledispatch
def format_html(value: Any) -> str:
    """Return a value as HTML.

    Raises:
        TypeError: If values of this type have no HTML representation.
    """
    raise TypeError(f"{type(value).__name__} is not shown as HTML")


@format_html.register
def _format_flow_result(result: types.FlowResult) -> str:
    rows: list[tuple[str, object]] = [("run", result.run_id), ("status", result.status)]
    if result.error is not None:
        rows += [("step", result.error.step_id or ""), ("error", result.error.message)]
        rows += [("hint", result.error.hint)] if result.error.hint else []
    else:
        rows.append(("output", result.output))
    return _format_fields_table(rows)


@format_html.register
def _format_run_details(run: types.RunDetails) -> str:
    items = run.items
    counts = f"{items.completed} completed, {items.failed} failed, {items.running} running of {items.total}"
    rows = [("run", run.run_id), ("flow", run.flow_name or run.flow_id), ("status", run.status), ("items", counts)]
    return _format_fields_table([*rows, ("created", run.created_at or ""), ("completed", run.completed_at or "")])


@format_html.register(RunHandle)
@format_html.register(SyncRunHandle)
def _format_run_handle(handle: RunHandle | SyncRunHandle) -> str:
    # Displaying an object must not send requests.
    return _format_fields_table([("run", handle.run_id), ("server", handle.client.url)])


@format_html.register
def _format_run_arguments(arguments: types.RunArguments) -> str:
    inputs = arguments.inputs
    rows: list[tuple[str, object]] = [("run", arguments.run_id)]
    rows += [("input", inputs[0] if inputs is not None and len(inputs) == 1 else inputs)]
    rows += [("variables", arguments.variables), ("overrides", arguments.overrides)]
    if arguments.rerun_of is not None:
        rows += [("rerun of", arguments.rerun_of), ("kept", ", ".join(arguments.kept))]
    return _format_fields_table([*rows, ("labels", arguments.labels), ("note", arguments.note)])


@format_html.register
def _format_run_item(item: types.RunItem) -> str:
    value = ("error", item.error.message) if item.error else ("output", item.output)
    return _format_fields_table([("item", item.index), ("status", item.status), value])


@format_html.register
def _format_step_details(step: types.StepDetails) -> str:
    value = ("error", step.error.message) if step.error else ("output", step.output)
    rows: list[tuple[str, object]] = [("step", step.step_id), ("component", step.component)]
    rows += [("item", step.item_index), ("status", "kept" if step.is_kept else step.status)]
    if step.started_at is not None:
        rows += [("started", step.started_at), ("seconds", step.duration), ("attempts", step.attempts)]
    return _format_fields_table([*rows, value])


@format_html.register
def _format_component_info(component: types.ComponentInfo) -> str:
    rows: list[tuple[str, object]] = [("component", component.path or component.name), ("plugin", component.plugin)]
    rows += [("description", component.description)]
    rows += [("input", component.input_schema), ("output", component.output_schema)]
    return _format_fields_table([row for row in rows if row[1] is not None])


@format_html.register
def _format_validation_result(result: types.ValidationResult) -> str:
    rows = [("valid", "yes" if result.is_valid else "no")]
    for diagnostic in result.diagnostics:
        rows.append((diagnostic.level.value, f"{diagnostic.path}: {diagnostic.message}"))
    return _format_fields_table(rows)


# Register it explicitly, because `Listing[Any]` is a separate class that no listing derives from.
@format_html.register(Listing)
def _format_listing(listing: Listing[Any]) -> str:
    *columns, what = listing._get_shown_columns()
    return _format_records_table(listing._get_entries(), columns, what)


@format_html.register
def _format_run_items(items: types.RunItems) -> str:
    return _format_records_table(items, ITEM_COLUMNS, "items")


@format_html.register
def _format_component_list(components: types.ComponentList) -> str:
    return _format_records_table(components, _COMPONENT_COLUMNS, "components")


@format_html.register
def _format_run_comparison(comparison: types.RunComparison) -> str:
    return _format_records_table(comparison.differences, ("path", "kind", "a", "b"), "differences")


@format_html.register
def _format_run_account(account: types.RunAccount) -> str:
    steps = _format_records_table(account.steps, ("step_id", "text", "component", "error.message"), "steps")
    return f"<div>{escape(account.text)}</div>{steps}"


@format_html.register
def _format_outcome(outcome: types.Outcome) -> str:
    value = ("error", outcome.error.message) if outcome.error else ("output", outcome.output)
    rows: list[tuple[str, object]] = [("input", outcome.index if outcome.key is None else outcome.key)]
    rows += [("run", outcome.run_id), ("status", outcome.status), ("duration", outcome.duration)]
    return _format_fields_table([*rows, value])


_COLUMNS_BY_TYPE: dict[type, tuple[Sequence[str], str]] = {
    types.Outcome: (("index", "key", "status", "duration", "output", "error.message"), "outcomes"),
    types.FlowResult: (("run_id", "status", "output", "error.message"), "results"),
    types.RunItem: (ITEM_COLUMNS, "items"),
    types.RunDetails: (types.ListRunsResponse._shown[:-1], "runs"),
    types.StepDetails: (types.ListStepsResponse._timed[:-1], "steps"),
    types.ComponentInfo: (_COMPONENT_COLUMNS, "components"),
}


def format_list_html(values: Sequence[Any]) -> str | None:
    """Return a list of objects as HTML, or None if their classes differ or have no columns."""
    for cls, (columns, noun) in _COLUMNS_BY_TYPE.items():
        if all(isinstance(value, cls) for value in values):
            return _format_records_table(values, columns, noun)
    return None


@format_html.register
def _format_run_snapshot(snapshot: types.RunSnapshot) -> str:
    return format_html(RunReport(mask_snapshot(snapshot)))


@format_html.register
def _format_run_report(report: RunReport) -> str:
    run, graph = report.run, ""
    if len(report.items) == 1:
        causes = [account.text for account in report.accounts.values() if account.kind is not None]
    else:
        causes = [str(group) for group in group_failures(report.items)[:MAX_GROUPS_SHOWN]]
    rows: list[tuple[str, object]] = [("run", run.run_id), ("flow", run.flow_name or run.flow_id)]
    rows.append(("status", run.status if run.text == run.status.value else run.text))
    rows += [("items", len(report.items)), ("duration", run.duration)]
    rows += [("cause", text) for text in causes]
    if report.flow:
        graph = draw(report.flow, statuses=find_worst_step_states(report))._repr_html_() or ""
    took = {(time.item_index, time.step_id): time.duration for time in report.times if report.was_run(time)}
    steps = []
    for step in report.steps:
        shown = {"step_id": step.step_id, "item_index": step.item_index}
        # Show the text only if it says more than the status.
        shown["status"] = step.status if step.text == step.status.value else step.text
        if report.was_run(step):
            shown |= {"duration": took.get((step.item_index, step.step_id)), "output": step.output, "error": step.error}
        steps.append(SimpleNamespace(**shown))
    columns = ("step_id", "status", "duration", "output", "error.message")
    table = _format_records_table(steps, columns if len(report.items) == 1 else ("item_index", *columns), "steps")
    left = _MAX_TABLE_BYTES - len((fields := _format_fields_table(rows)).encode()) - len(table.encode())
    return fields + (graph if len(graph.encode()) < left else "") + table


@format_html.register
def _format_stored_flow(stored: types.StoredFlow) -> str:
    """Draw a stored flow, hiding the values of secret variables."""
    drawing = draw(stored.flow)
    picture = drawing._repr_html_() or ""
    if len(picture.encode()) > _MAX_TABLE_BYTES:
        picture = f"<pre>{escape(repr(drawing))}; it is too large for a notebook: use draw(flow).html()</pre>"
    return f"<div>flow {escape(stored.flow_id)}</div>{picture}"


def _format_fields_table(fields: Iterable[tuple[str, object]]) -> str:
    """Format fields as a table. Text is shown as is, JSON values as trees."""
    rows = ""
    for name, value in fields:
        value = _format_if_duration(name, value)
        if isinstance(value, (dict, list)):
            cell = json_tree(value, limit=200, longest=_MAX_CELL_LENGTH)
        else:
            cell = _format_status(value) or escape(_format_value_as_text(value, 2_000))
        rows += f"<tr><th {_LEFT_ALIGNED}>{escape(name)}</th><td {_LEFT_ALIGNED}>{cell}</td></tr>"
    style = f"<style>{TREE_STYLE}</style>" if '<div class="js">' in rows else ""
    return f"<table>{rows}</table>{style}"


def _format_if_duration(name: str, value: object) -> object:
    """Format a duration for display. Return any other value unchanged."""
    return duration_text(value) if name in ("duration", "seconds") and value is not None else value


def _format_status(value: object) -> str:
    """Format a status as a mark, word and color for light and dark notebooks. Return an empty string for other
    values."""
    if not isinstance(value, types.ExecutionStatus):
        return ""
    mark, color = _STATUS_ICONS.get(value.value, ("", ""))
    return f"<b style='color:{color}'>{mark}</b> {escape(value.value)}" if mark else escape(value.value)


def _format_value_as_text(value: object, longest: int) -> str:
    if isinstance(value, datetime):
        return f"{value.astimezone():%Y-%m-%d %H:%M:%S %Z}"
    text = value if isinstance(value, str) else "" if value is None else short_json(value, longest)
    return cut(text, longest)


def _format_records_table(records: Sequence[Any], columns: Sequence[str], what: str) -> str:
    """Format the first 50 records as a table of their attributes (whose names can be dotted), with the total above
    it."""
    count = len(records)
    shown = min(count, _MAX_ROWS)
    above = f"{count} {what}" + (f", the first {shown}:" if shown < count else "")
    heads = "".join(f"<th {_LEFT_ALIGNED}>{escape(name.rpartition('.')[2])}</th>" for name in columns)
    size = min(_MAX_CELL_LENGTH, _MAX_TABLE_BYTES // 12 // max(1, shown) // len(columns) * 2)
    rows = []
    for place in range(shown):
        cells = []
        for name in columns:
            value = records[place]
            for part in name.split("."):
                value = getattr(value, part, None)
            value = _format_if_duration(name, value)
            text = _format_value_as_text(value, size)
            cell = _format_status(value) or escape(text)
            if len(text) > _MAX_LINE_LENGTH:
                # Collapse long text so that only the beginning shows.
                cell = f"<details><summary>{escape(cut(text, _MAX_LINE_LENGTH))}</summary>{escape(text)}</details>"
            cells.append(f"<td {_LEFT_ALIGNED}>{cell}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<div>{escape(above)}</div><table><tr>{heads}</tr>{''.join(rows)}</table>"
