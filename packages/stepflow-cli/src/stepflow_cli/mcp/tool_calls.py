"""A tool call and its response. A large output is truncated and followed by a link to the rest of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mcp_types import CallToolResult, ResourceLink, TextContent
from stepflow_client import (
    AmbiguousRunError,
    ConflictError,
    InvalidArgumentError,
    RateLimitError,
    ServerFaultError,
    StepflowClientError,
    TransportError,
)
from stepflow_client._codec.flow_tools import make_tool_result, make_unfinished_result
from stepflow_client._command import async_compute, check_run_id

from .agent_run_tracking import MAX_ANSWER_LENGTH, AgentRuns, Report

if TYPE_CHECKING:
    from stepflow_client._codec.flow_tools import FlowToolSpec
    from stepflow_client.tools import ToolResult

    from ..server.connect import Target
    from .flow_catalog import FlowCatalog

# Number of characters to keep when truncating an output for a response.
_TRUNCATED_LENGTH = 4_000
_OUTPUT_FIELDS = ("output", "unexpected_output")


def build_output_uri(run_id: str, item: int, offset: int = 0) -> str:
    """Return the URI of an item's output, starting at the character `offset` of its JSON text."""
    return f"stepflow://runs/{run_id}/items/{item}/output{f'?offset={offset}' if offset else ''}"


def build_tool_response(result: ToolResult, item: int = 0) -> CallToolResult:
    """Return the response to a call.

    Args:
        result: The call's result.
        item: The index of the item that the result belongs to.
    """
    text, structured = result.text, result.structured
    content: list[Any] = []
    if len(text) > MAX_ANSWER_LENGTH and result.run_id is not None and structured is not None:
        uri = build_output_uri(result.run_id, item)
        more = f"Call get_run with run_id {result.run_id} and offset {_TRUNCATED_LENGTH}, or read {uri}."
        text = f"{text[:_TRUNCATED_LENGTH]}\n[cut off after {_TRUNCATED_LENGTH:,} of {len(text):,} characters] {more}"
        structured = {key: value for key, value in structured.items() if key not in _OUTPUT_FIELDS}
        structured |= {"output_resource": uri, "next": more}
        content = [ResourceLink(name="output", uri=uri, mime_type="application/json")]
    elif len(text) > MAX_ANSWER_LENGTH:
        text = f"{text[:MAX_ANSWER_LENGTH]}\n[cut off]"
    return CallToolResult(
        content=[TextContent(text=text), *content],
        structured_content=None if structured is None else dict(structured),
        is_error=result.is_error,
    )


@dataclass
class ToolCall:
    """An agent's call to a tool."""

    arguments: Mapping[str, Any]
    runs: AgentRuns
    catalog: FlowCatalog
    target: Target
    """The Stepflow server, for code that runs in threads."""
    offered: Collection[str]
    """The names of the builtin tools on offer. Responses never mention any others."""
    labels: Mapping[str, str]
    key: str | None = None
    """The idempotency key sent by the agent."""
    request_ids: list[Any] = field(default_factory=list)
    """The IDs that identify the request. A repeated request shares at least one with the original."""
    report: Report | None = None

    def get_run_id(self) -> str:
        """Return the run ID passed to the call.

        Raises:
            InvalidArgumentError: If the ID is invalid, or the run wasn't started by an agent.
        """
        try:
            run_id = check_run_id(self.arguments["run_id"])
        except InvalidArgumentError as error:
            error.hint = error.hint or self.suggest_offered_tools(list_runs="to see run IDs")
            raise
        if not self.runs.is_accessible(run_id):
            hint = self.suggest_offered_tools(list_runs="to see the runs that were")
            raise InvalidArgumentError(f"run {run_id} was not started by an agent on this machine", hint=hint)
        return run_id

    def suggest_offered_tools(self, **purposes: str) -> str | None:
        """Return a sentence that suggests whichever of the tools are offered, or None if none are."""
        offered = [f"{name} {purpose}" for name, purpose in purposes.items() if name in self.offered]
        return f"Call {', or '.join(offered)}." if offered else None

    @property
    def idempotency_key(self) -> str | None:
        """The idempotency key for the run that the call starts."""
        return None if self.key is None else f"mcp:{self.key}"

    async def start_run(self, create: Callable[[], Awaitable[str]]) -> str:
        """Start a run and return its ID. See `AgentRuns.start_run`."""
        try:
            return await self.runs.start_run(self.request_ids, create)
        except StepflowClientError as error:
            advice = None
            if isinstance(error, RateLimitError):
                advice = self.suggest_offered_tools(wait_run="to wait for one of them", cancel_run="to cancel one")
            elif isinstance(error, AmbiguousRunError):
                advice = self.suggest_offered_tools(list_runs="to look for the run before you repeat the call")
            elif isinstance(error, ConflictError) and error.run_id is not None:
                advice = self.suggest_offered_tools(wait_run=f"with run_id {error.run_id} first")
            elif isinstance(error, (TransportError, ServerFaultError)) and error.run_id is None:
                # If one of these errors has no run ID, no run was created.
                advice = "No run was started: you may repeat the call."
            if advice is not None:
                error.hint = advice if error.hint is None else f"{error.hint.rstrip('.')}. {advice}"
            raise

    def suggest_tools_for_unfinished_run(self, run_id: str) -> str:
        """Suggest how the agent can continue with a run that hasn't ended."""
        purposes = {"wait_run": f"with run_id {run_id} for its result", "cancel_run": "to cancel it"}
        if "wait_run" not in self.offered:
            purposes = {"get_run": f"with run_id {run_id} for its state", "cancel_run": "to cancel it"}
        return self.suggest_offered_tools(**purposes) or "You can use this ID to read its result later."

    async def wait_for_outcome(self, run_id: str, seconds: float, spec: FlowToolSpec | None = None) -> ToolResult:
        """Wait up to `seconds` for a run, then return its result or, if it hasn't ended, its current state."""
        try:
            result = await self.runs.wait_for_result(run_id, seconds, self.report)
        except (TransportError, ServerFaultError) as error:
            error.run_id, error.hint = run_id, self.suggest_tools_for_unfinished_run(run_id)
            raise
        if result is None:
            return make_unfinished_result(run_id, self.suggest_tools_for_unfinished_run(run_id))
        spec = spec or self.catalog.tools.get(self.runs.find_tool_name(run_id) or "")
        response = await async_compute(partial(make_tool_result, result, spec, self.catalog.secrets))
        purposes = {"diagnose_run": f"with run_id {run_id} for its cause"} if result.is_failed else {}
        more = self.suggest_offered_tools(**purposes)
        if more is None:
            return response
        structured = {**(response.structured or {}), "next": more}
        return replace(response, text=f"{response.text}\n{more}", structured=structured)
