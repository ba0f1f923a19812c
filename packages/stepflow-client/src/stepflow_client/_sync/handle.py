# Written from _async/handle.py by `make generate`. Change that file instead.

"""A run and the client that reads it, as one object."""
# The module of the client imports this one, so the client has no type here.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Self, Unpack

from .._base.not_given import NOT_GIVEN, NotGiven
from .._base.suggestions import SuggestsNames
from .._codec import typed
from .._codec.requests import check_run_id
from .._data.arguments import check_integer
from .._rules.retries import Backoff
from .._rules.timeouts import compute_deadline, deadline_scope
from ..errors import UnsupportedByServerError
from ..flows.nodes import add_place
from ..types.models import Shown
from ..types.results import OutputT

if TYPE_CHECKING:
    from .._calls.call_options import EventOptions, RerunOptions
    from .._codec import responses
    from ..logs import LogEntry
    from ..progress import ProgressOption
    from ..types.account import RunAccount
    from ..types.flows import StoredFlow
    from ..types.reruns import RerunResult
    from ..types.results import FlowResult
    from ..types.runs import ListItemsResponse, ListStepsResponse, RunArguments, RunDetails
    from .streams import SyncEventStream


class SyncRunHandle(SuggestsNames, Shown, Generic[OutputT]):
    """A run: what `start_run` returns, and `handle` for a run that exists. Creating one sends no request.

    Example:
        ```python
        handle = client.start_run("workflow.yaml", {"name": "World"})
        with handle.events() as events:
            for event in events:
                print(event.type)
        print((handle.result()).unwrap())
        ```

    `SyncRunHandle[Output]` is a run whose output is an `Output`. Methods that take a run id take a handle too. A handle can
    be pickled if its client can. The methods raise the same errors as those of the client.

    Args:
        client: The client.
        run_id: The run.
        output_type: The type of its output, as for `run`; None for plain JSON.
    """

    def __init__(self, client: Any, run_id: Any, output_type: Any = None) -> None:
        """Store the parts, and check the id and the type."""
        self.client = client
        """The client that reads the run."""
        self.run_id = check_run_id(run_id)
        """The run's id, a UUID string."""
        self.output_type = output_type
        """The type of the output; None for plain JSON."""
        self._flow: Any = None
        self._started: responses.Started | None = None
        if output_type is not None:
            typed.check_output_type(output_type)

    def _remember_start(self, flow: object, started: responses.Started) -> Self:
        """Remember how the run was started: errors can point to the flow's Python source. Pickling loses it."""
        self._flow, self._started = flow, started
        return self

    def _add_source_location(self, result: FlowResult[OutputT]) -> FlowResult[OutputT]:
        error = add_place(result.error, self._flow)
        return result if error is result.error else replace(result, error=error)

    @property
    def older_flow_id(self) -> str | None:
        """The flow of the run, if it was found under an idempotency key and is not of the flow of the call; else None.

        It is known to the client that found the run.
        """
        return self.client._find_older_flow_id(self.run_id)

    def result(
        self, *, wait: bool = True, timeout: float | NotGiven | None = NOT_GIVEN, progress: ProgressOption = False
    ) -> FlowResult[OutputT]:
        """Wait until a run of one item ends and return its result. See `SyncStepflowClient.get_result`.

        Args:
            wait: Whether to wait. With False, a run that has not ended raises a RunTimeoutError at once. Default True.
            timeout: Seconds for the whole call; None for no limit. Default: that of `with_options`, or no limit.
            progress: Whether or how to show the progress, as for `run`. Default False.

        Raises:
            OutputTypeError: If the run succeeded but its output does not match the type of the handle.
        """
        deadline = compute_deadline(timeout)
        with deadline_scope(deadline):
            if wait and progress is not False:
                self.client.wait_run(self.run_id, timeout=timeout, progress=progress)
            left = timeout if deadline is None else max(0.001, deadline - time.monotonic())
            result: FlowResult[OutputT] = self.client.get_result(self, wait=wait, timeout=left)
        result = self._add_source_location(result)
        return result if self.output_type is None else typed.convert_output(result, self.output_type)

    def results(self, *, wait: bool = True, timeout: float | NotGiven | None = NOT_GIVEN) -> list[FlowResult[OutputT]]:
        """Wait until the run ends and return the results of all items. See `SyncStepflowClient.get_results`.

        Raises:
            OutputTypeError: If an item succeeded but its output does not match the type of the handle.
        """
        results = self.client.get_results(self.run_id, wait=wait, timeout=timeout)
        return [typed.convert_output(self._add_source_location(result), self.output_type) for result in results]

    def wait(self, *, timeout: float | NotGiven | None = NOT_GIVEN, progress: ProgressOption = False) -> RunDetails:
        """Wait until the run ends and return its details. See `SyncStepflowClient.wait_run`."""
        return self.client.wait_run(self.run_id, timeout=timeout, progress=progress)

    def details(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunDetails:
        """Return the state of the run. See `SyncStepflowClient.get_run`."""
        return self.client.get_run(self.run_id, timeout=timeout)

    def items(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> ListItemsResponse:
        """Return the items of the run. See `SyncStepflowClient.get_run_items`."""
        return self.client.get_run_items(self.run_id, timeout=timeout)

    def steps(self, *, include_times: bool = False, timeout: float | NotGiven | None = NOT_GIVEN) -> ListStepsResponse:
        """Return the steps of the run. See `SyncStepflowClient.get_run_steps`."""
        return self.client.get_run_steps(self.run_id, include_times=include_times, timeout=timeout)

    def events(self, **options: Unpack[EventOptions]) -> SyncEventStream:
        """Return the events of the run. The arguments are those of `SyncStepflowClient.run_events`."""
        return self.client.run_events(self.run_id, **options)

    def arguments(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunArguments:
        """Return what the run was started with. See `SyncStepflowClient.get_run_arguments`."""
        return self.client.get_run_arguments(self.run_id, timeout=timeout)

    def flow(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> StoredFlow:
        """Return the flow of the run. See `SyncStepflowClient.get_run_flow`."""
        return self.client.get_run_flow(self.run_id, timeout=timeout)

    def explain(self, *, item_index: int | None = None, timeout: float | NotGiven | None = NOT_GIVEN) -> RunAccount:
        """Return why an item failed, and what became of its steps. See `SyncStepflowClient.explain_run`."""
        return self.client.explain_run(self.run_id, item_index=item_index, timeout=timeout)

    def logs(self, *, limit: int = 10_000) -> list[LogEntry]:
        """Return the lines of the server's log from the first one that names the run to the last, oldest first.

        Lines that name only other runs are left out. The log is known if the client is that of a `StepflowRuntime`,
        which keeps `LogConfig.buffer_lines` lines. Unless `LogConfig.level` is `info` or lower, it may hold none.

        Args:
            limit: Maximum number of lines of the log to look through, from the newest on. Default 10,000.

        Raises:
            UnsupportedByServerError: If the server is not embedded: no server returns its log.
        """
        if self.client._server_logs is None:
            raise UnsupportedByServerError(
                "the log of this server is not known here",
                hint="a StepflowRuntime has the log of its server; `stepflow runs logs` that of a server it started",
            )
        from ..logs import find_run_lines

        check_integer(limit, "limit", least=1)
        timings = self.client._connection.timings
        pauses = Backoff(timings.log_poll, deadline=time.monotonic() + timings.log_delay)
        while True:
            lines = self.client._server_logs(limit)
            run_lines = find_run_lines(lines, self.run_id, lambda line: line.timestamp.timestamp())
            if run_lines or pauses.is_over:
                return run_lines
            time.sleep(pauses.next_delay())

    def cancel(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunDetails:
        """Cancel the run. See `SyncStepflowClient.cancel_run`."""
        return self.client.cancel_run(self.run_id, timeout=timeout)

    def delete(self, *, timeout: float | NotGiven | None = NOT_GIVEN) -> None:
        """Delete the run. See `SyncStepflowClient.delete_run`."""
        self.client.delete_run(self.run_id, timeout=timeout)

    def rerun(self, **options: Unpack[RerunOptions]) -> RerunResult:
        """Run the flow again. The arguments are those of `SyncStepflowClient.rerun`."""
        return self.client.rerun(self.run_id, **options)

    def start_rerun(self, **options: Unpack[RerunOptions]) -> list[SyncRunHandle]:
        """Start a rerun and return a handle of each new run. The arguments are those of `SyncStepflowClient.rerun`."""
        return self.client.start_rerun(self.run_id, **options)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SyncRunHandle):
            return NotImplemented
        return (self.run_id, self.client.url) == (other.run_id, other.client.url)

    def __hash__(self) -> int:
        return hash(self.run_id)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.run_id!r}, {self.client.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.client, self.run_id, self.output_type)
