"""Offer flows as tools that a model can call."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from os import fsdecode
from typing import TYPE_CHECKING, Any, Literal, overload

from .._base.not_given import NOT_GIVEN, NotGiven
from .._base.suggestions import suggest_or_list
from .._codec import flow_tools
from .._codec.call_checks import Variables, parse_run_variables
from .._codec.flow_tools import WAIT_RUN_TOOL, FlowToolSpec
from .._concurrency import async_compute
from .._data.arguments import check_choice, check_client, check_instance, check_labels, check_mapping, check_seconds
from .._data.json_encoding import is_data_object
from ..errors import InvalidArgumentError, RunTimeoutError, StepflowClientError
from ..flows.reading import FlowSource, explain_not_a_flow, get_flow_file_path, load_flow
from ..types.server import ToolResult

if TYPE_CHECKING:
    from ..progress import ProgressOption
    from ..types import FlowResult
    from .run_handle import RunHandle

# The maximum number of unfinished runs to remember.
_MAX_REMEMBERED_RUNS = 10_000


class FlowTool:
    """A flow that a model can call as a tool. Created by `FlowTools`."""

    def __init__(self, tools: FlowTools, spec: FlowToolSpec) -> None:
        """Store the tool's specification, variables and secrets."""
        self._tools = tools
        self._client = tools.client
        self._spec = spec
        self._variables = spec.drop_unknown_variables(tools._variables)
        self._secrets = spec.get_secrets(tools._variables)

    @property
    def name(self) -> str:
        """The tool's name, which consists of 1 to 64 ASCII letters, digits, `_` and `-`."""
        return self._spec.name

    @property
    def description(self) -> str:
        """The flow's description, or a list of its steps if it doesn't have one."""
        return self._spec.description

    @property
    def flow(self) -> Mapping[str, Any]:
        """The flow that the tool runs."""
        return self._spec.flow

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the arguments. It's always an object schema without external references.

        This is the schema that the flow declares for its input. If the flow doesn't declare one, the schema is inferred
        from its steps. If the input doesn't have to be an object, it becomes the `input` field of the arguments.
        """
        return dict(self._spec.input_schema)

    @property
    def output_schema(self) -> dict[str, Any]:
        """The JSON Schema of `ToolResult.structured`. It also covers failed and unfinished runs."""
        return dict(self._spec.output_schema)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    async def start(
        self,
        arguments: Mapping[str, Any] | str | None = None,
        *,
        idempotency_key: str | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
    ) -> RunHandle[Any]:
        """Check the arguments of a call, start the flow and return a handle to its run.

        Args:
            arguments: The arguments, as an object or its JSON text. Defaults to no arguments.
            idempotency_key: A key for the run, as for `StepflowClient.run`.
            labels: Labels for the run, in addition to the tools' own.
            timeout: Overall timeout in seconds, as for `StepflowClient.start_run`, or None for no limit.

        Raises:
            InvalidArgumentError: If the arguments don't match the schema, in which case nothing is sent. The message
                tells the model what to fix.
            StepflowClientError: The same errors as `StepflowClient.start_run`.
        """
        input, options = await self._parse_input_and_options(arguments, idempotency_key, labels)
        handle: RunHandle[Any] = await self._client.start_run(self._spec.flow, [input], timeout=timeout, **options)
        return handle

    async def _parse_input_and_options(
        self, arguments: Any, idempotency_key: str | None, labels: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Return the input and options for a run."""
        both = {**(self._tools._labels or {}), **({} if labels is None else check_labels(labels))}
        options = {"variables": self._variables or None, "idempotency_key": idempotency_key, "labels": both or None}
        return await async_compute(partial(self._spec.parse_input, arguments)), options

    async def call(
        self,
        arguments: Mapping[str, Any] | str | None = None,
        *,
        max_wait: float | None = None,
        idempotency_key: str | None = None,
        labels: Mapping[str, str] | None = None,
        progress: ProgressOption = False,
    ) -> ToolResult:
        """Run the flow and return the result for the model. An error is returned as a result rather than raised.

        Args:
            arguments: The arguments, as an object or its JSON text. Defaults to no arguments.
            max_wait: Seconds to wait for the run to end. If the run takes longer, it continues and the result says so.
                Defaults to the tools' own `max_wait`.
            idempotency_key: A key for the run, as for `StepflowClient.run`. Repeating a call with the same key returns
                the same run.
            labels: Labels for the run, in addition to the tools' own.
            progress: Whether or how to show progress, as for `StepflowClient.run`. Defaults to False.
        """
        limit = self._tools._max_wait if max_wait is None else check_seconds(max_wait, "max_wait")
        try:
            input, options = await self._parse_input_and_options(arguments, idempotency_key, labels)
            result = await self._client.run(self._spec.flow, [input], timeout=limit, progress=progress, **options)
        except StepflowClientError as error:
            return self._make_error_result(error)
        return await self._make_tool_result(result)

    def _make_error_result(self, error: StepflowClientError) -> ToolResult:
        if not isinstance(error, RunTimeoutError) or error.run_id is None:
            return flow_tools.make_error_result(error, self._secrets)
        return flow_tools.make_unfinished_result(error.run_id, self._tools._remember_unfinished(error.run_id, self))

    async def _make_tool_result(self, result: Any) -> ToolResult:
        return await async_compute(partial(flow_tools.make_tool_result, result, self._spec, self._secrets))


class FlowTools(Sequence[FlowTool]):
    """Flows that a model can call as tools, in the formats used by model APIs. This is a sequence of `FlowTool`.

    Example:
        ```python
        tools = FlowTools(client, ["workflow.yaml"])
        response = model(messages, tools=tools.to_openai())
        for call in response.tool_calls:
            result = await tools.call(call.function.name, call.function.arguments)
            print(result.text)
        ```

    Arguments are checked against the schema before anything runs. Fields that the flow neither declares nor reads are
    rejected (except in lists and where the schema might allow other fields). Invalid arguments, unknown tools and
    failed runs don't raise exceptions. Instead, the model gets a result whose text says what to change. With
    `max_wait`, models also get a `wait_run` tool to fetch the results of longer runs.

    Args:
        client: A `StepflowClient`, or a `StepflowRuntime`.
        flows: One or more flows (or paths), as for `StepflowClient.run`, or a mapping of tool names to flows. By
            default, a tool is named after its flow or, if the flow has no name, after its file.
        variables: The flows' variables, as for `StepflowClient.run`. Each flow receives only the variables that it
            declares. Models can't set variables.
        max_wait: How many seconds a call waits for its run to end. No limit by default.
        labels: Labels for all runs, as for `StepflowClient.run`. Requires a client with a `history`.

    Raises:
        FlowFileError: If a flow can't be read.
        InvalidArgumentError: If an argument is invalid, if a flow can't be represented in JSON, or if a field's name
            contains control or invisible characters.
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
        self._variables = parse_run_variables(variables)
        self._max_wait = None if max_wait is None else check_seconds(max_wait, "max_wait")
        self._labels = None if labels is None else check_labels(labels)
        check_client(client, "client", is_async=True)
        self.client = client
        """The client that runs the flows."""
        # Remember which runs these tools started, because models must not be able to read any other runs on the server.
        self._unfinished: dict[str, FlowTool] = {}
        """Maps the ID of each run that outlasted its call to the tool that started the run."""
        self._wait_tool = None
        if self._max_wait is not None:
            description, fields = flow_tools.WAIT_RUN_DESCRIPTION, flow_tools.WAIT_RUN_FIELDS
            self._wait_tool = flow_tools.make_tool_without_flow(WAIT_RUN_TOOL, description, fields, ["run_id"])
        self._tools: dict[str, FlowTool] = {}
        for name, flow in _pair_flows_with_names(flows):
            loaded = load_flow(flow)
            path = get_flow_file_path(flow)
            if name is None:
                name = flow_tools.make_tool_name(loaded, None if path is None else fsdecode(path))
            else:
                name = flow_tools.make_tool_name({"name": name})
            taken = {*self._tools} if self._wait_tool is None else {*self._tools, WAIT_RUN_TOOL}
            spec = flow_tools.make_tool_spec(loaded, flow_tools.make_unique_name(name, taken))
            self._tools[spec.name] = FlowTool(self, spec)

    @overload
    def __getitem__(self, index: int | str) -> FlowTool: ...
    @overload
    def __getitem__(self, index: slice) -> list[FlowTool]: ...
    def __getitem__(self, index: Any) -> Any:
        """Return the tool with the given position or name."""
        return self._tools[index] if isinstance(index, str) else list(self._tools.values())[index]

    def __iter__(self) -> Iterator[FlowTool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(self._tools) or 'without tools'}>"

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | str | None = None,
        *,
        max_wait: float | None = None,
        idempotency_key: str | None = None,
        labels: Mapping[str, str] | None = None,
        progress: ProgressOption = False,
    ) -> ToolResult:
        """Call a tool by name and return the result for the model. See `FlowTool.call`.

        Args:
            name: The tool's name, as used by the model.
            arguments: The arguments, as an object or its JSON text (as returned by model APIs). Defaults to no
                arguments.
            max_wait: Seconds to wait for the run to end. Defaults to the tools' own `max_wait`.
            idempotency_key: A key for the run, such as the ID of the model's tool call.
            labels: Labels for the run, in addition to the tools' own.
            progress: Whether or how to show progress. Defaults to False.
        """
        tool = self._tools.get(check_instance(name, "name", str))
        if tool is None and self._wait_tool is not None and name == WAIT_RUN_TOOL:
            return await self._call_wait_tool(self._wait_tool, arguments, max_wait)
        if tool is None:
            names = [description["name"] for description in self._describe_tools()]
            return flow_tools.make_error_result(InvalidArgumentError(flow_tools.format_unknown_tool(name, names)))
        return await tool.call(
            arguments, max_wait=max_wait, idempotency_key=idempotency_key, labels=labels, progress=progress
        )

    async def _call_wait_tool(self, spec: FlowToolSpec, arguments: Any, max_wait: float | None) -> ToolResult:
        limit = self._max_wait if max_wait is None else check_seconds(max_wait, "max_wait")
        try:
            values = await async_compute(partial(spec.parse_input, arguments))
            run_id = values["run_id"]
            tool = self._unfinished.get(run_id)
            if tool is None:
                raise InvalidArgumentError(
                    f"no call of these tools has started run {run_id}",
                    hint=suggest_or_list(run_id, self._unfinished, "runs are"),
                )
        except InvalidArgumentError as error:
            return flow_tools.make_error_result(error)
        seconds = min(limit or math.inf, values.get("seconds", math.inf))
        try:
            result = await add_hint_from_explanation(self.client, await self.client.get_result(run_id, timeout=seconds))
        except StepflowClientError as error:
            return tool._make_error_result(error)
        return await tool._make_tool_result(result)

    def _remember_unfinished(self, run_id: str, tool: FlowTool) -> str:
        """Remember an unfinished run and return instructions for the model."""
        if self._wait_tool is None:
            return "You can use this ID to read its result later."
        self._unfinished[run_id] = tool
        if len(self._unfinished) > _MAX_REMEMBERED_RUNS:
            del self._unfinished[next(iter(self._unfinished))]
        return f"Call {WAIT_RUN_TOOL} with run_id {run_id} for its result."

    def _describe_tools(self) -> list[dict[str, Any]]:
        """Return the name, description and input schema of each tool, as shown to models."""
        specs = [*(tool._spec for tool in self), *([] if self._wait_tool is None else [self._wait_tool])]
        return [
            {"name": spec.name, "description": spec.description, "input_schema": dict(spec.input_schema)}
            for spec in specs
        ]

    def to_openai(self, *, api: Literal["chat", "responses"] = "chat") -> list[dict[str, Any]]:
        """Return the tools in OpenAI's format, for `client.chat.completions.create(tools=...)`.

        Args:
            api: `chat` (the default) for Chat Completions and compatible APIs, or `responses` for the Responses API.
        """
        check_choice(api, "api", ("chat", "responses"))
        functions = [
            {"name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"]}
            for tool in self._describe_tools()
        ]
        if api == "responses":
            return [{"type": "function", **function, "strict": False} for function in functions]
        return [{"type": "function", "function": function} for function in functions]

    def to_anthropic(self) -> list[dict[str, Any]]:
        """Return the tools in Anthropic's format, for `client.messages.create(tools=...)`."""
        return self._describe_tools()


async def add_hint_from_explanation(client: Any, result: FlowResult) -> FlowResult:
    """If the run has failed, add the hint from its account (if there is one) to the result.

    `StepflowClient.run` adds the hint itself, but results that were fetched by run ID don't have one.
    """
    if result.error is None or result.error.hint:
        return result
    hint = None
    # Ignore any error here. The caller needs to see the error from the run itself.
    with suppress(StepflowClientError):
        hint = (await client.explain_run(result.run_id)).hint
    return replace(result, error=replace(result.error, hint=hint)) if hint else result


def _pair_flows_with_names(flows: Any) -> Iterable[tuple[str | None, Any]]:
    """Pair each flow with the tool name chosen by the caller, if any."""
    if isinstance(flows, Mapping) and flows and explain_not_a_flow(flows) is not None:
        return check_mapping(flows, "flows").items()
    is_flow = isinstance(flows, (str, Mapping)) or is_data_object(flows) or not isinstance(flows, Iterable)
    return [(None, flow) for flow in ([flows] if is_flow else flows)]
