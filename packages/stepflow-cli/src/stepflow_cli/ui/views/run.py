"""The screen of a run with one item, or of an item of a batch; and the flow of a run."""

from __future__ import annotations

from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from stepflow_client import NotFoundError, RunDetails
from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

from ..item_urls import ItemUrls
from ..pictures import flow_lines, item_picture, span_of, timeline_of
from ..relations import attempts_of, creator_url
from ..reports import PARTS, ItemReport, read_item, report_of
from ..site import Site, index_in, site_of
from ..sorting import Order
from ..states import STATES, merged_codes
from ..steps import STEP_KEYS, SelectedStep, rows_of, selected_step
from .batches import MAX_RERUNS, show_batch

_MARKS = {"completed": "✓", "failed": "✗", "recovery_failed": "✗", "running": "▶", "cancelled": "■"}


async def run_page(request: Request) -> Response:
    """Show a run: of one item with its graph, timeline and selected step; of a batch with its items."""
    site = site_of(request)
    run = await site.run(request.path_params["run_id"])
    if run.items.total != 1:
        items = (await site.read(run.run_id, "items")).items or ()
        if len(items) != 1:
            return await show_batch(request, site, run)
    return await _show(request, site, run, 0)


async def item_page(request: Request) -> Response:
    """Show one item of a run."""
    site = site_of(request)
    run = await site.run(request.path_params["run_id"])
    return await _show(request, site, run, request.path_params["index"])


async def step_page(request: Request) -> Response:
    """Show an item with a step in the panel."""
    site = site_of(request)
    run = await site.run(request.path_params["run_id"])
    return await _show(request, site, run, item_of(request), request.path_params["step"])


async def run_flow_page(request: Request) -> Response:
    """Show the flow of a run with line numbers."""
    site = site_of(request)
    run = await site.run(request.path_params["run_id"])
    stored = (await site.client.get_run_flow(run.run_id)).without_secrets()
    return site.page(request, "run_flow", run=run, lines=flow_lines(stored.flow))


def item_of(request: Request) -> int:
    """Return the item that the URL names; the first one by default."""
    return index_in(request.query_params, "item") or 0


async def report_file(request: Request) -> Response:
    """Return the report of a run for download: one file that loads no others, without secret values."""
    site = site_of(request)
    snapshot = await site.read(request.path_params["run_id"], (*PARTS, "counts"))
    report = await report_of(site, snapshot)
    # The id is a UUID: nothing in it needs quotes.
    headers = {"content-disposition": f'attachment; filename="report-{snapshot.run_id}.html"'}
    return HTMLResponse(await run_in_threadpool(report.html), headers=headers)


async def found_item(site: Site, run: RunDetails, index: int) -> ItemReport:
    """Return an item of a run.

    Raises:
        NotFoundError: If the run has no such item.
    """
    found = await read_item(site, run, index)
    if found is None:
        raise NotFoundError(f"run {run.run_id} has no item {index}", status_code=404)
    return found


async def _show(request: Request, site: Site, run: RunDetails, index: int, step_id: str | None = None) -> Response:
    live = await site.followers.live_path(run)
    found = await found_item(site, run, index)
    query = request.query_params
    order = Order.of(query.get("sort", ""), STEP_KEYS)
    span = query.get("span", "") if span_of(query.get("span", "")) else ""
    urls = ItemUrls(run.run_id, index, found.total != 1, query.get("show") == "all", order.text, span)
    account = found.account
    has_failed = account is not None and account.kind not in (None, "cancelled")
    if step_id is None and query.get("panel") != "run" and account is not None and has_failed:
        # The screen opens at the cause of a failure.
        step_id = account.cause
    step = selected_step(found, step_id) if step_id is not None else None
    if step_id is not None and step is None:
        raise NotFoundError(f"the run has no step {step_id!r}", status_code=404)
    panel = await _panel_values(site, found, urls, step)
    if query.get("part") == "panel":
        # The browser has the rest of the page already.
        return site.page(request, "panel", **panel)
    rows, more_rows, slowest = rows_of(found, step_id, order, shows_all=urls.shows_all)
    shown = [row.account.step_id for row in rows]
    return site.page(
        request,
        "run",
        **panel,
        rows=rows,
        more_rows=more_rows,
        slowest=slowest,
        order=order,
        picture=await run_in_threadpool(item_picture, found.report, urls, step_id),
        timeline=await run_in_threadpool(timeline_of, found.report, urls, shown, step_id),
        attempts=await attempts_of(site, run.run_id, index, found.total, panel["status_of_item"]),
        creator=await creator_url(site, run),
        reruns=[entry.run_id for entry in site.reruns_of(run.run_id, MAX_RERUNS)],
        can_rerun=run.is_finished and run.status in UNSUCCESSFUL_STATUSES,
        live=live and (f"{live}?item={index}" if urls.is_batch else live),
    )


async def _panel_values(site: Site, found: ItemReport, urls: ItemUrls, step: SelectedStep | None) -> dict[str, Any]:
    run, item, given = found.report.run, found.item, found.report.given
    follower = site.followers.known(run.run_id)
    inputs = given.inputs if given is not None and given.inputs is not None else ()
    status, began, ended = run.status.value, run.created_at, run.completed_at
    if found.total != 1:
        # Servers report items when the whole run has ended, and no times of them.
        follower = await site.followers.of(run.run_id)
        code = follower.codes()[item.index : item.index + 1]
        state = STATES[merged_codes([item], code, is_cancelled=status == "cancelled")[0]]
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
        "total": found.total,
        "urls": urls,
        "given": given,
        "decoder_of": found.decoder_of,
        "input": inputs[item.index] if item.index < len(inputs) else None,
        "is_input_known": item.index < len(inputs),
        "account": found.account,
        "sub_runs": found.sub_runs,
        "lines": [line for line in found.lines if run.run_id in line.run_ids],
        "other_lines": sum(line.times for line in found.lines if run.run_id not in line.run_ids),
        "quiet": follower.quiet_since if follower is not None and not run.is_finished else None,
        "step": step,
    }
