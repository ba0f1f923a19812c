"""Result types: runs, items, steps, flows, servers, reruns and run comparisons.

Submodules are imported lazily, when one of their names is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import make_lazy_exports

if TYPE_CHECKING:
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
    from .reruns import Keep, RerunItem, RerunPlan, RerunResult, RunComparison, RunDifference
    from .results import ErrorCode, FlowError, FlowResult, Outcome, OutputT
    from .run_explanation import FailedChild, FailedItems, RunAccount, StepAccount
    from .runs import (
        CreateRunResponse,
        ItemCounts,
        ListItemsResponse,
        ListRunsResponse,
        ListStepsResponse,
        RunArguments,
        RunDetails,
        RunItem,
        RunItems,
        RunSnapshot,
        StepDetails,
    )
    from .server import (
        BlobContent,
        ComponentInfo,
        ComponentList,
        FailedPlugin,
        HealthResponse,
        ServerInfo,
        StoreBlobResponse,
    )
    from .statuses import ExecutionStatus

__all__ = [
    "BlobContent", "ComponentInfo", "ComponentList", "CreateRunResponse", "Diagnostic", "DiagnosticLevel", "ErrorCode",
    "ExecutionStatus", "FailedChild", "FailedItems", "FailedPlugin", "FlowError", "FlowExample", "FlowResult",
    "FlowVariable", "FlowVariables", "HealthResponse", "ItemCounts", "Keep", "ListItemsResponse", "ListRunsResponse",
    "ListStepsResponse", "Outcome", "OutputT", "RerunItem", "RerunPlan", "RerunResult", "RunAccount", "RunArguments",
    "RunComparison", "RunDetails", "RunDifference", "RunItem", "RunItems", "RunSnapshot", "ServerInfo", "StepAccount",
    "StepDetails", "StoreBlobResponse", "StoreFlowResponse", "StoredFlow", "ValidationResult",
]  # fmt: skip

__getattr__, __dir__ = make_lazy_exports(
    __name__,
    {
        "run_explanation": ["FailedChild", "FailedItems", "RunAccount", "StepAccount"],
        "reruns": ["RunComparison", "RunDifference", "Keep", "RerunItem", "RerunPlan", "RerunResult"],
        "flows": [
            "Diagnostic", "DiagnosticLevel", "FlowExample", "FlowVariable", "FlowVariables", "StoreFlowResponse",
            "StoredFlow", "ValidationResult",
        ],
        "results": ["Outcome", "ErrorCode", "FlowError", "FlowResult", "OutputT"],
        "runs": [
            "ListItemsResponse", "ListStepsResponse", "RunArguments", "RunItem", "RunItems", "StepDetails",
            "CreateRunResponse", "ItemCounts", "ListRunsResponse", "RunDetails", "RunSnapshot",
        ],
        "server": [
            "BlobContent", "ComponentInfo", "ComponentList", "FailedPlugin", "HealthResponse", "ServerInfo",
            "StoreBlobResponse",
        ],
        "statuses": ["ExecutionStatus"],
    },
)  # fmt: skip
