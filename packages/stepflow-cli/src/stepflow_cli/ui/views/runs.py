"""The list of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import InvalidArgumentError, NotFoundError

from ...output.tables import short_ids
from ...records.runs import STATUSES
from ..finding import Found
from ..listing import PAGE
from ..run_rows import rows_of_runs
from ..security import first_path
from ..site import Site, index_in, site_of

if TYPE_CHECKING:
    from stepflow_client import RunDetails
    from stepflow_client.history import HistoryEntry
    from stepflow_client.progress import Progress

_MOST_FOLLOWED = 8
"""Maximum number of running batches of a list that are followed."""


async def home(request: Request) -> Response:
    """Redirect to what the link names: a run, or the list of runs."""
    return RedirectResponse(first_path(request.query_params), status_code=303)


def filters_of(request: Request) -> dict[str, str]:
    """Return the filters of the list of runs from the URL."""
    names = ("q", "status", "flow", "since", "until", "all")
    return {name: request.query_params[name].strip() for name in names if request.query_params.get(name, "").strip()}


def number_of(request: Request, name: str, least: int = 1) -> int:
    """Return a number from the URL; the least one if it is missing or invalid."""
    return max(least, index_in(request.query_params, name) or least)


async def progress_of(site: Site, runs: list[RunDetails]) -> dict[str, Progress]:
    """Return the progress of the running batches of a list by run id, as far as it is known. They are followed."""
    running = [run for run in runs[:PAGE] if not run.is_finished and run.items.total > 1][:_MOST_FOLLOWED]
    found = {run.run_id: (await site.followers.of(run.run_id)).progress() for run in running}
    return {run_id: progress for run_id, progress in found.items() if progress is not None}


def numbers_of(progress: Progress) -> dict[str, Any]:
    """Return the numbers of a progress that pages show while a batch runs."""
    done = {"completed": progress.completed, "failed": progress.failed, "total": progress.total}
    return {"text": str(progress), **done}


async def list_page(request: Request) -> Response:
    """Show runs, newest first."""
    site, filters, page = site_of(request), filters_of(request), number_of(request, "page")
    wrong = ""
    found = Found()
    try:
        if "q" in filters:
            found = await site.finder.find(filters["q"], filters)
            runs = found.runs[(page - 1) * PAGE :]
        else:
            runs = await site.listings.page(filters, page)
    except InvalidArgumentError as error:
        runs, wrong = [], error.message
    opened = request.query_params.get("open", "")
    entries = await run_in_threadpool(_recorded, site, runs[:PAGE])
    # Somebody who looks for runs wants to see each of them.
    rows = rows_of_runs(runs[:PAGE], entries, opened, folds="q" not in filters)
    return site.page(
        request,
        "runs",
        400 if wrong else 200,
        rows=rows,
        opened=opened,
        errors=await site.finder.errors.first_lines(row.run for row in rows),
        short=short_ids([run.run_id for run in runs[:PAGE]]),
        has_more=len(runs) > PAGE,
        number=page,
        filters=filters,
        statuses=STATUSES,
        wrong=wrong,
        found=found,
        progress={run_id: numbers_of(each) for run_id, each in (await progress_of(site, runs)).items()},
        now=site.health.now,
        # What was found does not change by itself: searching again for each new run would cost too much.
        live="/live" if "q" in filters else f"/live/runs{_query(filters)}",
    )


def _recorded(site: Site, runs: list[RunDetails]) -> dict[str, HistoryEntry]:
    """Return the recorded entries of runs, by run id."""
    found = {run.run_id: site.recorded(run.run_id) for run in runs}
    return {run_id: entry for run_id, entry in found.items() if entry is not None}


async def whole_id(request: Request) -> Response:
    """Redirect from the beginning of a run id to the run, or to the runs that it may be."""
    from urllib.parse import quote, urlencode

    beginning, rest = request.path_params["beginning"], request.path_params.get("rest")
    found = await site_of(request).finder.beginning_with(beginning)
    if not found:
        raise NotFoundError(f"no run's id begins with {beginning}", status_code=404)
    if len(found) > 1:
        return RedirectResponse(f"/runs?{urlencode({'q': beginning})}", status_code=303)
    path = f"/runs/{found[0]}" if rest is None else f"/runs/{found[0]}/{quote(rest)}"
    return RedirectResponse(f"{path}?{request.url.query}" if request.url.query else path, status_code=303)


def _query(filters: dict[str, str]) -> str:
    from urllib.parse import urlencode

    return f"?{urlencode(filters)}" if filters else ""
