"""Which run, if any, a request has created whose answer was lost. Pure, but for the lock."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from .errors import InvalidResponseError, RequestTimeoutError, ServerFaultError, StepflowClientError, TransportError

if TYPE_CHECKING:
    from .types import RunDetails

__all__ = ["Claims", "ServerClock", "born", "candidates", "may_arrive_later", "may_have_created"]

_MOST_OWNED = 10_000


def may_have_created(error: StepflowClientError) -> bool:
    """Tell whether the server may have created a run although this came back."""
    if isinstance(error, InvalidResponseError):
        return True
    if isinstance(error, TransportError):
        return error.was_sent
    return isinstance(error, ServerFaultError) and not (error.status_code == 500 and _is_own(error.details))


def _is_own(details: object) -> bool:
    """Tell whether a server itself says so: what a proxy says of one (502, 503, 504) leaves everything open."""
    if not isinstance(details, dict):
        return False
    inner = details.get("error")
    if isinstance(inner, dict):
        return {"code", "message", "status"} <= inner.keys()
    # Servers before 0.12.
    return {"code", "message"} <= details.keys()


def may_arrive_later(error: StepflowClientError) -> bool:
    """Tell whether a request that got no answer may still be worked on, so that sending it again could double it.

    A server drops what it does for a connection that breaks; for one that is silent it does not.
    """
    if isinstance(error, RequestTimeoutError):
        # A 408 says that the request did not arrive in time.
        return error.was_sent and error.status_code is None
    return isinstance(error, ServerFaultError) and error.status_code == 504


class ServerClock(NamedTuple):
    """What a server's clock showed, and when that was by `time.monotonic()`: after `asked` and before `answered`."""

    showed: float
    """Seconds since 1970."""
    asked: float
    answered: float

    @property
    def spread(self) -> float:
        """How far off it may be, in seconds."""
        return self.answered - self.asked

    def earliest(self, moment: float) -> float:
        """Give the earliest that the server's clock may have shown at a moment by `time.monotonic()`."""
        return self.showed - (self.answered - moment)


def born(run: RunDetails) -> float:
    """Give when the server created a run, in seconds since 1970 by its own clock.

    Run ids hold it to the millisecond (UUID version 7); `created_at` has only whole seconds with some stores.
    """
    uuid = UUID(run.run_id)
    if uuid.version == 7:
        return int(uuid.hex[:12], 16) / 1000
    return run.created_at.timestamp() if run.created_at is not None else 0.0


def candidates(
    runs: Iterable[RunDetails], flow_id: str, since: float, owned: Iterable[str], *, until: float = math.inf
) -> list[str]:
    """Give the runs of a flow created within a time that no other call owns.

    Args:
        runs: Root runs, the newest ones.
        flow_id: The flow.
        since: Seconds since 1970 by the server's clock; ids are cut to milliseconds, and so is this.
        owned: Runs that are known to belong to another call.
        until: The end of the time, in the same way; not in it itself.
    """
    taken = set(owned)
    first, end = (each if math.isinf(each) else int(each * 1000) / 1000 for each in (since, until))
    mine = (run for run in runs if run.flow_id == flow_id and run.run_id not in taken)
    return [run.run_id for run in mine if first <= born(run) < end]


class Claims:
    """Who creates runs of which flow just now, and which runs have found their call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owned: dict[str, None] = {}
        self._sending: dict[str, int] = {}
        self._lost: dict[str, int] = {}
        self._doubts: dict[str, float] = {}

    @property
    def owned(self) -> list[str]:
        """The runs that belong to a call of this client."""
        with self._lock:
            return list(self._owned)

    def begin(self, flow_id: str) -> None:
        """Note that a call is about to create a run."""
        self._count(self._sending, flow_id, 1)

    def end(self, flow_id: str) -> None:
        """Note that it is over."""
        self._count(self._sending, flow_id, -1)

    def lose(self, flow_id: str) -> None:
        """Note that a call has lost its answer and looks for its run."""
        self._count(self._lost, flow_id, 1)

    def found(self, flow_id: str) -> None:
        """Note that it looks no more."""
        self._count(self._lost, flow_id, -1)

    def doubt(self, flow_id: str, now: float) -> None:
        """Note that a call gives up without knowing whether it has created a run, or which: nobody will own that one.

        Args:
            flow_id: The flow.
            now: By `time.monotonic()`.
        """
        with self._lock:
            self._doubts.pop(flow_id, None)
            self._doubts[flow_id] = now
            if len(self._doubts) > _MOST_OWNED:
                del self._doubts[next(iter(self._doubts))]

    def is_alone(self, flow_id: str, since: float) -> bool:
        """True if only one call of this client may have created a run of the flow since a moment that nobody owns.

        Args:
            flow_id: The flow.
            since: By `time.monotonic()`.
        """
        with self._lock:
            return self._sending.get(flow_id, 0) <= 1 and self._doubts.get(flow_id, -math.inf) < since

    def all_lost(self, flow_id: str) -> bool:
        """True if every call that creates a run of the flow looks for it."""
        with self._lock:
            return self._lost.get(flow_id, 0) >= self._sending.get(flow_id, 0)

    def own(self, run_id: str) -> bool:
        """Give a run to a call; False if another one has it already."""
        with self._lock:
            if run_id in self._owned:
                return False
            self._owned[run_id] = None
            if len(self._owned) > _MOST_OWNED:
                del self._owned[next(iter(self._owned))]
            return True

    def _count(self, counts: dict[str, int], flow_id: str, step: int) -> None:
        with self._lock:
            left = counts.get(flow_id, 0) + step
            if left > 0:
                counts[flow_id] = left
            else:
                counts.pop(flow_id, None)
