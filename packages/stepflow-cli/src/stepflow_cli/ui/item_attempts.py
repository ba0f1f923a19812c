"""All attempts at processing an item: the original run and its reruns."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stepflow_client import StepflowClientError

from .site_state import Site

_MAX_ATTEMPTS = 50


@dataclass(frozen=True)
class ItemAttempt:
    """One attempt at processing an item, made either by the original run or by one of its reruns."""

    run_id: str
    index: int
    """The item's index in that run."""
    path: str
    """The path of the attempt's page."""
    status: str
    is_shown: bool
    """Whether this is the attempt shown on the page."""


async def list_item_attempts(site: Site, run_id: str, index: int, total: int, status: str) -> list[ItemAttempt]:
    """Return all recorded attempts at an item in the order they were started.

    The attempt being shown is always included.

    Args:
        site: The site.
        run_id: The run being shown.
        index: The item's index in that run.
        total: The number of items in the run.
        status: The item's status.
    """
    shown = ItemAttempt(run_id, index, get_item_page_path(run_id, index, total), status, is_shown=True)
    first, visited = (run_id, index), set[str]()
    while first[0] not in visited:
        visited.add(first[0])
        entry = site.history.get(first[0])
        if entry is None or entry.rerun_of is None or first[1] >= len(entry.rerun_items):
            break
        first = entry.rerun_of, entry.rerun_items[first[1]]
    places = [first]
    for earlier_id, item in places:
        reruns = site.list_recorded_reruns(earlier_id, _MAX_ATTEMPTS)
        later = [(rerun.run_id, rerun.rerun_items.index(item)) for rerun in reruns if item in rerun.rerun_items]
        places += later[: _MAX_ATTEMPTS - len(places)]
    # Run IDs start with a timestamp, so this sorts the attempts by time.
    places = sorted({*places, (run_id, index)})
    return [shown if place == (run_id, index) else await _read_item_attempt(site, *place) for place in places]


def get_item_page_path(run_id: str, index: int, total: int) -> str:
    """Return the path of an item's page. If the run has a single item, this is the run's own page."""
    return f"/runs/{run_id}" if total == 1 else f"/runs/{run_id}/items/{index}"


async def _read_item_attempt(site: Site, run_id: str, index: int) -> ItemAttempt:
    attempt = ItemAttempt(run_id, index, f"/runs/{run_id}", "unknown", is_shown=False)
    try:
        run = (await site.read_snapshot(run_id, ())).details
        if run.items.total == 1:
            return replace(attempt, status=run.status.value)
        items = (await site.read_snapshot(run_id, "items")).items or ()
    except StepflowClientError:
        # The run may have been deleted, so only show what's in the history.
        return attempt
    status = next((item.status.value for item in items if item.index == index), "unknown")
    return replace(attempt, status=status, path=get_item_page_path(run_id, index, len(items)))
