"""The screen of a run with one item, or of an item of a batch; and the flow of a run."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from stepflow_client import NotFoundError, RunDetails
from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

from ..item_urls import ItemUrls
from ..pictures import draw_item_graph, draw_run_timeline, format_flow_lines, parse_span
from ..relations import find_creator, list_attempts
from ..reports import PARTS, ItemReport, build_report, read_item
from ..site import Site, get_site, parse_index
from ..sorting import Order
from ..states import STATES, merge_states
from ..steps import STEP_KEYS, SelectedStep, build_step_rows, find_step
from .batches import MAX_RERUNS, show_batch

_MARKS = {"completed": "✓", "failed": "✗", "recovery_failed": "✗", "running": "▶", "cancelled": "■"}


async def run_page(request: Request) -> Response:
    """Show a run: of one item with its graph, timeline and selected step; of a batch with its items."""
    site = get_site(request)
    run = await site.run(request.path_params["run_id"])
    if run.items.total != 1:
        items = (await site.read(run.run_id, "items")).items or ()
        if len(items) != 1:
            return await show_batch(request, site, run)
    return await _show(request, site, run, 0)


async def item_page(request: Request) -> Response:
    """Show one item of a run."""
    site = get_site(request)
    run = await site.run(request.path_params["run_id"])
    return await _show(request, site, run, request.path_params["index"])


async def step_page(request: Request) -> Response:
    """Show an item with a step in the panel."""
    site = get_site(request)
    run = await site.run(request.path_params["run_id"])
    return await _show(request, site, run, parse_item_index(request), request.path_params["step"])


async def run_flow_page(request: Request) -> Response:
    """Show the flow of a run with line numbers."""
    site = get_site(request)
    run = await site.run(request.path_params["run_id"])
    stored = (await site.client.get_run_flow(run.run_id)).without_secrets()
    return site.page(request, "run_flow", run=run, lines=format_flow_lines(stored.flow))


def parse_item_index(request: Request) -> int:
    """Return the item that the URL names; the first one by default."""
    return parse_index(request.query_params, "item") or 0


async def report_file(request: Request) -> Response:
    """Return the report of a run for download: one file that loads no others, without secret values."""
    site = get_site(request)
    snapshot = await site.read(request.path_params["run_id"], (*PARTS, "counts"))
    report = await build_report(site, snapshot)
    # The id is a UUID: nothing in it needs quotes.
    headers = {"content-disposition": f'attachment; filename="report-{snapshot.run_id}.html"'}
    return HTMLResponse(await run_in_threadpool(report.html), headers=headers)


async def require_item(site: Site, run: RunDetails, index: int) -> ItemReport:
    """Return an item of a run.

    Raises:
        NotFoundError: If the run has no such item.
    """
    item_report = await read_item(site, run, index)
    if item_report is None:
        raise NotFoundError(f"run {run.run_id} has no item {index}", status_code=404)
    return item_report


async def _show(request: Request, site: Site, run: RunDetails, index: int, step_id: str | None = None) -> Response:
    live = await site.followers.live_path(run)
    item_report = await require_item(site, run, index)
    query = request.query_params
    order = Order.of(query.get("sort", ""), STEP_KEYS)
    span = query.get("span", "") if parse_span(query.get("span", "")) else ""
    urls = ItemUrls(run.run_id, index, item_report.total != 1, query.get("show") == "all", order.text, span)
    account = item_report.account
    has_failed = account is not None and account.kind not in (None, "cancelled")
    if step_id is None and query.get("panel") != "run" and account is not None and has_failed:
        # The screen opens at the cause of a failure.
        step_id = account.cause
    step = find_step(item_report, step_id) if step_id is not None else None
    if step_id is not None and step is None:
        raise NotFoundError(f"the run has no step {step_id!r}", status_code=404)
    panel = await _panel_values(site, item_report, urls, step)
    if query.get("part") == "panel":
        # The browser has the rest of the page already.
        return site.page(request, "panel", **panel)
    rows, more_rows, slowest = build_step_rows(item_report, step_id, order, shows_all=urls.shows_all)
    shown = [row.account.step_id for row in rows]
    return site.page(
        request,
        "run",
        **panel,
        rows=rows,
        more_rows=more_rows,
        slowest=slowest,
        order=order,
        picture=await run_in_threadpool(draw_item_graph, item_report.report, urls, step_id),
        timeline=await run_in_threadpool(draw_run_timeline, item_report.report, urls, shown, step_id),
        attempts=await list_attempts(site, run.run_id, index, item_report.total, panel["status_of_item"]),
        creator=await find_creator(site, run),
        reruns=[entry.run_id for entry in site.list_reruns(run.run_id, MAX_RERUNS)],
        can_rerun=run.is_finished and run.status in UNSUCCESSFUL_STATUSES,
        live=live and (f"{live}?item={index}" if urls.is_batch else live),
    )


async def _panel_values(
    site: Site, item_report: ItemReport, urls: ItemUrls, step: SelectedStep | None
) -> dict[str, Any]:
    run, item, given = item_report.report.run, item_report.item, item_report.report.given
    follower = site.followers.find(run.run_id)
    inputs = given.inputs if given is not None and given.inputs is not None else ()
    status, began, ended = run.status.value, run.created_at, run.completed_at
    if item_report.total != 1:
        # Servers report items when the whole run has ended, and no times of them.
        follower = await site.followers.get(run.run_id)
        code = follower.get_codes()[item.index : item.index + 1]
        state = STATES[merge_states([item], code, is_cancelled=status == "cancelled")[0]]
        has_ended = state in _MARKS and state != "running"
        status = state if has_ended or not run.is_finished else status
        time = next((item_time for item_time in follower.item_times() if item_time.index == item.index), None)
        began, ended = (time.start, time.end if has_ended else None) if time is not None else (None, None)
    return {
        "run": run,
        "item": item,
        "status_of_item": status,
        "began": began,
        "ended": ended,
        "shape": _MARKS.get(status, ""),
        "total": item_report.total,
        "urls": urls,
        "given": given,
        "decoder_of": item_report.get_decoder,
        "input": inputs[item.index] if item.index < len(inputs) else None,
        "is_input_known": item.index < len(inputs),
        "account": item_report.account,
        "sub_runs": item_report.sub_runs,
        "lines": [line for line in item_report.lines if run.run_id in line.run_ids],
        "other_lines": sum(line.times for line in item_report.lines if run.run_id not in line.run_ids),
        "quiet": follower.quiet_since if follower is not None and not run.is_finished else None,
        "step": step,
    }
