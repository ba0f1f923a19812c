"""Positions in the events of a run. Pure.

Several events can share one sequence number, and the server's since is inclusive. A cursor is therefore a sequence
number and the number of events with it that were already handled. To continue, request the events from that sequence
number on and skip this many events.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .._data.arguments import wrong
from ..errors import InvalidArgumentError

_TEXT = re.compile(r"(?P<mode>[es])(?P<number>\d{1,18})\.(?P<handled>\d{1,18})")


class Cursor(NamedTuple):
    """A position in the events of a run."""

    mode: str = "e"
    """`e` for the run's own events, `s` if the events of sub-runs are included. Each mode counts separately."""
    number: int = 0
    handled: int = 0

    def __str__(self) -> str:
        return f"{self.mode}{self.number}.{self.handled}"

    @classmethod
    def parse(cls, after: str | int | None, mode: str) -> Cursor:
        """Parse the `after` argument of a caller: the cursor of an event, or the sequence number to start with.

        Raises:
            InvalidArgumentError: If it is neither, or if the cursor comes from events that were requested in another
                mode.
        """
        if after is None:
            return cls(mode)
        if isinstance(after, int) and not isinstance(after, bool) and after >= 0:
            return cls(mode, after)
        match = _TEXT.fullmatch(after) if isinstance(after, str) else None
        if match is None:
            raise wrong("after", "the cursor of an event or a sequence number", after)
        if match["mode"] != mode:
            raise InvalidArgumentError(
                f"the cursor {after!r} comes from a request with another include_sub_runs",
                hint="pass the same include_sub_runs as before",
            )
        return cls(mode, int(match["number"]), int(match["handled"]))

    def after(self, number: int) -> Cursor:
        """Return the cursor after one more event with the given sequence number."""
        return Cursor(self.mode, number, self.handled + 1 if number == self.number else 1)
