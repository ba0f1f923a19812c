"""Methods of typed flows that run the flow with a client."""

from __future__ import annotations

from collections.abc import AsyncIterable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack, overload

if TYPE_CHECKING:
    from .._async.client import StepflowClient
    from .._async.run_handle import RunHandle
    from .._async.streams import OutcomeStream
    from .._calls.method_options import MapOptions, RunOptions, SubmitOptions
    from .._codec.call_checks import RunId
    from .._sync.client import SyncStepflowClient as SyncClient
    from .._sync.run_handle import SyncRunHandle
    from .._sync.streams import SyncOutcomeStream
    from ..progress import ProgressOption
    from ..runtime import StepflowRuntime
    from ..types import FlowResult

    AsyncClient = StepflowClient | StepflowRuntime

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
VariablesT = TypeVar("VariablesT")
AnyIterable = Iterable[InputT] | AsyncIterable[InputT]


class ResultOptions(TypedDict, total=False):
    """Options for `RunHandle.result`. See that method for meanings and defaults."""

    wait: bool
    timeout: float | None
    progress: ProgressOption


class FlowMethods(Generic[InputT, OutputT, VariablesT]):
    """Runs a flow with a client. Subclasses set `flow` and `output_type`."""

    flow: Any
    output_type: Any

    @overload
    def run(
        self, client: AsyncClient, input: InputT, overrides: Any = None, **options: Unpack[RunOptions[VariablesT]]
    ) -> Coroutine[Any, Any, FlowResult[OutputT]]: ...
    @overload
    def run(
        self, client: SyncClient, input: InputT, overrides: Any = None, **options: Unpack[RunOptions[VariablesT]]
    ) -> FlowResult[OutputT]: ...
    def run(self, client: Any, input: Any, overrides: Any = None, **options: Any) -> Any:
        """Run the flow on a single input and return its result. See `StepflowClient.run`."""
        return _call_method(client, "run", self.flow, [input], overrides, output_type=self.output_type, **options)

    @overload
    def submit(
        self, client: AsyncClient, input: InputT, overrides: Any = None, **options: Unpack[SubmitOptions[VariablesT]]
    ) -> Coroutine[Any, Any, str]: ...
    @overload
    def submit(
        self, client: SyncClient, input: InputT, overrides: Any = None, **options: Unpack[SubmitOptions[VariablesT]]
    ) -> str: ...
    def submit(self, client: Any, input: Any, overrides: Any = None, **options: Any) -> Any:
        """Start the flow on a single input and return the run ID. See `StepflowClient.submit`."""
        return _call_method(client, "submit", self.flow, [input], overrides, **options)

    @overload
    def start_run(
        self, client: AsyncClient, input: InputT, overrides: Any = None, **options: Unpack[SubmitOptions[VariablesT]]
    ) -> Coroutine[Any, Any, RunHandle[OutputT]]: ...
    @overload
    def start_run(
        self, client: SyncClient, input: InputT, overrides: Any = None, **options: Unpack[SubmitOptions[VariablesT]]
    ) -> SyncRunHandle[OutputT]: ...
    def start_run(self, client: Any, input: Any, overrides: Any = None, **options: Any) -> Any:
        """Start the flow on a single input and return a handle to the run. See `StepflowClient.start_run`."""
        return _call_method(client, "start_run", self.flow, [input], overrides, output_type=self.output_type, **options)

    @overload
    def map(
        self, client: AsyncClient, inputs: AnyIterable[InputT], **options: Unpack[MapOptions[VariablesT]]
    ) -> OutcomeStream[OutputT]: ...
    @overload
    def map(
        self, client: SyncClient, inputs: Iterable[InputT], **options: Unpack[MapOptions[VariablesT]]
    ) -> SyncOutcomeStream[OutputT]: ...
    def map(self, client: Any, inputs: Any, **options: Any) -> Any:
        """Run the flow on any number of inputs and yield an outcome for each. See `StepflowClient.map`."""
        return _call_method(client, "map", self.flow, inputs, output_type=self.output_type, **options)

    @overload
    def result(
        self, client: AsyncClient, run_id: RunId, **options: Unpack[ResultOptions]
    ) -> Coroutine[Any, Any, FlowResult[OutputT]]: ...
    @overload
    def result(self, client: SyncClient, run_id: RunId, **options: Unpack[ResultOptions]) -> FlowResult[OutputT]: ...
    def result(self, client: Any, run_id: Any, **options: Any) -> Any:
        """Wait for a run of this flow to finish and return its result. See `StepflowClient.get_result`."""
        return _call_method(client, "handle", run_id, self.output_type).result(**options)


def _call_method(client: Any, name: str, /, *values: Any, **options: Any) -> Any:
    method = getattr(client, name, None)
    if isinstance(client, type) or not callable(method):
        from .._data.arguments import argument_error

        raise argument_error("client", "a client or a runtime", client)
    return method(*values, **options)
