"""The list of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..security import first_path
from ..site import Site, site_of

if TYPE_CHECKING:
    from stepflow_client import RunDetails

PAGE = 50
"""Runs or items per page: few enough to keep a page with a graph below 2,000 elements."""
STATUSES = ("running", "completed", "failed", "cancelled", "paused", "recovery_failed")


async def home(request: Request) -> Response:
    """Redirect to what the link names: a run, or the list of runs."""
    return RedirectResponse(first_path(request.query_params), status_code=303)


def filters_of(request: Request) -> dict[str, str]:
    """Return the filters of the list of runs from the URL."""
    names = ("status", "flow", "since", "until", "all")
    return {name: request.query_params[name].strip() for name in names if request.query_params.get(name, "").strip()}


def number_of(request: Request, name: str) -> int:
    """Return a positive number from the URL; 1 if it is missing or invalid."""
    text = request.query_params.get(name, "")
    return max(1, int(text)) if text.isdecimal() and len(text) < 8 else 1


async def listed(site: Site, filters: dict[str, str], page: int) -> list[RunDetails]:
    """Return a page of runs, plus one more run if there is a next page."""
    found = await site.client.list_runs(
        filters.get("status"),
        PAGE + 1,
        (page - 1) * PAGE,
        flow_name=filters.get("flow"),
        since=filters.get("since"),
        until=filters.get("until"),
        roots_only=None if filters.get("all") else True,
    )
    return found.runs


async def list_page(request: Request) -> Response:
    """Show runs, newest first."""
    from stepflow_client import InvalidArgumentError

    site, filters, page = site_of(request), filters_of(request), number_of(request, "page")
    wrong = ""
    try:
        runs = await listed(site, filters, page)
    except InvalidArgumentError as error:
        runs, wrong = [], error.message
    return site.page(
        request,
        "runs",
        400 if wrong else 200,
        runs=runs[:PAGE],
        has_more=len(runs) > PAGE,
        number=page,
        filters=filters,
        statuses=STATUSES,
        wrong=wrong,
        live=f"/live/runs{_query(filters)}",
    )


def _query(filters: dict[str, str]) -> str:
    from urllib.parse import urlencode

    return f"?{urlencode(filters)}" if filters else ""
