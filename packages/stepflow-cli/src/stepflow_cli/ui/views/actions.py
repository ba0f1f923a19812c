"""Views that change runs, or create a link. The guard has already accepted the form's token."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import InvalidArgumentError, NotFoundError, RunDetails
from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

from ..security import get_form_fields, match_page_path
from ..site import Site, get_site

# Maximum number of runs whose state is shown.
_MAX_RUNS = 200


async def cancel(request: Request) -> Response:
    """Cancel a run."""
    run_id = request.path_params["run_id"]
    await get_site(request).client.cancel_run(run_id)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


@dataclass(frozen=True)
class Rerun:
    """A rerun that consists of any number of runs but one."""

    earlier_ids: Sequence[str]
    """The runs that were run again."""
    run_ids: Sequence[str]

    async def runs(self, site: Site) -> list[RunDetails]:
        """Return the runs."""
        return [await site.client.get_run(run_id) for run_id in self.run_ids[:_MAX_RUNS]]


async def rerun(request: Request) -> Response:
    """Run the failed parts of a run again; the outputs of completed steps are kept."""
    site, run_id = get_site(request), request.path_params["run_id"]
    handles = await site.client.start_rerun(run_id, keep="succeeded")
    return redirect_to_rerun(site, [run_id], [handle.run_id for handle in handles])


def redirect_to_rerun(site: Site, earlier_ids: Sequence[str], run_ids: Sequence[str]) -> Response:
    """Redirect to the run of a rerun, or to the list of its runs."""
    if len(run_ids) == 1:
        return RedirectResponse(f"/runs/{run_ids[0]}", status_code=303)
    key = secrets.token_urlsafe(8)
    site.reruns[key] = Rerun(earlier_ids, run_ids)
    return RedirectResponse(f"/reruns/{key}", status_code=303)


async def rerun_page(request: Request) -> Response:
    """Show the runs of a rerun."""
    site, key = get_site(request), request.path_params["key"]
    again = site.reruns.get(key)
    if again is None:
        raise NotFoundError("no run was run again under this address", status_code=404)
    runs = await again.runs(site)
    live = "" if all(run.is_finished for run in runs) else f"/live/reruns/{key}"
    return site.page(request, "rerun", again=again, runs=runs, live=live)


async def act_on_selection(request: Request) -> Response:
    """Compare, cancel or rerun the ticked runs of the list, as the pressed button says."""
    site, form = get_site(request), get_form_fields(request)
    try:
        # The name of a tick is the id of its run.
        run_ids = [str(UUID(name)) for name in form if name not in ("csrf", "action")]
    except ValueError:
        raise InvalidArgumentError("a ticked run has no valid id") from None
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
    running = [run.run_id for run in runs if not run.is_finished]
    if action == "cancel":
        if not running:
            raise InvalidArgumentError("none of the ticked runs is running")
        for run_id in running:
            await site.client.cancel_run(run_id)
        return RedirectResponse("/runs", status_code=303)
    if running:
        raise InvalidArgumentError(f"run {running[0]} has not ended; cancel it first")
    started: list[str] = []
    for run in runs:
        # Of completed runs, all steps are run again.
        is_unsuccessful = run.status in UNSUCCESSFUL_STATUSES
        handles = await site.client.start_rerun(run.run_id, keep="succeeded" if is_unsuccessful else "nothing")
        started += [handle.run_id for handle in handles]
    return redirect_to_rerun(site, run_ids, started)


async def create_link(request: Request) -> Response:
    """Show a link to a page with the token for the next browser."""
    to = get_form_fields(request).get("to", "")
    if match_page_path(to) is None:
        raise InvalidArgumentError("the form names no page")
    state = request.app.state
    link = f"{request.base_url}?{urlencode({'token': state.sessions.token, 'to': to})}"
    return get_site(request).page(request, "link", link=link, to=to, is_exposed=state.addresses.is_exposed)
