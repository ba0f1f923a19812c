"""The builtin tools, which agents use to manage runs, diagnose failures and write flows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from stepflow_client import InvalidArgumentError, RunTimeoutError
from stepflow_client._base.text_formatting import describe_missing_run_item, format_json_line, visible
from stepflow_client._codec.flow_tools import (
    RUN_ID_FIELD,
    WAIT_RUN_DESCRIPTION,
    WAIT_RUN_FIELDS,
    WAIT_RUN_TOOL,
    make_tool_result,
    make_tool_without_flow,
    make_unfinished_result,
)
from stepflow_client.tools import ToolResult

from ..records.runs import STATUSES
from .agent_run_tracking import AGENT_LABEL, AgentRuns
from .tool_calls import ToolCall

if TYPE_CHECKING:
    from stepflow_client._codec.flow_tools import FlowToolSpec

    from .flow_catalog import FlowCatalog

TOOL_GROUPS = ("runs", "diagnose", "author")
_ITEM_FIELD = {"type": "integer", "minimum": 0, "description": "The item of a batch, counted from 0. Default 0."}


Handler = Callable[[ToolCall], Awaitable["ToolResult"]]


def _make_lazy_handler(module: str, name: str) -> Handler:
    """Return a handler that imports its module on the first call.

    This way, the report and check modules aren't loaded at startup.
    """

    async def import_and_handle(call: ToolCall) -> ToolResult:
        handler: Handler = getattr(import_module(f".{module}", __package__), name)
        return await handler(call)

    return import_and_handle


@dataclass(frozen=True)
class BuiltinTool:
    """A tool that isn't a flow."""

    name: str
    group: str
    description: str
    properties: Mapping[str, Any]
    handler: Handler
    required: Sequence[str] = ()
    is_read_only: bool = True
    is_destructive: bool = False
    has_outcome: bool = False
    """Whether the tool returns a run's result."""

    @cached_property
    def spec(self) -> FlowToolSpec:
        """The tool's spec, which contains the schema of its arguments and validates them."""
        return make_tool_without_flow(self.name, self.description, self.properties, self.required)


async def _get_run(call: ToolCall) -> ToolResult:
    run_id, item = call.get_run_id(), call.arguments.get("item", 0)
    run = await call.runs.client.get_run(run_id)
    if not run.is_finished:
        run = (await call.runs.client.snapshot(run_id, include="counts")).details
        advice = call.suggest_tools_for_unfinished_run(run_id)
        if run.items.total > 1:
            advice += f" {run.items.completed + run.items.failed} of {run.items.total} items have ended."
        return make_unfinished_result(run_id, advice, run.status.value)
    offset = call.arguments.get("offset", 0)
    if run.items.total == 1 and item == 0 and not offset:
        return await call.wait_for_outcome(run_id, 0)
    text = await read_masked_output(call.runs, call.catalog, run_id, item)
    end = offset + PAGE_LENGTH
    part = f"characters {offset:,} to {min(end, len(text)):,} of {len(text):,}"
    more = f"\nCall get_run with offset {end} for more." if end < len(text) else ""
    page = f"Output of item {item} of run {run_id}, {part}:\n{text[offset:end]}{more}"
    return ToolResult(page, {"run_id": run_id, "status": run.status.value}, run_id)


PAGE_LENGTH = 20_000
"""Number of output characters per page."""


async def read_masked_output(runs: AgentRuns, catalog: FlowCatalog, run_id: str, item: int) -> str:
    """Return an item's output (or its error) as JSON, with secrets hidden.

    Raises:
        InvalidArgumentError: If the run has no such item.
        RunTimeoutError: If the run hasn't ended.
    """
    results = await runs.client.get_results(run_id, wait=False)
    if item >= len(results):
        raise InvalidArgumentError(describe_missing_run_item(run_id, item, len(results)))
    response = make_tool_result(results[item], None, catalog.secrets)
    return format_json_line((response.structured or {})["output"]) if results[item].is_success else response.text


async def _wait_run(call: ToolCall) -> ToolResult:
    seconds = min(float(call.arguments.get("seconds", call.runs.bounds.max_wait)), call.runs.bounds.max_wait)
    run_id = call.get_run_id()
    run = await call.runs.client.get_run(run_id)
    if run.items.total == 1:
        return await call.wait_for_outcome(run_id, seconds)
    with suppress(RunTimeoutError):
        await call.runs.client.wait_run(run_id, timeout=seconds)
    return await _get_run(call)


async def _cancel_run(call: ToolCall) -> ToolResult:
    run_id = call.get_run_id()
    run = await call.runs.client.cancel_run(run_id)
    account = await call.runs.client.explain_run(run_id)
    names = ", ".join(account.may_be_executing) or "a running step"
    text = (
        f"Run {run_id} is marked as cancelled. Servers do not stop steps: {names} may still be executing, and later "
        "steps may start."
    )
    structured = {"run_id": run_id, "status": run.status.value}
    more = call.suggest_offered_tools(get_run=f"with run_id {run_id} to see how it ends")
    return ToolResult(text, structured if more is None else {**structured, "next": more}, run_id)


async def _list_runs(call: ToolCall) -> ToolResult:
    filters: dict[str, Any] = {} if call.runs.all_runs else {"labels": AGENT_LABEL}
    status = call.arguments.get("status")
    runs = (await call.runs.client.list_runs(status, call.arguments.get("limit", 20), roots_only=True, **filters)).runs
    lines = [f"{run.run_id}  {run.status}  {run.created_at}  {visible(run.flow_name or '')}" for run in runs]
    return ToolResult("\n".join(lines) or "There are no runs.", {"runs": [run.to_dict() for run in runs]})


BUILTIN_TOOLS = (
    BuiltinTool(
        "get_run",
        "runs",
        "Get the state of a run and, if it has ended, its result. Large outputs are read in parts, with an offset.",
        {"run_id": RUN_ID_FIELD, "item": _ITEM_FIELD, "offset": {"type": "integer", "minimum": 0}},
        _get_run,
        ("run_id",),
    ),
    BuiltinTool(WAIT_RUN_TOOL, "runs", WAIT_RUN_DESCRIPTION, WAIT_RUN_FIELDS, _wait_run, ("run_id",), has_outcome=True),
    BuiltinTool(
        "cancel_run",
        "runs",
        "Mark a run as cancelled. Steps that are being executed are not stopped.",
        {"run_id": RUN_ID_FIELD},
        _cancel_run,
        ("run_id",),
        is_read_only=False,
        is_destructive=True,
    ),
    BuiltinTool(
        "list_runs",
        "runs",
        "List the runs started by agents, newest first, with their states.",
        {
            "status": {"type": "string", "enum": [*STATUSES]},
            "limit": {"type": "integer", "minimum": 1, "maximum": 100, "description": "Default 20."},
        },
        _list_runs,
    ),
    BuiltinTool(
        "diagnose_run",
        "diagnose",
        "Explain why a run failed: the step that caused it, the step's input, log lines, and what to try.",
        {"run_id": RUN_ID_FIELD, "item": _ITEM_FIELD},
        _make_lazy_handler("diagnosis", "diagnose_run"),
        ("run_id",),
    ),
    BuiltinTool(
        "rerun",
        "diagnose",
        "Rerun a finished run from a step on, reusing the outputs of earlier steps. The input and step settings can "
        "be changed.",
        {
            "run_id": RUN_ID_FIELD,
            "from_step": {"type": "string", "description": "The first step to execute. Default: all of them."},
            "input": {"description": "The whole input of the flow. Default: the run's input."},
            "overrides": {"type": "object", "description": 'Changes to steps: {"step": {"value": {"input": {...}}}}'},
        },
        _make_lazy_handler("diagnosis", "rerun"),
        ("run_id",),
        is_read_only=False,
        has_outcome=True,
    ),
    BuiltinTool(
        "validate_flow",
        "author",
        "Check a flow's text without running it.",
        {"flow": {"type": "string", "description": "The flow, as YAML or JSON."}},
        _make_lazy_handler("authoring", "validate_flow"),
        ("flow",),
    ),
    BuiltinTool(
        "list_components",
        "author",
        "List the components that flow steps can use, or show the schemas of one of them.",
        {"component": {"type": "string", "description": "The component whose schemas to show."}},
        _make_lazy_handler("authoring", "list_components"),
    ),
    BuiltinTool(
        "run_flow_text",
        "run_flow_text",
        "Run a flow passed as text, with any of the server's components.",
        {
            "flow": {"type": "string", "description": "The flow, as YAML or JSON."},
            "input": {"description": "The input of the flow."},
        },
        _make_lazy_handler("authoring", "run_flow_text"),
        ("flow",),
        is_read_only=False,
        is_destructive=True,
        has_outcome=True,
    ),
)


def select_builtin_tools(names: Sequence[str]) -> list[BuiltinTool]:
    """Select tools by group or name. `run_flow_text` must be selected by name, because no larger group includes it."""
    return [tool for tool in BUILTIN_TOOLS if tool.group in names or tool.name in names]
