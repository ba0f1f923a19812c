"""Show a run (whether it has one item or many), its steps and its flow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from stepflow_client import NotFoundError, RunDetails, RunItem
from stepflow_client._base.text_formatting import short_json
from stepflow_client._command import MAX_GROUPS_SHOWN, group_failures
from stepflow_client.drawing.report_page import build_latency_html
from stepflow_client.types.run_explanation import count_failed_in_sub_runs
from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

from ..graphs_and_timelines import draw_item_graph, draw_run_graph, draw_run_timeline, parse_timeline_span
from ..item_attempts import list_item_attempts
from ..item_page_data import ITEM_PAGE_PARTS, MAX_DRAWN_ITEMS, ItemReport, build_masked_report, read_item_report
from ..links import ItemUrls
from ..run_followers import STATES, format_state_ranges, merge_statuses_with_event_codes
from ..run_list import PAGE, SortOrder
from ..site_state import Site, get_site, parse_query_index_or_none
from ..step_rows import STEP_SORT_KEYS, SelectedStep, build_step_rows, find_selected_step_details, find_sub_run_creator
from .flows import format_sorted_flow_yaml_lines
from .runs import parse_number_parameter

MAX_RERUNS = 20
"""Maximum number of reruns listed on a page."""
# Events for thousands of items take seconds to arrive, so don't wait for all of them. The page will update itself.
_CATCH_UP_SECONDS = 0.5


async def _render_multi_item_run_page(request: Request, site: Site, run: RunDetails) -> Response:
    """Show the page for a run that doesn't have exactly one item."""
    live = await site.followers.get_live_stream_path(run, _CATCH_UP_SECONDS)
    follower = await site.followers.get_or_create_follower(run.run_id)
    await follower.wait_for_past_events(_CATCH_UP_SECONDS)
    is_small, is_finished = run.items.total <= MAX_DRAWN_ITEMS, run.is_finished
    # Servers don't report items until the whole run has ended, so don't request the items of a large batch before then.
    left_out = [*(() if is_small or is_finished else ("items",)), *(() if is_small else ("steps",))]
    snapshot = await site.read_snapshot(run.run_id, [part for part in ITEM_PAGE_PARTS if part not in left_out])
    progress, followed, times = follower.get_progress(), follower.get_item_state_codes(), follower.list_item_times()
    items = list(snapshot.items or ())
    if not is_finished:
        # The follower fetches errors separately until the run ends.
        total, errors = max(run.items.total, len(followed)), follower.get_item_errors()
        items = items or [RunItem(index=index, status=run.status) for index in range(total)]
        items = [replace(item, error=errors.get(item.index, item.error)) for item in items]
    report = await build_masked_report(site, replace(snapshot, items=items))
    items, given, steps = list(report.items), report.given, report.steps
    codes = merge_statuses_with_event_codes(items, followed, is_cancelled=run.status.value == "cancelled")
    groups = group_failures(items)
    recorded = site.history.get(run.run_id)
    numbers_of = recorded.rerun_items if recorded is not None else ()
    # If the steps weren't read, we can't tell from the items alone which steps to color.
    accounts = report.accounts if steps else {}
    drawn = report if steps else replace(report, snapshot=replace(report.snapshot, items=()))
    inputs = given.inputs if given and given.inputs is not None and len(given.inputs) == len(items) else None
    seconds = {time.index: time.duration for time in times}
    # Filter the table's items by group or status, then sort them.
    keys = _build_item_sort_keys(items, codes, seconds, inputs or ())
    query, number = request.query_params, parse_number_parameter(request, "page")
    order, group, status = SortOrder.parse(query.get("sort", ""), keys), query.get("group", ""), query.get("status", "")
    places: Sequence[int] = range(len(codes))
    if group:
        places, status = next((failed.indexes for failed in groups if failed.key == group), []), ""
    elif status:
        places = [place for place, code in enumerate(codes) if STATES[code] == status]
    places = order.sort_rows(places, keys)
    # Until the run ends, also list the states that no item has reached yet.
    counts, may_come = Counter(codes), () if is_finished else STATES[:-1]
    durations = build_latency_html(times, lambda item: f"/runs/{run.run_id}/items/{item.index}") if is_finished else ""
    return site.render(
        request,
        "batch",
        run=run,
        status_text=report.run.text,
        total=len(items),
        given=given,
        inputs=inputs,
        progress=progress,
        has_events=(await site.client.server_info()).capabilities.get("events"),
        groups=groups[:MAX_GROUPS_SHOWN],
        group_count=len(groups),
        numbers_of=numbers_of if len(numbers_of) == len(items) else (),
        creator=await find_sub_run_creator(site, run),
        reruns=site.list_recorded_reruns(run.run_id, MAX_RERUNS),
        unread=0 if is_finished else codes.count(STATES.index("failed")) - sum(len(each.indexes) for each in groups),
        seconds=seconds,
        # This is safe because `build_latency_html` only emits numbers, and a run's path doesn't need quoting.
        durations=Markup(durations),  # noqa: S704
        failed_children={index: count_failed_in_sub_runs(account.steps) for index, account in accounts.items()},
        items=[items[place] for place in places[(number - 1) * PAGE : number * PAGE]],
        codes=codes,
        states=STATES,
        ranges=format_state_ranges(codes),
        counts=[(state, counts[code]) for code, state in enumerate(STATES) if counts[code] or state in may_come],
        chosen={"status": status, "group": group, "sort": order.url_text},
        item_count=len(places),
        order=order,
        number=number,
        pages=max(1, -(-len(places) // PAGE)),
        has_steps=bool(steps),
        picture=await run_in_threadpool(draw_run_graph, drawn),
        timeline=await run_in_threadpool(draw_run_timeline, report) if len(items) <= PAGE else "",
        can_rerun=is_finished and run.status in UNSUCCESSFUL_STATUSES,
        live=live,
    )


def _build_item_sort_keys(
    items: Sequence[RunItem], codes: bytes, seconds: Mapping[int, float], inputs: Sequence[Any]
) -> dict[str, Callable[[int], Any]]:
    def get_result_text(place: int) -> str | None:
        item = items[place]
        text = short_json(item.output, 160) if item.status.is_finished else ""
        return (item.error.message if item.error else text) or None

    return {
        "item": lambda place: place,
        "status": lambda place: STATES[codes[place]],
        "step": lambda place: getattr(items[place].error, "step_id", None),
        "duration": lambda place: seconds.get(items[place].index),
        "input": lambda place: short_json(inputs[place], 160) if inputs else None,
        "result": get_result_text,
    }


_STATUS_ICONS = {"completed": "✓", "failed": "✗", "recovery_failed": "✗", "running": "▶", "cancelled": "■"}


async def run_page(request: Request) -> Response:
    """Show a run. A single item is shown with its graph, timeline and selected step, a batch as a list of items."""
    site = get_site(request)
    run = await site.read_run_details(request.path_params["run_id"])
    if run.items.total != 1:
        items = (await site.read_snapshot(run.run_id, "items")).items or ()
        if len(items) != 1:
            return await _render_multi_item_run_page(request, site, run)
    return await _render_item_page(request, site, run, 0)


async def item_page(request: Request) -> Response:
    """Show one item of a run."""
    site = get_site(request)
    run = await site.read_run_details(request.path_params["run_id"])
    return await _render_item_page(request, site, run, request.path_params["index"])


async def step_page(request: Request) -> Response:
    """Show an item with one of its steps in the panel."""
    site = get_site(request)
    run = await site.read_run_details(request.path_params["run_id"])
    return await _render_item_page(request, site, run, parse_item_index_or_zero(request), request.path_params["step"])


async def run_flow_page(request: Request) -> Response:
    """Show a run's flow with line numbers."""
    site = get_site(request)
    run = await site.read_run_details(request.path_params["run_id"])
    stored = (await site.client.get_run_flow(run.run_id)).without_secrets()
    return site.render(request, "run_flow", run=run, lines=format_sorted_flow_yaml_lines(stored.flow))


def parse_item_index_or_zero(request: Request) -> int:
    """Return the item index from the URL, or 0 (the first item) if the URL doesn't have one."""
    return parse_query_index_or_none(request.query_params, "item") or 0


async def download_run_report(request: Request) -> Response:
    """Download a run's report as a self-contained HTML file, with secrets masked."""
    site = get_site(request)
    snapshot = await site.read_snapshot(request.path_params["run_id"], (*ITEM_PAGE_PARTS, "counts"))
    report = await build_masked_report(site, snapshot)
    # The ID is a UUID, so it doesn't need quoting.
    headers = {"content-disposition": f'attachment; filename="report-{snapshot.run_id}.html"'}
    return HTMLResponse(await run_in_threadpool(report.html), headers=headers)


async def read_item_or_404(site: Site, run: RunDetails, index: int) -> ItemReport:
    """Return an item's report, like `read_item_report`, but raise an error if there is no such item.

    Raises:
        NotFoundError: If the run has no such item.
    """
    item_report = await read_item_report(site, run, index)
    if item_report is None:
        raise NotFoundError(f"run {run.run_id} has no item {index}", status_code=404)
    return item_report


async def _render_item_page(
    request: Request, site: Site, run: RunDetails, index: int, step_id: str | None = None
) -> Response:
    live = await site.followers.get_live_stream_path(run)
    item_report = await read_item_or_404(site, run, index)
    query = request.query_params
    order = SortOrder.parse(query.get("sort", ""), STEP_SORT_KEYS)
    span = query.get("span", "") if parse_timeline_span(query.get("span", "")) else ""
    urls = ItemUrls(run.run_id, index, item_report.total != 1, query.get("show") == "all", order.url_text, span)
    account = item_report.account
    has_failed = account is not None and account.kind not in (None, "cancelled")
    if step_id is None and query.get("panel") != "run" and account is not None and has_failed:
        # Show the step that caused the failure.
        step_id = account.cause
    step = find_selected_step_details(item_report, step_id) if step_id is not None else None
    if step_id is not None and step is None:
        raise NotFoundError(f"the run has no step {step_id!r}", status_code=404)
    panel = await _build_panel_values(site, item_report, urls, step)
    if query.get("part") == "panel":
        # Send only the panel, because the browser already has the rest of the page.
        return site.render(request, "panel", **panel)
    rows, more_rows, slowest = build_step_rows(item_report, step_id, order, shows_all=urls.shows_all)
    shown = [row.account.step_id for row in rows]
    return site.render(
        request,
        "run",
        **panel,
        rows=rows,
        more_rows=more_rows,
        slowest=slowest,
        order=order,
        picture=await run_in_threadpool(draw_item_graph, item_report.report, urls, step_id),
        timeline=await run_in_threadpool(draw_run_timeline, item_report.report, urls, shown, step_id),
        attempts=await list_item_attempts(site, run.run_id, index, item_report.total, panel["status_of_item"]),
        creator=await find_sub_run_creator(site, run),
        reruns=[entry.run_id for entry in site.list_recorded_reruns(run.run_id, MAX_RERUNS)],
        can_rerun=run.is_finished and run.status in UNSUCCESSFUL_STATUSES,
        live=live and (f"{live}?item={index}" if urls.is_batch else live),
    )


async def _build_panel_values(
    site: Site, item_report: ItemReport, urls: ItemUrls, step: SelectedStep | None
) -> dict[str, Any]:
    run, item, given = item_report.report.run, item_report.item, item_report.report.given
    follower = site.followers.find_follower(run.run_id)
    inputs = given.inputs if given is not None and given.inputs is not None else ()
    status, began, ended = run.status.value, run.created_at, run.completed_at
    if item_report.total != 1:
        # Servers don't report items until the whole run has ended, and they never report when items started or ended.
        follower = await site.followers.get_or_create_follower(run.run_id)
        code = follower.get_item_state_codes()[item.index : item.index + 1]
        state = STATES[merge_statuses_with_event_codes([item], code, is_cancelled=status == "cancelled")[0]]
        has_ended = state in _STATUS_ICONS and state != "running"
        status = state if has_ended or not run.is_finished else status
        time = next((item_time for item_time in follower.list_item_times() if item_time.index == item.index), None)
        began, ended = (time.start, time.end if has_ended else None) if time is not None else (None, None)
    return {
        "run": run,
        "item": item,
        "status_of_item": status,
        "began": began,
        "ended": ended,
        "shape": _STATUS_ICONS.get(status, ""),
        "total": item_report.total,
        "urls": urls,
        "given": given,
        "decoder_of": item_report.get_value_decoder,
        "input": inputs[item.index] if item.index < len(inputs) else None,
        "is_input_known": item.index < len(inputs),
        "account": item_report.account,
        "sub_runs": item_report.sub_runs,
        "lines": [line for line in item_report.lines if run.run_id in line.run_ids],
        "other_lines": sum(line.times for line in item_report.lines if run.run_id not in line.run_ids),
        "quiet": follower.quiet_since if follower is not None and not run.is_finished else None,
        "step": step,
    }
