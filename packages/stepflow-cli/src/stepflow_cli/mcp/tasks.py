"""The tasks extension of the protocol: a call that takes longer is a task, and the task is the run."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, MISSING_REQUIRED_CLIENT_CAPABILITY, RequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field
from stepflow_client import ConflictError, StepflowClientError
from stepflow_client._codec.flow_tools import tool_result

from .answers import answer
from .catalog import Catalog
from .runs import AgentRuns

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel.server import Server
    from stepflow_client import RunDetails

    Context = ServerRequestContext[Any, Any]

TASKS = "io.modelcontextprotocol/tasks"
_POLL_MS = 1_000


class TaskParams(RequestParams):
    """The parameters of requests about a task."""

    task_id: str = Field(alias="taskId")


class Tasks:
    """Answers the requests about tasks."""

    def __init__(self, runs: AgentRuns, catalog: Catalog) -> None:
        self._runs = runs
        self._catalog = catalog

    @staticmethod
    def are_known(ctx: Context) -> bool:
        """Return whether the client has declared that it knows tasks, with this request."""
        capabilities = ctx.session.client_capabilities
        return (
            ctx.protocol_version in MODERN_PROTOCOL_VERSIONS
            and capabilities is not None
            and TASKS in (capabilities.extensions or {})
        )

    def add_to(self, server: Server[Any]) -> None:
        """Add the extension to a server."""
        server.extensions[TASKS] = {}
        server.add_request_handler("tasks/get", TaskParams, self._get)
        server.add_request_handler("tasks/cancel", TaskParams, self._cancel)
        server.add_request_handler("tasks/update", TaskParams, self._update)

    async def created(self, run_id: str) -> dict[str, Any]:
        """Return the answer to a call that is a task now."""
        return {"resultType": "task", **_task(await self._runs.client.get_run(run_id))}

    async def _get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        run = await self._run(ctx, params)
        task = _task(run)
        if task["status"] == "completed":
            result = await self._runs.result(run.run_id, 0)
            if result is None:
                return {**task, "status": "working"}
            tool = self._catalog.tools.get(self._runs.tool_of(run.run_id) or "")
            said = answer(tool_result(result, tool, self._catalog.secrets))
            task["result"] = said.model_dump(by_alias=True, mode="json", exclude_none=True)
        return task

    async def _cancel(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        run = await self._run(ctx, params)
        # If it has ended, a cancellation need not have an effect.
        with suppress(ConflictError):
            await self._runs.client.cancel_run(run.run_id)
        return {}

    async def _update(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        # Flows ask for no input while they run.
        await self._run(ctx, params)
        return {}

    async def _run(self, ctx: Context, params: TaskParams) -> RunDetails:
        if not self.are_known(ctx):
            needed: dict[str, Any] = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "the client does not declare tasks", needed)
        try:
            if self._runs.owns(params.task_id):
                return await self._runs.client.get_run(params.task_id)
        except StepflowClientError as error:
            raise MCPError(INVALID_PARAMS, error.message) from error
        raise MCPError(INVALID_PARAMS, "there is no such task")


def _task(run: RunDetails) -> dict[str, Any]:
    """Return a run as a task. A failed run is a completed task, whose result is an error."""
    status = run.status.value
    created = run.created_at or datetime.now(UTC)
    return {
        "taskId": run.run_id,
        "status": "cancelled" if status == "cancelled" else "completed" if run.is_finished else "working",
        "statusMessage": f"The run is {status}.",
        "createdAt": created.isoformat(),
        "lastUpdatedAt": (run.completed_at or created).isoformat(),
        "ttlMs": None,
        "pollIntervalMs": _POLL_MS,
    }
