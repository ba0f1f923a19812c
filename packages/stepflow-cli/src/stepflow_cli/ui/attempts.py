"""The attempts at an item: the run it was first part of, and its reruns, as the history has them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stepflow_client import StepflowClientError

from .site import Site

if TYPE_CHECKING:
    from stepflow_client.history import HistoryEntry

_MAX_ATTEMPTS = 50
"""Maximum number of attempts to look for."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at an item."""

    run_id: str
    index: int
    """The position of the item in that run."""
    path: str
    """The path of its page."""
    status: str
    is_shown: bool
    """Whether it is the one whose page is shown."""


async def attempts_of(site: Site, run_id: str, index: int, total: int, status: str) -> list[Attempt]:
    """Return the attempts at an item in the order of their start; only the given one if there are no others.

    Args:
        site: The site.
        run_id: The run whose page is shown.
        index: The position of the item in it.
        total: The number of items of the run.
        status: The status of the item.
    """
    shown = Attempt(run_id, index, path_of(run_id, index, total), status, is_shown=True)
    first = _first(site, run_id, index)
    found = [first]
    for each in found:
        found += [(entry.run_id, entry.rerun_items.index(each[1])) for entry in _reruns(site, each[0], each[1])][
            : _MAX_ATTEMPTS - len(found)
        ]
    if len(found) == 1:
        return [shown] if first == (run_id, index) else [await _read(site, *first), shown]
    # The ids of runs begin with the time.
    listed = [shown if each == (run_id, index) else await _read(site, *each) for each in sorted(set(found))]
    return listed if shown in listed else [*listed, shown]


def path_of(run_id: str, index: int, total: int) -> str:
    """Return the path of the page of an item."""
    return f"/runs/{run_id}" if total == 1 else f"/runs/{run_id}/items/{index}"


def _first(site: Site, run_id: str, index: int) -> tuple[str, int]:
    """Return the run that the first attempt is part of, and the position of the item there."""
    seen: set[str] = set()
    while run_id not in seen:
        seen.add(run_id)
        entry = site.recorded(run_id)
        if entry is None or entry.rerun_of is None or index >= len(entry.rerun_items):
            break
        run_id, index = entry.rerun_of, entry.rerun_items[index]
    return run_id, index


def _reruns(site: Site, run_id: str, index: int) -> list[HistoryEntry]:
    return [entry for entry in site.reruns_of(run_id, _MAX_ATTEMPTS) if index in entry.rerun_items]


async def _read(site: Site, run_id: str, index: int) -> Attempt:
    attempt = Attempt(run_id, index, f"/runs/{run_id}", "unknown", is_shown=False)
    try:
        run = (await site.read(run_id, ())).details
        if run.items.total == 1:
            return replace(attempt, status=run.status.value)
        items = (await site.read(run_id, "items")).items or ()
    except StepflowClientError:
        # It may have been deleted.
        return attempt
    status = next((item.status.value for item in items if item.index == index), "unknown")
    return replace(attempt, status=status, path=path_of(run_id, index, len(items)))
