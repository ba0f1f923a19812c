"""Tools for testing flows: test cases in flow files, mocked steps, and an in-memory server.

    from stepflow_client.testing import fake_server, run_mocked

The fixtures `stepflow_runtime`, `stepflow_client`, `stepflow_mock` and `stepflow_fake_server` are available in pytest
automatically. Run it with `--stepflow` to also collect the test cases in flow files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import make_lazy_exports

if TYPE_CHECKING:
    from .._cases.case_selection import select_cases, touching
    from .._cases.expected_output_updates import expectation_of, update_expected
    from .._cases.flow_cases import FlowCase, FlowTests, collect_tests, read_tests
    from .._cases.mock_outcomes import InTurn
    from .._runs.pinned_steps import Delayed, Fails, pin_overrides, pinned_flow
    from ..flows.expected_results import Difference, compare
    from .case_runs import CaseResult, StepRecord, failure_text, run_cases
    from .fake import FakeServer, fake_server
    from .flow_coverage import FlowCoverage, StepCoverage
    from .mocked_runs import Recording, StepflowMock, run_mocked
    from .servers import Servers, TestConfig, config_of

__all__ = [
    "CaseResult", "Delayed", "Difference", "Fails", "FakeServer", "FlowCase", "FlowCoverage", "FlowTests",
    "InTurn", "Recording", "Servers", "StepCoverage", "StepRecord", "StepflowMock", "TestConfig", "collect_tests",
    "compare", "config_of", "expectation_of", "failure_text", "fake_server", "pin_overrides", "pinned_flow",
    "read_tests", "run_cases", "run_mocked", "select_cases", "touching", "update_expected",
]  # fmt: skip

# pytest imports this package in every project where it's installed, so don't import anything else here.
__getattr__, __dir__ = make_lazy_exports(
    __name__,
    {
        "._cases.flow_cases": ["FlowCase", "FlowTests", "collect_tests", "read_tests"],
        "._cases.mock_outcomes": ["InTurn"],
        "._cases.case_selection": ["select_cases", "touching"],
        ".flows.expected_results": ["Difference", "compare"],
        "._runs.pinned_steps": ["Delayed", "Fails", "pin_overrides", "pinned_flow"],
        "._cases.expected_output_updates": ["expectation_of", "update_expected"],
        "case_runs": ["CaseResult", "StepRecord", "failure_text", "run_cases"],
        "fake": ["FakeServer", "fake_server"],
        "flow_coverage": ["FlowCoverage", "StepCoverage"],
        "mocked_runs": ["StepflowMock", "run_mocked", "Recording"],
        "servers": ["Servers", "TestConfig", "config_of"],
    },
)
