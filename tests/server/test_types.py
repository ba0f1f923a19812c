"""Type checks agree with real components: mismatches fail at run time, and flows without findings run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from stepflow_client import ComponentInfo, LogConfig, StepflowRuntime, SyncStepflowClient
from stepflow_client.flows import check, infer
from stepflow_client.flows.findings import TYPE_RULES

from tests import releases, workers

_PROGRAM = Path(workers.__file__).with_name("typed_worker_program.py")
_FAULTS = sorted((Path(workers.__file__).parent / "flows" / "type_faults").glob("*.yaml"))
_NEWEST = "0.13.0"
_INPUT = {
    "type": "object",
    "properties": {"sku": {"type": "string"}, "n": {"type": "integer"}, "skus": {"type": "array", "items": {}}},
    "required": ["sku", "n", "skus"],
}
_VALUES = {"sku": "tea", "n": 3, "skus": ["tea", "milk"]}


@pytest.fixture(scope="module")
def server() -> Iterator[SyncStepflowClient]:
    """A client of a server with a worker that has typed components."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(_NEWEST)))
        config = {**workers.config(_NEWEST, _PROGRAM), "retry": {"transportMaxRetries": 0}}
        started = StepflowRuntime.start(config=config, log_config=LogConfig(level="warn"))
    with started as runtime:
        yield runtime.sync_client


@pytest.fixture(scope="module")
def components(server: SyncStepflowClient) -> list[ComponentInfo]:
    """The server's components, for `check`."""
    return list(server.list_components())


def _flow(component: str, step_input: Any) -> dict[str, Any]:
    first = {"id": "price", "component": "/python/price", "input": {"sku": {"$input": "$.sku"}}}
    second = {"id": "stock", "component": "/python/stock", "input": {"skus": {"$input": "$.skus"}}}
    third = {"id": "last", "component": component, "input": step_input}
    output = {"price": {"$step": "price"}, "stock": {"$step": "stock"}, "last": {"$step": "last"}}
    schemas = {"properties": {"input": _INPUT}}
    return {"name": "f", "description": "d", "schemas": schemas, "steps": [first, second, third], "output": output}


def _read(step: str, path: str) -> dict[str, Any]:
    return {"$step": step, "path": path}


def _mapped(component: str, field: str, value: Any) -> dict[str, Any]:
    inner = {"id": "x", "component": component, "input": {field: value}}
    flow = {"steps": [inner], "output": {"$step": "x"}}
    return {"items": _read("stock", "$.lines"), "workflow": {"$literal": flow}}


_WRONG: list[tuple[str, Any]] = [
    ("/python/post", {"text": _read("price", "$.eur")}),
    ("/python/post", {"text": {"$step": "stock"}}),
    ("/python/post", {"text": _read("stock", "$.lines[0].count")}),
    ("/python/post", {"text": "a", "tags": _read("stock", "$.lines")}),
    ("/python/post", {"text": "a", "tags": [{"$input": "$.sku"}, {"$input": "$.n"}]}),
    ("/python/post", {"text": {"$if": {"$input": "$.n"}, "then": {"$input": "$.n"}, "else": "a"}}),
    ("/python/post", {"text": {"$if": False, "then": "a", "else": {"$input": "$.n"}}}),
    ("/python/post", {"text": {"$coalesce": [None, {"$input": "$.n"}]}}),
    ("/python/price", {"sku": {"$input": "$.n"}}),
    ("/python/price", {"sku": "a", "amount": {"$input": "$.sku"}}),
    ("/python/stock", {"skus": {"$input": "$.sku"}}),
    ("/builtin/create_messages", {"user_prompt": {"$step": "price"}}),
]
_LIKELY: list[tuple[str, Any]] = [
    ("/python/post", {"$step": "price"}),
    ("/python/stock", _read("stock", "$.lines[0]")),
    ("/python/post", {"$input": "$"}),
]
_RIGHT: list[tuple[str, Any]] = [
    ("/python/post", {"text": _read("stock", "$.lines[0].sku")}),
    ("/python/post", {"text": "a", "tags": [{"$input": "$.sku"}, _read("stock", "$.lines[1].sku")]}),
    ("/python/post", {"text": {"$if": {"$input": "$.n"}, "then": "yes", "else": {"$input": "$.n"}}}),
    ("/python/post", {"text": {"$coalesce": [_read("price", "$.note"), "none"]}}),
    ("/python/price", {"sku": "a", "amount": _read("stock", "$.lines[0].count"), "further": 1}),
    ("/python/price", _read("stock", "$.lines[0]")),
    ("/builtin/map", _mapped("/python/price", "sku", {"$input": "$.sku"})),
    ("/builtin/noop", {"$if": {"$step": "price"}, "then": {"$step": "stock"}}),
]


@pytest.mark.parametrize("index", range(len(_WRONG)))
def test_a_mismatch_fails(server: SyncStepflowClient, components: list[ComponentInfo], index: int) -> None:
    flow = _flow(*_WRONG[index])
    diagnostics = check(flow, components=components, type_check=True).diagnostics
    assert {each.rule for each in diagnostics} == {"type-mismatch"}
    assert check(flow, components=components).diagnostics == []
    assert server.validate(flow).errors == []
    assert server.run(flow, _VALUES).is_failed


@pytest.mark.parametrize("index", range(len(_LIKELY)))
def test_a_likely_mismatch_fails(server: SyncStepflowClient, components: list[ComponentInfo], index: int) -> None:
    flow = _flow(*_LIKELY[index])
    diagnostics = check(flow, components=components, type_check=True).diagnostics
    assert {(each.rule, each.level.value) for each in diagnostics} == {("possible-mismatch", "warning")}
    assert server.run(flow, _VALUES).is_failed


@pytest.mark.parametrize("index", range(len(_RIGHT)))
def test_a_flow_without_findings_runs(server: SyncStepflowClient, components: list[ComponentInfo], index: int) -> None:
    flow = _flow(*_RIGHT[index])
    assert check(flow, components=components, type_check=True).errors == []
    result = server.run(flow, _VALUES)
    assert result.is_success, result.error
    schema = infer(flow, components=components).output
    assert [each.message for each in Draft202012Validator(schema).iter_errors(result.output)] == []


def test_a_mismatch_in_a_flow_for_each_element(server: SyncStepflowClient, components: list[ComponentInfo]) -> None:
    flow = _flow("/builtin/map", _mapped("/python/price", "sku", {"$input": "$.count"}))
    assert [each.rule for each in check(flow, components=components, type_check=True).diagnostics] == ["type-mismatch"]
    # Failed elements do not fail the run.
    assert server.run(flow, _VALUES).output["last"]["failed"] == 2


@pytest.mark.parametrize("path", _FAULTS, ids=lambda path: path.stem)
def test_a_server_finds_no_type_errors(server: SyncStepflowClient, path: Path) -> None:
    assert not TYPE_RULES & {each.kind for each in server.validate(path).diagnostics}
    assert server.validate(path).errors == []
