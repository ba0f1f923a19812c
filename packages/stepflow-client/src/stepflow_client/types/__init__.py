"""The types of results: runs, items, steps, flows, servers, reruns, comparisons.

Each submodule is imported when one of its names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import lazy_names

if TYPE_CHECKING:
    from .account import FailedChild, FailedItems, RunAccount, StepAccount
    from .comparison import RunComparison, RunDifference
    from .flows import (
        Diagnostic,
        DiagnosticLevel,
        FlowExample,
        FlowVariable,
        FlowVariables,
        StoredFlow,
        StoreFlowResponse,
        ValidationResult,
    )
    from .outcomes import Outcome
    from .reruns import Keep, RerunItem, RerunPlan, RerunResult
    from .results import ErrorCode, FlowError, FlowResult, OutputT
    from .run_parts import ListItemsResponse, ListStepsResponse, RunArguments, RunItem, RunItems, StepDetails
    from .runs import CreateRunResponse, ItemCounts, ListRunsResponse, RunDetails
    from .server import (
        BlobContent,
        ComponentInfo,
        ComponentList,
        FailedPlugin,
        HealthResponse,
        ServerInfo,
        StoreBlobResponse,
    )
    from .snapshot import RunSnapshot
    from .statuses import ExecutionStatus

__all__ = [
    "BlobContent", "ComponentInfo", "ComponentList", "CreateRunResponse", "Diagnostic", "DiagnosticLevel", "ErrorCode",
    "ExecutionStatus", "FailedChild", "FailedItems", "FailedPlugin", "FlowError", "FlowExample", "FlowResult",
    "FlowVariable", "FlowVariables", "HealthResponse", "ItemCounts", "Keep", "ListItemsResponse", "ListRunsResponse",
    "ListStepsResponse", "Outcome", "OutputT", "RerunItem", "RerunPlan", "RerunResult", "RunAccount", "RunArguments",
    "RunComparison", "RunDetails", "RunDifference", "RunItem", "RunItems", "RunSnapshot", "ServerInfo", "StepAccount",
    "StepDetails", "StoreBlobResponse", "StoreFlowResponse", "StoredFlow", "ValidationResult",
]  # fmt: skip

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "account": ["FailedChild", "FailedItems", "RunAccount", "StepAccount"],
        "comparison": ["RunComparison", "RunDifference"],
        "flows": [
            "Diagnostic", "DiagnosticLevel", "FlowExample", "FlowVariable", "FlowVariables", "StoreFlowResponse",
            "StoredFlow", "ValidationResult",
        ],
        "outcomes": ["Outcome"],
        "reruns": ["Keep", "RerunItem", "RerunPlan", "RerunResult"],
        "results": ["ErrorCode", "FlowError", "FlowResult", "OutputT"],
        "run_parts": [
            "ListItemsResponse", "ListStepsResponse", "RunArguments", "RunItem", "RunItems", "StepDetails",
        ],
        "runs": ["CreateRunResponse", "ItemCounts", "ListRunsResponse", "RunDetails"],
        "server": [
            "BlobContent", "ComponentInfo", "ComponentList", "FailedPlugin", "HealthResponse", "ServerInfo",
            "StoreBlobResponse",
        ],
        "snapshot": ["RunSnapshot"],
        "statuses": ["ExecutionStatus"],
    },
)  # fmt: skip
