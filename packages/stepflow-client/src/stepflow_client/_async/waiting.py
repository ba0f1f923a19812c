"""Waiting for runs to end."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from uuid import UUID

from .. import _operations as api
from .. import _requests, _settings
from .._creation import born
from .._lazy import lazy_module
from ..errors import (
    InvalidArgumentError,
    InvalidResponseError,
    RateLimitError,
    RunTimeoutError,
    ServerFaultError,
    TransportError,
    UnsupportedByServerError,
)
from .connection import Connection

if TYPE_CHECKING:
    from .. import _wire
    from ..types import ListItemsResponse, RunDetails
else:
    _wire = lazy_module("stepflow_client._wire")

__all__ = ["Waiting"]

_SLICE = 25.0
"""Seconds a server is asked to hold a request at most: proxies cut what is silent for longer, often after 30 or 60."""
_SHARED_SLICE = 2.0
"""The same where there are several servers: one that is asked to wait for a run of another does not notice its end."""
_LARGE = 200
"""A run of more items is asked for its summary only: a server gives all steps of all items along with a run."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_OUTAGE = 120.0
"""Seconds without an answer after which we give up, though the caller has set no limit."""


class Waiting:
    """The part of the client that waits."""

    _connection: Connection

    async def wait_run(self, run_id: str | UUID, *, timeout: float | None = None) -> RunDetails:
        """Wait for a run to end and give it.

        Args:
            run_id: The run.
            timeout: Seconds to wait; None waits as long as it takes.

        Raises:
            NotFoundError: If the server has no such run.
            RunTimeoutError: If the run has not ended in time. It goes on.
            UnsupportedByServerError: If the run will not end: its server was started again and resumes none (0.9).
        """
        run_id = _requests.check_run_id(run_id)
        deadline = None if timeout is None else time.monotonic() + _settings.check_positive(timeout, "timeout")
        return await self._wait(run_id, deadline)

    async def _wait(self, run_id: str, deadline: float | None, *, total: int | None = None) -> RunDetails:
        if total is None:
            # Asked to wait for a run they do not know, 0.10 and 0.11 answer 500 instead of 404: so ask without first.
            run = await self._summary(run_id) or await self._look(run_id, 0, 1)
            if run.is_finished:
                return run
            total = run.items.total
        began = time.monotonic()
        longest = _SHARED_SLICE if self._connection.is_shared else _SLICE
        pause, last_contact = _FIRST_PAUSE, began
        checked: float | None = None
        while True:
            started = time.monotonic()
            remaining = longest if deadline is None else deadline - started
            held = 0 if total > _LARGE else _requests.wait_seconds(remaining, longest)
            try:
                run = await self._look(run_id, held, total)
            except (TransportError, ServerFaultError, RateLimitError) as error:
                # The run goes on, or the server resumes it when it is started again.
                gone = time.monotonic() - last_contact
                if isinstance(error, InvalidResponseError) or gone > _OUTAGE:
                    error.run_id = run_id
                    raise
                held = 0
            else:
                if run.is_finished:
                    return run
                last_contact = time.monotonic()
                checked = await self._check_recovery(run, checked)
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                raise _timed_out(run_id)
            if now - started < held / 2 or not held:
                # The server answered at once, because it does not wait or was not asked to.
                await asyncio.sleep(pause if deadline is None else min(pause, max(0.0, deadline - now)))
                # The end is noticed late by a tenth of what the run took, at most.
                pause = min(max(pause, 0.1 * (now - began)), _LONGEST_PAUSE)

    async def _check_recovery(self, run: RunDetails, checked: float | None) -> float | None:
        """Refuse to wait for a run that was there before its server was gone, where servers resume none.

        Args:
            run: A run that has not ended.
            checked: What this gave the last time.

        Raises:
            UnsupportedByServerError: If the run will not end.
        """
        gone_at = self._connection.nobody_at
        if gone_at is None or gone_at == checked:
            return checked
        server = await self._connection.server()
        if server.capabilities["recovery"]:
            return gone_at
        # By the server's clock, as runs are.
        server_now, _ = await self._server_clock()
        if born(run) >= server_now - (time.monotonic() - gone_at):
            return gone_at
        raise UnsupportedByServerError(
            f"run {run.run_id} will not end: its server was started again, and "
            f"{server.release or server.dialect} does not resume runs",
            run_id=run.run_id,
            hint="servers of 0.10 and newer do",
        )

    async def _look(self, run_id: str, held: int, total: int) -> RunDetails:
        if total > _LARGE:
            summary = await self._summary(run_id)
            if summary is not None:
                return summary
        request = api.get_run._get_kwargs(
            run_id=run_id, wait=True if held else api.UNSET, timeout_secs=held or api.UNSET
        )
        return await self._connection.call("get_run", request, _wire.run, run_id=run_id, waits=held)

    async def _summary(self, run_id: str) -> RunDetails | None:
        """Give a root run without its steps, None for a run below another or one that is not there."""
        request = api.list_runs._get_kwargs(root_run_id=run_id, roots_only=True, limit=1)
        listed = await self._connection.call("list_runs", request, _wire.runs, run_id=run_id)
        return next((run for run in listed.runs if run.run_id == run_id), None)

    async def _server_clock(self) -> tuple[float, float]:
        raise NotImplementedError  # pragma: no cover - the client has it from Creation

    async def get_run_items(self, run_id: str | UUID, *, timeout: float | None = None) -> ListItemsResponse:
        raise NotImplementedError  # pragma: no cover - the client has it from Runs

    async def _finished(
        self, run_id: str | UUID, *, wait: bool, timeout: float | None, single: bool
    ) -> tuple[RunDetails, ListItemsResponse]:
        run_id = _requests.check_run_id(run_id)
        deadline = None if timeout is None else time.monotonic() + _settings.check_positive(timeout, "timeout")
        run = await self._summary(run_id) or await self._look(run_id, 0, 1)
        if single and run.items.total != 1:
            raise InvalidArgumentError(
                f"run {run_id} is a batch of {run.items.total} items",
                run_id=run_id,
                hint="get_results() gives them all",
            )
        if not run.is_finished:
            if not wait:
                raise _timed_out(run_id)
            run = await self._wait(run_id, deadline, total=run.items.total)
        return run, await self.get_run_items(run_id)


def _timed_out(run_id: str) -> RunTimeoutError:
    return RunTimeoutError(f"run {run_id} has not ended yet", run_id=run_id, hint="it goes on; wait_run() waits again")
