"""Test cases, pinned steps and mocked steps on servers of every release."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import Keep, ResultCache, StepflowRuntime, SyncStepflowClient
from stepflow_client._runs.pinned_steps import pin_overrides, pinned_flow
from stepflow_client.flows.reading import load_flow
from stepflow_client.testing import Recording, StepflowMock, expectation_of, read_tests, run_cases, run_mocked

from tests import releases
from tests.differences import has

OUTPUTS: list[Any] = [
    None,
    5,
    [None, {"a": None}],
    {"a": None, "$step": "x", "b": {"$literal": {"$if": None}}},
    {"$input": "$.nothing", "then": 1},
    {"$literal": 1, "more": None},
]
INPUTS: list[Any] = [
    None,
    {"$literal": {"a": {"b": 1}}},
    {"$if": {"$input": "$.no"}, "then": 1},
    {"$coalesce": [None, 2]},
    {"$input": "$"},
    {"text": {"x": 1}, "a": {"z": 1}},
]


ROOT = Path(__file__).resolve().parent.parent.parent
TEA = {"sku": "tea", "messages": [{"role": "user", "content": "tea"}]}


@pytest.fixture
def blocking_client(worker_runtime: StepflowRuntime) -> SyncStepflowClient:
    return worker_runtime.sync_client


@pytest.mark.parametrize("step_input", INPUTS)
@pytest.mark.parametrize("output", OUTPUTS)
def test_a_pinned_step_returns_its_exact_output(
    blocking_client: SyncStepflowClient, release: str, step_input: Any, output: Any
) -> None:
    flow = {
        "steps": [{"id": "paid", "component": "/no/such", "input": step_input}],
        "output": {"got": {"$step": "paid"}},
    }
    assert blocking_client.run(pinned_flow(flow, {"paid": output}), {"no": None}).raise_for_failure().output == {
        "got": output
    }
    component = "/builtin/noop" if releases.number(release) >= (0, 13) else "/python/echo"
    overrides = pin_overrides({"paid": output}, component=component)
    if component == "/python/echo" and not isinstance(output, dict):
        return  # it accepts objects only
    assert blocking_client.run(flow, {"no": None}, overrides).raise_for_failure().output == {"got": output}


def test_a_mock_function_receives_the_computed_input(blocking_client: SyncStepflowClient) -> None:
    flow = {
        "steps": [
            {"id": "ask", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "$.q"}}},
            {"id": "model", "component": "/no/such", "input": {"said": {"$step": "ask", "path": "$.messages"}, "n": 7}},
            {"id": "second", "component": "/no/such", "input": {"$step": "model"}},
        ],
        "output": {"$step": "second"},
    }
    received: list[Any] = []

    def model(step_input: Any) -> Any:
        received.append(step_input)
        return {"text": step_input["said"][0]["content"], "null": None}

    result = run_mocked(
        blocking_client, flow, {"q": "why"}, mocks={"model": model, "second": lambda step_input: [step_input, 1]}
    )
    assert result.output == [{"text": "why", "null": None}, 1]
    assert received == [{"said": [{"role": "user", "content": "why"}], "n": 7}]
    mock = StepflowMock(blocking_client)
    mock.mock("/no/such", 3)
    assert mock.run(flow, {"q": "why"}).output == 3
    # The prompt is missing: neither function is called.
    failed = run_mocked(blocking_client, flow, {}, mocks={"model": model, "second": model})
    assert failed.is_failed
    assert len(received) == 1


def test_cases_of_a_file(blocking_client: SyncStepflowClient, tmp_path: Path) -> None:
    expected_failure = {"outcome": "failed", "error": {"code": "EXPRESSION_FAILURE", "message": {"$contains": "$.x"}}}
    cases: list[dict[str, Any]] = [
        {"name": "list", "input": [1, 2], "output": {"outcome": "success", "result": {"got": [1, 2]}}},
        {"name": "number", "input": 3, "output": {"outcome": "success", "result": {"got": {"$type": "integer"}}}},
        {"name": "wrong", "input": {"a": None}, "output": {"outcome": "success", "result": {"got": {"a": 1}}}},
        {"name": "unexpected", "input": {}, "output": expected_failure},
        {"name": "open", "input": 1},
    ]
    path = tmp_path / "flow.json"
    path.write_text(json.dumps({"output": {"got": {"$input": "$"}}, "test": {"cases": cases}}))
    tests = read_tests(path)
    done = run_cases(blocking_client, tests, tests.cases, repeat=2)
    assert [(each.case.name, each.verdict) for each in done[:5]] == [
        ("list", "passed"),
        ("number", "passed"),
        ("wrong", "failed"),
        ("unexpected", "failed"),
        ("open", "unchecked"),
    ]
    assert [each.attempt for each in done] == [1] * 5 + [2] * 5
    assert len({each.result.run_id for each in done if each.result}) == 1
    # An input that can't be sent doesn't affect the other cases.
    deep: Any = reduce(lambda value, _: [value], range(200), 1)
    done = run_cases(blocking_client, tests, [replace(tests.cases[0], input=deep), *tests.cases[1:]])
    assert [each.verdict for each in done] == ["error", "passed", "failed", "failed", "unchecked"]
    assert "nested" in done[0].message
    path.write_text(json.dumps({"output": {"$input": "$.x"}, "test": {"cases": cases[3:4]}}))
    tests = read_tests(path)
    (failed,) = run_cases(blocking_client, tests, iter(tests.cases))  # type: ignore[arg-type]
    assert (failed.verdict, failed.differences) == ("passed", [])


@pytest.fixture
def price(tmp_path: Path) -> Path:
    """The flow with test cases from docs/guides/testing-flows.md."""
    page = (ROOT / "docs" / "guides" / "testing-flows.md").read_text("utf-8")
    (text,) = re.findall(r"```yaml\n(# price.yaml\n.*?)```", page, re.DOTALL)
    path = tmp_path / "price.yaml"
    path.write_text(text)
    return path


async def test_the_flow_of_the_documentation_passes_and_runs(
    client: Any, worker_runtime: StepflowRuntime, price: Path, release: str
) -> None:
    tests = read_tests(price)
    done = run_cases(worker_runtime.sync_client, tests, tests.cases)
    assert [(each.case.name, each.verdict) for each in done] == [("tea", "passed"), ("no article", "passed")]
    flow_input = {"sku": "tea"}
    flow = load_flow(price)
    assert (await client.validate(price)).is_valid
    assert (await client.validate(flow)).is_valid
    for each in (price, flow):
        assert (await client.run(each, flow_input)).output == TEA
        assert (await client.get_result(await client.submit(each, flow_input))).output == TEA
    assert [each.output async for each in client.map(price, [flow_input, flow_input])] == [TEA, TEA]
    assert (await worker_runtime.run(price, flow_input)).output == TEA
    mock = StepflowMock(worker_runtime.sync_client)
    mock.mock("ask", {"messages": []})
    assert mock.run(price, flow_input).output == {"sku": "tea", "messages": []}
    if has(release, "step_outputs"):
        again = await client.rerun(
            await client.submit(price, flow_input), keep=Keep(before="ask"), flow=price, input=flow_input
        )
        assert again.result.output == TEA


def write_replayed_flow(path: Path, component: str, word: str) -> None:
    """Write a flow with two steps that recordings replace, the second of which fails, and a step that reads it."""
    steps = [
        {"id": "first", "component": component, "input": {"q": {"$input": "$.q"}, "word": word}},
        {"id": "second", "component": component, "input": {"got": {"$step": "first"}, "fail": True}},
        {"id": "last", "component": "/builtin/create_messages", "input": {"user_prompt": {"$step": "second"}}},
    ]
    output = {"outcome": "failed", "error": {"code": "COMPONENT_FAILED", "message": {"$contains": "boom"}}}
    cases = [{"name": "fails", "input": {"q": 1}, "output": output}]
    path.write_text(json.dumps({"steps": steps, "output": {"$step": "last"}, "test": {"cases": cases}}))


def test_a_recording_is_replayed_for_the_same_input_only(blocking_client: SyncStepflowClient, tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    write_replayed_flow(path, "/no/such", "hello")
    tests = read_tests(path)
    recording = Recording(tmp_path / "steps.json")
    first = {"b": None, "a": [1, 2.5]}
    recording.add(path, "fails", "first", {"word": "hello", "q": 1}, {"outcome": "success", "result": first})
    failure = {"outcome": "failed", "error": {"code": "COMPONENT_FAILED", "message": "boom"}}
    recording.add(path, "fails", "second", {"got": first, "fail": True}, failure)
    recording.save()
    loaded = Recording.load(tmp_path / "steps.json")
    (done,) = run_cases(blocking_client, tests, tests.cases, replay=loaded)
    assert (done.verdict, done.message, done.differences) == ("passed", "", [])
    write_replayed_flow(path, "/no/such", "good-bye")
    tests = read_tests(path)
    (changed,) = run_cases(blocking_client, tests, tests.cases, replay=loaded)
    assert changed.verdict == "error"
    assert "no outcome for step 'first' with the input {" in changed.message
    assert "good-bye" in changed.message


def test_recorded_steps_are_replayed(blocking_client: SyncStepflowClient, release: str, tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    steps = [
        {"id": "first", "component": "/python/echo", "input": {"q": {"$input": "$.q"}}},
        {"id": "second", "component": "/python/fail", "input": {"message": "boom"}},
        {"id": "last", "component": "/python/echo", "input": {"got": {"$step": "second"}}},
    ]
    output = {"outcome": "failed", "error": {"code": "COMPONENT_FAILED", "message": {"$contains": "boom"}}}
    cases = [{"name": "fails", "input": {"q": 1}, "output": output}]
    flow = {"steps": steps, "output": [{"$step": "first"}, {"$step": "last"}], "test": {"cases": cases}}
    path.write_text(json.dumps(flow))
    tests = read_tests(path)
    (done,) = run_cases(blocking_client, tests, tests.cases, record=lambda step_id: True)
    if not has(release, "step_outputs"):
        assert (done.verdict, done.message) == (
            "error",
            f"recording: not supported by this server ({release}) (it needs release 0.12 or newer)",
        )
        return
    assert done.verdict == "passed", done
    # The last step was not executed.
    assert {step_id: step.outcome["outcome"] for step_id, step in done.steps.items()} == {
        "first": "success",
        "second": "failed",
    }
    assert done.steps["first"].input == {"q": 1}
    recording = Recording(tmp_path / "steps.json")
    for step_id, step in done.steps.items():
        recording.add(path, "fails", step_id, *step)
    path.write_text(json.dumps(flow).replace("/python/", "/no/"))
    tests = read_tests(path)
    (again,) = run_cases(blocking_client, tests, tests.cases, replay=recording)
    assert again.verdict == "passed", again


def test_the_mocks_of_the_documentation(
    blocking_client: SyncStepflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "guides" / "testing-flows.md").read_text("utf-8")
    (text,) = re.findall(r"```yaml\n(# order.yaml\n.*?)```", page, re.DOTALL)
    (tmp_path / "order.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    tests = read_tests("order.yaml")
    done = run_cases(blocking_client, tests, tests.cases)
    assert [(each.case.name, each.verdict) for each in done] == [
        ("open", "passed"),
        ("closed", "passed"),
        ("second attempt", "passed"),
    ]
    namespace: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        if "def test_" in block:
            exec(block, namespace)
    called = [name for name in namespace if name.startswith("test_")]
    for name in called:
        fixtures = {"stepflow_mock": StepflowMock(blocking_client), "stepflow_client": blocking_client}
        namespace[name](**{key: fixtures[key] for key in inspect.signature(namespace[name]).parameters})
    assert called == ["test_order", "test_closed", "test_second_attempt"]


async def test_a_stored_flow_keeps_its_test_inputs_as_examples(client: Any, price: Path) -> None:
    flow = load_flow(price) | {"examples": [{"name": "book", "description": "A book", "input": {"sku": "b"}}]}
    stored = await client.store_flow(flow)
    run = await client.create_run(stored.flow_id, {"sku": "tea"})
    assert (await client.get_result(run.run_id)).output == TEA
    read = await client.get_flow(stored.flow_id)
    assert [(each.name, each.input) for each in read.examples] == [
        ("book", {"sku": "b"}),
        ("tea", {"sku": "tea"}),
        ("no article", {}),
    ]
    assert "test" not in read.flow
    assert (await client.validate(stored.flow_id)).is_valid
    # The client stores the flow again only if an example has changed.
    assert (await client.store_flow(flow)).flow_id == stored.flow_id
    flow["examples"][0]["input"] = {"sku": "c"}
    edited = await client.get_flow((await client.store_flow(flow)).flow_id)
    assert edited.examples[0].input == {"sku": "c"}


async def test_an_edited_test_case_changes_neither_keys_nor_cached_results(
    client: Any, price: Path, tmp_path: Path
) -> None:
    cache = ResultCache(tmp_path / "results.db")
    journal = tmp_path / "batch.journal"
    before, flow_input = load_flow(price), {"sku": "tea"}
    after = {**before, "test": {"cases": [{"name": "new", "input": 1}]}, "examples": [{"name": "e", "input": 2}]}
    cached = await client.run(before, flow_input, cache=cache)
    assert (await client.run(after, flow_input, cache=cache)).run_id == cached.run_id
    key = f"order-{tmp_path.name}"
    first = await client.submit(before, flow_input, idempotency_key=key)
    assert await client.submit(after, flow_input, idempotency_key=key) == first
    for flow in (before, after):
        done = [each async for each in client.map(flow, [flow_input], journal=journal)]
        assert [each.output for each in done] == [TEA]


def test_only_the_given_parts_of_an_expected_error_are_compared(
    blocking_client: SyncStepflowClient, tmp_path: Path
) -> None:
    errors: list[dict[str, Any]] = [
        {"message": {"$any": True}},
        {"code": "EXPRESSION_FAILURE"},
        {"message": {"$contains": "$.x"}},
        {"message": "another"},
        {"code": "TIMEOUT"},
    ]
    path = tmp_path / "flow.json"
    cases = [{"name": str(each), "input": {}, "output": {"outcome": "failed", "error": each}} for each in errors]
    path.write_text(json.dumps({"output": {"$input": "$.x"}, "test": {"cases": cases}}))
    tests = read_tests(path)
    done = run_cases(blocking_client, tests, tests.cases)
    assert [each.verdict for each in done] == ["passed", "passed", "passed", "failed", "failed"]
    # An update replaces the given parts and adds none.
    assert [each.result is not None and expectation_of(each.result, each.case.expected)["error"] for each in done] == [
        *errors[:3],
        {"message": done[3].result.error.message if done[3].result and done[3].result.error else None},
        {"code": "EXPRESSION_FAILURE"},
    ]


def test_error_data_is_compared_if_the_server_sends_it(
    blocking_client: SyncStepflowClient, release: str, tmp_path: Path
) -> None:
    path = tmp_path / "flow.json"
    flow = {"steps": [{"id": "a", "component": "/python/fail", "input": {"message": "boom"}}], "output": {"$step": "a"}}
    cases = [
        {
            "name": message,
            "input": 1,
            "output": {"outcome": "failed", "error": {"data": {"message": {"$regex": message}}}},
        }
        for message in (".", "another")
    ]
    path.write_text(json.dumps({**flow, "test": {"cases": cases}}))
    tests = read_tests(path)
    done = run_cases(blocking_client, tests, tests.cases)
    if has(release, "step_outputs"):
        assert [each.differences[0].actual for each in done] == ["nothing: the server sends no data"] * 2
    else:
        assert [each.verdict for each in done] == ["passed", "failed"]
