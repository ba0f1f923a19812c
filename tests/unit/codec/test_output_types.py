"""Outputs are converted to the caller's types; errors name the run and the path."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum
from typing import Any, NotRequired, TypedDict

import attrs
import msgspec
import pytest
from pydantic import BaseModel, TypeAdapter
from stepflow_client import (
    ErrorCode,
    ExecutionStatus,
    FlowError,
    FlowResult,
    InvalidArgumentError,
    Outcome,
    OutputTypeError,
)
from stepflow_client._codec.output_types import check_output_type, convert_outcome, convert_output

RUN_ID = "01900000-0000-7000-8000-000000000001"


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    n: int
    day: date


@dataclass
class Data:
    n: int
    colour: Colour = Colour.RED


class Typed(TypedDict):
    n: int
    inner: NotRequired[Data]


@attrs.define
class Inner:
    x: int


@attrs.define
class Attrs:
    n: int
    _inner: list[Inner] = attrs.field(factory=list)
    maybe: Inner | None = None
    fixed: int = attrs.field(default=7, init=False)


class Struct(msgspec.Struct):
    n: int


class Neither:
    pass


def result(output: Any, status: str = "completed") -> FlowResult:
    return FlowResult(run_id=RUN_ID, status=status, output=output)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "output", "expected"),
    [
        (Model, {"n": 1, "day": "2026-11-25"}, Model(n=1, day=date(2026, 11, 25))),
        (Data, {"n": 1, "colour": "red"}, Data(1)),
        (Typed, {"n": 1, "inner": {"n": 2}}, {"n": 1, "inner": Data(2)}),
        (Typed, {"n": 1}, {"n": 1}),
        (Attrs, {"n": 1}, Attrs(1)),
        (Attrs, {"n": 1, "inner": [{"x": 2}], "maybe": {"x": 3}}, Attrs(1, [Inner(2)], Inner(3))),
        (list[Attrs], [{"n": 1}], [Attrs(1)]),
        (dict[str, int], {"a": 1}, {"a": 1}),
    ],
)
def test_an_output_is_converted_to_the_type(kind: Any, output: Any, expected: Any) -> None:
    check_output_type(kind)
    typed = convert_output(result(output), kind)
    assert (typed.output, type(typed.output), typed.run_id) == (expected, type(expected), RUN_ID)
    assert convert_output(result(output), None).output == output
    failed = result(None, "failed")
    assert convert_output(failed, kind) is failed


@pytest.mark.parametrize(
    ("kind", "output", "path"),
    [
        (Model, {"n": 1}, "$.day"),
        (Data, {"n": "many"}, "$.n"),
        (Typed, {}, "$.n"),
        (Typed, {"n": 1, "inner": {}}, "$.inner.n"),
        (Attrs, {"n": 1, "inner": [{"x": 1}, {"x": "y"}]}, "$.inner[1].x"),
        (int, "many", "$"),
    ],
)
def test_a_mismatch_is_reported_with_its_path(kind: Any, output: Any, path: str) -> None:
    with pytest.raises(OutputTypeError) as caught:
        convert_output(result(output), kind)
    error = pickle.loads(pickle.dumps(caught.value))
    assert f"the output of run {RUN_ID} does not fit {kind.__name__}: {path}: " in str(error)
    assert (error.run_id, error.details[0]["path"], error.result.output) == (RUN_ID, path, output)


def test_an_unsupported_type_is_rejected_before_the_run() -> None:
    with pytest.raises(InvalidArgumentError, match="output_type must be a supported output type, not"):
        check_output_type(Neither)


def test_flow_result_is_generic_for_type_checkers_only() -> None:
    assert FlowResult[Model] is FlowResult
    assert result(1).raise_for_failure().output == 1


class Unfinished(BaseModel):
    value: NoSuchType  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("output_type", [Unfinished, "Answer", list[Unfinished]])
def test_a_type_with_an_undefined_name_is_rejected_before_the_run(output_type: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="a supported output type, not"):
        check_output_type(output_type)


def test_a_type_adapter_is_an_output_type() -> None:
    adapter = TypeAdapter(int | None)
    check_output_type(adapter)
    result = FlowResult(run_id="r", status=ExecutionStatus.COMPLETED, output=3)
    assert convert_output(result, adapter).output == 3
    with pytest.raises(OutputTypeError):
        convert_output(replace(result, output="x"), adapter)


def test_a_struct_is_an_output_type() -> None:
    assert convert_output(result({"n": 1}), Struct).output == Struct(1)
    with pytest.raises(OutputTypeError, match=r"does not fit Struct: .*Expected `int`"):
        convert_output(result({"n": "many"}), Struct)


def test_a_mismatched_output_does_not_affect_other_outcomes() -> None:
    outcome = Outcome(3, None, RUN_ID, ExecutionStatus.COMPLETED, {"n": 1})
    assert convert_outcome(outcome, Data).output == Data(1)
    other = convert_outcome(replace(outcome, output={"n": "many"}), Data)
    assert (other.status, other.output, other.error.code) == ("failed", None, ErrorCode.INVALID_OUTPUT)
    with pytest.raises(OutputTypeError, match=r"^input 3: the output of run .* does not fit Data"):
        other.unwrap()


@pytest.mark.parametrize("status", ["failed", "cancelled", "running"])
def test_only_successful_outputs_are_converted(status: str) -> None:
    error = FlowError(message="no") if status == "failed" else None
    outcome = Outcome(0, None, RUN_ID, ExecutionStatus(status), error=error)
    assert convert_outcome(outcome, Data) is outcome
    unsuccessful = result(None, status)
    assert convert_output(unsuccessful, Data) is unsuccessful
    assert convert_output(result(5), None).output == 5
