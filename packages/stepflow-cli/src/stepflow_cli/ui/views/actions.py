"""Views that change a run. The guard has already accepted the form's token."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import NotFoundError

from ..site import Site, site_of

if TYPE_CHECKING:
    from stepflow_client import RunDetails

_MAX_RERUNS = 50
_MAX_RUNS = 200
"""Maximum number of runs whose state is shown."""


async def cancel(request: Request) -> Response:
    """Cancel a run."""
    run_id = request.path_params["run_id"]
    await site_of(request).client.cancel_run(run_id)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


@dataclass(frozen=True)
class Rerun:
    """A rerun that consists of any number of runs but one."""

    earlier_ids: Sequence[str]
    """The runs that were run again."""
    run_ids: Sequence[str]

    async def runs(self, site: Site) -> list[RunDetails]:
        """Return the runs."""
        return [await site.client.get_run(each) for each in self.run_ids[:_MAX_RUNS]]


async def rerun(request: Request) -> Response:
    """Run the failed parts of a run again; the outputs of completed steps are kept."""
    site, run_id = site_of(request), request.path_params["run_id"]
    handles = await site.client.start_rerun(run_id, keep="succeeded")
    return shown_rerun(site, [run_id], [each.run_id for each in handles])


def shown_rerun(site: Site, earlier_ids: Sequence[str], run_ids: Sequence[str]) -> Response:
    """Redirect to the run of a rerun, or to the list of its runs."""
    if len(run_ids) == 1:
        return RedirectResponse(f"/runs/{run_ids[0]}", status_code=303)
    key = secrets.token_urlsafe(8)
    site.reruns[key] = Rerun(earlier_ids, run_ids)
    if len(site.reruns) > _MAX_RERUNS:
        del site.reruns[next(iter(site.reruns))]
    return RedirectResponse(f"/reruns/{key}", status_code=303)


async def rerun_page(request: Request) -> Response:
    """Show the runs of a rerun."""
    site, key = site_of(request), request.path_params["key"]
    again = site.reruns.get(key)
    if again is None:
        raise NotFoundError("no run was run again under this address", status_code=404)
    runs = await again.runs(site)
    live = "" if all(run.is_finished for run in runs) else f"/live/reruns/{key}"
    return site.page(request, "rerun", again=again, runs=runs, live=live)
