"""A call of a tool, as the tools beside the flows get it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from stepflow_client import InvalidArgumentError
from stepflow_client._codec.flow_tools import tool_result, unfinished
from stepflow_client._command import async_checked, check_run_id

from .runs import AgentRuns, Report

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.tools import ToolResult

    from .catalog import Catalog


@dataclass
class Call:
    """A call of a tool."""

    arguments: Mapping[str, Any]
    runs: AgentRuns
    catalog: Catalog
    reader: SyncStepflowClient
    """A client for use in threads."""
    labels: Mapping[str, str]
    names: list[Any] = field(default_factory=list)
    """What the request is known by."""
    report: Report | None = None

    def run_id(self) -> str:
        """Return the run of the call.

        Raises:
            InvalidArgumentError: If it is none that agents have started.
        """
        run_id = check_run_id(self.arguments["run_id"])
        if not self.runs.owns(run_id):
            raise InvalidArgumentError(
                f"run {run_id} was not started by an agent on this machine",
                hint="list_runs lists those that were",
            )
        return run_id

    async def outcome(self, run_id: str, seconds: float) -> ToolResult:
        """Wait for a run, and return what is known of it then."""
        result = await self.runs.result(run_id, seconds, self.report)
        if result is None:
            return unfinished(run_id, next_step(run_id))
        tool = self.runs.tool_of(run_id)
        spec = self.catalog.tools.get(tool or "")
        return await async_checked(partial(tool_result, result, spec, self.catalog.secrets))


def next_step(run_id: str) -> str:
    """Return what an agent is told to do about a run that has not ended."""
    return f"Call wait_run with run_id {run_id} for its result, or cancel_run to cancel it."
