"""The pytest plugin works in a project with installed wheels: mocks, a recording, an evaluation and a failing case."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from stepflow_client.testing import Recording

from tests.packaging.test_wheels import (
    clean_environment,
    uv,
    wheel,
    wheels as wheels,  # the fixture
)

pytestmark = pytest.mark.timeout(300)

FLOW = """\
name: order
steps:
  - {id: model, component: /model/paid, input: {$input: $.sku}}
output: {answer: {$step: model, path: $.text}, sku: {$input: $.sku}}
test:
  cases:
    - name: right
      tags: [quick]
      input: {sku: tea}
      output: {outcome: success, result: {answer: {$regex: "^re"}}}
    - name: wrong
      input: {sku: milk}
      output: {outcome: success, result: {answer: other, sku: milk}}
    - name: open
      input: {sku: x}
"""

TESTS = """\
import pytest
from stepflow_client.testing import Fails, fake_server, run_mocked

def test_values_and_functions(stepflow_mock):
    stepflow_mock.mock("/model/paid", lambda sku: {"text": sku.upper(), "none": None})
    result = stepflow_mock.run("order.yaml", {"sku": "tea"})
    assert result.output == {"answer": "TEA", "sku": "tea"}
    assert stepflow_mock.calls == [("model", "tea")]

def test_a_run_with_mocks(stepflow_client):
    result = run_mocked(stepflow_client, "order.yaml", {"sku": "tea"}, mocks={"model": {"text": "x"}})
    assert result.output == {"answer": "x", "sku": "tea"}

def test_a_failure(stepflow_mock, stepflow_client):
    stepflow_mock.mock("model", fails="COMPONENT_FAILED", message="closed")
    failed = stepflow_mock.run("order.yaml", {"sku": "tea"})
    assert (failed.error.code, failed.error.message) == ("component_failed", "closed")
    assert stepflow_client.explain_run(failed.run_id).cause == "model"
    assert run_mocked(stepflow_client, "order.yaml", {"sku": "x"}, mocks={"model": Fails("TIMEOUT")}).is_failed

def test_an_evaluation(stepflow_eval):
    from stepflow_client.evaluation import Variant, exact
    flow = {"output": {"tone": {"$variable": "tone"}}, "steps": []}
    variants = {tone: Variant(variables={"tone": tone}) for tone in ("kind", "rude")}
    cases = [{"case": number, "expected": "kind"} for number in range(9)]
    report = stepflow_eval(flow, cases, variants=variants, scores=exact("tone"))
    report.assert_no_regression("rude", "kind", "exact.tone")
    with pytest.raises(AssertionError, match="rude is worse than kind"):
        report.assert_no_regression("kind", "rude", "exact.tone")

def test_in_memory(stepflow_fake_server):
    with fake_server({"/model/paid": {"text": "y"}}).sync_client() as client:
        assert client.run("order.yaml", {"sku": "tea"}).output["answer"] == "y"
    stepflow_fake_server.components["/model/paid"] = Fails("TIMEOUT", "slow")
    with stepflow_fake_server.sync_client() as client:
        assert client.run("order.yaml", {"sku": "tea"}).error.message == "slow"

def test_an_exception_in_a_mock_ends_the_call(stepflow_mock):
    stepflow_mock.mock("model", lambda sku: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        stepflow_mock.run("order.yaml", {"sku": "tea"})
"""


def write_recording(path: Path) -> None:
    recording = Recording(path)
    outcome = {"outcome": "success", "result": {"text": "recorded", "none": None}}
    for name, step_input in (("right", "tea"), ("wrong", "milk"), ("open", "x")):
        recording.add(path.with_name("order.yaml"), name, "model", step_input, outcome)
    recording.save()


def test_a_project_with_flow_tests(wheels: Path, tmp_path: Path) -> None:
    environment, project = tmp_path / "env", tmp_path / "project"
    project.mkdir()
    uv("venv", "--quiet", "--python", "python3.11", environment)
    python = environment / "bin" / "python"
    files = [wheel(wheels, "stepflow_api"), f"{wheel(wheels, 'stepflow_client')}[eval,runtime]", "pytest"]
    uv("pip", "install", "--quiet", "--no-build", "--python", python, *files)
    (project / "order.yaml").write_text(FLOW)
    (project / "test_order.py").write_text(TESTS)
    write_recording(project / "steps.json")
    (project / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\nstepflow_replay = steps.json\n")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(command, cwd=project, env=clean_environment(), capture_output=True, text=True)

    tests_only = call()
    assert (tests_only.returncode, tests_only.stdout.splitlines()[-1].split(" in ")[0]) == (0, "6 passed"), (
        tests_only.stdout
    )
    with_cases = call("--stepflow", "order.yaml")
    assert with_cases.returncode == 1
    assert with_cases.stdout.splitlines()[-1].split(" in ")[0] == "1 failed, 1 passed, 1 skipped", with_cases.stdout
    failure = with_cases.stdout[with_cases.stdout.index("case: wrong") :].splitlines()[1:4]
    assert failure[0].endswith("order.yaml:11: case 'wrong'")
    assert failure[1:] == [
        '$.result.answer: expected "other", got "recorded"',
        'the output was {"answer": "recorded", "sku": "milk"}',
    ]
    assert "Traceback" not in with_cases.stdout
    selected = call("--stepflow", "--stepflow-coverage", "order.yaml", "-k", "quick")
    assert selected.returncode == 0, selected.stdout
    covered = selected.stdout[selected.stdout.index("order.yaml: ") :].splitlines()[:2]
    assert covered == ["order.yaml: 1 of 1 step reached (100 %)", "  only mocked: step model at order.yaml:3"]
