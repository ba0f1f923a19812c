"""Start and track runs for agents: recognize repeated requests, wait for results, and limit concurrent runs."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepflow_client import NotFoundError, RateLimitError, RunTimeoutError, StepflowClientError

from ..settings.run_history import LazyRunHistory

if TYPE_CHECKING:
    from stepflow_client import FlowResult, Progress, RunHandle, StepflowClient

MAX_ARGUMENT_BYTES = 4 * 2**20
"""Maximum length of a call's arguments in characters of JSON. HTTP request bodies may have twice as many bytes."""
MAX_ANSWER_LENGTH = 40_000
"""Maximum number of characters of JSON output in a response. Hosts truncate responses at around this length."""


@dataclass(frozen=True)
class AgentLimits:
    """Limits on what agents may do."""

    runs: int = 20
    """Maximum number of concurrent runs."""
    rate: float = 20.0
    """Average number of calls per second."""
    max_wait: float = 50.0
    """Number of seconds that a call waits for a run. Hosts give up on a call after 60 seconds."""


class RateLimiter:
    """Limits the rate of calls. A burst may use up to ten seconds' worth of calls at once.

    Args:
        per_second: Average number of calls allowed per second.
        clock: Returns the time in seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._capacity = max(1.0, 10 * per_second)
        self._clock = clock
        self._available_calls = self._capacity
        self._updated_at = clock()

    def acquire_or_get_delay(self) -> float:
        """Count a call and return 0 if it's allowed. Otherwise, return how many seconds to wait before trying again."""
        now = self._clock()
        self._available_calls = min(self._capacity, self._available_calls + (now - self._updated_at) * self._per_second)
        self._updated_at = now
        if self._available_calls < 1:
            return (1 - self._available_calls) / self._per_second
        self._available_calls -= 1
        return 0.0


_MAX_REQUESTS = 2_000
AGENT_LABEL = {"via": "mcp"}
"""The label added to every run started by an agent."""

Report = Callable[["Progress"], Awaitable[None]]


class AgentRuns:
    """Starts runs for agents and keeps track of them.

    Args:
        client: The client.
        history: The run history, which stores each run's labels.
        bounds: The limits.
        all_runs: Whether agents may also see and change runs that no agent started.
    """

    def __init__(self, client: StepflowClient, history: LazyRunHistory, bounds: AgentLimits, *, all_runs: bool) -> None:
        self.client = client
        self.bounds = bounds
        self.all_runs = all_runs
        self._history = history
        self._requests: OrderedDict[Any, asyncio.Task[str]] = OrderedDict()
        """Tasks that start a run and return its ID, by request ID."""
        self._unfinished: set[str] = set()
        self._own_run_ids: set[str] = set()

    def is_accessible(self, run_id: str) -> bool:
        """Return True if agents are allowed to see a run."""
        if self.all_runs or run_id in self._own_run_ids:
            return True
        entry = self._history.get(run_id)
        return entry is not None and entry.labels.items() >= AGENT_LABEL.items()

    def find_tool_name(self, run_id: str) -> str | None:
        """Return the name of the tool that started a run, or None if it isn't known."""
        entry = self._history.get(run_id)
        return None if entry is None else entry.labels.get("tool")

    async def start_run(self, names: list[Any], create: Callable[[], Awaitable[str]]) -> str:
        """Start a run and return its ID. For a repeated request, return the ID of the original run instead.

        Args:
            names: The IDs that identify the request. A repeated request shares at least one of them with the original.
            create: Starts the run.

        Raises:
            RateLimitError: If the maximum number of runs are already in progress.
            StepflowClientError: If the run can't be started.
        """
        if self._find_original_request(names) is None and not await self._can_start_run():
            raise RateLimitError(f"{self.bounds.runs} runs are in progress, which is the maximum")
        creation = self._find_original_request(names)
        if creation is None:
            creation = asyncio.ensure_future(self._create_and_track_run(create))
            self._requests.update(dict.fromkeys(names or [creation], creation))
            while len(self._requests) > _MAX_REQUESTS:
                self._requests.popitem(last=False)
        # The run has to be tracked and labeled even if the agent stops waiting for it.
        try:
            return await asyncio.shield(creation)
        except StepflowClientError:
            for name in [name for name, request in self._requests.items() if request is creation]:
                del self._requests[name]
            raise

    def _find_original_request(self, names: list[Any]) -> asyncio.Task[str] | None:
        return next((self._requests[name] for name in names if name in self._requests), None)

    async def _create_and_track_run(self, create: Callable[[], Awaitable[str]]) -> str:
        try:
            run_id = await create()
        except TimeoutError as error:
            # Some servers don't respond until the run has ended, so the request may time out. In that case, the error
            # contains the run ID.
            run_id = getattr(error, "run_id", None) or ""
            if not run_id:
                raise
        self.track_run(run_id)
        return run_id

    def track_run(self, run_id: str) -> None:
        """Keep track of a run that an agent started."""
        self._own_run_ids.add(run_id)
        self._unfinished.add(run_id)

    async def _can_start_run(self) -> bool:
        if self._count_unfinished_runs() < self.bounds.runs:
            return True
        for run_id in list(self._unfinished):
            try:
                has_ended = (await self.client.get_run(run_id)).is_finished
            except StepflowClientError as error:
                # A server that keeps its runs in memory loses them if it is restarted.
                has_ended = isinstance(error, NotFoundError)
            if has_ended:
                self._unfinished.discard(run_id)
        # Count again, because other calls may have started runs in the meantime.
        return self._count_unfinished_runs() < self.bounds.runs

    def _count_unfinished_runs(self) -> int:
        return len(self._unfinished) + sum(not request.done() for request in set(self._requests.values()))

    async def wait_for_result(self, run_id: str, seconds: float, report: Report | None = None) -> FlowResult | None:
        """Wait for a single-item run and return its result, or None if it doesn't end in time.

        Args:
            run_id: The run's ID.
            seconds: How many seconds to wait.
            report: Called with the run's progress.

        Raises:
            StepflowClientError: If the run can't be read.
        """
        handle = self.client.handle(run_id)
        try:
            if seconds <= 0:
                result = await handle.result(wait=False)
            elif report is None:
                result = await handle.result(timeout=seconds)
            else:
                result = await _wait_for_run_and_report(handle, seconds, report)
        except RunTimeoutError:
            return None
        self._unfinished.discard(run_id)
        from stepflow_client._command import add_hint_from_explanation

        return await add_hint_from_explanation(self.client, result)

    async def wait_for_starting_runs(self) -> None:
        """Wait until every run that is still being started has been labeled."""
        if self._requests:
            await asyncio.wait(set(self._requests.values()), timeout=10)


async def _wait_for_run_and_report(handle: RunHandle[Any], seconds: float, report: Report) -> FlowResult:
    """Wait for a run and report its latest progress. If `report` is slow, it is called less often."""
    newest: list[Progress] = []
    changed = asyncio.Event()

    def store_progress(progress: Progress) -> None:
        newest[:] = [progress]
        changed.set()

    async def send_reports() -> None:
        while True:
            await changed.wait()
            changed.clear()
            await report(newest[0])

    passing = asyncio.ensure_future(send_reports())
    try:
        return await handle.result(timeout=seconds, progress=store_progress)
    finally:
        passing.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await passing
