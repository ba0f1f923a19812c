"""A run with many items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from stepflow_client import RunItem
from stepflow_client._base.text import short_json
from stepflow_client._command import MAX_GROUPS_SHOWN, failure_groups
from stepflow_client.drawing.report_page import latency
from stepflow_client.types.account import failed_in_sub_runs
from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

from ..listing import PAGE
from ..pictures import picture_of, timeline_of
from ..reports import MAX_DRAWN_ITEMS, PARTS, report_of
from ..site import Site
from ..sorting import Order
from ..states import STATES, merged_codes, ranges_of
from .runs import number_of

if TYPE_CHECKING:
    from stepflow_client import FlowError, RunDetails
    from stepflow_client._command import FailureGroup, ItemTime
    from stepflow_client.drawing import RunReport
    from stepflow_client.types.snapshot import RunSnapshot

MAX_RERUNS = 20
"""Maximum number of reruns that a page lists."""
_CATCH_UP_SECONDS = 0.5
"""The events of thousands of items take seconds: the page is shown before, and completes itself."""


async def show_batch(request: Request, site: Site, run: RunDetails) -> Response:
    """Return the page of a run with any number of items but one."""
    live = await site.followers.live_path(run, _CATCH_UP_SECONDS)
    follower = await site.followers.of(run.run_id)
    await follower.catch_up(_CATCH_UP_SECONDS)
    is_small, is_finished = run.items.total <= MAX_DRAWN_ITEMS, run.is_finished
    # Servers report items when the whole run has ended: until then, those of a large batch are not worth a request.
    left_out = [*(() if is_small or is_finished else ("items",)), *(() if is_small else ("steps",))]
    snapshot = await site.read(run.run_id, [each for each in PARTS if each not in left_out])
    numbers, followed, errors = follower.numbers(), follower.codes(), follower.errors()
    items = _known_items(snapshot, followed, errors)
    report = await report_of(site, replace(snapshot, items=items))
    codes = merged_codes(items, followed, is_cancelled=run.status.value == "cancelled")
    groups, given, steps = failure_groups(report.items), report.given, report.steps
    recorded = site.recorded(run.run_id)
    numbers_of = recorded.rerun_items if recorded is not None else ()
    # Without steps, no item says which of them are coloured.
    drawn = report if steps else replace(report, snapshot=replace(report.snapshot, items=()))
    times = follower.item_times()
    inputs = given.inputs if given and given.inputs is not None and len(given.inputs) == len(items) else None
    seconds = {each.index: each.duration for each in times}
    keys = _item_keys(report.items, codes, seconds, inputs or ())
    table = _table_of(request, report.items, codes, groups, keys, is_finished=is_finished)
    return site.page(
        request,
        "batch",
        run=run,
        status_text=report.run.text,
        total=len(items),
        given=given,
        inputs=inputs,
        progress=numbers,
        has_events=(await site.client.server_info()).capabilities.get("events"),
        groups=groups[:MAX_GROUPS_SHOWN],
        group_count=len(groups),
        numbers_of=numbers_of if len(numbers_of) == len(items) else (),
        reruns=site.reruns_of(run.run_id, MAX_RERUNS),
        unread=0 if is_finished else codes.count(STATES.index("failed")) - sum(len(each.indexes) for each in groups),
        seconds=seconds,
        durations=_durations_of(run.run_id, times) if is_finished else "",
        children=_failed_children(report) if steps else {},
        **table,
        has_steps=bool(steps),
        picture=await run_in_threadpool(picture_of, drawn),
        timeline=await run_in_threadpool(timeline_of, report) if len(items) <= PAGE else "",
        can_rerun=is_finished and run.status in UNSUCCESSFUL_STATUSES,
        live=live,
    )


def _item_keys(
    items: Sequence[RunItem], codes: bytes, seconds: Mapping[int, float], inputs: Sequence[Any]
) -> dict[str, Callable[[int], Any]]:
    """Return the key of a row of the table of items, by column."""
    errors = [each.error for each in items]

    def result(place: int) -> str:
        error, item = errors[place], items[place]
        return error.message if error else short_json(item.output, 160) if item.status.is_finished else ""

    return {
        "item": lambda place: place,
        "status": lambda place: STATES[codes[place]],
        "step": lambda place: getattr(errors[place], "step_id", None),
        "duration": lambda place: seconds.get(items[place].index),
        "input": lambda place: short_json(inputs[place], 160) if inputs else None,
        "result": lambda place: result(place) or None,
    }


def _known_items(snapshot: RunSnapshot, followed: bytes, errors: Mapping[int, FlowError]) -> list[RunItem]:
    """Return the items as far as they are known: with the errors that are read while the run has not ended."""
    run = snapshot.details
    items = list(snapshot.items or ())
    if not items and not run.is_finished:
        items = [RunItem(index=index, status=run.status) for index in range(max(run.items.total, len(followed)))]
    return items if run.is_finished else [replace(each, error=errors.get(each.index, each.error)) for each in items]


def _table_of(
    request: Request,
    items: Sequence[RunItem],
    codes: bytes,
    groups: list[FailureGroup],
    keys: Mapping[str, Callable[[int], Any]],
    *,
    is_finished: bool,
) -> dict[str, Any]:
    """Return what the grid and the table of items show."""
    order = Order.of(request.query_params.get("sort", ""), keys)
    chosen, number = _chosen(request, codes, groups, order), number_of(request, "page")
    places = order.sorted(chosen.places, keys)
    return {
        "items": [items[place] for place in places[(number - 1) * PAGE : number * PAGE]],
        "codes": codes,
        "states": STATES,
        "ranges": ranges_of(codes),
        "counts": _counts_of(codes, is_finished=is_finished),
        "chosen": chosen,
        "order": order,
        "number": number,
        "pages": max(1, -(-len(chosen.places) // PAGE)),
    }


def _counts_of(codes: bytes, *, is_finished: bool) -> list[tuple[str, int]]:
    """Return the number of items in each state; while they change, of those that may come too."""
    counts = Counter(codes)
    may_come = () if is_finished else STATES[:-1]
    return [(state, counts[code]) for code, state in enumerate(STATES) if counts[code] or state in may_come]


@dataclass(frozen=True)
class _Chosen:
    """The items that the table shows."""

    places: list[int]
    status: str = ""
    group: str = ""
    sort: str = ""

    @property
    def query(self) -> dict[str, Any]:
        """What to keep in the links to other pages of the table."""
        return {"status": self.status, "group": self.group, "sort": self.sort}


def _chosen(request: Request, codes: bytes, groups: list[FailureGroup], order: Order) -> _Chosen:
    status, key = request.query_params.get("status", ""), request.query_params.get("group", "")
    places: Sequence[int] = range(len(codes))
    if key:
        places, status = next((group.indexes for group in groups if group.key == key), []), ""
    elif status:
        places = [place for place, code in enumerate(codes) if STATES[code] == status]
    return _Chosen(list(places), status, key, order.text)


def _durations_of(run_id: str, times: Sequence[ItemTime]) -> str:
    # `latency` has only numbers, and the path of a run needs no quotes.
    return Markup(latency(times, lambda item: f"/runs/{run_id}/items/{item.index}"))  # noqa: S704


def _failed_children(report: RunReport) -> dict[int, int]:
    """Return how many items of sub-runs failed, by the index of the item whose steps have started them."""
    return {index: failed_in_sub_runs(account.steps) for index, account in report.accounts.items()}
