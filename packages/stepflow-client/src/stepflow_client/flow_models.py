"""What modules written by `stepflow codegen` consist of: typed flows, and models of their inputs and outputs."""

from __future__ import annotations

from collections.abc import AsyncIterable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, overload

from pydantic import BaseModel, ConfigDict, SerializationInfo, SerializerFunctionWrapHandler, model_serializer

if TYPE_CHECKING:
    from ._async.client import StepflowClient
    from ._async.handle import RunHandle
    from ._codec.requests import RunId
    from ._shared.options import MapOptions, RunOptions, SubmitOptions
    from ._shared.streams import OutcomeStream, SyncOutcomeStream
    from ._sync.client import SyncStepflowClient
    from ._sync.handle import SyncRunHandle
    from .flows.file import FlowSource
    from .progress import ProgressOption
    from .runtime import StepflowRuntime
    from .types import FlowResult

__all__ = ["FlowModel", "TypedFlow"]

InputT = TypeVar("InputT")
OutputT = TypeVar("OutputT")
VariablesT = TypeVar("VariablesT")


class FlowModel(BaseModel):
    """A part of a flow's input, output or variables.

    Fields are set by their Python names; a field with a different name in JSON has that name as its alias. Fields that
    are not in the schema are kept, unless the schema forbids them.

    A field that is None by default is omitted from what is sent while it is None, unless it was set to None and its
    schema allows null.
    """

    model_config = ConfigDict(
        extra="allow",
        populate_by_name=True,
        protected_namespaces=(),
        # Patterns of JSON Schema may look ahead.
        regex_engine="python-re",
        validate_default=True,
    )

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        whole: dict[str, Any] = handler(self)
        for name, field in type(self).model_fields.items():
            if getattr(self, name) is not None or field.is_required() or field.default is not None:
                continue
            if name not in self.model_fields_set or field.json_schema_extra != NULLABLE:
                whole.pop(name if field.alias is None or not info.by_alias else field.alias, None)
        return whole


NULLABLE = {"x-nullable": True}
"""Marks optional fields whose schemas allow null."""


@dataclass(frozen=True)
class TypedFlow(Generic[InputT, OutputT, VariablesT]):
    """A flow whose input, output and variables have types.

    `stepflow codegen` writes one for each flow. Each method takes a client first: a `StepflowClient` or a
    `StepflowRuntime`, and the result is awaited; or a `SyncStepflowClient`, and it is not. The options are those of the
    client's method.

    Example:
        ```python
        order = TypedFlow[OrderInput, OrderOutput, Variables]("order.yaml", output_type=OrderOutput)
        result = await order.run(client, OrderInput(item="tea"), timeout=60)
        print(result.unwrap().price)
        ```

    Args:
        flow: The flow, as for `StepflowClient.run`. `dataclasses.replace(order, flow=...)` is the same for another one.
        output_type: The type of the output, as for `StepflowClient.run`; None for plain JSON.
    """

    flow: FlowSource
    """The flow."""
    output_type: Any = None
    """The type of the output; None for plain JSON."""

    @overload
    def run(
        self,
        client: StepflowClient | StepflowRuntime,
        input: InputT,
        overrides: Any = None,
        **options: Unpack[RunOptions[VariablesT]],
    ) -> Coroutine[Any, Any, FlowResult[OutputT]]: ...
    @overload
    def run(
        self,
        client: SyncStepflowClient,
        input: InputT,
        overrides: Any = None,
        **options: Unpack[RunOptions[VariablesT]],
    ) -> FlowResult[OutputT]: ...
    def run(self, client: Any, input: Any, overrides: Any = None, **options: Any) -> Any:
        """Run the flow on one input and return its result. See `StepflowClient.run`."""
        return client.run(self.flow, [input], overrides, output_type=self.output_type, **options)

    @overload
    def submit(
        self,
        client: StepflowClient | StepflowRuntime,
        input: InputT,
        overrides: Any = None,
        **options: Unpack[SubmitOptions[VariablesT]],
    ) -> Coroutine[Any, Any, str]: ...
    @overload
    def submit(
        self,
        client: SyncStepflowClient,
        input: InputT,
        overrides: Any = None,
        **options: Unpack[SubmitOptions[VariablesT]],
    ) -> str: ...
    def submit(self, client: Any, input: Any, overrides: Any = None, **options: Any) -> Any:
        """Start the flow on one input and return the id of its run. See `StepflowClient.submit`."""
        return client.submit(self.flow, [input], overrides, **options)

    @overload
    def start_run(
        self,
        client: StepflowClient | StepflowRuntime,
        input: InputT,
        overrides: Any = None,
        **options: Unpack[SubmitOptions[VariablesT]],
    ) -> Coroutine[Any, Any, RunHandle[OutputT]]: ...
    @overload
    def start_run(
        self,
        client: SyncStepflowClient,
        input: InputT,
        overrides: Any = None,
        **options: Unpack[SubmitOptions[VariablesT]],
    ) -> SyncRunHandle[OutputT]: ...
    def start_run(self, client: Any, input: Any, overrides: Any = None, **options: Any) -> Any:
        """Start the flow on one input and return a handle of its run. See `StepflowClient.start_run`."""
        return client.start_run(self.flow, [input], overrides, output_type=self.output_type, **options)

    @overload
    def map(
        self,
        client: StepflowClient | StepflowRuntime,
        inputs: Iterable[InputT] | AsyncIterable[InputT],
        **options: Unpack[MapOptions[VariablesT]],
    ) -> OutcomeStream[OutputT]: ...
    @overload
    def map(
        self, client: SyncStepflowClient, inputs: Iterable[InputT], **options: Unpack[MapOptions[VariablesT]]
    ) -> SyncOutcomeStream[OutputT]: ...
    def map(self, client: Any, inputs: Any, **options: Any) -> Any:
        """Run the flow on any number of inputs and yield one outcome for each. See `StepflowClient.map`."""
        return client.map(self.flow, inputs, output_type=self.output_type, **options)

    @overload
    def result(
        self,
        client: StepflowClient | StepflowRuntime,
        run_id: RunId,
        *,
        wait: bool = True,
        timeout: float | None = None,
        progress: ProgressOption = False,
    ) -> Coroutine[Any, Any, FlowResult[OutputT]]: ...
    @overload
    def result(
        self,
        client: SyncStepflowClient,
        run_id: RunId,
        *,
        wait: bool = True,
        timeout: float | None = None,
        progress: ProgressOption = False,
    ) -> FlowResult[OutputT]: ...
    def result(self, client: Any, run_id: Any, **options: Any) -> Any:
        """Wait until a run of the flow ends and return its result. See `StepflowClient.get_result`."""
        return client.handle(run_id, self.output_type).result(**options)
