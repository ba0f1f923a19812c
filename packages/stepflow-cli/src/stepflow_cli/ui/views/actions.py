"""Views that cancel and rerun runs, or create access links.

Before any of these views is called, the guard has verified the form token.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import ConflictError, InvalidArgumentError, NotFoundError, RunDetails, StepflowClientError
from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

from ..security import get_accepted_form, parse_page_path_or_none
from ..site_state import Site, get_site

# Maximum number of runs to fetch for a rerun.
_MAX_RUNS = 200


async def cancel_run(request: Request) -> Response:
    """Cancel a run."""
    run_id = request.path_params["run_id"]
    await get_site(request).client.cancel_run(run_id)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


@dataclass(frozen=True)
class MultiRunRerun:
    """A rerun that started several runs (or none) and therefore needs its own page."""

    earlier_ids: Sequence[str]
    """The runs that were rerun."""
    run_ids: Sequence[str]

    async def fetch_started_runs(self, site: Site) -> list[RunDetails]:
        """Fetch the current state of the runs started by the rerun."""
        return [await site.client.get_run(run_id) for run_id in self.run_ids[:_MAX_RUNS]]


async def rerun_failed_parts(request: Request) -> Response:
    """Rerun the parts of a run that failed, keeping the outputs of completed steps."""
    site, run_id = get_site(request), request.path_params["run_id"]
    return redirect_to_started_runs(site, [run_id], await _start_runs_of_rerun(site, run_id, keep="succeeded"))


async def _start_runs_of_rerun(
    site: Site, run_id: str, keep: Literal["nothing", "succeeded"], already_started: Sequence[str] = ()
) -> list[str]:
    """Rerun a run with its original arguments and return the IDs of the runs that were started."""
    try:
        return [handle.run_id for handle in await site.client.start_rerun(run_id, keep=keep)]
    except StepflowClientError as error:
        if error.hint is not None and error.hint.startswith("pass "):
            error.hint = f"enter the missing values with 'Change and run' on the page of run {run_id}"
        if already_started:
            # Without this, users would try again and rerun the earlier runs twice.
            hint = f"these reruns of other selected runs were started: {', '.join(already_started)}"
            error.hint = hint if error.hint is None else f"{error.hint}; {hint}"
        raise


def redirect_to_started_runs(site: Site, earlier_ids: Sequence[str], run_ids: Sequence[str]) -> Response:
    """Redirect to the run that a rerun started, or to a list of runs if it didn't start exactly one."""
    if len(run_ids) == 1:
        return RedirectResponse(f"/runs/{run_ids[0]}", status_code=303)
    key = secrets.token_urlsafe(8)
    site.reruns.put_newest(key, MultiRunRerun(earlier_ids, run_ids))
    return RedirectResponse(f"/reruns/{key}", status_code=303)


async def started_runs_page(request: Request) -> Response:
    """Show a list of the runs started by a rerun."""
    site, key = get_site(request), request.path_params["key"]
    again = site.reruns.get(key)
    if again is None:
        raise NotFoundError("there is no rerun at this address", status_code=404)
    runs = await again.fetch_started_runs(site)
    live = "" if all(run.is_finished for run in runs) else f"/live/reruns/{key}"
    return site.render(request, "rerun", again=again, runs=runs, live=live)


async def act_on_selected_runs(request: Request) -> Response:
    """Compare, cancel or rerun the selected runs, depending on which button was pressed."""
    site, form = get_site(request), get_accepted_form(request)
    try:
        # The name of each checkbox is a run ID.
        run_ids = [str(UUID(name)) for name in form if name not in ("csrf", "action")]
    except ValueError:
        raise InvalidArgumentError("the ID of a selected run is invalid") from None
    action = form.get("action", "")
    if action == "compare":
        if len(run_ids) != 2:
            raise InvalidArgumentError(f"a comparison needs two runs, not {len(run_ids)}")
        # The list shows the newest runs first, so this puts the older run on the left.
        return RedirectResponse(f"/runs/{run_ids[0]}/compare?with={run_ids[1]}", status_code=303)
    if action not in ("cancel", "rerun"):
        raise InvalidArgumentError("the form has no action")
    if not run_ids:
        raise InvalidArgumentError("no run is selected")
    runs = [await site.read_run_details(run_id) for run_id in run_ids]
    running = [run.run_id for run in runs if not run.is_finished]
    if action == "cancel":
        if not running:
            raise InvalidArgumentError("none of the selected runs is running")
        for run_id in running:
            # The run may have ended in the meantime.
            with suppress(ConflictError):
                await site.client.cancel_run(run_id)
        return RedirectResponse("/runs", status_code=303)
    if running:
        raise InvalidArgumentError(f"run {running[0]} has not ended; cancel it first")
    started: list[str] = []
    for run in runs:
        # If a run completed, rerun every step.
        keep: Literal["nothing", "succeeded"] = "succeeded" if run.status in UNSUCCESSFUL_STATUSES else "nothing"
        started += await _start_runs_of_rerun(site, run.run_id, keep, started)
    return redirect_to_started_runs(site, run_ids, started)


async def show_access_link(request: Request) -> Response:
    """Show a link to a page, including a token that gives one more browser access."""
    to = get_accepted_form(request).get("to", "")
    if parse_page_path_or_none(to) is None:
        raise InvalidArgumentError("the form has no page")
    state = request.app.state
    link = f"{request.base_url}?{urlencode({'token': state.sessions.token, 'to': to})}"
    return get_site(request).render(request, "link", link=link, to=to, is_exposed=state.addresses.is_exposed)
