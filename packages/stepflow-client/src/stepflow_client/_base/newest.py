"""A dict that keeps only its newest entries. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class NewestEntries(OrderedDict[Key, Value]):
    """A dict that keeps only its newest entries.

    (Not a plain dict: finding its first entry takes longer after each deletion of the previous first entry.)

    Args:
        max_size: Maximum number of entries.
    """

    def __init__(self, max_size: int) -> None:
        super().__init__()
        self._max_size = max_size

    def put(self, key: Key, value: Value) -> None:
        """Store an entry as the newest one, and drop the oldest if there are too many."""
        # In this order, it is safe without a lock.
        self.pop(key, None)
        self[key] = value
        if len(self) > self._max_size:
            self.popitem(last=False)
