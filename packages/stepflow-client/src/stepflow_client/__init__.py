"""Python client for Stepflow, a workflow server.

Example:
    async with StepflowClient("http://localhost:7837") as client:
        result = await client.run("workflow.yaml", {"name": "World"})

`SyncStepflowClient` has the same methods without `await`; `StepflowRuntime` starts its own server. The package logs to
`stepflow.client`, `stepflow.runtime` and `stepflow.server`; with the environment variable STEPFLOW_LOG=debug these
loggers also write to standard error.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._async.client import StepflowClient
    from ._rules.transient import RetryPolicy
    from ._sync.client import SyncStepflowClient
    from .account import FailedChild, RunAccount, StepAccount
    from .comparison import RunComparison, RunDifference
    from .errors import (
        AmbiguousRunError,
        ApiError,
        AuthenticationError,
        ConflictError,
        EmbeddedServerError,
        FlowFileError,
        FlowFileNotFoundError,
        InvalidArgumentError,
        InvalidFlowError,
        InvalidRequestError,
        InvalidResponseError,
        JournalError,
        NotFoundError,
        OutputTypeError,
        RateLimitError,
        RequestTimeoutError,
        RunFailedError,
        RunTimeoutError,
        ServerConnectionError,
        ServerFaultError,
        ServerNotInstalledError,
        ServerStartError,
        ServerStartTimeoutError,
        StepflowClientError,
        TransportError,
        UnsupportedByServerError,
    )
    from .events import (
        HeartbeatEvent,
        RunCompletedEvent,
        RunCreatedEvent,
        RunEvent,
        StepCompletedEvent,
        StepReadyEvent,
        StepsNeededEvent,
        StepStartedEvent,
        SubRunCreatedEvent,
        UnknownEvent,
    )
    from .executor import StepflowExecutor
    from .logs import LogConfig, LogEntry
    from .outcomes import Outcome
    from .progress import Progress
    from .reruns import RerunItem, RerunPlan, RerunResult
    from .result_cache import ResultCache
    from .runtime import RestartPolicy, StepflowRuntime
    from .types import (
        BlobContent,
        ComponentInfo,
        ComponentList,
        CreateRunResponse,
        Diagnostic,
        DiagnosticLevel,
        ErrorCode,
        ExecutionStatus,
        FlowError,
        FlowResult,
        FlowVariables,
        HealthResponse,
        ListItemsResponse,
        ListRunsResponse,
        ListStepsResponse,
        RunArguments,
        RunDetails,
        RunItem,
        ServerInfo,
        StepDetails,
        StoreBlobResponse,
        StoredFlow,
        StoreFlowResponse,
        ValidationResult,
    )

if os.environ.get("STEPFLOW_LOG"):
    from ._logging import log_to_stderr

    log_to_stderr(os.environ["STEPFLOW_LOG"])

# Each name is imported when it is first used: a program that needs the client does not pay for the runtime.
_HOMES = {
    "StepflowClient": "_async.client",
    "SyncStepflowClient": "_sync.client",
    "StepflowExecutor": "executor",
    "StepflowRuntime": "runtime",
    "RestartPolicy": "runtime",
    "RetryPolicy": "_rules.transient",
    **dict.fromkeys(("FailedChild", "RunAccount", "StepAccount"), "account"),
    **dict.fromkeys(("RunComparison", "RunDifference"), "comparison"),
    **dict.fromkeys(("RerunItem", "RerunPlan", "RerunResult"), "reruns"),
    "ResultCache": "result_cache",
    "LogConfig": "logs",
    "LogEntry": "logs",
    "Outcome": "outcomes",
    "Progress": "progress",
    **dict.fromkeys(
        (
            "BlobContent",
            "ComponentInfo",
            "ComponentList",
            "CreateRunResponse",
            "Diagnostic",
            "DiagnosticLevel",
            "ErrorCode",
            "ExecutionStatus",
            "FlowError",
            "FlowResult",
            "FlowVariables",
            "HealthResponse",
            "ListItemsResponse",
            "ListRunsResponse",
            "ListStepsResponse",
            "RunArguments",
            "RunDetails",
            "RunItem",
            "ServerInfo",
            "StepDetails",
            "StoreBlobResponse",
            "StoreFlowResponse",
            "StoredFlow",
            "ValidationResult",
        ),
        "types",
    ),
    **dict.fromkeys(
        (
            "HeartbeatEvent",
            "RunCompletedEvent",
            "RunCreatedEvent",
            "RunEvent",
            "StepCompletedEvent",
            "StepReadyEvent",
            "StepStartedEvent",
            "StepsNeededEvent",
            "SubRunCreatedEvent",
            "UnknownEvent",
        ),
        "events",
    ),
}

__all__ = [
    "AmbiguousRunError",
    "ApiError",
    "AuthenticationError",
    "BlobContent",
    "ComponentInfo",
    "ComponentList",
    "ConflictError",
    "CreateRunResponse",
    "Diagnostic",
    "DiagnosticLevel",
    "EmbeddedServerError",
    "ErrorCode",
    "ExecutionStatus",
    "FailedChild",
    "FlowError",
    "FlowFileError",
    "FlowFileNotFoundError",
    "FlowResult",
    "FlowVariables",
    "HealthResponse",
    "HeartbeatEvent",
    "InvalidArgumentError",
    "InvalidFlowError",
    "InvalidRequestError",
    "InvalidResponseError",
    "JournalError",
    "ListItemsResponse",
    "ListRunsResponse",
    "ListStepsResponse",
    "LogConfig",
    "LogEntry",
    "NotFoundError",
    "Outcome",
    "OutputTypeError",
    "Progress",
    "RateLimitError",
    "RequestTimeoutError",
    "RerunItem",
    "RerunPlan",
    "RerunResult",
    "RestartPolicy",
    "ResultCache",
    "RetryPolicy",
    "RunAccount",
    "RunArguments",
    "RunComparison",
    "RunCompletedEvent",
    "RunCreatedEvent",
    "RunDetails",
    "RunDifference",
    "RunEvent",
    "RunFailedError",
    "RunItem",
    "RunTimeoutError",
    "ServerConnectionError",
    "ServerFaultError",
    "ServerInfo",
    "ServerNotInstalledError",
    "ServerStartError",
    "ServerStartTimeoutError",
    "StepAccount",
    "StepCompletedEvent",
    "StepDetails",
    "StepReadyEvent",
    "StepStartedEvent",
    "StepflowClient",
    "StepflowClientError",
    "StepflowExecutor",
    "StepflowRuntime",
    "StepsNeededEvent",
    "StoreBlobResponse",
    "StoreFlowResponse",
    "StoredFlow",
    "SubRunCreatedEvent",
    "SyncStepflowClient",
    "TransportError",
    "UnknownEvent",
    "UnsupportedByServerError",
    "ValidationResult",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("stepflow-client")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return ["__version__", *__all__]
