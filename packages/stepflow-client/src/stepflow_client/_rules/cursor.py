"""Where one stands in the events of a run. Pure.

Several events can share one sequence number, and the server's `since` is inclusive: so a cursor is a number and how
many events with it were handled. To go on, ask from that number on and skip that many.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InvalidArgumentError

__all__ = ["Cursor"]

_TEXT = re.compile(r"(?P<mode>[eis])(?P<number>\d{1,18})\.(?P<handled>\d{1,18})")


@dataclass(frozen=True)
class Cursor:
    """A place in the events of a run."""

    mode: str = "e"
    """`e` for a run's own events, `s` with those of the runs below it, `i` for inferred ones: each counts apart."""
    number: int = 0
    handled: int = 0

    def __str__(self) -> str:
        return f"{self.mode}{self.number}.{self.handled}"

    @classmethod
    def parse(cls, since: str | int | None, mode: str) -> Cursor:
        """Read what a caller gives as `since`: an event's cursor, or a sequence number to begin with.

        Raises:
            InvalidArgumentError: If it is neither, or comes from events asked for in another way.
        """
        if since is None:
            return cls(mode)
        if isinstance(since, int) and not isinstance(since, bool) and since >= 0:
            return cls(mode, since)
        match = _TEXT.fullmatch(since) if isinstance(since, str) else None
        if match is None:
            raise InvalidArgumentError(f"since is the cursor of an event or a sequence number, not {since!r}")
        if match["mode"] != mode:
            raise InvalidArgumentError(
                f"the cursor {since!r} comes from events asked for in another way",
                hint="keep include_sub_runs the same",
            )
        return cls(mode, int(match["number"]), int(match["handled"]))

    @classmethod
    def check(cls, since: str | int | None, mode: str) -> None:
        """Refuse what can be the cursor of no event that is asked for so, whatever the server.

        Raises:
            InvalidArgumentError: As `parse` does.
        """
        inferred = isinstance(since, str) and since[:1] == "i"
        cls.parse(since, "i" if inferred else mode)

    def after(self, number: int) -> Cursor:
        """Return the cursor behind one more event with a number."""
        return Cursor(self.mode, number, self.handled + 1 if number == self.number else 1)
