"""Following events on the server for the pages that are open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepflow_client import StepflowClient
    from stepflow_client.drawing.charts import StepTime
    from stepflow_client.events import RunEvent

_CATCH_UP_SECONDS = 5.0
_PAUSE = 2.0
_IDLE_SECONDS = 30.0
_MOST = 64
_MOST_EVENTS = 4_000
_HEALTH_SECONDS = 1.0


class Health:
    """Whether the server responds. It is requested at most once per second, regardless of the number of open pages."""

    def __init__(self, client: StepflowClient) -> None:
        """Store the client; nothing is requested yet."""
        self._client = client
        self._lock = asyncio.Lock()
        self._asked = float("-inf")
        self._is_up = True

    async def is_up(self) -> bool:
        """Return whether the server responded, now or up to a second ago."""
        from stepflow_client import StepflowClientError

        async with self._lock:
            if time.monotonic() - self._asked > _HEALTH_SECONDS:
                try:
                    await self._client.health_check(timeout=2.0)
                    self._is_up = True
                except StepflowClientError as error:
                    # An error response also means that the server is up.
                    self._is_up = error.status_code is not None
                self._asked = time.monotonic()
            return self._is_up


class RunFollower:
    """Reads the events of a run once for all pages that show it.

    Args:
        client: A client of the server.
        run_id: The run.
    """

    def __init__(self, client: StepflowClient, run_id: str) -> None:
        """Start reading."""
        self._client = client
        self._run_id = run_id
        self._events: list[RunEvent] = []
        self._cursor: str | None = None
        self._caught_up = asyncio.Event()
        self._changed = asyncio.Event()
        self._pages = 0
        self._used = time.monotonic()
        self.version = 0
        """Increases with each event, and with each change of the status."""
        self._task = asyncio.create_task(self._follow())

    @property
    def is_idle(self) -> bool:
        """Whether no page has used it for half a minute."""
        return not self._pages and time.monotonic() - self._used > _IDLE_SECONDS

    @property
    def has_pages(self) -> bool:
        """Whether a page is listening."""
        return self._pages > 0

    @contextmanager
    def page(self) -> Iterator[None]:
        """Keep the follower in use for a page while the block runs."""
        self._pages += 1
        try:
            yield
        finally:
            self._pages -= 1
            self._used = time.monotonic()

    async def times(self) -> list[StepTime]:
        """Return the times of steps known so far, after waiting at most five seconds for past events."""
        from stepflow_client.drawing.charts import step_times

        self._used = time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._caught_up.wait(), _CATCH_UP_SECONDS)
        return step_times(self._events, self._run_id)

    async def changes(self, version: int, seconds: float) -> int:
        """Return the version when it differs from the given one, or after this many seconds."""
        if self.version == version:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)
        return self.version

    async def close(self) -> None:
        """Stop reading."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _follow(self) -> None:
        from stepflow_client import StepflowClientError, TransportError

        while True:
            try:
                await self._read()
            except TransportError:
                # The server has been unreachable for longer than the client retries.
                self._caught_up.set()
                await asyncio.sleep(_PAUSE)
                continue
            except StepflowClientError:
                pass
            self._caught_up.set()
            return

    async def _read(self) -> None:
        from stepflow_client._async.following import Asked, Tick

        status: str | None = None
        async with aclosing(self._client._follower.follow(Asked(self._run_id, self._cursor))) as sequence:
            async for seen in sequence:
                if isinstance(seen, Tick):
                    if seen.run is not None:
                        self._caught_up.set()
                        if seen.run.status != (status or seen.run.status):
                            self._change()
                        status = seen.run.status
                    continue
                self._cursor = seen.cursor or self._cursor
                if seen.type in ("step_started", "step_completed") and len(self._events) < _MOST_EVENTS:
                    self._events.append(seen)
                self._change()
        # The last event may arrive before the status changes.
        await self._client.wait_run(self._run_id, timeout=_CATCH_UP_SECONDS)
        self._change()

    def _change(self) -> None:
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()


class Followers:
    """The followed runs, of which at most 64 have no listening page."""

    def __init__(self, client: StepflowClient) -> None:
        """Start without followed runs."""
        self._client = client
        self._runs: dict[str, RunFollower] = {}

    async def of(self, run_id: str) -> RunFollower:
        """Return the follower of a run."""
        found = self._runs.pop(run_id, None) or RunFollower(self._client, run_id)
        # The most recently used follower is last.
        self._runs[run_id] = found
        unused = [each for each, follower in self._runs.items() if not follower.has_pages and follower is not found]
        surplus = unused[: max(0, len(unused) - _MOST)]
        for each in unused:
            if each in surplus or self._runs[each].is_idle:
                await self._runs.pop(each).close()
        return found

    async def close(self) -> None:
        """Stop following all runs."""
        for follower in self._runs.values():
            await follower.close()
        self._runs.clear()
