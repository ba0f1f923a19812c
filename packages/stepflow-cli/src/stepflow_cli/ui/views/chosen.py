"""What happens to the runs that were ticked in the list: two are compared, any number cancelled or run again."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import InvalidArgumentError
from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

from ..security import form_fields
from ..site import Site, site_of
from .actions import shown_rerun

if TYPE_CHECKING:
    from stepflow_client import RunDetails


async def chosen(request: Request) -> Response:
    """Do what the pressed button says with the ticked runs. The guard has already accepted the form's token."""
    site, form = site_of(request), form_fields(request)
    # The name of a tick is the id of its run.
    run_ids = [_run_id(name) for name in form if name not in ("csrf", "action")]
    action = form.get("action", "")
    if action == "compare":
        if len(run_ids) != 2:
            raise InvalidArgumentError(f"a comparison needs two runs, and {len(run_ids)} are ticked")
        # The older run is on the left: the list has the newest first.
        return RedirectResponse(f"/runs/{run_ids[0]}/compare?with={run_ids[1]}", status_code=303)
    if action not in ("cancel", "rerun"):
        raise InvalidArgumentError("the form names no action")
    if not run_ids:
        raise InvalidArgumentError("no run is ticked")
    runs = [await site.run(run_id) for run_id in run_ids]
    return await (_cancel if action == "cancel" else _rerun)(site, runs)


async def _cancel(site: Site, runs: list[RunDetails]) -> Response:
    running = [run for run in runs if not run.is_finished]
    if not running:
        raise InvalidArgumentError("none of the ticked runs is running")
    for run in running:
        await site.client.cancel_run(run.run_id)
    return RedirectResponse("/runs", status_code=303)


async def _rerun(site: Site, runs: list[RunDetails]) -> Response:
    """Run what failed again, keeping the outputs of completed steps; of completed runs, all steps."""
    running = [run.run_id for run in runs if not run.is_finished]
    if running:
        raise InvalidArgumentError(f"run {running[0]} has not ended; cancel it first")
    started: list[str] = []
    for run in runs:
        is_unsuccessful = run.status in UNSUCCESSFUL_STATUSES
        handles = await site.client.start_rerun(run.run_id, keep="succeeded" if is_unsuccessful else "nothing")
        started += [each.run_id for each in handles]
    return shown_rerun(site, [run.run_id for run in runs], started)


def _run_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise InvalidArgumentError("a ticked run has no valid id") from None
