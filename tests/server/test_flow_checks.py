"""The offline checks against a real server: what is valid runs, and what a server refuses or fails at is found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from stepflow_client import (
    FlowFileError,
    InvalidArgumentError,
    LogConfig,
    ResultCache,
    StepflowClientError,
    StepflowRuntime,
    SyncStepflowClient,
)
from stepflow_client.flows import infer
from stepflow_client.flows.reading import explain_not_a_flow, parse_yaml

from tests.flows.faults import FAULTS
from tests.flows.found import find_in_text
from tests.flows.mutations import mutations
from tests.flows.valid import VALID

_VARIABLES = {"r": "R"}
_MIN_SHARE = 0.9
"""The share of broken mutations that the offline checks find."""


@pytest.fixture(scope="module")
def client() -> Iterator[SyncStepflowClient]:
    """A 0.13 server that gives up at once instead of trying a failing builtin for 4 s."""
    config = {
        "plugins": {"builtin": {"type": "builtin"}},
        "routes": {"/builtin": [{"plugin": "builtin"}]},
        "retry": {"transportMaxRetries": 0},
        "recovery": {"checkIntervalSecs": 1},
    }
    with StepflowRuntime.start(config=config, log_config=LogConfig(level="error")) as server:
        yield server.sync_client


def _given(flow: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of a run; the client refuses those that the flow does not have."""
    return _VARIABLES if '"r"' in json.dumps(flow) else {}


def _failure(client: SyncStepflowClient, flow: Any, given: Any) -> str | None:
    """Return why a server refuses a flow or fails at it; None if it runs."""
    if not isinstance(flow, dict):
        return "no mapping"
    try:
        checked = client.validate(flow)
        if checked.errors:
            return f"refused: {checked.errors[0].message}"
        taken = {key: value for key, value in flow.items() if key not in ("test", "examples")}
        result = client.run(
            taken, [given] if isinstance(given, list) else given, variables=_given(flow), timeout=10, check_input=False
        )
    except StepflowClientError as error:
        return f"{type(error).__name__}: {error.message}"
    return None if result.is_success else f"failed: {result.error.message if result.error else ''}"


@pytest.mark.parametrize("index", range(len(VALID)))
def test_a_valid_flow_runs(client: SyncStepflowClient, index: int) -> None:
    flow, given = VALID[index]
    assert _failure(client, flow, given) is None, json.dumps(flow)


@pytest.mark.parametrize("index", range(len(VALID)))
def test_the_output_of_a_valid_flow_has_its_inferred_type(client: SyncStepflowClient, index: int) -> None:
    flow, given = VALID[index]
    taken = {key: value for key, value in flow.items() if key not in ("test", "examples")}
    result = client.run(
        taken, [given] if isinstance(given, list) else given, variables=_given(flow), timeout=10, check_input=False
    )
    schema = infer(flow).output
    assert [each.message for each in Draft202012Validator(schema).iter_errors(result.output)] == [], schema


def test_builtin_components_return_what_is_inferred(client: SyncStepflowClient) -> None:
    inner = {"$literal": {"output": {"sent": {"$input": "$"}}}}
    turn = {"$literal": {"output": {"$if": {"$input": "$.go"}, "then": {"next": {"go": False}}, "else": {"result": 1}}}}
    steps = [
        _builtin("map", {"items": ["a", "b"], "workflow": inner}),
        _builtin("iterate", {"initial_input": {"go": True}, "flow": turn}),
        _builtin("put_blob", {"data": {"n": 1}, "blob_type": "data"}),
        _builtin("get_blob", {"blob_id": {"$step": "put_blob", "path": "$.blob_id"}}),
        _builtin("noop", {"any": [1, None]}),
        _builtin("sleep", {"duration_ms": 1, "passthrough": "x"}),
        {**_builtin("put_blob", {"data": inner, "blob_type": "flow"}), "id": "flow"},
        _builtin("eval", {"flow_id": {"$step": "flow", "path": "$.blob_id"}, "input": 5}),
    ]
    names = [str(each["id"]) for each in steps]
    flow = {"steps": steps, "output": {name: {"$step": name} for name in names}}
    inferred = infer(flow)
    output = client.run(flow).output
    assert [each.message for each in Draft202012Validator(inferred.output).iter_errors(output)] == []
    assert {each.id: each.summary["output"] for each in inferred.steps if each.source == "unknown"} == {}
    assert inferred.steps[0].summary["output"].startswith('{results: [{outcome: "success", result: {sent: string}}')


def _builtin(name: str, given: Any) -> dict[str, Any]:
    return {"id": name, "component": f"/builtin/{name}", "input": given}


def test_a_server_finds_fewer_faults(client: SyncStepflowClient) -> None:
    found = 0
    for fault in FAULTS:
        try:
            flow = parse_yaml(fault.text.replace("«", ""), "flow.yaml")
        except FlowFileError:
            continue
        is_flow = isinstance(flow, dict) and explain_not_a_flow(flow) is None
        found += is_flow and bool(client.validate(flow).errors)
    print(f"a server finds {found} of {len(FAULTS)}")
    assert 0 < found < len(FAULTS)


@pytest.mark.exhaustive
def test_mutations_that_a_server_refuses_are_found_offline(client: SyncStepflowClient) -> None:
    broken, missed = 0, []
    for text, given in mutations(500):
        findings = find_in_text(text, "flow.yaml")
        try:
            flow = parse_yaml(text, "flow.yaml")
        except FlowFileError:
            assert findings
            broken += 1
            continue
        reason = _failure(client, flow, given)
        if reason is not None:
            broken += 1
            if not findings:
                missed.append((reason, text))
    print(f"{broken} broken, {len(missed)} missed")
    for reason, text in missed:
        print(reason, "\n", text)
    assert broken > 100
    assert len(missed) <= broken * (1 - _MIN_SHARE)


def test_the_components_of_a_server_are_known(client: SyncStepflowClient) -> None:
    flow = {"steps": [{"id": "a", "component": "/python/nothing"}], "output": {"$step": "a"}}
    assert [each.rule for each in client.check(flow).diagnostics] == ["unknown-component"]
    assert client.check(flow, offline=True).diagnostics == []
    assert [each.rule for each in client.check(flow, offline=True, type_check=True).diagnostics] == ["untyped-output"]


def test_a_check_is_for_the_releases_that_the_flow_is_for(client: SyncStepflowClient) -> None:
    flow = {"name": "f", "description": "d", "steps": None, "output": 1}
    levels = [[each.level.value for each in client.check(flow, target=each).diagnostics] for each in (None, "0.10")]
    assert levels == [["warning"], ["fatal"]]
    assert client.check(flow, target="0.13").diagnostics == []
    with pytest.raises(InvalidArgumentError, match="target must be a release"):
        client.check(flow, target="newest")


def test_an_input_is_checked_before_anything_is_sent(client: SyncStepflowClient) -> None:
    with pytest.raises(InvalidArgumentError, match="'name' is missing") as refused:
        client.run("examples/hello.yaml", {})
    assert (refused.value.hint or "").endswith("; use check_input=False to send it anyway")
    assert client.run("examples/hello.yaml", {}, check_input=False).is_failed
    assert client.run("examples/hello.yaml", {"name": "x"}).is_success
    # A flow that is given by its id is known to the client that has stored it.
    flow_id = client.store_flow("examples/hello.yaml").flow_id
    with pytest.raises(InvalidArgumentError, match="'name' is missing"):
        client.submit(flow_id, {})
    with StepflowRuntime.start(log_config=LogConfig(level="error")) as other:
        stored = other.sync_client.store_flow("examples/hello.yaml").flow_id
        with SyncStepflowClient(other.url) as stranger:
            assert stranger.run(stored, {}).is_failed
    with SyncStepflowClient("http://127.0.0.1:9", retry=0) as away:
        for option in ({"idempotency_key": "k"}, {"wait_for_components": True}, {"cache": ResultCache()}, {}):
            with pytest.raises(InvalidArgumentError, match="'name' is missing"):
                away.run("examples/hello.yaml", {}, **option)


def test_a_step_that_always_runs_is_not_reported_as_unreachable(client: SyncStepflowClient) -> None:
    steps = [{"id": name, "component": "/builtin/noop", "mustExecute": name == "a"} for name in "ab"]
    found = client.validate({"name": "f", "description": "d", "steps": steps, "output": 1}).diagnostics
    assert [(each.kind, each.path) for each in found] == [("unreachableStep", "$.steps[1]")]
