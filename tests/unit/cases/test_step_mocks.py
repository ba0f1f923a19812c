"""Steps that run a sub-flow, in flows with mocked steps."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client._cases.step_mocks import run_map_or_iterate
from stepflow_client._runs.pinned_steps import Fails


@pytest.mark.parametrize(
    ("component", "given"),
    [
        ("/builtin/map", None),
        ("/builtin/map", {"items": [1]}),
        ("/builtin/map", {"items": 5, "workflow": {}}),
        ("/builtin/iterate", {"initial_input": 1}),
        ("/builtin/iterate", {"flow": {}}),
        ("/builtin/iterate", {"flow": {}, "initial_input": 1, "max_iterations": "5"}),
    ],
)
def test_a_sub_flow_that_servers_refuse_fails_its_step(component: str, given: Any) -> None:
    assert run_map_or_iterate(component, "each", given, lambda flow, inputs: []) == Fails(
        "UNREACHABLE", 'step "each" failed'
    )


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"next": 7}, {"result": 7, "iterations": 3, "terminated": True}),
        ({"result": 7}, {"result": 7, "iterations": 1, "terminated": False}),
    ],
)
def test_iterations_end_with_a_result_or_at_their_limit(output: Any, expected: Any) -> None:
    given = {"flow": {}, "initial_input": 1, "max_iterations": 3}
    run = lambda flow, inputs: [{"outcome": "success", "result": output}]  # noqa: E731
    assert run_map_or_iterate("/builtin/iterate", "each", given, run) == expected
