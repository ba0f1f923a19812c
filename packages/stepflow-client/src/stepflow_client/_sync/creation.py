# Written from _async/creation.py by `make generate`. Change that file instead.

"""Creating a run once, though the answer may be lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .. import _operations as api
from .._creation import Claims, born, candidates, may_have_created
from .._lazy import lazy_module
from ..errors import AmbiguousRunError, InvalidResponseError, ServerFaultError, StepflowClientError, TransportError
from .connection import Connection

if TYPE_CHECKING:
    from .. import _wire
else:
    _wire = lazy_module("stepflow_client._wire")

__all__ = ["Creation"]

logger = logging.getLogger("stepflow.client")

_RUNS_LOOKED_AT = 1000
_OUTAGE = 60.0
"""Seconds for which a lost run is looked for, and other calls of the same flow are waited for."""
_LATE = 0.3
"""Seconds that a request may still be on its way when its connection has broken."""
_MOST_SENDS = 5


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
        self, flow_id: str, send: Callable[[], Created], read: Callable[[dict[str, Any]], Created]
    ) -> Created:
        """Create a run and give it.

        Where the answer was lost, the run is looked for among the root runs of the flow created since the call began
        that no other call of this client owns. One is the run; none means that the request may be sent again.

        Args:
            flow_id: The flow.
            send: Sends the request once and reads the answer.
            read: Reads the answer to a later question about the run.

        Raises:
            AmbiguousRunError: If it cannot be told which run it is, or whether there is one.
        """
        started, began = time.time(), time.monotonic()
        settled = False
        self._claims.begin(flow_id)
        try:
            for attempt in range(1, _MOST_SENDS + 1):
                settled = False
                try:
                    created = send()
                except StepflowClientError as error:
                    settled = not may_have_created(error)
                    if settled:
                        raise
                    found = self._find(flow_id, started, began, error)
                    settled = True
                    if found is not None:
                        request = api.get_run._get_kwargs(run_id=found)
                        return self._connection.call("get_run", request, read, run_id=found)
                    if attempt == _MOST_SENDS:
                        raise
                    logger.info("a run of flow %s was not created (%s); sent again", flow_id, type(error).__name__)
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

    def _find(self, flow_id: str, started: float, began: float, error: StepflowClientError) -> str | None:
        """Give the id of the run that a lost request has created; None if it has created none."""
        self._claims.lose(flow_id)
        give_up = time.monotonic() + _OUTAGE
        nothing_yet = True
        try:
            while True:
                try:
                    runs = self._runs_since(flow_id, started)
                except (TransportError, ServerFaultError) as failure:
                    if isinstance(failure, InvalidResponseError) or time.monotonic() > give_up:
                        raise _ambiguous(flow_id, [], error) from error
                    time.sleep(_LATE)
                    continue
                if not runs and nothing_yet:
                    # The request may still be on its way to the server.
                    nothing_yet = False
                    time.sleep(_LATE)
                    continue
                if not runs:
                    return None
                alone = self._claims.is_alone(flow_id, began - _LATE)
                if len(runs) == 1 and alone and self._claims.own(runs[0]):
                    return runs[0]
                if self._claims.all_lost(flow_id) or time.monotonic() > give_up:
                    raise _ambiguous(flow_id, runs, error) from error
                # Another call of this client may own it: its answer will tell.
                time.sleep(_LATE / 3)
        finally:
            self._claims.found(flow_id)

    def _runs_since(self, flow_id: str, started: float) -> list[str]:
        server_now, spread = self._server_clock()
        since = started + (server_now - time.time()) - spread
        limit = _RUNS_LOOKED_AT
        while True:
            request = api.list_runs._get_kwargs(roots_only=True, limit=limit)
            runs = (self._connection.call("list_runs", request, _wire.runs)).runs
            if len(runs) < limit or born(runs[-1]) < since:
                return candidates(runs, flow_id, since, self._claims.owned)
            # All of them are younger than the call: the run may be further down.
            limit *= 4

    def _server_clock(self) -> tuple[float, float]:
        """Give the server's time in seconds since 1970, and how far off that may be."""
        asked = time.monotonic()
        health = self._connection.call("health_check", api.health_check._get_kwargs(), _wire.health)
        spread = time.monotonic() - asked
        return (health.timestamp.timestamp() if health.timestamp is not None else time.time()), spread


def _ambiguous(flow_id: str, runs: list[str], error: StepflowClientError) -> AmbiguousRunError:
    names = ", ".join(runs[:5]) or "none was seen"
    return AmbiguousRunError(
        f"a run of flow {flow_id[:12]}… may have been created, but its answer was lost ({error.message}): {names}",
        candidates=runs,
        hint="look at the candidates before you start it again; deduplicate=True makes this exact",
    )
