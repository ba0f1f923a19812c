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
    RunTimeoutError,
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
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds before a request is sent again. A server that wants more time is not waited for."""


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
                    search = _Search(flow_id, began, error, patience, is_own_flow)
                    found = self._find(search)
                    settled = True
                    if found is not None:
                        return self._read_found(search, found, read)
                    pause = _pause(error, attempt)
                    if attempt == _MOST_SENDS or pause is None:
                        raise
                    logger.info("a run of flow %s was not created (%s); sent again", flow_id, type(error).__name__)
                    time.sleep(pause)
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

    def _read_found(self, search: _Search, found: str, read: Callable[[dict[str, Any]], Created]) -> Created:
        """Read a run that was found; it is known by now, whatever comes of the question."""
        request = api.get_run._get_kwargs(run_id=found)
        while True:
            try:
                with granted(search.last_look):
                    return self._connection.call("get_run", request, read, run_id=found)
            except StepflowClientError as failure:
                if has_passed(current_deadline()):
                    message = f"run {found} was created, and nothing more came of it in time"
                    hint = "it goes on; wait_run() waits again"
                    raise RunTimeoutError(message, run_id=found, hint=hint) from failure
                if not _is_passing(failure) or has_passed(search.give_up):
                    raise search.ambiguous([found], run_id=found) from failure
            time.sleep(_LATE)

    def _find(self, search: _Search) -> str | None:
        """Give the id of the run that a lost request has created; None if it has created none.

        Raises:
            AmbiguousRunError: If nobody can tell.
        """
        flow_id = search.flow_id
        self._claims.lose(flow_id)
        try:
            while True:
                try:
                    with granted(search.last_look):
                        seen = self._seen(search)
                except StepflowClientError as failure:
                    if not _is_passing(failure) or has_passed(search.give_up):
                        raise search.ambiguous([]) from failure
                    time.sleep(_LATE)
                    continue
                alone = search.is_own_flow or self._claims.is_alone(flow_id, search.began - seen.spread - _LATE)
                if seen.runs:
                    if len(seen.runs) == 1 and alone and self._claims.own(seen.runs[0]):
                        return seen.runs[0]
                    if self._claims.all_lost(flow_id) or has_passed(search.give_up):
                        raise search.ambiguous(seen.runs) from search.error
                    # Another call of this client may own it: its answer will tell.
                elif has_passed(search.look_until):
                    if search.may_come or (alone and seen.older):
                        raise search.ambiguous(seen.older) from search.error
                    return None
                time.sleep(_LATE / 3)
        finally:
            self._claims.found(flow_id)

    def _seen(self, search: _Search) -> _Seen:
        """Look for the runs of a flow that a call may have created."""
        clock = self._server_clock()
        since = clock.earliest(search.began)
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
        if search.is_own_flow:
            return _Seen(candidates(runs, search.flow_id, first, owned), [], clock.spread)
        older = candidates(runs, search.flow_id, first, owned, until=since)
        return _Seen(candidates(runs, search.flow_id, since, owned), older, clock.spread)

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


class _Search:
    """The search for the run of a request whose answer was lost.

    Args:
        flow_id: The flow.
        began: When the call began, by `time.monotonic()`, as all moments here.
        error: What became of the request.
        patience: Seconds for which the server may still be at work on it.
        is_own_flow: Whether every run of the flow is the one.
    """

    def __init__(
        self, flow_id: str, began: float, error: StepflowClientError, patience: float, is_own_flow: bool
    ) -> None:
        """Set its ends."""
        self.flow_id, self.began, self.error, self.is_own_flow = flow_id, began, error, is_own_flow
        now, deadline = time.monotonic(), current_deadline()
        end = now + _OUTAGE
        self.give_up = end if deadline is None else min(end, deadline)
        """When a server that does not answer is given up."""
        self.last_look = max(self.give_up, now + _LAST_LOOK)
        """When the last answer must have come: to know the run is worth more than the caller's patience."""
        # The request may still be on its way to the server.
        wanted = now + max(_LATE, patience)
        self.look_until = min(wanted, self.give_up)
        """When a run that does not show is none, or nobody can tell."""
        self.may_come = bool(patience) or self.give_up < wanted
        """Whether a run may show later than that."""

    def ambiguous(self, runs: list[str], run_id: str | None = None) -> AmbiguousRunError:
        """Give the error that names the runs that may be the one."""
        names = ", ".join(runs[:5]) or "none was seen"
        flow = f"{self.flow_id[:12]}…"
        return AmbiguousRunError(
            f"a run of flow {flow} may have been created, but its answer was lost ({self.error.message}): {names}",
            candidates=runs,
            run_id=run_id,
            hint="look at the candidates before you start it again; deduplicate=True makes this exact",
        )


def _pause(error: StepflowClientError, attempt: int) -> float | None:
    """Give the seconds before a request is sent again; None where the caller, or the server, leaves no time for it."""
    pause = random.uniform(0, _FIRST_PAUSE * 2 ** (attempt - 1))
    if isinstance(error, ApiError) and error.retry_after is not None:
        pause = max(pause, error.retry_after)
    deadline = current_deadline()
    left = _LONGEST_PAUSE if deadline is None else min(_LONGEST_PAUSE, deadline - time.monotonic())
    return pause if pause < left else None


def _is_passing(error: StepflowClientError) -> bool:
    if isinstance(error, InvalidResponseError):
        return False
    return isinstance(error, (TransportError, ServerFaultError, RateLimitError))
