"""A dict limited to its newest entries."""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedDict(OrderedDict[Key, Value]):
    """A dict that drops its oldest entries.

    (In a plain dict, finding the first entry gets slower with each deletion of the one before it.)

    Args:
        max_size: Maximum number of entries.
    """

    def __init__(self, max_size: int) -> None:
        super().__init__()
        self._max_size = max_size

    def put_newest(self, key: Key, value: Value) -> None:
        """Store an entry as the newest one, dropping the oldest if the dict is full."""
        # In this order, no lock is needed.
        self.pop(key, None)
        self[key] = value
        if len(self) > self._max_size:
            self.popitem(last=False)
