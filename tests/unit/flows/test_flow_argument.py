"""Flow arguments of functions that need no server; tests/server/test_flow_arguments.py covers the methods."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import BaseModel
from stepflow_client import InvalidArgumentError, NotAFlowError, SyncStepflowClient, read_inputs
from stepflow_client._data.json_encoding import StoredFlowId
from stepflow_client.authoring import flow as flow_in_python
from stepflow_client.drawing import draw, to_dot, to_mermaid, to_text
from stepflow_client.evaluation import FlowScore, Variant
from stepflow_client.evaluation.records import plan_variants
from stepflow_client.flow_models import TypedFlow
from stepflow_client.flows import check, flow_of_step, infer
from stepflow_client.flows.reading import (
    explain_not_a_flow,
    get_flow_file_path,
    is_flow_id,
    load_flow,
    resolve_flow_argument,
)
from stepflow_client.testing import FlowCoverage, StepflowMock, read_tests, run_mocked
from stepflow_client.types import FlowResult, StoredFlow, StoreFlowResponse

ID = "0123456789abcdef" * 4
FLOW = {"steps": [{"id": "a", "component": "/builtin/noop"}], "output": 1}
CLIENT = SyncStepflowClient("http://127.0.0.1:9")

FUNCTIONS: dict[str, Callable[[Any], object]] = {
    "load_flow": load_flow,
    "check": check,
    "infer": infer,
    "draw": draw,
    "to_dot": to_dot,
    "to_mermaid": to_mermaid,
    "to_text": to_text,
    "flow_of_step": lambda flow: flow_of_step(flow, "a"),
    "FlowScore": FlowScore,
    "FlowCoverage": FlowCoverage,
    "Variant": lambda flow: plan_variants(FLOW, {"a": Variant(flow=flow)}, None, None),
    "read_inputs": lambda flow: read_inputs("rows.csv", flow=flow),
    "run_mocked": lambda flow: run_mocked(CLIENT, flow, mocks={"a": 1}),
    "StepflowMock": lambda flow: StepflowMock(CLIENT).run(flow),
}


class Input(BaseModel):
    text: str = "a"


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "flow",
    [{"flow": FLOW}, {"foo": 1}, {"step": []}, {"name": "a"}, {}, Input(), FlowResult(status="completed", output=1)],
)
def test_other_mappings_and_objects_are_not_flows(name: str, flow: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"a flow has steps: \[\.\.\.\] and output: \.\.\."):
        FUNCTIONS[name](flow)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("flow", [ID, StoreFlowResponse(flow_id="any")])
def test_an_id_is_not_the_flow_itself(name: str, flow: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"a flow ID is not the flow itself .*get_flow"):
        FUNCTIONS[name](flow)


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - {"run_mocked", "StepflowMock", "read_inputs"}))
def test_a_stored_flow_is_accepted(name: str) -> None:
    FUNCTIONS[name](StoredFlow(flow_id=ID, flow=FLOW))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", " is not a flow: it is empty"),
        ("[]", " is not a flow: it contains a list, not a mapping"),
        ("'x'", " is not a flow: it contains text, not a mapping"),
        ("true", " is not a flow: it contains a boolean, not a mapping"),
        ("1.5", " is not a flow: it contains a number, not a mapping"),
        ("{}", ": this is not a flow: it is empty"),
        ("foo: 1", ": this is not a flow: it has 'foo', but neither steps nor output"),
        ("name: x\nfoo: 1", ": this is not a flow: it has 'foo', but neither steps nor output"),
        ("name: x\nversion: '1'", ": this is not a flow: it has 'name', 'version', but neither steps nor output"),
        (
            "services: {}",
            ": this is a Docker Compose file, not a flow: it has 'services', but neither steps nor output",
        ),
        (
            f"a: 1\n{'b' * 50}: 2\nc: 3\nd: 4\ne: 5\n",
            f": this is not a flow: it has 'a', '{'b' * 38}…, 'c', 'd', but neither steps nor output",
        ),
        ("flow: {output: 1}", ": the flow is under the key 'flow'"),
    ],
)
def test_files_that_are_not_flows_are_explained(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(text)
    for read in (load_flow, infer, read_tests):
        with pytest.raises(NotAFlowError) as raised:
            read(path)
        assert raised.value.message == f"{path}{reason}"
        assert "a flow has steps: [...] and output: ..." in str(raised.value.hint)
        assert raised.value.path == str(path)
    assert [each.level.value for each in check(path).errors]


def test_a_mapping_with_steps_or_an_output_is_a_flow() -> None:
    for flow in ({"steps": []}, {"output": None}, FLOW):
        assert load_flow(flow) == flow
        assert load_flow(flow) is not flow
        read_only: Mapping[str, Any] = MappingProxyType(flow)
        assert load_flow(read_only) == flow


@pytest.mark.parametrize("flow", [None, 5, b"flow.yaml", [], ("a",), object(), "steps: []\noutput: 1\n", StoredFlow])
def test_other_values_are_rejected(flow: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="flow"):
        load_flow(flow)


def test_builders_that_do_not_build_a_flow_are_rejected() -> None:
    class Builder:
        def __init__(self, value: Any) -> None:
            self.value = value

        def build(self) -> Any:
            if self.value == "fails":
                raise KeyError("a")
            return self.value

    for value, message in (
        ("fails", "Builder built no flow: 'a'"),
        (5, "a flow must be a path, a mapping, a builder, or an object with steps, not int"),
        ("a\nb", "a string is treated as a path; parse the flow first and pass the mapping"),
        ({"a": 1}, "this is not a flow: it has 'a', but neither steps nor output"),
    ):
        with pytest.raises(InvalidArgumentError) as raised:
            load_flow(Builder(value))
        assert raised.value.message == message


def test_null_parts_are_dropped_from_a_flow_object_but_not_from_data() -> None:
    class Flow(BaseModel):
        name: Any = None
        steps: Any
        output: Any = None
        schemas: Any = None
        examples: Any = None
        test: Any = None

    step = {"id": "a", "input": None, "metadata": None, "onError": {"action": "fail", "defaultValue": None}}
    case = {"name": "a", "input": {"x": None}, "output": None}
    content = load_flow(
        Flow(
            steps=[step, 5],
            schemas={"properties": {"input": None, "output": {"const": None}}, "type": None},
            examples=[{"name": None, "input": None}],
            test={"cases": [case], "config": {"a": None}},
        )
    )
    assert content == {
        "steps": [{"id": "a", "input": None, "onError": {"action": "fail"}}, 5],
        "schemas": {"properties": {"input": None, "output": {"const": None}}},
        "examples": [{"input": None}],
        "test": {"cases": [{"name": "a", "input": {"x": None}}], "config": {"a": None}},
    }


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"on": {}, "jobs": {}}, "this is a GitHub Actions workflow, not a flow: it has 'on', 'jobs', but"),
        ({"jobs": {}}, "this is not a flow: it has 'jobs', but"),
        ({"flow": 5}, "this is not a flow: it has 'flow', but"),
        ({"flow": {}}, "the flow is under the key 'flow'"),
        ({"name": 1, "$schema": 2}, "this is not a flow: it has 'name', '$schema', but"),
        ({}, "this is not a flow: it is empty"),
    ],
)
def test_documents_that_are_not_flows_are_explained(document: Any, reason: str) -> None:
    explained = explain_not_a_flow(document)
    assert explained is not None
    assert explained[0].startswith(reason)
    assert explained[1].endswith("a flow has steps: [...] and output: ...")


def test_an_existing_file_takes_precedence_over_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_flow_id(ID)
    assert isinstance(resolve_flow_argument(ID), StoredFlowId)
    assert get_flow_file_path(ID) is None
    assert not any(map(is_flow_id, (ID[1:], ID + "0", ID.upper(), Path(ID), f"./{ID}", None)))
    Path(ID).write_text("output: 1\n")
    assert not is_flow_id(ID)
    assert get_flow_file_path(ID) == ID
    assert get_flow_file_path(Path("x.yaml")) == Path("x.yaml")
    assert get_flow_file_path(FLOW) is None
    assert load_flow(ID) == {"output": 1}


def test_paths_of_bytes_are_paths_too(tmp_path: Path) -> None:
    (tmp_path / "flow.json").write_text('{"steps": []}')
    (entry,) = os.scandir(os.fsencode(tmp_path))
    assert load_flow(entry) == {"steps": []}  # type: ignore[arg-type]


@flow_in_python
def written(given: str) -> str:
    return given


def test_objects_can_provide_a_flow() -> None:
    class Own:
        def __init__(self, value: Any) -> None:
            self.value = value

        def __flow__(self) -> Any:
            return self if self.value is None else self.value

    assert resolve_flow_argument(Own(Path("flow.yaml"))) == Path("flow.yaml")
    assert load_flow(Own(Own(FLOW))) == FLOW
    assert load_flow(TypedFlow[Any, Any, Any](written)) == load_flow(written) == written.to_dict()
    with pytest.raises(InvalidArgumentError, match="built no flow: maximum recursion depth"):
        load_flow(Own(None))


def test_the_id_of_a_response_is_never_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(ID).write_text("output: 1\n")
    assert resolve_flow_argument(ID) == ID
    assert load_flow(ID) == {"output": 1}
    with pytest.raises(InvalidArgumentError, match="a flow ID is not the flow"):
        load_flow(StoreFlowResponse(flow_id=ID))
