"""A run with many items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from stepflow_client._command import MOST_SHOWN, failure_groups
from stepflow_client.drawing.report_page import latency
from stepflow_client.types.account import failed_in_sub_runs
from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

from ..listing import PAGE
from ..pictures import picture_of, timeline_of
from ..reports import MOST_DRAWN_ITEMS, PARTS, report_of
from ..site import Site
from ..states import STATES, changes, merged_codes
from .runs import number_of, numbers_of

if TYPE_CHECKING:
    from stepflow_client import RunDetails, RunItem
    from stepflow_client._command import FailureGroup, ItemTime
    from stepflow_client.drawing import RunReport

_CATCH_UP_SECONDS = 0.5
"""The events of thousands of items take seconds: the page is shown before, and completes itself."""


async def show_batch(request: Request, site: Site, run: RunDetails) -> Response:
    """Return the page of a run with any number of items but one."""
    live = await site.followers.live_path(run, _CATCH_UP_SECONDS)
    follower = await site.followers.of(run.run_id)
    has_steps = run.items.total <= MOST_DRAWN_ITEMS
    snapshot = await site.read(run.run_id, [each for each in PARTS if each != "steps" or has_steps])
    items = snapshot.items or ()
    report = await report_of(site, snapshot)
    await follower.catch_up(_CATCH_UP_SECONDS)
    codes = merged_codes(items, follower.codes(), is_cancelled=run.status.value == "cancelled")
    groups, given, steps = failure_groups(report.items), report.given, report.steps
    # Without steps, no item says which of them are coloured.
    drawn = report if steps else replace(report, snapshot=replace(report.snapshot, items=()))
    progress, times = follower.progress(), follower.item_times()
    is_finished = run.is_finished
    return site.page(
        request,
        "batch",
        run=run,
        status_text=report.run.text,
        total=len(items),
        given=given,
        inputs=given.inputs if given and given.inputs is not None and len(given.inputs) == len(items) else None,
        progress=numbers_of(progress) if progress is not None else None,
        has_events=(await site.client.server_info()).capabilities.get("events"),
        groups=groups[:MOST_SHOWN],
        group_count=len(groups),
        seconds={each.index: each.duration for each in times},
        durations=_durations_of(times) if is_finished else "",
        children=_failed_children(report) if steps else {},
        **_table_of(request, report.items, codes, groups, is_finished=is_finished),
        has_steps=bool(steps),
        picture=await run_in_threadpool(picture_of, drawn),
        timeline=await run_in_threadpool(timeline_of, report) if len(items) <= PAGE else "",
        can_rerun=is_finished and run.status in UNSUCCESSFUL_STATUSES,
        live=live,
    )


def _table_of(
    request: Request, items: Sequence[RunItem], codes: bytes, groups: list[FailureGroup], *, is_finished: bool
) -> dict[str, Any]:
    """Return what the grid and the table of items show."""
    chosen, number = _chosen(request, codes, groups), number_of(request, "page")
    return {
        "items": [items[place] for place in chosen.places[(number - 1) * PAGE : number * PAGE]],
        "codes": codes,
        "states": STATES,
        "changes": changes(b"", codes),
        "counts": _counts_of(codes, is_finished=is_finished),
        "chosen": chosen,
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

    @property
    def query(self) -> dict[str, Any]:
        """What to keep in the links to other pages of the table."""
        return {"status": self.status, "group": self.group}


def _chosen(request: Request, codes: bytes, groups: list[FailureGroup]) -> _Chosen:
    status, key = request.query_params.get("status", ""), request.query_params.get("group", "")
    if key:
        return _Chosen(next((group.indexes for group in groups if group.key == key), []), group=key)
    if status:
        return _Chosen([place for place, code in enumerate(codes) if STATES[code] == status], status)
    return _Chosen(list(range(len(codes))))


def _durations_of(times: Sequence[ItemTime]) -> str:
    # `latency` has only numbers.
    return Markup(latency(times))  # noqa: S704


def _failed_children(report: RunReport) -> dict[int, int]:
    """Return how many items of sub-runs failed, by the index of the item whose steps have started them."""
    return {index: failed_in_sub_runs(account.steps) for index, account in report.accounts.items()}
