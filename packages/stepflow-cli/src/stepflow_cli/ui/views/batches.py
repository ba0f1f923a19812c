"""A run with many items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from stepflow_client import RunDetails, RunItem
from stepflow_client._base.text import short_json
from stepflow_client._command import MAX_GROUPS_SHOWN, failure_groups
from stepflow_client.drawing.report_page import summarize_latency
from stepflow_client.types.account import count_failed_in_sub_runs
from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

from ..listing import PAGE
from ..pictures import draw_run_graph, draw_run_timeline
from ..reports import MAX_DRAWN_ITEMS, PARTS, build_report
from ..site import Site
from ..sorting import Order
from ..states import STATES, list_state_ranges, merge_states
from .runs import parse_number

MAX_RERUNS = 20
"""Maximum number of reruns that a page lists."""
# The events of thousands of items take seconds: the page is shown before, and completes itself.
_CATCH_UP_SECONDS = 0.5


async def show_batch(request: Request, site: Site, run: RunDetails) -> Response:
    """Return the page of a run with any number of items but one."""
    live = await site.followers.live_path(run, _CATCH_UP_SECONDS)
    follower = await site.followers.get(run.run_id)
    await follower.catch_up(_CATCH_UP_SECONDS)
    is_small, is_finished = run.items.total <= MAX_DRAWN_ITEMS, run.is_finished
    # Servers report items when the whole run has ended: until then, those of a large batch are not worth a request.
    left_out = [*(() if is_small or is_finished else ("items",)), *(() if is_small else ("steps",))]
    snapshot = await site.read(run.run_id, [part for part in PARTS if part not in left_out])
    progress, followed, times = follower.get_progress(), follower.get_codes(), follower.item_times()
    items = list(snapshot.items or ())
    if not is_finished:
        # Errors are read while the run has not ended.
        total, errors = max(run.items.total, len(followed)), follower.errors()
        items = items or [RunItem(index=index, status=run.status) for index in range(total)]
        items = [replace(item, error=errors.get(item.index, item.error)) for item in items]
    report = await build_report(site, replace(snapshot, items=items))
    items, given, steps = list(report.items), report.given, report.steps
    codes = merge_states(items, followed, is_cancelled=run.status.value == "cancelled")
    groups = failure_groups(items)
    recorded = site.history.get(run.run_id)
    numbers_of = recorded.rerun_items if recorded is not None else ()
    # Without steps, no item says which of them are coloured.
    drawn = report if steps else replace(report, snapshot=replace(report.snapshot, items=()))
    inputs = given.inputs if given and given.inputs is not None and len(given.inputs) == len(items) else None
    seconds = {time.index: time.duration for time in times}
    # The items in the table: those of a group or a status, in the order of a column.
    keys = _build_sort_keys(items, codes, seconds, inputs or ())
    query, number = request.query_params, parse_number(request, "page")
    order, group, status = Order.of(query.get("sort", ""), keys), query.get("group", ""), query.get("status", "")
    places: Sequence[int] = range(len(codes))
    if group:
        places, status = next((failed.indexes for failed in groups if failed.key == group), []), ""
    elif status:
        places = [place for place, code in enumerate(codes) if STATES[code] == status]
    places = order.sorted(places, keys)
    # While they change, states that may come are shown too.
    counts, may_come = Counter(codes), () if is_finished else STATES[:-1]
    durations = summarize_latency(times, lambda item: f"/runs/{run.run_id}/items/{item.index}") if is_finished else ""
    return site.page(
        request,
        "batch",
        run=run,
        status_text=report.run.text,
        total=len(items),
        given=given,
        inputs=inputs,
        progress=progress,
        has_events=(await site.client.server_info()).capabilities.get("events"),
        groups=groups[:MAX_GROUPS_SHOWN],
        group_count=len(groups),
        numbers_of=numbers_of if len(numbers_of) == len(items) else (),
        reruns=site.list_reruns(run.run_id, MAX_RERUNS),
        unread=0
        if is_finished
        else codes.count(STATES.index("failed")) - sum(len(failed.indexes) for failed in groups),
        seconds=seconds,
        # `summarize_latency` has only numbers, and the path of a run needs no quotes.
        durations=Markup(durations),  # noqa: S704
        failed_children={index: count_failed_in_sub_runs(account.steps) for index, account in report.accounts.items()}
        if steps
        else {},
        items=[items[place] for place in places[(number - 1) * PAGE : number * PAGE]],
        codes=codes,
        states=STATES,
        ranges=list_state_ranges(codes),
        counts=[(state, counts[code]) for code, state in enumerate(STATES) if counts[code] or state in may_come],
        chosen={"status": status, "group": group, "sort": order.text},
        item_count=len(places),
        order=order,
        number=number,
        pages=max(1, -(-len(places) // PAGE)),
        has_steps=bool(steps),
        picture=await run_in_threadpool(draw_run_graph, drawn),
        timeline=await run_in_threadpool(draw_run_timeline, report) if len(items) <= PAGE else "",
        can_rerun=is_finished and run.status in UNSUCCESSFUL_STATUSES,
        live=live,
    )


def _build_sort_keys(
    items: Sequence[RunItem], codes: bytes, seconds: Mapping[int, float], inputs: Sequence[Any]
) -> dict[str, Callable[[int], Any]]:
    """Return the sort key of a row of the table of items, by column."""

    def result(place: int) -> str | None:
        item = items[place]
        text = short_json(item.output, 160) if item.status.is_finished else ""
        return (item.error.message if item.error else text) or None

    return {
        "item": lambda place: place,
        "status": lambda place: STATES[codes[place]],
        "step": lambda place: getattr(items[place].error, "step_id", None),
        "duration": lambda place: seconds.get(items[place].index),
        "input": lambda place: short_json(inputs[place], 160) if inputs else None,
        "result": result,
    }
