# Written from _async/creation.py by `make generate`. Change that file instead.

"""Creating a run once, though the answer may be lost."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from .. import _operations as api
from .._creation import Claims, ServerClock, born, candidates, may_arrive_later, may_have_created
from .._deadline import current_deadline, granted, has_passed
from .._lazy import lazy_module
from .._logging import logger
from ..errors import (
    AmbiguousRunError,
    ApiError,
    InvalidResponseError,
    RateLimitError,
    ServerFaultError,
    StepflowClientError,
    TransportError,
)
from .connection import Connection

if TYPE_CHECKING:
    from .. import _wire
else:
    _wire = lazy_module("stepflow_client._wire")

__all__ = ["Creation"]


_RUNS_LOOKED_AT = 1000
_OUTAGE = 60.0
"""Seconds for which a lost run is looked for, and other calls of the same flow are waited for."""
_LONGEST_LOOK = 30.0
"""The same where the server may still be at work on a request that it has not answered in time."""
_LAST_LOOK = 1.0
"""Seconds that one look may take although the caller's patience has ended: to know the run is worth more."""
_LATE = 0.3
"""Seconds that a request may still be on its way when its connection has broken."""
_SKEW = 2.0
"""Seconds by which the clocks of two servers behind one URL may differ."""
_FINE_SPREAD, _CLOCK_LOOKS = 0.1, 3
"""The server's clock is looked at again where an answer takes longer, so often at most."""
_MOST_SENDS = 5
_FIRST_PAUSE = 0.1


class _Run(Protocol):
    @property
    def run_id(self) -> str: ...


Created = TypeVar("Created", bound=_Run)


class Creation:
    """The part of the client that creates runs: never twice, never unseen."""

    _connection: Connection

    def __init__(self) -> None:
        super().__init__()
        self._claims = Claims()

    def _create_once(
        self,
        flow_id: str,
        send: Callable[[], Created],
        read: Callable[[dict[str, Any]], Created],
        *,
        is_own_flow: bool = False,
    ) -> Created:
        """Create a run and give it.

        Where the answer was lost, the run is looked for among the root runs of the flow created since the call began
        that no other call of this client owns. One is the run; none means that the request may be sent again, unless
        it may still be worked on.

        Args:
            flow_id: The flow.
            send: Sends the request once and reads the answer.
            read: Reads the answer to a later question about the run.
            is_own_flow: Whether no other call has this flow: every run of it is the one.

        Raises:
            AmbiguousRunError: If it cannot be told which run it is, or whether there is one.
        """
        began = time.monotonic()
        settled = False
        self._claims.begin(flow_id)
        try:
            for attempt in range(1, _MOST_SENDS + 1):
                settled, sent = False, time.monotonic()
                try:
                    created = send()
                except StepflowClientError as error:
                    settled = not may_have_created(error)
                    if settled:
                        raise
                    # Whoever waited so long for the answer waits as long again for a trace of it.
                    patience = min(time.monotonic() - sent, _LONGEST_LOOK) if may_arrive_later(error) else 0.0
                    found = self._find(flow_id, began, error, patience, is_own_flow=is_own_flow)
                    settled = True
                    if found is not None:
                        return self._read_found(flow_id, found, error, read)
                    if attempt == _MOST_SENDS:
                        raise
                    logger.info("a run of flow %s was not created (%s); sent again", flow_id, type(error).__name__)
                    time.sleep(_pause(error, attempt))
                else:
                    self._claims.own(created.run_id)
                    settled = True
                    return created
            raise AssertionError("unreachable")  # pragma: no cover - the last attempt returns or raises
        finally:
            if not settled:
                # Cancelled, for example. Another call must not take what this one may have left.
                self._claims.doubt(flow_id, time.monotonic())
            self._claims.end(flow_id)

    def _read_found(
        self, flow_id: str, found: str, error: StepflowClientError, read: Callable[[dict[str, Any]], Created]
    ) -> Created:
        """Read a run that was found; it is known by now, whatever comes of the question."""
        request = api.get_run._get_kwargs(run_id=found)
        give_up = _end_of_look(_OUTAGE)
        while True:
            try:
                with granted(max(give_up, time.monotonic() + _LAST_LOOK)):
                    return self._connection.call("get_run", request, read, run_id=found)
            except StepflowClientError as failure:
                if not _is_passing(failure) or has_passed(give_up):
                    raise _ambiguous(flow_id, [found], error) from failure
            time.sleep(_LATE)

    def _find(
        self, flow_id: str, began: float, error: StepflowClientError, patience: float, *, is_own_flow: bool
    ) -> str | None:
        """Give the id of the run that a lost request has created; None if it has created none.

        Args:
            flow_id: The flow.
            began: When the call began, by `time.monotonic()`.
            error: What became of the request.
            patience: Seconds for which the request may still be worked on; then nobody can tell.
            is_own_flow: Whether every run of the flow is the one.
        """
        self._claims.lose(flow_id)
        give_up = _end_of_look(_OUTAGE)
        # The request may still be on its way to the server.
        look_until = time.monotonic() + max(_LATE, patience)
        try:
            while True:
                try:
                    with granted(max(give_up, time.monotonic() + _LAST_LOOK)):
                        seen = self._seen(flow_id, began, is_own_flow=is_own_flow)
                except StepflowClientError as failure:
                    if not _is_passing(failure) or has_passed(give_up):
                        raise _ambiguous(flow_id, [], error) from failure
                    time.sleep(_LATE)
                    continue
                alone = is_own_flow or self._claims.is_alone(flow_id, began - seen.spread - _LATE)
                if seen.runs:
                    if len(seen.runs) == 1 and alone and self._claims.own(seen.runs[0]):
                        return seen.runs[0]
                    if self._claims.all_lost(flow_id) or has_passed(give_up):
                        raise _ambiguous(flow_id, seen.runs, error) from error
                    # Another call of this client may own it: its answer will tell.
                elif has_passed(min(look_until, give_up)):
                    if patience or (alone and seen.older):
                        raise _ambiguous(flow_id, seen.older, error) from error
                    return None
                time.sleep(_LATE / 3)
        finally:
            self._claims.found(flow_id)

    def _seen(self, flow_id: str, began: float, *, is_own_flow: bool) -> _Seen:
        """Look for the runs of a flow that a call may have created."""
        clock = self._server_clock()
        since = clock.earliest(began)
        first = since - _SKEW
        limit = _RUNS_LOOKED_AT
        while True:
            request = api.list_runs._get_kwargs(roots_only=True, limit=limit)
            runs = (self._connection.call("list_runs", request, _wire.runs)).runs
            if len(runs) < limit or born(runs[-1]) < first:
                break
            # All of them are younger than the call: the run may be further down.
            limit *= 4
        owned = self._claims.owned
        if is_own_flow:
            return _Seen(candidates(runs, flow_id, first, owned), [], clock.spread)
        older = candidates(runs, flow_id, first, owned, until=since)
        return _Seen(candidates(runs, flow_id, since, owned), older, clock.spread)

    def _server_clock(self) -> ServerClock:
        """Look at the server's clock, more than once where the answer is slow in coming."""
        best: ServerClock | None = None
        for _ in range(_CLOCK_LOOKS):
            asked = time.monotonic()
            health = self._connection.call("health_check", api.health_check._get_kwargs(), _wire.health)
            showed = health.timestamp.timestamp() if health.timestamp is not None else time.time()
            clock = ServerClock(showed, asked, time.monotonic())
            if best is None or clock.spread < best.spread:
                best = clock
            if best.spread < _FINE_SPREAD:
                break
        assert best is not None
        return best


class _Seen(NamedTuple):
    """Which runs of a flow were seen that nobody owns."""

    runs: list[str]
    """Those created since the call began."""
    older: list[str]
    """Those created shortly before it, by a clock that may be another one than that of the call's server."""
    spread: float
    """How far off the server's clock may have been read, in seconds."""


def _end_of_look(seconds: float) -> float:
    """Give when looking for a run ends, by `time.monotonic()`: with the caller's patience, or before."""
    deadline = current_deadline()
    end = time.monotonic() + seconds
    return end if deadline is None else min(end, deadline)


def _pause(error: StepflowClientError, attempt: int) -> float:
    """Give the seconds before a request is sent again that has certainly created nothing."""
    asked = error.retry_after if isinstance(error, ApiError) else None
    pause = max(asked or 0.0, random.uniform(0, _FIRST_PAUSE * 2 ** (attempt - 1)))
    deadline = current_deadline()
    return pause if deadline is None else min(pause, max(0.0, deadline - time.monotonic()))


def _is_passing(error: StepflowClientError) -> bool:
    if isinstance(error, InvalidResponseError):
        return False
    return isinstance(error, (TransportError, ServerFaultError, RateLimitError))


def _ambiguous(flow_id: str, runs: list[str], error: StepflowClientError) -> AmbiguousRunError:
    names = ", ".join(runs[:5]) or "none was seen"
    return AmbiguousRunError(
        f"a run of flow {flow_id[:12]}… may have been created, but its answer was lost ({error.message}): {names}",
        candidates=runs,
        hint="look at the candidates before you start it again; deduplicate=True makes this exact",
    )
