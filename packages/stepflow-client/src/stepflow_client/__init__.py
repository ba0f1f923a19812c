"""Python client for Stepflow, a workflow server.

Example:
    async with StepflowClient("http://localhost:7837") as client:
        result = await client.run("workflow.yaml", {"name": "World"})

`SyncStepflowClient` has the same methods without `await`, and `StepflowRuntime` starts its own server. The package logs
to `stepflow.client`, `stepflow.runtime` and `stepflow.server`. To see these logs on standard error, set the environment
variable STEPFLOW_LOG=debug.
"""

# Each star import brings in exactly the names that its module exports. Names that a module imports on first use are
# listed here too, because documentation tools would miss them otherwise.
# ruff: noqa: F403, F405

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._base.lazy import make_lazy_exports

if TYPE_CHECKING:
    from ._async.client import StepflowClient
    from ._async.run_handle import RunHandle
    from ._async.streams import EventStream, OutcomeStream, RunPager
    from ._base.not_given import NOT_GIVEN, NotGiven
    from ._calls.method_options import (
        ClientOptions,
        EventOptions,
        MapOptions,
        PlanOptions,
        RerunOptions,
        RunFilters,
        RunOptions,
        SubmitOptions,
    )
    from ._codec.call_checks import FlowId, RunId, Variables
    from ._records.inputs import InputStream, read_inputs
    from ._records.outcome_files import OutcomeWriter, write_outcomes
    from ._rules.chunks import RetryOn
    from ._rules.retries import RetryPolicy
    from ._sync.client import SyncStepflowClient
    from ._sync.run_handle import SyncRunHandle
    from ._sync.streams import SyncEventStream, SyncOutcomeStream, SyncRunPager
    from .errors import *
    from .errors import InvalidFlowError, OutputTypeError, RunFailedError
    from .events import *
    from .executor_protocol import StepflowExecutor
    from .flows.reading import FlowSource
    from .history import History
    from .logs import LogConfig, LogEntry
    from .progress import Progress, ProgressOption
    from .result_cache import ResultCache
    from .runtime import RestartPolicy, StepflowRuntime
    from .types.flows import Diagnostic, DiagnosticLevel, FlowVariables, StoredFlow, StoreFlowResponse, ValidationResult
    from .types.reruns import Keep, RerunItem, RerunPlan, RerunResult, RunComparison, RunDifference
    from .types.results import ErrorCode, FlowError, FlowResult, Outcome
    from .types.run_explanation import FailedChild, RunAccount, StepAccount
    from .types.runs import (
        CreateRunResponse,
        ListItemsResponse,
        ListRunsResponse,
        ListStepsResponse,
        RunArguments,
        RunDetails,
        RunItem,
        RunSnapshot,
        StepDetails,
    )
    from .types.server import BlobContent, ComponentInfo, ComponentList, HealthResponse, ServerInfo, StoreBlobResponse
    from .types.statuses import ExecutionStatus

if os.environ.get("STEPFLOW_LOG"):
    from ._base.logging import log_to_stderr

    log_to_stderr(os.environ["STEPFLOW_LOG"])

__all__ = [
    "NOT_GIVEN", "AmbiguousRunError", "ApiError", "AuthenticationError", "AuthoringError", "BlobContent",
    "ClientClosedError", "ClientOptions", "ComponentInfo", "ComponentList", "ConflictError", "CreateRunResponse",
    "Diagnostic", "DiagnosticLevel", "EmbeddedServerError", "ErrorCode", "EventOptions", "EventStream",
    "ExecutionStatus", "FailedChild", "FlowError", "FlowFileError", "FlowFileNotFoundError", "FlowId", "FlowResult",
    "FlowSource", "FlowVariables", "HealthResponse", "HeartbeatEvent", "History", "IdempotencyConflictError",
    "InputStream", "InvalidArgumentError", "InvalidFlowError", "InvalidRequestError", "InvalidResponseError",
    "JournalError", "Keep", "ListItemsResponse", "ListRunsResponse", "ListStepsResponse", "LogConfig", "LogEntry",
    "MapOptions", "NotAFlowError", "NotFoundError", "NotGiven", "Outcome", "OutcomeStream", "OutcomeWriter",
    "OutputTypeError", "PlanOptions", "Progress", "ProgressOption", "RateLimitError", "RequestTimeoutError",
    "RerunItem", "RerunOptions", "RerunPlan", "RerunResult", "RestartPolicy", "ResultCache", "RetryOn", "RetryPolicy",
    "RunAccount", "RunArguments", "RunComparison", "RunCompletedEvent", "RunCreatedEvent", "RunDetails",
    "RunDifference", "RunEvent", "RunFailedError", "RunFilters", "RunHandle", "RunId", "RunItem", "RunOptions",
    "RunPager", "RunSnapshot", "RunTimeoutError", "ServerConnectionError", "ServerFaultError", "ServerInfo",
    "ServerNotInstalledError", "ServerStartError", "ServerStartTimeoutError", "StepAccount", "StepCompletedEvent",
    "StepDetails", "StepReadyEvent", "StepStartedEvent", "StepflowClient", "StepflowClientError", "StepflowExecutor",
    "StepflowRuntime", "StepsNeededEvent", "StoreBlobResponse", "StoreFlowResponse", "StoredFlow",
    "SubRunCreatedEvent", "SubmitOptions", "SyncEventStream", "SyncOutcomeStream", "SyncRunHandle", "SyncRunPager",
    "SyncStepflowClient", "TransportError", "UnknownEvent", "UnsupportedByServerError", "ValidationResult",
    "Variables", "read_inputs", "write_outcomes",
]  # fmt: skip

# Import each name on first use, so that a program that only needs the client doesn't pay for importing the runtime.
_find, _names = make_lazy_exports(
    __name__,
    {
        "_async.client": ["StepflowClient"],
        "_async.run_handle": ["RunHandle"],
        "_base.not_given": ["NOT_GIVEN", "NotGiven"],
        "_codec.call_checks": ["FlowId", "RunId", "Variables"],
        "_records.inputs": ["InputStream", "read_inputs"],
        "_records.outcome_files": ["OutcomeWriter", "write_outcomes"],
        "_rules.chunks": ["RetryOn"],
        "_rules.retries": ["RetryPolicy"],
        "_calls.method_options": [
            "ClientOptions", "EventOptions", "MapOptions", "PlanOptions", "RerunOptions", "RunFilters", "RunOptions",
            "SubmitOptions",
        ],
        "_async.streams": ["EventStream", "OutcomeStream", "RunPager"],
        "_sync.streams": ["SyncEventStream", "SyncOutcomeStream", "SyncRunPager"],
        "_sync.client": ["SyncStepflowClient"],
        "_sync.run_handle": ["SyncRunHandle"],
        "errors": [
            "AmbiguousRunError", "ApiError", "AuthenticationError", "AuthoringError", "ClientClosedError",
            "ConflictError", "EmbeddedServerError", "FlowFileError", "FlowFileNotFoundError",
            "IdempotencyConflictError", "InvalidArgumentError", "InvalidFlowError", "InvalidRequestError",
            "InvalidResponseError", "JournalError", "NotAFlowError", "NotFoundError", "OutputTypeError",
            "RateLimitError", "RequestTimeoutError", "RunFailedError", "RunTimeoutError", "ServerConnectionError",
            "ServerFaultError", "ServerNotInstalledError", "ServerStartError", "ServerStartTimeoutError",
            "StepflowClientError", "TransportError", "UnsupportedByServerError",
        ],
        "events": [
            "HeartbeatEvent", "RunCompletedEvent", "RunCreatedEvent", "RunEvent", "StepCompletedEvent",
            "StepReadyEvent", "StepStartedEvent", "StepsNeededEvent", "SubRunCreatedEvent", "UnknownEvent",
        ],
        "executor_protocol": ["StepflowExecutor"],
        "flows.reading": ["FlowSource"],
        "history": ["History"],
        "logs": ["LogConfig", "LogEntry"],
        "progress": ["Progress", "ProgressOption"],
        "result_cache": ["ResultCache"],
        "runtime": ["RestartPolicy", "StepflowRuntime"],
        "types.run_explanation": ["FailedChild", "RunAccount", "StepAccount"],
        "types.flows": [
            "Diagnostic", "DiagnosticLevel", "FlowVariables", "StoreFlowResponse", "StoredFlow", "ValidationResult",
        ],
        "types.reruns": ["RunComparison", "RunDifference", "Keep", "RerunItem", "RerunPlan", "RerunResult"],
        "types.results": ["ErrorCode", "FlowError", "FlowResult", "Outcome"],
        "types.runs": [
            "CreateRunResponse", "ListItemsResponse", "ListRunsResponse", "ListStepsResponse", "RunArguments",
            "RunDetails", "RunItem", "RunSnapshot", "StepDetails",
        ],
        "types.server": [
            "BlobContent", "ComponentInfo", "ComponentList", "HealthResponse", "ServerInfo", "StoreBlobResponse",
        ],
        "types.statuses": ["ExecutionStatus"],
    },
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("stepflow-client")
    return _find(name)


def __dir__() -> list[str]:
    return ["__version__", *_names()]
