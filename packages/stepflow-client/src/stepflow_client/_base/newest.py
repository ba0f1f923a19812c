"""A dict that keeps only its newest entries. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Newest(OrderedDict[Key, Value]):
    """A dict that keeps only its newest entries, whose cost does not grow with their number.

    (Deleting the first entry of a plain dict again and again takes longer each time: it is found behind the gaps of
    all those that were deleted before.)

    Args:
        most: Maximum number of entries.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def put(self, key: Key, value: Value) -> None:
        """Store an entry as the newest one, and drop the oldest if there are too many."""
        # In this order, threads cannot disturb each other.
        self.pop(key, None)
        self[key] = value
        if len(self) > self._most:
            self.popitem(last=False)
