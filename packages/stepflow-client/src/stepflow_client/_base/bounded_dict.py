"""A dict that keeps only its newest entries."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedDict(OrderedDict[Key, Value]):
    """A dict that drops its oldest entries.

    (In a plain dict, finding the first entry gets slower every time you delete the first one.)

    Args:
        max_size: Maximum number of entries.
    """

    def __init__(self, max_size: int) -> None:
        super().__init__()
        self._max_size = max_size

    def put_newest(self, key: Key, value: Value) -> None:
        """Store an entry as the newest one. If the dict is full, drop the oldest."""
        # Doing things in this order means that we don't need a lock.
        self.pop(key, None)
        self[key] = value
        if len(self) > self._max_size:
            self.popitem(last=False)
