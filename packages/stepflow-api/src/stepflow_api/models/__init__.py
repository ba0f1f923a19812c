# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
"""The models of requests and responses, imported on first use."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .blob import Blob
    from .build_info import BuildInfo
    from .cancel_run_response import CancelRunResponse
    from .component import Component
    from .create_run_request import CreateRunRequest
    from .create_run_response import CreateRunResponse
    from .diagnostic import Diagnostic
    from .diagnostic_level import DiagnosticLevel
    from .empty import Empty
    from .error_code import ErrorCode
    from .error_detail import ErrorDetail
    from .error_envelope import ErrorEnvelope
    from .failed_plugin import FailedPlugin
    from .flow_diagnostics import Diagnostics
    from .flow_example import FlowExample
    from .flow_variable import FlowVariable
    from .flow_variables_response import FlowVariablesResponse
    from .flow_variables_response_variables import FlowVariablesResponseVariables
    from .get_blob_accept import GetBlobAccept
    from .get_flow_response import GetFlowResponse
    from .get_run_flow_response import GetRunFlowResponse
    from .get_run_items_response import GetRunItemsResponse
    from .get_run_response import GetRunResponse
    from .get_run_step_response import GetRunStepResponse
    from .get_run_steps_response import GetRunStepsResponse
    from .health import Health
    from .item_counts import ItemCounts
    from .item_result import ItemResult
    from .list_components_response import ListComponentsResponse
    from .list_runs_response import ListRunsResponse
    from .run_completed import RunCompleted
    from .run_created import RunCreated
    from .run_event import RunEvent
    from .run_event_body import RunEventBody
    from .run_status import RunStatus
    from .run_summary import RunSummary
    from .step_completed import StepCompleted
    from .step_ready import StepReady
    from .step_run import StepRun
    from .step_started import StepStarted
    from .steps_needed import StepsNeeded
    from .store_blob_request import StoreBlobRequest
    from .store_blob_response import StoreBlobResponse
    from .store_flow_request import StoreFlowRequest
    from .store_flow_response import StoreFlowResponse
    from .sub_run_created import SubRunCreated

__all__ = (
    "Blob",
    "BuildInfo",
    "CancelRunResponse",
    "Component",
    "CreateRunRequest",
    "CreateRunResponse",
    "Diagnostic",
    "DiagnosticLevel",
    "Diagnostics",
    "Empty",
    "ErrorCode",
    "ErrorDetail",
    "ErrorEnvelope",
    "FailedPlugin",
    "FlowExample",
    "FlowVariable",
    "FlowVariablesResponse",
    "FlowVariablesResponseVariables",
    "GetBlobAccept",
    "GetFlowResponse",
    "GetRunFlowResponse",
    "GetRunItemsResponse",
    "GetRunResponse",
    "GetRunStepResponse",
    "GetRunStepsResponse",
    "Health",
    "ItemCounts",
    "ItemResult",
    "ListComponentsResponse",
    "ListRunsResponse",
    "RunCompleted",
    "RunCreated",
    "RunEvent",
    "RunEventBody",
    "RunStatus",
    "RunSummary",
    "StepCompleted",
    "StepReady",
    "StepRun",
    "StepsNeeded",
    "StepStarted",
    "StoreBlobRequest",
    "StoreBlobResponse",
    "StoreFlowRequest",
    "StoreFlowResponse",
    "SubRunCreated",
)

# Hidden from type checkers, which would otherwise accept any name.
if not TYPE_CHECKING:
    _MODULES = {
        "Blob": ".blob",
        "BuildInfo": ".build_info",
        "CancelRunResponse": ".cancel_run_response",
        "Component": ".component",
        "CreateRunRequest": ".create_run_request",
        "CreateRunResponse": ".create_run_response",
        "Diagnostic": ".diagnostic",
        "DiagnosticLevel": ".diagnostic_level",
        "Empty": ".empty",
        "ErrorCode": ".error_code",
        "ErrorDetail": ".error_detail",
        "ErrorEnvelope": ".error_envelope",
        "FailedPlugin": ".failed_plugin",
        "Diagnostics": ".flow_diagnostics",
        "FlowExample": ".flow_example",
        "FlowVariable": ".flow_variable",
        "FlowVariablesResponse": ".flow_variables_response",
        "FlowVariablesResponseVariables": ".flow_variables_response_variables",
        "GetBlobAccept": ".get_blob_accept",
        "GetFlowResponse": ".get_flow_response",
        "GetRunFlowResponse": ".get_run_flow_response",
        "GetRunItemsResponse": ".get_run_items_response",
        "GetRunResponse": ".get_run_response",
        "GetRunStepResponse": ".get_run_step_response",
        "GetRunStepsResponse": ".get_run_steps_response",
        "Health": ".health",
        "ItemCounts": ".item_counts",
        "ItemResult": ".item_result",
        "ListComponentsResponse": ".list_components_response",
        "ListRunsResponse": ".list_runs_response",
        "RunCompleted": ".run_completed",
        "RunCreated": ".run_created",
        "RunEvent": ".run_event",
        "RunEventBody": ".run_event_body",
        "RunStatus": ".run_status",
        "RunSummary": ".run_summary",
        "StepCompleted": ".step_completed",
        "StepReady": ".step_ready",
        "StepRun": ".step_run",
        "StepStarted": ".step_started",
        "StepsNeeded": ".steps_needed",
        "StoreBlobRequest": ".store_blob_request",
        "StoreBlobResponse": ".store_blob_response",
        "StoreFlowRequest": ".store_flow_request",
        "StoreFlowResponse": ".store_flow_response",
        "SubRunCreated": ".sub_run_created",
    }

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = model = getattr(import_module(_MODULES[name], __name__), name)
        return model

    def __dir__():
        return sorted({*globals(), *__all__})
