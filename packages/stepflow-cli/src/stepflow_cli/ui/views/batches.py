"""A run with many items."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from ..pictures import picture_of, timeline_of
from ..reports import MOST_DRAWN_ITEMS, flow_of, given_of, report_of, steps_of
from ..site import Site
from .runs import PAGE, number_of

if TYPE_CHECKING:
    from stepflow_client import RunDetails, RunItem


async def show_batch(request: Request, site: Site, run: RunDetails, items: list[RunItem]) -> Response:
    """Return the page of a run with any number of items but one."""
    stored = await flow_of(site, run)
    counts = Counter(item.status.value for item in items)
    wanted = request.query_params.get("status", "")
    number = number_of(request, "page")
    places = [place for place, item in enumerate(items) if not wanted or item.status.value == wanted]
    steps = await steps_of(site, run) if len(items) <= MOST_DRAWN_ITEMS else []
    shown = [items[place] for place in places[(number - 1) * PAGE : number * PAGE]]
    report = await report_of(site, run, shown, steps, stored)
    given = await given_of(site, run, stored)
    report = replace(report, given=given) if len(items) <= MOST_DRAWN_ITEMS else report
    return site.page(
        request,
        "batch",
        run=run,
        total=len(items),
        given=given,
        inputs=given.inputs if given.inputs is not None and len(given.inputs) == len(items) else None,
        items=report.items,
        counts=counts.most_common(),
        wanted=wanted,
        number=number,
        found=len(places),
        pages=max(1, -(-len(places) // PAGE)),
        has_steps=len(items) <= MOST_DRAWN_ITEMS,
        # The colours are those of all items, not only of the shown ones.
        picture=await run_in_threadpool(picture_of, replace(report, items=list(items)) if steps else report),
        timeline=await run_in_threadpool(timeline_of, report) if len(items) <= PAGE else "",
        can_rerun=run.is_finished and run.status.value in ("failed", "cancelled", "recovery_failed"),
        live="" if run.is_finished else f"/live/runs/{run.run_id}",
    )
