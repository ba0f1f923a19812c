"""The page that lists runs."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import InvalidArgumentError, NotFoundError, RunDetails
from stepflow_client._command import QUERY_FIELDS, RunQuery, parse_run_query
from stepflow_client.progress import Progress

from ...errors import Problem
from ...output.tables import map_run_ids_to_prefixes
from ...params.runs import parse_user_run_query
from ...records.runs import STATUSES
from ..run_list import PAGE, SearchResult, build_run_rows
from ..security import choose_landing_path
from ..site_state import Site, build_changed_query, get_site, parse_query_index_or_none

_MAX_FLOWS = 5
# Maximum number of running batches to follow in a list.
_MAX_FOLLOWED_RUNS = 8


async def redirect_to_landing_page(request: Request) -> Response:
    """Redirect to the run or page named in the link, or to the list of runs."""
    return RedirectResponse(choose_landing_path(request.query_params), status_code=303)


def parse_run_list_query(request: Request) -> RunQuery:
    """Parse the list's query from the URL. Each field can either be part of `q` or be a separate parameter."""
    words, fields = parse_run_query(request.query_params.get("q", ""))
    parameters = {name: request.query_params.get(name, "").strip() for name in QUERY_FIELDS}
    return RunQuery(words, {**fields, **{name: value for name, value in parameters.items() if value}})


def parse_number_parameter(request: Request, name: str, least: int = 1) -> int:
    """Parse a number from the URL, or return `least` if it's missing or invalid."""
    return max(least, parse_query_index_or_none(request.query_params, name) or least)


async def get_live_batch_progress(site: Site, runs: list[RunDetails]) -> dict[str, tuple[Progress, datetime | None]]:
    """Follow the running batches in a list and return their progress (where known) by run ID."""
    running = [run for run in runs[:PAGE] if not run.is_finished and run.items.total > 1][:_MAX_FOLLOWED_RUNS]
    progress = {run.run_id: (await site.followers.get_or_create_follower(run.run_id)).get_progress() for run in running}
    return {run_id: numbers for run_id, numbers in progress.items() if numbers is not None}


async def runs_page(request: Request) -> Response:
    """Show runs, newest first."""
    site, query, page = get_site(request), parse_run_list_query(request), parse_number_parameter(request, "page")
    problem = ""
    result = SearchResult()
    try:
        # Don't resolve relative times such as 1h until here, so that they stay relative in the page's URL.
        fields = parse_user_run_query(str(query)).fields
        if query.words:
            result = await site.finder.search_runs(query.words, fields)
            runs = result.runs[(page - 1) * PAGE :]
        else:
            runs = await site.run_lists.fetch_uncached_page(fields, page)
    except (InvalidArgumentError, Problem) as error:
        runs, problem = [], error.message
    opened = request.query_params.get("open", "")
    recorded = await run_in_threadpool(lambda: {run.run_id: site.history.get(run.run_id) for run in runs[:PAGE]})
    entries = {run_id: entry for run_id, entry in recorded.items() if entry is not None}
    # Don't fold search results, because the user wants to see every match.
    rows = build_run_rows(runs[:PAGE], entries, opened, folds=not query.words)
    return site.render(
        request,
        "runs",
        400 if problem else 200,
        rows=rows,
        opened=opened,
        errors=await site.finder.read_first_error_lines(row.run for row in rows),
        short=map_run_ids_to_prefixes([run.run_id for run in runs[:PAGE]]),
        has_more=len(runs) > PAGE,
        number=page,
        text=str(query),
        run_query=query,
        suggestions=_suggest_query_filters(query, runs),
        problem=problem,
        found=result,
        progress=await get_live_batch_progress(site, runs),
        now=site.health.server_time,
        # Don't update search results live: repeating the search for every new run would be too expensive.
        live="/live" if query.words or problem else f"/live/runs{build_changed_query({'q': str(query)})}",
    )


def _suggest_query_filters(query: RunQuery, runs: list[RunDetails]) -> list[str]:
    flows = list(dict.fromkeys(run.flow_name for run in runs if run.flow_name))[:_MAX_FLOWS]
    times = ("1h", "today", "yesterday", "monday")
    fields = {"status": STATUSES, "flow": flows, "since": times, "include": ["sub-runs"]}
    new = ((name, value) for name, values in fields.items() if name not in query.fields for value in values)
    return [str(RunQuery((), {name: value})) for name, value in new]


async def redirect_run_id_prefix(request: Request) -> Response:
    """Redirect from a run ID prefix to the run, or to a list of runs if several match."""
    prefix, rest = request.path_params["prefix"], request.path_params.get("rest")
    run_ids = await get_site(request).finder.find_run_ids_with_prefix(prefix)
    if not run_ids:
        raise NotFoundError(f"no run ID begins with {prefix}", status_code=404)
    if len(run_ids) > 1:
        return RedirectResponse(f"/runs?{urlencode({'q': prefix})}", status_code=303)
    path = f"/runs/{run_ids[0]}" if rest is None else f"/runs/{run_ids[0]}/{quote(rest)}"
    return RedirectResponse(f"{path}?{request.url.query}" if request.url.query else path, status_code=303)
