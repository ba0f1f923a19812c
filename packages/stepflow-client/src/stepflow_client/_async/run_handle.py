"""Combines a run ID and the client that reads the run in one object."""
# The client is untyped here, because its module imports this one.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Self, Unpack

from .._base.not_given import NOT_GIVEN, NotGiven
from .._base.suggestions import SuggestsNames
from .._codec import output_types, responses
from .._codec.call_checks import check_run_id
from .._data.arguments import check_integer
from .._rules.deadlines import compute_deadline, deadline_scope
from .._rules.retries import Backoff
from ..errors import UnsupportedByServerError
from ..flows.python_positions import add_python_place_to_error
from ..types.model_base import Shown
from ..types.results import FlowResult, OutputT

if TYPE_CHECKING:
    from .._calls.method_options import EventOptions, RerunOptions
    from ..logs import LogEntry
    from ..progress import ProgressOption
    from ..types.flows import StoredFlow
    from ..types.reruns import RerunResult
    from ..types.run_explanation import RunAccount
    from ..types.runs import ListItemsResponse, ListStepsResponse, RunArguments, RunDetails
    from .streams import EventStream


class RunHandle(SuggestsNames, Shown, Generic[OutputT]):
    """A handle to a run, returned by `start_run` (or `handle` for an existing run). Creating one doesn't send a
    request.

    Example:
        ```python
        handle = await client.start_run("workflow.yaml", {"name": "World"})
        async with handle.events() as events:
            async for event in events:
                print(event.type)
        print((await handle.result()).unwrap())
        ```

    A `RunHandle[Output]` is for a run whose output is an `Output`. You can pass a handle wherever a run ID is expected,
    and you can pickle it if its client can be pickled. Methods raise the same errors as the client's methods.

    Args:
        client: The client.
        run_id: The run.
        output_type: The output's type, as for `run`. Defaults to plain JSON.
    """

    def __init__(self, client: Any, run_id: Any, output_type: Any = None) -> None:
        """Check the ID and type, then store the arguments."""
        self.client = client
        """The client that reads the run."""
        self.run_id = check_run_id(run_id)
        """The run's ID, a UUID string."""
        self.output_type = output_type
        """The output's type, or None for plain JSON."""
        self._flow: Any = None
        self._started: responses.StartedRun | None = None
        if output_type is not None:
            output_types.check_output_type(output_type)

    def _remember_start(self, flow: object, started: responses.StartedRun) -> Self:
        """Remember how the run was started so that errors can point to the Python source. (Pickling drops this.)"""
        self._flow, self._started = flow, started
        return self

    def _add_source_location(self, result: FlowResult[OutputT]) -> FlowResult[OutputT]:
        error = add_python_place_to_error(result.error, self._flow)
        return result if error is result.error else replace(result, error=error)

    @property
    def older_flow_id(self) -> str | None:
        """The ID of the run's flow if the idempotency key belongs to a run of a different flow than the one passed.

        None otherwise, or if the run was found by a different client.
        """
        return self.client._find_older_flow_of_keyed_run(self.run_id)

    async def result(
        self, *, wait: bool = True, timeout: float | NotGiven | None = NOT_GIVEN, progress: ProgressOption = False
    ) -> FlowResult[OutputT]:
        """Wait for a single-item run to end and return its result. See `StepflowClient.get_result`.

        Args:
            wait: Whether to wait. If False and the run hasn't ended, a RunTimeoutError is raised immediately. Defaults
                to True.
            timeout: Overall timeout in seconds, or None for no limit. Defaults to the timeout from `with_options`, if
                any.
            progress: Whether or how to show progress, as for `run`. Defaults to False.

        Raises:
            OutputTypeError: If the run succeeded but its output doesn't match the handle's type.
        """
        deadline = compute_deadline(timeout)
        with deadline_scope(deadline):
            if wait and progress is not False:
                await self.client.wait_run(self.run_id, timeout=timeout, progress=progress)
            left = timeout if deadline is None else max(0.001, deadline - time.monotonic())
            result: FlowResult[OutputT] = await self.client.get_result(self, wait=wait, timeout=left)
        result = self._add_source_location(result)
        return result if self.output_type is None else output_types.convert_output(result, self.output_type)

    async def results(
        self, *, wait: bool = True, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> list[FlowResult[OutputT]]:
        """Wait for the run to end and return the results of all items. See `StepflowClient.get_results`.

        Raises:
            OutputTypeError: If an item succeeded but its output doesn't match the handle's type.
        """
        results = await self.client.get_results(self.run_id, wait=wait, timeout=timeout)
        return [output_types.convert_output(self._add_source_location(result), self.output_type) for result in results]

    async def wait(
        self, *, timeout: float | NotGiven | None = NOT_GIVEN, progress: ProgressOption = False
    ) -> RunDetails:
        """Wait for the run to end and return its details. See `StepflowClient.wait_run`."""
        return await self.client.wait_run(self.run_id, timeout=timeout, progress=progress)

    async def details(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunDetails:
        """Return the run's current state. See `StepflowClient.get_run`."""
        return await self.client.get_run(self.run_id, timeout=timeout)

    async def items(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> ListItemsResponse:
        """Return the run's items. See `StepflowClient.get_run_items`."""
        return await self.client.get_run_items(self.run_id, timeout=timeout)

    async def steps(
        self, *, include_times: bool = False, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> ListStepsResponse:
        """Return the run's steps. See `StepflowClient.get_run_steps`."""
        return await self.client.get_run_steps(self.run_id, include_times=include_times, timeout=timeout)

    def events(self, **options: Unpack[EventOptions]) -> EventStream:
        """Return the run's events. Accepts the same arguments as `StepflowClient.run_events`."""
        return self.client.run_events(self.run_id, **options)

    async def arguments(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunArguments:
        """Return the run's arguments. See `StepflowClient.get_run_arguments`."""
        return await self.client.get_run_arguments(self.run_id, timeout=timeout)

    async def flow(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> StoredFlow:
        """Return the run's flow. See `StepflowClient.get_run_flow`."""
        return await self.client.get_run_flow(self.run_id, timeout=timeout)

    async def explain(
        self, *, item_index: int | None = None, timeout: float | NotGiven | None = NOT_GIVEN
    ) -> RunAccount:
        """Explain why an item failed and what happened to its steps. See `StepflowClient.explain_run`."""
        return await self.client.explain_run(self.run_id, item_index=item_index, timeout=timeout)

    async def logs(self, *, limit: int = 10_000) -> list[LogEntry]:
        """Return the server's log lines from the first to the last one that mentions the run, oldest first.

        Lines that only mention other runs are left out. The log is only available if the client belongs to a
        `StepflowRuntime`, which keeps `LogConfig.buffer_lines` lines. It may be empty unless `LogConfig.level` is
        `info` or lower.

        Args:
            limit: Maximum number of log lines to search, starting with the newest. Defaults to 10,000.

        Raises:
            UnsupportedByServerError: If the server isn't embedded, since no server returns its own log.
        """
        if self.client._server_logs is None:
            raise UnsupportedByServerError(
                "this server's log is not available here",
                hint="read it from a StepflowRuntime or, for a server started by `stepflow`, with `stepflow runs logs`",
            )
        from ..logs import find_run_lines

        check_integer(limit, "limit", least=1)
        timings = self.client._connection.timings
        pauses = Backoff(timings.log_poll, deadline=time.monotonic() + timings.log_delay)
        while True:
            lines = self.client._server_logs(limit)
            run_lines = find_run_lines(lines, self.run_id, lambda line: line.timestamp.timestamp())
            if run_lines or pauses.is_past_deadline:
                return run_lines
            await asyncio.sleep(pauses.next_delay())

    async def cancel(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunDetails:
        """Cancel the run. See `StepflowClient.cancel_run`."""
        return await self.client.cancel_run(self.run_id, timeout=timeout)

    async def delete(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> None:
        """Delete the run. See `StepflowClient.delete_run`."""
        await self.client.delete_run(self.run_id, timeout=timeout)

    async def rerun(self, **options: Unpack[RerunOptions]) -> RerunResult:
        """Rerun the run. Accepts the same arguments as `StepflowClient.rerun`."""
        return await self.client.rerun(self.run_id, **options)

    async def start_rerun(self, **options: Unpack[RerunOptions]) -> list[RunHandle]:
        """Start a rerun and return a handle to each new run. Accepts the same arguments as `StepflowClient.rerun`."""
        return await self.client.start_rerun(self.run_id, **options)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunHandle):
            return NotImplemented
        return (self.run_id, self.client.url) == (other.run_id, other.client.url)

    def __hash__(self) -> int:
        return hash(self.run_id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.run_id!r}, {self.client.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.client, self.run_id, self.output_type)
