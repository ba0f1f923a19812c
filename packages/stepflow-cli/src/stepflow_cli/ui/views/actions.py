"""Views that change a run. The guard has already accepted the form's token."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..site import Site, site_of

if TYPE_CHECKING:
    from stepflow_client import StepflowClientError

_MOST_RERUNS = 50


async def cancel(request: Request) -> Response:
    """Cancel a run."""
    run_id = request.path_params["run_id"]
    await site_of(request).client.cancel_run(run_id)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


@dataclass
class _Rerun:
    """A rerun in the background."""

    run_id: str
    task: asyncio.Task[None] | None = None
    run_ids: list[str] = field(default_factory=list)
    error: StepflowClientError | None = None
    is_done: bool = False


async def rerun(request: Request) -> Response:
    """Run the failed parts of a run again; the outputs of completed steps are kept."""
    site, run_id = site_of(request), request.path_params["run_id"]
    key = secrets.token_urlsafe(8)
    again = site.reruns[key] = _Rerun(run_id)
    again.task = asyncio.create_task(_run_again(site, again))
    if len(site.reruns) > _MOST_RERUNS:
        oldest = next(iter(site.reruns.values()))
        if oldest.is_done:
            del site.reruns[next(iter(site.reruns))]
    # Most errors occur immediately.
    await asyncio.wait([again.task], timeout=0.5)
    return RedirectResponse(f"/reruns/{key}", status_code=303)


async def _run_again(site: Site, again: _Rerun) -> None:
    from stepflow_client import StepflowClientError

    try:
        again.run_ids = (await site.client.rerun(again.run_id, failed=True)).run_ids
    except StepflowClientError as error:
        again.error = error
    finally:
        again.is_done = True


async def rerun_page(request: Request) -> Response:
    """Show the state of a rerun, or redirect to its run if there is one."""
    from stepflow_client import NotFoundError

    site = site_of(request)
    again = site.reruns.get(request.path_params["key"])
    if again is None:
        raise NotFoundError("no run was run again under this address", status_code=404)
    if len(again.run_ids) == 1:
        return RedirectResponse(f"/runs/{again.run_ids[0]}", status_code=303)
    live = "" if again.is_done else f"/live/reruns/{request.path_params['key']}"
    return site.page(request, "rerun", again=again, live=live)
