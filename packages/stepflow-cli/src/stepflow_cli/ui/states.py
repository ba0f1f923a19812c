"""The states of the items of a batch, in a form that is small enough to be sent while they change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepflow_client import RunItem
    from stepflow_client._rules.run_progress import ItemStates

STATES = ("waiting", "running", "completed", "failed", "cancelled")
"""The states; the code of each is its position. `batch.js` has the same list."""
_WAITING, _RUNNING, _COMPLETED, _FAILED, _CANCELLED = range(len(STATES))
_BY_STATUS = {"completed": _COMPLETED, "failed": _FAILED, "recovery_failed": _FAILED, "cancelled": _CANCELLED}


def item_codes(states: ItemStates, total: int) -> bytes:
    """Return the codes of all items, in their order."""
    codes = bytearray(total)
    for code, indexes in ((_RUNNING, states.running), (_COMPLETED, states.completed), (_FAILED, states.failed)):
        for index in indexes:
            if index < total:
                codes[index] = code
    return bytes(codes)


def merged_codes(items: Iterable[RunItem], followed: bytes, *, is_cancelled: bool) -> bytes:
    """Return the codes of all items: what the server says of those that have ended, else what its events say.

    Args:
        items: The items.
        followed: The codes from the events; empty if they are not known.
        is_cancelled: Whether the run was cancelled, and its other items with it.
    """
    codes = bytearray()
    for place, item in enumerate(items):
        default = followed[place] if place < len(followed) else _WAITING
        if is_cancelled and default in (_WAITING, _RUNNING):
            default = _CANCELLED
        codes.append(_BY_STATUS.get(item.status.value, default))
    return bytes(codes)


def changes(before: bytes, now: bytes) -> str:
    """Return the items whose codes differ, as `2:0-5,7;3:6`: of each code the indexes that have it now.

    Args:
        before: The codes before; items beyond its end count as waiting.
        now: The codes now.
    """
    before = before[: len(now)].ljust(len(now), bytes([_WAITING]))
    if before == now:
        return ""
    ranges: dict[int, list[list[int]]] = defaultdict(list)
    for index, (was, code) in enumerate(zip(before, now, strict=True)):
        if was == code:
            continue
        found = ranges[code]
        if found and found[-1][1] == index - 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return ";".join(f"{code}:{','.join(map(_range, found))}" for code, found in sorted(ranges.items()))


def _range(bounds: list[int]) -> str:
    first, last = bounds
    return str(first) if first == last else f"{first}-{last}"
