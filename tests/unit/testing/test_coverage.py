"""Coverage of a flow's steps by its test cases, and errors for unused mocks, on the in-memory server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import SyncStepflowClient
from stepflow_client.testing import CaseResult, Fails, FakeServer, FlowCoverage, fake_server, read_tests, run_cases

FLOW = """
steps:
  - {id: price, component: /shop/price, input: {$if: {$input: $.sku}, then: {$input: $.sku}, else: none}}
  - id: rate
    component: /shop/rate
    input: {$coalesce: [{$input: $.rate}, {$step: price}, 1]}
    onError: {action: useDefault, defaultValue: 9}
  - id: each
    component: /builtin/map
    input:
      items: {$input: $.items}
      workflow: {$literal: {steps: [
        {id: wrap, component: /shop/wrap, input: {$if: {$input: $.gift}, then: paper}},
        {id: idle, component: /shop/wrap}], output: {$step: wrap}}}
  - {id: paid, component: /shop/paid}
  - {id: never, component: /shop/never}
output:
  rate: {$if: {$input: $.items}, then: {$step: each}, else: {$step: rate}}
  paid: {$if: {$input: $.paid}, then: {$step: paid}}
test:
  cases:
"""
MOCK = "mocks: {paid: {outcome: success, result: 1}}"


@pytest.fixture
def server() -> FakeServer:
    return fake_server({"/shop/price": None, "/shop/rate": lambda value: value, "/shop/wrap": 1})


@pytest.fixture
def client(server: FakeServer) -> Iterator[SyncStepflowClient]:
    with server.sync_client() as opened:
        yield opened


class Covered:
    """Runs test cases and keeps their results and the coverage of each step."""

    def __init__(self, client: SyncStepflowClient, folder: Path, *cases: str) -> None:
        path = folder / "flow.yaml"
        path.write_text(FLOW + "".join(f"    - {{name: '{index}', {case}}}\n" for index, case in enumerate(cases)))
        tests = read_tests(path)
        coverage = FlowCoverage(tests.flow)
        self.results: list[CaseResult] = run_cases(client, tests, tests.cases, coverage=coverage)
        self.steps = {"/".join(each.path): each for each in coverage.steps}

    def of(self, *names: str) -> list[Any]:
        return [(self.steps[name].state, "".join(self.steps[name].cases)) for name in names]


def test_steps(client: SyncStepflowClient, tmp_path: Path) -> None:
    inputs = ("{sku: tea, rate: null, items: null, paid: null}", "{sku: null, rate: 2, items: [{gift: 1}], paid: null}")
    covered = Covered(client, tmp_path, *(f"input: {each}" for each in inputs))
    assert [each.verdict for each in covered.results] == ["unchecked"] * 2, [each.message for each in covered.results]
    assert {name: (each.state, "".join(each.cases)) for name, each in covered.steps.items()} == {
        "price": ("reached", "0"),
        "rate": ("reached", "0"),
        "each": ("reached", "1"),
        "each/wrap": ("reached", "1"),
        "each/idle": ("not_reached", ""),
        "paid": ("not_reached", ""),
        "never": ("not_reached", ""),
    }
    assert covered.steps["each/wrap"].at == ("steps", 2, "input", "workflow", "$literal", "steps", 0)


def test_failures_and_mocks(client: SyncStepflowClient, server: FakeServer, tmp_path: Path) -> None:
    server.components["/shop/rate"] = Fails("COMPONENT_FAILED")
    case_input = "input: {sku: tea, rate: 5, items: null, paid: 1}"
    failing = "mocks: {rate: {outcome: failed, error: {code: TIMEOUT}}, paid: {outcome: success, result: 1}}"
    assert Covered(client, tmp_path, f"{case_input}, {MOCK}").of("rate", "paid") == [("reached", "0"), ("mocked", "0")]
    assert Covered(client, tmp_path, f"{case_input}, {failing}").of("rate") == [("mocked", "0")]
    both = Covered(client, tmp_path, f"{case_input}, {failing}", f"{case_input}, {MOCK}", f"{case_input}, {failing}")
    assert both.of("rate", "paid") == [("reached", "012"), ("mocked", "012")]


def test_mocks_in_the_flow_of_a_step(client: SyncStepflowClient, tmp_path: Path) -> None:
    wrap = "mocks: {wrap: [{outcome: success, result: 1}, {outcome: success, result: 2}]}"
    used = f"input: {{sku: a, rate: 1, items: [{{gift: 1}}, {{gift: null}}], paid: null}}, {wrap}"
    # The elements run to determine the step's output, but the flow does not need it.
    unused = f"input: {{sku: a, rate: 1, items: null, paid: null}}, {wrap}"
    covered = Covered(client, tmp_path, used, unused)
    assert covered.of("each", "each/wrap") == [("reached", "0"), ("mocked", "0")]
    assert [each.verdict for each in covered.results] == ["unchecked", "error"]
    assert covered.results[1].message == "the mock for wrap was not used: the run did not need the step"


def test_an_unused_mock_is_an_error(client: SyncStepflowClient, tmp_path: Path) -> None:
    case_input = "input: {sku: a, rate: 1, items: null, paid: null}"
    passes = "output: {outcome: success, result: {rate: 1}}"
    wrong = "output: {outcome: success, result: {rate: 2}}"
    results = Covered(client, tmp_path, f"{case_input}, {passes}, {MOCK}", f"{case_input}, {wrong}, {MOCK}").results
    # A difference takes precedence over an unused mock.
    assert [each.verdict for each in results] == ["error", "failed"]
    tests = read_tests(tmp_path / "flow.yaml")
    assert [each.verdict for each in run_cases(client, tests, tests.cases)] == ["error", "failed"]


def test_mocks_allow_an_input_that_does_not_match_the_schema(client: SyncStepflowClient, tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    schema = "schemas: {properties: {input: {type: object, required: [sku]}}}"
    path.write_text(
        f"{schema}\nsteps: [{{id: a, component: /no/such}}]\noutput: {{$step: a}}\n"
        "test: {cases: [{name: a, input: 5, mocks: {a: {outcome: success, result: 1}},"
        " output: {outcome: success, result: 1}}]}\n"
    )
    tests = read_tests(path)
    assert [each.verdict for each in run_cases(client, tests, tests.cases)] == ["passed"]


def test_progress_is_reported(client: SyncStepflowClient, tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(
        "steps: [{id: a, component: /shop/price}]\noutput: {$step: a}\n"
        "test: {cases: [{name: a, input: 1}, {name: b, input: 1, mocks: {a: {outcome: success, result: 1}}}, "
        "{name: c, input: 1}]}\n"
    )
    tests, progress = read_tests(path), list[int]()
    run_cases(client, tests, tests.cases, on_progress=progress.append)
    assert progress[-1] == 3
    assert progress == sorted(progress)
