"""Coverage of flows by their test cases, on servers of every release."""

from __future__ import annotations

from pathlib import Path

from stepflow_client import StepflowRuntime
from stepflow_client.testing import FlowCoverage, read_tests, run_cases

from tests.differences import has

FLOW = """
steps:
  - id: ask
    component: /builtin/create_messages
    input: {user_prompt: {$coalesce: [{$input: $.a}, {$input: $.b}, none]}}
  - id: risky
    component: /builtin/create_messages
    onError: {action: useDefault, defaultValue: {messages: none}}
  - id: each
    component: /builtin/map
    input:
      items: {$input: $.items}
      workflow: {$literal: {name: element, steps: [{id: inner, component: /builtin/create_messages,
        input: {user_prompt: {$if: {$input: $.loud}, then: LOUD, else: quiet}}}], output: {$step: inner}}}
  - id: turns
    component: /builtin/iterate
    input:
      initial_input: {left: true}
      flow: {$literal: {name: turn, steps: [{id: turn, component: /builtin/create_messages, input: {user_prompt: x}}],
        output: {$if: {$input: $.left}, then: {next: {left: null}}, else: {result: {$step: turn}}}}}
  - {id: paid, component: /model/paid, input: {$step: ask}}
  - {id: never, component: /model/paid}
output:
  ask: {$step: ask}
  said: {$if: {$step: ask, path: $.messages}, then: said}
  each: {$if: {$input: $.items}, then: [{$step: each}, {$step: turns}]}
  risky: {$if: {$input: $.risk}, then: {$step: risky}}
  paid: {$if: {$input: $.paid}, then: {$step: paid}}
test:
  cases:
    - {name: plain, input: {a: null, b: B, items: null, risk: null, paid: null}}
    - {name: risk, input: {a: A, items: null, risk: true, paid: null}}
    - {name: each, input: {a: A, items: [{loud: null}], risk: null, paid: null}}
    - name: paid
      input: {a: A, items: null, risk: null, paid: true}
      mocks: {paid: {outcome: success, result: 1}}
"""
INNER = {"each/inner", "turns/turn"}


def test_coverage_of_steps_by_cases(worker_runtime: StepflowRuntime, release: str, tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW)
    tests = read_tests(path)
    coverage = FlowCoverage(tests.flow)
    done = run_cases(worker_runtime.sync_client, tests, tests.cases, coverage=coverage)
    assert [(each.verdict, each.message) for each in done] == [("unchecked", "")] * 4
    steps = {"/".join(step.path): step for step in coverage.steps}
    expected = dict.fromkeys(steps, "reached") | {"never": "not_reached", "paid": "mocked"}
    # Older releases do not list the steps of sub-runs.
    expected |= {} if has(release, "step_outputs") else dict.fromkeys(INNER, "not_reached")
    assert {name: step.state for name, step in steps.items()} == expected
    assert steps["risky"].cases == ("risk",)
    assert steps["each"].cases == ("each",)
    if has(release, "step_outputs"):
        assert steps["each/inner"].cases == steps["turns/turn"].cases == ("each",)
