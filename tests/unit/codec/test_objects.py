"""Flows and inputs may be pydantic, dataclass, attrs or msgspec objects."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import msgspec
import pydantic
import pydantic.dataclasses
import pytest
from pydantic import ConfigDict, Field
from stepflow_client import InvalidArgumentError
from stepflow_client._data.wire import check_json
from stepflow_client.flows.reading import load_flow

FLOW = {
    "name": "greet",
    "steps": [
        {
            "id": "a",
            "component": "/builtin/create_messages",
            "input": {"user_prompt": None},
            "onError": {"action": "useDefault", "defaultValue": 5},
        }
    ],
    "output": {"$step": "a"},
}
STEP: dict[str, Any] = {"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": None}}


class PydanticHandler(pydantic.BaseModel):
    action: str
    default_value: Any = Field(default=None, alias="defaultValue")
    max_retries: int | None = Field(default=None, alias="maxRetries")
    model_config = ConfigDict(populate_by_name=True)


class PydanticStep(pydantic.BaseModel):
    id: str
    component: str
    input: Any = None
    on_error: PydanticHandler | None = Field(default=None, serialization_alias="onError")
    metadata: dict[str, Any] | None = None


class PydanticFlow(pydantic.BaseModel):
    name: str | None = None
    steps: list[PydanticStep] | None = None
    output: Any = None
    metadata: dict[str, Any] | None = None


@dataclasses.dataclass
class Handler:
    action: str
    defaultValue: Any = None
    maxRetries: int | None = None


@dataclasses.dataclass(slots=True)
class Step:
    id: str
    component: str
    input: Any = None
    onError: Any = None
    metadata: dict[str, Any] | None = None


@dataclasses.dataclass
class Flow:
    name: str | None = None
    steps: list[Step] | None = None
    output: Any = None
    metadata: dict[str, Any] | None = None


@attrs.define
class AttrsStep:
    id: str
    component: str
    input: Any = None
    onError: Any = None


@attrs.frozen
class AttrsFlow:
    name: str | None = None
    steps: tuple[AttrsStep, ...] = ()
    output: Any = None
    metadata: Any = None


class UseDefault(msgspec.Struct, tag_field="action", tag="useDefault", rename="camel"):
    default_value: Any = None


class StructStep(msgspec.Struct, kw_only=True, rename={"on_error": "onError"}):
    id: str
    component: str
    input: Any = msgspec.UNSET
    on_error: UseDefault | msgspec.UnsetType | None = msgspec.UNSET


class StructFlow(msgspec.Struct, kw_only=True):
    name: str | None = None
    version: str | None = None
    steps: list[StructStep] | None = None
    output: Any = msgspec.UNSET


class GeneratedFlow(pydantic.BaseModel):
    """A class like those of code generators, where only `to_dict` knows the JSON names."""

    wrapped: Any

    def to_dict(self) -> dict[str, Any]:
        return dict(self.wrapped)


@pydantic.dataclasses.dataclass
class PydanticDataclass:
    on_error: Any = Field(serialization_alias="onError")


HANDLER = {"action": "useDefault", "defaultValue": 5}
OUTPUT = {"$step": "a"}
FLOWS: dict[str, Any] = {
    "pydantic": PydanticFlow(
        name="greet",
        steps=[PydanticStep(**STEP, on_error=PydanticHandler(action="useDefault", default_value=5))],
        output=OUTPUT,
    ),
    "dataclass": Flow("greet", [Step(**STEP, onError=Handler("useDefault", 5))], OUTPUT),
    "attrs": AttrsFlow("greet", (AttrsStep(**STEP, onError=Handler("useDefault", 5)),), OUTPUT),
    "msgspec": StructFlow(name="greet", steps=[StructStep(**STEP, on_error=UseDefault(5))], output=OUTPUT),
    "to_dict": GeneratedFlow(wrapped=FLOW),
    "mixed": StructFlow(
        name="greet", steps=[PydanticStep(**STEP, on_error=PydanticHandler(**HANDLER))], output=OUTPUT  # type: ignore[list-item]
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FLOWS)
def test_a_flow_may_be_an_object(kind: str) -> None:
    assert load_flow(FLOWS[kind]) == FLOW


def test_empty_optional_fields_of_a_flow_are_omitted_but_data_is_kept() -> None:
    flow = {
        "name": None,
        "schemas": {"type": None, "properties": {"input": {"default": None}, "output": None}},
        "steps": [{"id": "a", "component": "/a", "input": {"x": None}, "onError": {"action": "fail", "x": None}}],
        "output": {"a": None, "b": {"$literal": None}},
        "examples": [{"name": "e", "description": None, "input": None}],
        "test": {"config": None, "cases": [{"name": "c", "input": None, "output": None}]},
        "metadata": {"x": None},
    }
    assert load_flow(GeneratedFlow(wrapped=flow)) == {
        "schemas": {"properties": {"input": {"default": None}}},
        "steps": [{"id": "a", "component": "/a", "input": {"x": None}, "onError": {"action": "fail"}}],
        "output": {"a": None, "b": {"$literal": None}},
        "examples": [{"name": "e", "input": None}],
        "test": {"cases": [{"name": "c", "input": None}]},
        "metadata": {"x": None},
    }
    # A mapping is returned unchanged.
    assert load_flow(flow) == flow


def test_inputs_may_contain_objects_at_any_depth() -> None:
    class Point(NamedTuple):
        x: int
        y: int

    value = {
        "model": PydanticHandler(action="retry", max_retries=2),
        "list": [Handler("fail"), AttrsStep("a", "/b"), (UseDefault({"deep": Handler("fail")}),)],
        "pydantic dataclass": PydanticDataclass(on_error=None),
        "point": Point(1, 2),
    }
    fail = {"action": "fail", "defaultValue": None, "maxRetries": None}
    assert check_json(value, "input") == {
        "model": {"action": "retry", "defaultValue": None, "maxRetries": 2},
        "list": [
            fail,
            {"id": "a", "component": "/b", "input": None, "onError": None},
            [{"action": "useDefault", "defaultValue": {"deep": fail}}],
        ],
        "pydantic dataclass": {"onError": None},
        "point": [1, 2],
    }


def test_invalid_values_in_objects_are_reported_with_their_path() -> None:
    @dataclasses.dataclass
    class Endless:
        inner: Any = None

    endless = Endless()
    endless.inner = endless
    for value, reason in (
        ([Handler("fail", {1, 2})], r"set is not a JSON value \(at \$\[0\].defaultValue\)"),
        ({"a": UseDefault(float("nan"))}, r"nan is not a number that JSON can represent \(at \$.a.defaultValue\)"),
        ({"a": UseDefault({1: 2})}, r"the key 1 is not a string \(at \$.a.defaultValue\)"),
        ({"a": UseDefault(object())}, r"UseDefault cannot be written as JSON: .*\(at \$.a\)"),
        ({"a": PydanticHandler(action="x", default_value=object())}, r"PydanticHandler cannot be .*\(at \$.a\)"),
        ([Handler], r"Handler is a class, not an object \(at \$\[0\]\)"),
        ([PydanticFlow], r"PydanticFlow is a class, not an object \(at \$\[0\]\)"),
        ({"a": endless}, "nested too deeply"),
    ):
        with pytest.raises(InvalidArgumentError, match=reason):
            check_json(value, "input")


@pytest.mark.parametrize("flow", [object(), 5, {1, 2}, Flow, PydanticFlow, StructFlow])
def test_other_objects_are_rejected(flow: Any) -> None:
    with pytest.raises(
        InvalidArgumentError, match="a flow must be a path, a mapping, a builder, or an object with steps"
    ):
        load_flow(flow)


def test_an_object_that_yields_no_mapping_is_rejected() -> None:
    class Listed(msgspec.Struct, array_like=True):
        steps: list[Any]

    with pytest.raises(InvalidArgumentError, match="Listed is not a flow: it yields a list, not a mapping"):
        load_flow(Listed([]))


def test_unused_model_libraries_are_not_imported(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, dataclasses\n"
        "from stepflow_client.flows.reading import load_flow\n"
        "@dataclasses.dataclass\n"
        "class Flow:\n"
        "    output: int\n"
        "assert load_flow(Flow(5)) == {'output': 5}\n"
        "assert load_flow({'output': 5}) == {'output': 5}\n"
        "print(sorted({'pydantic', 'attrs', 'attr', 'msgspec'} & set(sys.modules)))\n"
    )
    completed = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    assert completed.stdout == "[]\n"


class Building:
    """A builder that returns `what`, or raises it."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def build(self) -> Any:
        if isinstance(self.what, Exception):
            raise self.what
        return self.what


@pytest.mark.parametrize("kind", [dict, PydanticFlow, StructFlow])
def test_a_builder_is_loaded_as_the_flow_it_builds(kind: Any) -> None:
    assert load_flow(Building(kind(steps=[]))) == load_flow(kind(steps=[]))


@pytest.mark.parametrize(
    ("built", "message"),
    [(ValueError("no output"), "Building built no flow: no output"), (7, "not int"), (Building({}), "not Building")],
)
def test_a_builder_of_anything_else_is_rejected(built: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        load_flow(Building(built))


def test_a_builder_class_is_rejected() -> None:
    with pytest.raises(InvalidArgumentError, match="not type"):
        load_flow(Building)  # type: ignore[arg-type]
