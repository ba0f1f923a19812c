"""Pages of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..site import Site, site_of

if TYPE_CHECKING:
    from stepflow_client import RunAccount, RunArguments, RunDetails, RunItem, StepDetails, StoredFlow
    from stepflow_client.drawing import RunReport

PAGE = 50
"""Runs or items per page: few enough to keep a page with a graph below 2,000 elements."""
_MOST_DRAWN_ITEMS = 200
"""Maximum number of items whose steps are all read for a page."""
_MOST_STEPS = 100
STATUSES = ("running", "completed", "failed", "cancelled", "paused", "recovery_failed")


async def home(request: Request) -> Response:
    """Redirect to the runs."""
    return RedirectResponse("/runs", status_code=303)


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


async def run_page(request: Request) -> Response:
    """Show a run: its graph, timeline, steps and items."""
    site = site_of(request)
    run = await site.client.get_run(request.path_params["run_id"])
    items = await site.client.get_run_items(run.run_id)
    stored = await _flow_of(site, run)
    counts = Counter(item.status.value for item in items)
    wanted = request.query_params.get("status", "")
    number = number_of(request, "page")
    places = [place for place, item in enumerate(items) if not wanted or item.status.value == wanted]
    steps = await _steps(site, run) if len(items) <= _MOST_DRAWN_ITEMS else []
    shown_places = places[(number - 1) * PAGE : number * PAGE]
    report = await _report(site, run, [items[place] for place in shown_places], steps, stored)
    given = await _given(site, run, stored)
    report = replace(report, given=given) if len(items) <= _MOST_DRAWN_ITEMS else report
    single = report.items[0] if len(items) == 1 and report.items else None
    return site.page(
        request,
        "run",
        run=run,
        is_batch=len(items) != 1,
        total=len(items),
        given=given,
        inputs=given.inputs if given.inputs is not None and len(given.inputs) == len(items) else None,
        item=single,
        items=report.items,
        steps=report.steps[:_MOST_STEPS] if len(items) == 1 else [],
        times=_durations(report),
        account=_account(report) if single else None,
        counts=counts.most_common(),
        wanted=wanted,
        number=number,
        found=len(places),
        pages=max(1, -(-len(places) // PAGE)),
        has_steps=len(items) <= _MOST_DRAWN_ITEMS,
        # The colours are those of all items, not only of the shown ones.
        picture=await run_in_threadpool(_picture, replace(report, items=list(items)) if steps else report),
        timeline=await run_in_threadpool(_timeline, report) if len(items) <= PAGE else "",
        can_rerun=run.is_finished and run.status.value in ("failed", "cancelled", "recovery_failed"),
        live="" if run.is_finished else f"/live/runs/{run.run_id}",
    )


async def item_page(request: Request) -> Response:
    """Show one item of a run: its steps with their outputs, and its error."""
    from stepflow_client import NotFoundError

    site = site_of(request)
    run = await site.client.get_run(request.path_params["run_id"])
    items = await site.client.get_run_items(run.run_id)
    index = request.path_params["index"]
    if index >= len(items):
        raise NotFoundError(f"run {run.run_id} has no item {index}", status_code=404)
    stored = await _flow_of(site, run)
    steps = await _steps(site, run, index)
    report = await _report(site, run, [items[index]], steps, stored, is_timed=len(items) <= _MOST_DRAWN_ITEMS)
    given = await _given(site, run, stored)
    report, inputs = replace(report, given=given), given.inputs
    return site.page(
        request,
        "item",
        run=run,
        item=report.items[0],
        total=len(items),
        inputs=inputs if inputs is not None and len(inputs) == len(items) else None,
        steps=report.steps[:_MOST_STEPS],
        times={each.step_id: each for each in report.times if each.item_index == index and report.was_run(each)},
        account=_account(report),
        picture=await run_in_threadpool(_picture, report),
        live="" if run.is_finished else f"/live/runs/{run.run_id}",
    )


async def run_flow_page(request: Request) -> Response:
    """Show the flow of a run with line numbers."""
    site = site_of(request)
    run = await site.client.get_run(request.path_params["run_id"])
    stored = (await site.client.get_run_flow(run.run_id)).without_secrets()
    return site.page(request, "run_flow", run=run, lines=flow_lines(stored.flow))


async def _flow_of(site: Site, run: RunDetails) -> StoredFlow | None:
    from stepflow_client import NotFoundError, UnsupportedByServerError

    try:
        return await site.client.get_run_flow(run.run_id)
    except (NotFoundError, UnsupportedByServerError):
        return None


async def _given(site: Site, run: RunDetails, stored: StoredFlow | None) -> RunArguments:
    """Return a run's arguments without secret values."""
    from stepflow_client.drawing.report_data import masked_arguments

    return masked_arguments(stored.flow if stored else {}, await site.arguments(run.run_id))


async def _steps(site: Site, run: RunDetails, index: int | None = None) -> list[StepDetails]:
    from stepflow_client import UnsupportedByServerError

    try:
        return (await site.client.get_run_steps(run.run_id, item_index=index)).steps
    except UnsupportedByServerError:
        return []


async def _report(
    site: Site,
    run: RunDetails,
    items: list[RunItem],
    steps: list[StepDetails],
    stored: StoredFlow | None,
    *,
    is_timed: bool = True,
) -> RunReport:
    """Return what to show of a run, without secret values."""
    from stepflow_client.drawing import RunReport
    from stepflow_client.drawing.report_data import masked

    items, steps = masked(stored.flow if stored else {}, items, steps)
    times = []
    if is_timed and steps and (await site.client.server_info()).capabilities.get("events"):
        times = await (await site.followers.of(run.run_id)).times()
    return RunReport(run, items, steps, stored.without_secrets().flow if stored else {}, times)


def _timeline(report: RunReport) -> str:
    from stepflow_client.drawing.charts import timeline
    from stepflow_client.drawing.report_page import bars_of

    bars = bars_of(report, until=None if report.run.is_finished else datetime.now(UTC))
    # `timeline` escapes its values.
    return Markup(timeline(bars[:_MOST_STEPS])) if bars else ""  # noqa: S704


def _durations(report: RunReport) -> dict[str, Any]:
    if len(report.items) != 1:
        return {}
    return {each.step_id: each for each in report.times if report.was_run(each)}


def _account(report: RunReport) -> RunAccount | None:
    """Return the account of the only item of a report."""
    return next(iter(report.accounts.values()), None)


def _picture(report: RunReport) -> str:
    from stepflow_client.drawing.report_page import statuses_of

    return flow_picture(report.flow, statuses_of(report))


_MOST_DRAWN_STEPS = 150
_ORDER = (
    *("name", "description", "version", "schemas", "id", "component", "input", "onError", "mustExecute"),
    *("steps", "output", "examples", "test", "metadata"),
)


def flow_picture(flow: Mapping[str, Any], statuses: Mapping[str, str] | None = None) -> str:
    """Return the graph of a flow as SVG, coloured by the statuses of its steps; empty if it cannot be drawn."""
    from stepflow_client import StepflowClientError
    from stepflow_client.drawing import DrawingUnavailableError
    from stepflow_client.drawing.graph import flow_graph
    from stepflow_client.drawing.svg import svg

    if not flow.get("steps") or len(flow["steps"]) > _MOST_DRAWN_STEPS:
        return ""
    try:
        # `svg` escapes its values.
        return Markup(svg(flow_graph(flow), statuses=statuses, style=False))  # noqa: S704
    except (DrawingUnavailableError, StepflowClientError):
        return ""


def flow_lines(flow: Mapping[str, Any]) -> list[str]:
    """Return a flow as lines of YAML in a fixed order: servers from 0.12 on change the order each time."""
    import yaml

    return yaml.safe_dump(_ordered(flow), sort_keys=False, allow_unicode=True, width=110).splitlines()


def _ordered(value: Any) -> Any:
    if isinstance(value, list):
        return [_ordered(each) for each in value]
    if not isinstance(value, Mapping):
        return value

    def place(key: str) -> tuple[int, str]:
        return (_ORDER.index(key) if key in _ORDER else len(_ORDER), key)

    return {key: _ordered(value[key]) for key in sorted(value, key=place)}
