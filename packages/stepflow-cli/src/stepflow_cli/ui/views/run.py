"""A run with one item, an item of a batch, and the flow of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ..pictures import flow_lines, picture_of, timeline_of
from ..reports import MOST_DRAWN_ITEMS, MOST_STEPS, account_of, durations_of, flow_of, given_of, report_of, steps_of
from ..site import Site, site_of
from .batches import show_batch

if TYPE_CHECKING:
    from stepflow_client import RunDetails, RunItem


async def run_page(request: Request) -> Response:
    """Show a run: of one item with its graph, timeline and steps; of a batch with its items."""
    site = site_of(request)
    run = await site.run(request.path_params["run_id"])
    items = list(await site.client.get_run_items(run.run_id))
    if len(items) != 1:
        return await show_batch(request, site, run, items)
    return await _show_run(request, site, run, items)


async def _show_run(request: Request, site: Site, run: RunDetails, items: list[RunItem]) -> Response:
    live = await site.followers.live_path(run)
    stored = await flow_of(site, run)
    report = await report_of(site, run, items, await steps_of(site, run), stored)
    given = await given_of(site, run, stored)
    report = replace(report, given=given)
    return site.page(
        request,
        "run",
        run=run,
        given=given,
        item=report.items[0],
        steps=report.steps[:MOST_STEPS],
        times=durations_of(report),
        account=account_of(report),
        picture=await run_in_threadpool(picture_of, report),
        timeline=await run_in_threadpool(timeline_of, report),
        can_rerun=run.is_finished and run.status.value in ("failed", "cancelled", "recovery_failed"),
        live=live,
    )


async def item_page(request: Request) -> Response:
    """Show one item of a run: its steps with their outputs, and its error."""
    from stepflow_client import NotFoundError

    site = site_of(request)
    run = await site.run(request.path_params["run_id"])
    items = list(await site.client.get_run_items(run.run_id))
    index = request.path_params["index"]
    if index >= len(items):
        raise NotFoundError(f"run {run.run_id} has no item {index}", status_code=404)
    live = await site.followers.live_path(run)
    stored = await flow_of(site, run)
    steps = await steps_of(site, run, index)
    report = await report_of(site, run, [items[index]], steps, stored, is_timed=len(items) <= MOST_DRAWN_ITEMS)
    given = await given_of(site, run, stored)
    report, inputs = replace(report, given=given), given.inputs
    return site.page(
        request,
        "item",
        run=run,
        item=report.items[0],
        total=len(items),
        inputs=inputs if inputs is not None and len(inputs) == len(items) else None,
        steps=report.steps[:MOST_STEPS],
        times={each.step_id: each for each in report.times if each.item_index == index and report.was_run(each)},
        account=account_of(report),
        picture=await run_in_threadpool(picture_of, report),
        live=live and f"{live}?item={index}",
    )


async def run_flow_page(request: Request) -> Response:
    """Show the flow of a run with line numbers."""
    site = site_of(request)
    run = await site.run(request.path_params["run_id"])
    stored = (await site.client.get_run_flow(run.run_id)).without_secrets()
    return site.page(request, "run_flow", run=run, lines=flow_lines(stored.flow))
