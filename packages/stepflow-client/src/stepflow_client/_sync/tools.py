# Written from _async/tools.py by `make generate`. Change that file instead.

"""Flows as tools that a model calls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from os import fsdecode
from typing import TYPE_CHECKING, Any, Literal, overload

from .._codec.flow_tools import (
    FlowToolSpec,
    refusal,
    tool_name,
    tool_result,
    tool_spec,
    unfinished,
    unique_name,
    unknown_tool,
)
from .._codec.requests import Variables, run_variables
from .._concurrency.input_checks import sync_checked
from .._data.arguments import (
    check_choice,
    check_client,
    check_instance,
    check_labels,
    check_mapping,
    check_seconds,
)
from .._data.objects import is_data_object
from ..errors import InvalidArgumentError, RunTimeoutError, StepflowClientError
from ..flows.flow_argument import FlowSource, flow_path, load_flow, why_no_flow
from ..types.tools import ToolResult

if TYPE_CHECKING:
    from ..progress import ProgressOption
    from .handle import SyncRunHandle

_NEXT = "Its result can be read with its id later."


class SyncFlowTool:
    """A flow as a tool of a model; `SyncFlowTools` makes them."""

    def __init__(self, tools: SyncFlowTools, spec: FlowToolSpec) -> None:
        """Store the specification, and what all runs of the tools have."""
        self._client = tools.client
        self._spec = spec
        self._variables = spec.variables_of(tools._variables)
        self._secrets = spec.secrets(tools._variables)
        self._max_wait = tools._max_wait
        self._labels = tools._labels

    @property
    def name(self) -> str:
        """The name: 1 to 64 letters, digits, `_` and `-`, of ASCII."""
        return self._spec.name

    @property
    def description(self) -> str:
        """The description of the flow, or its title."""
        return self._spec.description

    @property
    def flow(self) -> Mapping[str, Any]:
        """The flow."""
        return self._spec.flow

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the arguments, which is that of an object and refers to nothing outside of it.

        It is that of the flow's input, or, if the flow declares none, what its steps require. Input that need not be an
        object is the field `input` of the arguments.
        """
        return dict(self._spec.input_schema)

    @property
    def output_schema(self) -> dict[str, Any]:
        """The JSON Schema of `ToolResult.structured`, whatever becomes of the run."""
        return dict(self._spec.output_schema)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def start(
        self,
        arguments: Mapping[str, Any] | str | None = None,
        *,
        idempotency_key: str | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> SyncRunHandle[Any]:
        """Check the arguments of a call, start the flow and return a handle of its run.

        Args:
            arguments: The arguments: an object, or its JSON text. None for none.
            idempotency_key: A key for the run, as for `SyncStepflowClient.run`.
            labels: Labels of the run, in addition to those of the tools.
            timeout: Seconds for the whole call, as for `SyncStepflowClient.start_run`. None, the default: no limit.

        Raises:
            InvalidArgumentError: If the arguments do not match the schema; nothing was sent. The message says so in a
                way that a model can act on.
            StepflowClientError: As `SyncStepflowClient.start_run` raises them.
        """
        given, options = self._prepared(arguments, idempotency_key, labels)
        handle: SyncRunHandle[Any] = self._client.start_run(self._spec.flow, [given], timeout=timeout, **options)
        return handle

    def _prepared(self, arguments: Any, idempotency_key: str | None, labels: Any) -> tuple[Any, dict[str, Any]]:
        """Return the input of a run and its options."""
        both = {**(self._labels or {}), **({} if labels is None else check_labels(labels))}
        options = {"variables": self._variables or None, "idempotency_key": idempotency_key, "labels": both or None}
        return sync_checked(partial(self._spec.input_of, arguments)), options

    def call(
        self,
        arguments: Mapping[str, Any] | str | None = None,
        *,
        max_wait: float | None = None,
        idempotency_key: str | None = None,
        labels: Mapping[str, str] | None = None,
        progress: ProgressOption = False,
    ) -> ToolResult:
        """Run the flow, and return what a model is told about it. No error of a call is raised.

        Args:
            arguments: The arguments: an object, or its JSON text. None for none.
            max_wait: Seconds to wait for the run to end; a run that has not ended then continues, and the result says
                so. None, the default, uses that of the tools.
            idempotency_key: A key for the run, as for `SyncStepflowClient.run`: a call that is repeated with it returns the
                same run.
            labels: Labels of the run, in addition to those of the tools.
            progress: Whether or how to show the progress, as for `SyncStepflowClient.run`. Default False.
        """
        limit = self._max_wait if max_wait is None else check_seconds(max_wait, "max_wait")
        try:
            given, options = self._prepared(arguments, idempotency_key, labels)
            result = self._client.run(self._spec.flow, [given], timeout=limit, progress=progress, **options)
        except RunTimeoutError as error:
            if error.run_id is None:
                return refusal(error, self._secrets)
            return unfinished(error.run_id, _NEXT)
        except StepflowClientError as error:
            return refusal(error, self._secrets)
        return sync_checked(partial(tool_result, result, self._spec, self._secrets))


class SyncFlowTools(Sequence[SyncFlowTool]):
    """Flows as tools of a model, with the formats of model APIs. A sequence of `SyncFlowTool`.

    Example:
        ```python
        tools = SyncFlowTools(client, ["workflow.yaml"])
        response = model(messages, tools=tools.to_openai())
        for call in response.tool_calls:
            result = tools.call(call.function.name, call.function.arguments)
            print(result.text)
        ```

    Arguments are checked against the flow before anything runs. What is wrong with them, a name that no tool has, and a
    run that fails are results, not exceptions: their text says what to change.

    Args:
        client: A `SyncStepflowClient`.
        flows: A flow, or several: paths or flows, as for `SyncStepflowClient.run`; or a mapping of the tools' names to
            them. Without such a name, a tool is called after its flow, or else after its file.
        variables: Values of the flows' variables, as for `SyncStepflowClient.run`. A flow gets those that it has; models
            cannot set any.
        max_wait: Seconds that a call waits for its run to end. None, the default, sets no limit.
        labels: Labels of all runs, as for `SyncStepflowClient.run`, which requires a client with a `history`.

    Raises:
        FlowFileError: If a flow cannot be read.
        InvalidArgumentError: If an argument is invalid, a flow cannot be represented in JSON, or the name of a field
            has control or invisible characters.
    """

    def __init__(
        self,
        client: Any,
        flows: FlowSource | Iterable[FlowSource] | Mapping[str, FlowSource],
        *,
        variables: Variables | None = None,
        max_wait: float | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Read the flows. No request is sent."""
        self._variables = run_variables(variables)
        self._max_wait = None if max_wait is None else check_seconds(max_wait, "max_wait")
        self._labels = None if labels is None else check_labels(labels)
        check_client(client, "client", awaited=False)
        self.client = client
        """The client that runs the flows."""
        self._tools: dict[str, SyncFlowTool] = {}
        for name, flow in _named(flows):
            loaded = load_flow(flow)
            path = flow_path(flow)
            wanted = tool_name({"name": name} if name is not None else loaded, None if path is None else fsdecode(path))
            spec = tool_spec(loaded, unique_name(wanted, self._tools))
            self._tools[spec.name] = SyncFlowTool(self, spec)

    @overload
    def __getitem__(self, index: int | str) -> SyncFlowTool: ...
    @overload
    def __getitem__(self, index: slice) -> list[SyncFlowTool]: ...
    def __getitem__(self, index: Any) -> Any:
        """Return the tool at a position, or the tool of a name."""
        return self._tools[index] if isinstance(index, str) else list(self._tools.values())[index]

    def __iter__(self) -> Iterator[SyncFlowTool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._tools) or 'without tools'}>"

    def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | str | None = None,
        *,
        max_wait: float | None = None,
        idempotency_key: str | None = None,
        labels: Mapping[str, str] | None = None,
        progress: ProgressOption = False,
    ) -> ToolResult:
        """Call the tool of a name, and return what a model is told about it. See `SyncFlowTool.call`.

        Args:
            name: The name of the tool, as the model calls it.
            arguments: The arguments: an object, or its JSON text, as model APIs return it. None for none.
            max_wait: Seconds to wait for the run to end. None, the default, uses that of the tools.
            idempotency_key: A key for the run, such as the id of the model's call.
            labels: Labels of the run, in addition to those of the tools.
            progress: Whether or how to show the progress. Default False.
        """
        tool = self._tools.get(check_instance(name, "name", str))
        if tool is None:
            return refusal(InvalidArgumentError(unknown_tool(name, self._tools)))
        return tool.call(
            arguments, max_wait=max_wait, idempotency_key=idempotency_key, labels=labels, progress=progress
        )

    def to_openai(self, *, api: Literal["chat", "responses"] = "chat") -> list[dict[str, Any]]:
        """Return the tools as OpenAI's APIs take them: `client.chat.completions.create(tools=...)`.

        Args:
            api: `chat` for Chat Completions and compatible APIs, the default; `responses` for the Responses API.
        """
        check_choice(api, "api", ("chat", "responses"))
        functions = [
            {"name": tool.name, "description": tool.description, "parameters": tool.input_schema} for tool in self
        ]
        if api == "responses":
            return [{"type": "function", **each, "strict": False} for each in functions]
        return [{"type": "function", "function": each} for each in functions]

    def to_anthropic(self) -> list[dict[str, Any]]:
        """Return the tools as Anthropic's API takes them: `client.messages.create(tools=...)`."""
        return [
            {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema} for tool in self
        ]


def _named(flows: Any) -> Iterable[tuple[str | None, Any]]:
    """Return the flows with the names that they are given."""
    if isinstance(flows, Mapping) and flows and why_no_flow(flows) is not None:
        return check_mapping(flows, "flows").items()
    is_flow = isinstance(flows, (str, Mapping)) or is_data_object(flows) or not isinstance(flows, Iterable)
    return [(None, each) for each in ([flows] if is_flow else flows)]
