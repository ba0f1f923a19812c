"""The offline checks agree with a real server: valid flows run, and flows that it rejects or fails have findings."""

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
from tests.flows.findings import find_in_text
from tests.flows.mutations import mutations
from tests.flows.valid import VALID

_VARIABLES = {"r": "R"}
_MIN_SHARE = 0.9
"""Minimum share of broken mutations that the offline checks must find."""


@pytest.fixture(scope="module")
def client() -> Iterator[SyncStepflowClient]:
    """A 0.13 server that does not retry failing builtin components for 4 s."""
    config = {
        "plugins": {"builtin": {"type": "builtin"}},
        "routes": {"/builtin": [{"plugin": "builtin"}]},
        "retry": {"transportMaxRetries": 0},
        "recovery": {"checkIntervalSecs": 1},
    }
    with StepflowRuntime.start(config=config, log_config=LogConfig(level="error")) as server:
        yield server.sync_client


def _variables(flow: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables that the flow declares; the client refuses others."""
    return _VARIABLES if '"r"' in json.dumps(flow) else {}


def _failure(client: SyncStepflowClient, flow: Any, flow_input: Any) -> str | None:
    """Return why a server rejects or fails a flow; None if it runs."""
    if not isinstance(flow, dict):
        return "no mapping"
    try:
        validation = client.validate(flow)
        if validation.errors:
            return f"refused: {validation.errors[0].message}"
        untested_flow = {key: value for key, value in flow.items() if key not in ("test", "examples")}
        result = client.run(
            untested_flow,
            [flow_input] if isinstance(flow_input, list) else flow_input,
            variables=_variables(flow),
            timeout=10,
            check_input=False,
        )
    except StepflowClientError as error:
        return f"{type(error).__name__}: {error.message}"
    return None if result.is_success else f"failed: {result.error.message if result.error else ''}"


@pytest.mark.parametrize("index", range(len(VALID)))
def test_a_valid_flow_runs(client: SyncStepflowClient, index: int) -> None:
    flow, flow_input = VALID[index]
    assert _failure(client, flow, flow_input) is None, json.dumps(flow)


@pytest.mark.parametrize("index", range(len(VALID)))
def test_the_output_of_a_valid_flow_has_its_inferred_type(client: SyncStepflowClient, index: int) -> None:
    flow, flow_input = VALID[index]
    untested_flow = {key: value for key, value in flow.items() if key not in ("test", "examples")}
    result = client.run(
        untested_flow,
        [flow_input] if isinstance(flow_input, list) else flow_input,
        variables=_variables(flow),
        timeout=10,
        check_input=False,
    )
    schema = infer(flow).output
    assert [each.message for each in Draft202012Validator(schema).iter_errors(result.output)] == [], schema


def test_builtin_outputs_match_their_inferred_types(client: SyncStepflowClient) -> None:
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


def _builtin(name: str, step_input: Any) -> dict[str, Any]:
    return {"id": name, "component": f"/builtin/{name}", "input": step_input}


def test_a_server_finds_fewer_faults_than_the_offline_checks(client: SyncStepflowClient) -> None:
    count = 0
    for fault in FAULTS:
        try:
            flow = parse_yaml(fault.text.replace("«", ""), "flow.yaml")
        except FlowFileError:
            continue
        is_flow = isinstance(flow, dict) and explain_not_a_flow(flow) is None
        count += is_flow and bool(client.validate(flow).errors)
    print(f"a server finds {count} of {len(FAULTS)}")
    assert 0 < count < len(FAULTS)


@pytest.mark.exhaustive
def test_broken_mutations_are_found_offline(client: SyncStepflowClient) -> None:
    broken, missed = 0, []
    for text, flow_input in mutations(500):
        findings = find_in_text(text, "flow.yaml")
        try:
            flow = parse_yaml(text, "flow.yaml")
        except FlowFileError:
            assert findings
            broken += 1
            continue
        reason = _failure(client, flow, flow_input)
        if reason is not None:
            broken += 1
            if not findings:
                missed.append((reason, text))
    print(f"{broken} broken, {len(missed)} missed")
    for reason, text in missed:
        print(reason, "\n", text)
    assert broken > 100
    assert len(missed) <= broken * (1 - _MIN_SHARE)


def test_a_check_uses_the_components_of_the_server(client: SyncStepflowClient) -> None:
    flow = {"steps": [{"id": "a", "component": "/python/nothing"}], "output": {"$step": "a"}}
    assert [each.rule for each in client.check(flow).diagnostics] == ["unknown-component"]
    assert client.check(flow, offline=True).diagnostics == []
    assert [each.rule for each in client.check(flow, offline=True, type_check=True).diagnostics] == ["untyped-output"]


def test_a_check_for_a_target_release(client: SyncStepflowClient) -> None:
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
    # A client knows the flows that it has stored by their IDs.
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
    diagnostics = client.validate({"name": "f", "description": "d", "steps": steps, "output": 1}).diagnostics
    assert [(each.kind, each.path) for each in diagnostics] == [("unreachableStep", "$.steps[1]")]
