"""The runs that agents start: once for each request, waited for and limited in number."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stepflow_client import RateLimitError, RunTimeoutError, StepflowClientError

from ..settings.history import CommandHistory

if TYPE_CHECKING:
    from stepflow_client import FlowResult, Progress, StepflowClient

MAX_ARGUMENT_BYTES = 4 * 2**20
"""Maximum size of the arguments of a call, as JSON."""
MAX_ANSWER_LENGTH = 40_000
"""Maximum length of an output in an answer, in characters of JSON. Hosts cut answers off at about that."""


@dataclass(frozen=True)
class Bounds:
    """The bounds of a server."""

    runs: int = 20
    """Maximum number of runs at once."""
    rate: float = 20.0
    """Calls a second, on average."""
    max_wait: float = 50.0
    """Seconds that a call waits for a run. Hosts give a call up after 60."""


class RateLimiter:
    """Counts calls against a rate. Bursts may have the calls of ten seconds.

    Args:
        per_second: Calls a second.
        clock: Returns the time in seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._capacity = max(1.0, 10 * per_second)
        self._clock = clock
        self._available = self._capacity
        self._updated = clock()

    def acquire(self) -> float:
        """Count a call; return 0 if it is allowed, else the seconds after which one is."""
        now = self._clock()
        self._available = min(self._capacity, self._available + (now - self._updated) * self._per_second)
        self._updated = now
        if self._available < 1:
            return (1 - self._available) / self._per_second
        self._available -= 1
        return 0.0


_MAX_REQUESTS = 2_000
AGENT_LABEL = {"via": "mcp"}
"""The label of all runs that agents start."""

Report = Callable[["Progress"], Awaitable[None]]


class AgentRuns:
    """Starts runs, and follows those that were started here.

    Args:
        client: The client.
        history: The history, which has the labels of the runs.
        bounds: The bounds.
        all_runs: Whether agents may see and change runs that no agent has started.
    """

    def __init__(self, client: StepflowClient, history: CommandHistory, bounds: Bounds, *, all_runs: bool) -> None:
        self.client = client
        self.bounds = bounds
        self.all_runs = all_runs
        self._history = history
        self._requests: OrderedDict[Any, asyncio.Task[str]] = OrderedDict()
        """The tasks that start runs, by the ids of their requests; they return the ids of the runs."""
        self._unfinished: set[str] = set()
        self._own: set[str] = set()

    def owns(self, run_id: str) -> bool:
        """Return whether agents may see a run."""
        if self.all_runs or run_id in self._own:
            return True
        entry = self._history.get(run_id)
        return entry is not None and entry.labels.items() >= AGENT_LABEL.items()

    def find_tool_name(self, run_id: str) -> str | None:
        """Return the name of the tool that started a run; None if that is not known."""
        entry = self._history.get(run_id)
        return None if entry is None else entry.labels.get("tool")

    async def start(self, names: list[Any], create: Callable[[], Awaitable[str]]) -> str:
        """Start a run, and return its id. A request that is repeated returns the run of the first one.

        Args:
            names: The ids of the request: a repeated request has one of them in common.
            create: Starts the run.

        Raises:
            RateLimitError: If no more runs are allowed at once.
            StepflowClientError: If the run cannot be started.
        """
        if self._find_request(names) is None and not await self._has_room():
            raise RateLimitError(f"{self.bounds.runs} runs are in progress, and no more are allowed at once")
        creation = self._find_request(names)
        if creation is None:
            creation = asyncio.ensure_future(self._create_and_add(create))
            self._requests.update(dict.fromkeys(names or [creation], creation))
            while len(self._requests) > _MAX_REQUESTS:
                self._requests.popitem(last=False)
        # If the agent stops waiting, the run must still be known and have its labels.
        try:
            return await asyncio.shield(creation)
        except StepflowClientError:
            for name in [name for name, request in self._requests.items() if request is creation]:
                del self._requests[name]
            raise

    def _find_request(self, names: list[Any]) -> asyncio.Task[str] | None:
        return next((self._requests[name] for name in names if name in self._requests), None)

    async def _create_and_add(self, create: Callable[[], Awaitable[str]]) -> str:
        try:
            run_id = await create()
        except TimeoutError as error:
            # Some servers respond only when the run has ended; the error then has its id.
            run_id = getattr(error, "run_id", None) or ""
            if not run_id:
                raise
        self.add_run(run_id)
        return run_id

    def add_run(self, run_id: str) -> None:
        """Add a run that an agent has started."""
        self._own.add(run_id)
        self._unfinished.add(run_id)

    async def _has_room(self) -> bool:
        """Return whether another run may be started."""
        starting = sum(not request.done() for request in set(self._requests.values()))
        if len(self._unfinished) + starting < self.bounds.runs:
            return True
        for run_id in list(self._unfinished):
            with suppress(StepflowClientError):
                if (await self.client.get_run(run_id)).is_finished:
                    self._unfinished.discard(run_id)
        return len(self._unfinished) + starting < self.bounds.runs

    async def wait_for_result(self, run_id: str, seconds: float, report: Report | None = None) -> FlowResult | None:
        """Wait until a run of one item ends, and return its result; None if it has not ended in time.

        Args:
            run_id: The run.
            seconds: How long to wait.
            report: Called with the progress, as far as the run makes any.

        Raises:
            StepflowClientError: If the run cannot be read.
        """
        handle = self.client.handle(run_id)
        try:
            if seconds <= 0:
                result = await handle.result(wait=False)
            elif report is None:
                result = await handle.result(timeout=seconds)
            else:
                result = await _wait_reporting(report, lambda show: handle.result(timeout=seconds, progress=show))
        except RunTimeoutError:
            return None
        self._unfinished.discard(run_id)
        from stepflow_client._command import add_hint

        return await add_hint(self.client, result)

    async def close(self) -> None:
        """Wait until the runs that are being started have their labels."""
        if self._requests:
            await asyncio.wait(set(self._requests.values()), timeout=10)


async def _wait_reporting(
    report: Report, wait: Callable[[Callable[[Progress], None]], Awaitable[FlowResult]]
) -> FlowResult:
    """Wait for a run, and pass its newest progress on. A slow reader gets fewer reports, in the same order."""
    newest: list[Progress] = []
    changed = asyncio.Event()

    def receive(progress: Progress) -> None:
        newest[:] = [progress]
        changed.set()

    async def pass_on() -> None:
        while True:
            await changed.wait()
            changed.clear()
            await report(newest[0])

    passing = asyncio.ensure_future(pass_on())
    try:
        return await wait(receive)
    finally:
        passing.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await passing
