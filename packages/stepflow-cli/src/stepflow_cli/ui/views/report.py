"""The report of a run, as a file."""

from __future__ import annotations

from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ..reports import flow_of, given_of, report_of, steps_of
from ..site import site_of


async def report_file(request: Request) -> Response:
    """Return the report of a run for download: one file that loads no others, without secret values."""
    site = site_of(request)
    run = await site.client.get_run(request.path_params["run_id"])
    stored = await flow_of(site, run)
    items = list(await site.client.get_run_items(run.run_id))
    report = await report_of(site, run, items, await steps_of(site, run), stored)
    report = replace(report, given=await given_of(site, run, stored))
    # The id is a UUID: nothing in it needs quotes.
    headers = {"content-disposition": f'attachment; filename="report-{run.run_id}.html"'}
    return HTMLResponse(await run_in_threadpool(report.html), headers=headers)
