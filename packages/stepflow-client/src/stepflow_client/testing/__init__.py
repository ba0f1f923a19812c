"""Tests of flows: the test cases in flow files, mocked steps, and an in-memory server.

    from stepflow_client.testing import fake_server, run_mocked

pytest finds the fixtures `stepflow_runtime`, `stepflow_client`, `stepflow_mock` and `stepflow_fake_server` by itself.
With `--stepflow` it also collects the test cases of flow files.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..flows.cases import FlowCase, FlowTests, collect_tests, read_tests
    from ..flows.coverage import FlowCoverage, FlowPart
    from ..flows.edit.expected import expectation_of, update_expected
    from ..flows.matching import Difference, compare
    from ..flows.pins import Delayed, Fails, pin_overrides, pinned_flow
    from ..flows.selection import select_cases, touching
    from .cases import CaseResult, StepRecord, failure_text, run_cases
    from .configs import TestConfig, config_of
    from .fake import FakeServer, fake_server
    from .mocks import StepflowMock, run_mocked
    from .outcomes import InTurn
    from .recordings import Recording
    from .servers import Servers

# pytest imports this package in every project in which it is installed, so this must not import anything else.
_HOMES = {
    **dict.fromkeys(("FlowCase", "FlowTests", "collect_tests", "read_tests"), "..flows.cases"),
    **dict.fromkeys(("select_cases", "touching"), "..flows.selection"),
    **dict.fromkeys(("FlowCoverage", "FlowPart"), "..flows.coverage"),
    **dict.fromkeys(("Difference", "compare"), "..flows.matching"),
    **dict.fromkeys(("Delayed", "Fails", "pin_overrides", "pinned_flow"), "..flows.pins"),
    **dict.fromkeys(("expectation_of", "update_expected"), "..flows.edit.expected"),
    **dict.fromkeys(("CaseResult", "StepRecord", "failure_text", "run_cases"), ".cases"),
    **dict.fromkeys(("TestConfig", "config_of"), ".configs"),
    **dict.fromkeys(("FakeServer", "fake_server"), ".fake"),
    **dict.fromkeys(("StepflowMock", "run_mocked"), ".mocks"),
    "InTurn": ".outcomes",
    "Recording": ".recordings",
    "Servers": ".servers",
}

__all__ = [
    "CaseResult",
    "Delayed",
    "Difference",
    "Fails",
    "FakeServer",
    "FlowCase",
    "FlowCoverage",
    "FlowPart",
    "FlowTests",
    "InTurn",
    "Recording",
    "Servers",
    "StepRecord",
    "StepflowMock",
    "TestConfig",
    "collect_tests",
    "compare",
    "config_of",
    "expectation_of",
    "failure_text",
    "fake_server",
    "pin_overrides",
    "pinned_flow",
    "read_tests",
    "run_cases",
    "run_mocked",
    "select_cases",
    "touching",
    "update_expected",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
