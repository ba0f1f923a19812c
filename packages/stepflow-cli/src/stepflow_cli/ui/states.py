"""The states of the items of a batch, in a form that is small enough to be sent while they change."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepflow_client import RunItem
    from stepflow_client._rules.run_progress import ItemStates

STATES = ("waiting", "running", "completed", "failed", "cancelled")
"""The states; the code of each is its position. `batch.js` has the same list."""
_WAITING, _RUNNING, _COMPLETED, _FAILED, _CANCELLED = range(len(STATES))
_BY_STATUS = {"completed": _COMPLETED, "failed": _FAILED, "recovery_failed": _FAILED, "cancelled": _CANCELLED}


def encode_states(states: ItemStates, total: int) -> bytes:
    """Return the codes of all items, in their order."""
    codes = bytearray(total)
    for code, indexes in ((_RUNNING, states.running), (_COMPLETED, states.completed), (_FAILED, states.failed)):
        for index in indexes:
            if index < total:
                codes[index] = code
    return bytes(codes)


def merge_states(items: Iterable[RunItem], followed: bytes, *, is_cancelled: bool) -> bytes:
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


def list_state_ranges(codes: bytes) -> str:
    """Return the indexes of the items of each code, as `2:0-5,7;3:6`; waiting items are left out."""
    ranges: dict[int, list[str]] = defaultdict(list)
    first = 0
    for code, equal in groupby(codes):
        last = first + len(list(equal)) - 1
        ranges[code].append(str(first) if first == last else f"{first}-{last}")
        first = last + 1
    ranges.pop(_WAITING, None)
    return ";".join(f"{code}:{','.join(indexes)}" for code, indexes in sorted(ranges.items()))
