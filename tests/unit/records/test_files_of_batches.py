"""Reading inputs from files and writing outcomes to files, in each format."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, Literal

import pyarrow
import pyarrow.parquet
import pytest
from stepflow_client import (
    ErrorCode,
    ExecutionStatus,
    FlowError,
    FlowFileError,
    FlowFileNotFoundError,
    InvalidArgumentError,
    Outcome,
    read_inputs,
    write_outcomes,
)
from stepflow_client._records.outcome_files import iter_outcome_records

SCHEMA = {
    "properties": {
        "n": {"type": "integer"},
        "note": {"type": ["string", "null"]},
        "tags": {"type": "array"},
        "code": {"type": "string"},
    }
}
FLOW = {"schemas": {"properties": {"input": SCHEMA}}, "steps": [], "output": {"$input": "$"}}
ROWS = [{"n": 1, "note": None, "tags": ["a"], "code": "007"}, {"n": 2, "note": "é☃", "tags": [], "code": "1"}]
CSV = 'n,note,tags,code\n1,,"[""a""]",007\n2,é☃,[],1\n'
OUTCOMES = [
    Outcome(0, "a", "r1", ExecutionStatus.COMPLETED, {"x": [1, None]}),
    Outcome(1, None, None, ExecutionStatus.FAILED, None, FlowError(message="no\nway", step_id="s")),
    Outcome(2, "c", "r2", ExecutionStatus.COMPLETED, None, attempts=2),
    Outcome(3, "d", "r3", ExecutionStatus.FAILED, None, FlowError(message="no", details={"at": [1]}), attempts=3),
    Outcome(4, "e", "r3", ExecutionStatus.CANCELLED, None, None),
]


def test_the_flow_schema_sets_the_types_of_csv_fields(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("\ufeff" + CSV)
    with read_inputs(path, flow=FLOW) as inputs:
        assert list(inputs) == ROWS
        assert inputs.read == 2
    with read_inputs(path) as inputs:
        assert next(inputs) == {"n": "1", "note": "", "tags": '["a"]', "code": "007"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("in.jsonl", "".join(json.dumps(row) + "\n\n" for row in ROWS)),
        ("in.ndjson", "".join(json.dumps(row) + "\r\n" for row in ROWS)),
        ("in.json", json.dumps(ROWS)),
        ("lines.json", "".join(json.dumps(row) + "\n" for row in ROWS)),
        ("in.yaml", json.dumps(ROWS)),
        ("in.txt", json.dumps(ROWS)),
        ("lines", "".join(json.dumps(row) + "\n" for row in ROWS)),
    ],
)
def test_the_same_inputs_in_every_format(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode())
    with read_inputs(tmp_path / name) as inputs:
        assert list(inputs) == ROWS


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    with read_inputs(path, flow=FLOW) as inputs:
        assert inputs.total == inputs.expected == 2
        assert list(inputs) == ROWS
    with path.open("rb") as file:
        assert list(read_inputs(file, format="parquet")) == ROWS


def test_an_open_file_stays_open(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    path = tmp_path / "in.jsonl"
    path.write_text(lines)
    with path.open() as text, read_inputs(text) as inputs:
        assert list(inputs) == ROWS
        assert text.seek(0) == 0
    for file in (io.BytesIO(lines.encode()), io.StringIO(lines)):
        with read_inputs(file) as inputs:
            assert next(inputs) == ROWS[0]
        assert not file.closed
    assert list(read_inputs(io.BytesIO(CSV.encode()), flow=FLOW, format="csv")) == ROWS


def test_an_invalid_line_is_an_error_or_stops(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("n,code\n1,a\nx,b\n3\n4,d\n")
    good, wrong, short, last = read_inputs(path, flow=FLOW)
    assert (good, last) == ({"n": 1, "code": "a"}, {"n": 4, "code": "d"})
    assert isinstance(wrong, ValueError)
    assert str(wrong).startswith(
        "line 3 cannot be read: field n is not of type integer: 'x' (correct it, or change the type of n"
    )
    hint = "put fields that contain a comma in double quotes"
    assert str(short) == f"line 4 cannot be read: it has 1 fields, but the header has 2 ({hint})"
    with pytest.raises(FlowFileError, match=r"in\.csv, line 3, cannot be read: field n") as caught:
        list(read_inputs(path, flow=FLOW, on_bad_line="stop"))
    assert (caught.value.path, caught.value.line) == (str(path), 3)


OPTIONAL = {
    "required": ["must"],
    "properties": {
        "must": {"type": "string"},
        "qty": {"type": "integer"},
        "text": {"type": "string"},
        "level": {"enum": [1, 2]},
        "may": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "shared": {"$ref": "#/$defs/number"},
        "any": {},
    },
    "$defs": {"number": {"type": "number"}},
}


def test_an_empty_optional_field_is_left_out(tmp_path: Path) -> None:
    flow = FLOW | {"schemas": {"properties": {"input": OPTIONAL}}}
    (tmp_path / "rows.csv").write_text("must,qty,text,level,any,other\n,,,,,\na,1,b,2,c,d\n")
    empty, full = read_inputs(tmp_path / "rows.csv", flow=flow)
    assert empty == {"must": "", "any": "", "other": ""}
    assert full == {"must": "a", "qty": 1, "text": "b", "level": "2", "any": "c", "other": "d"}
    rows = [dict.fromkeys([*OPTIONAL["properties"], "other"]), {"must": "a", "qty": 1, "shared": 1.5}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    empty, full = read_inputs(tmp_path / "rows.parquet", flow=flow)
    assert empty == {"must": None, "may": None, "any": None, "other": None}
    assert full == {"must": "a", "qty": 1, "may": None, "shared": 1.5, "any": None, "other": None}


@pytest.mark.parametrize("on_bad_line", ["fail", "stop"])
def test_duplicate_columns_are_refused(tmp_path: Path, on_bad_line: Literal["fail", "stop"]) -> None:
    (tmp_path / "rows.csv").write_text("name,age,name\nAda,3,Bob\n")
    with pytest.raises(FlowFileError, match=r"rows\.csv, line 1, cannot be read: it has two columns named 'name'"):
        list(read_inputs(tmp_path / "rows.csv", on_bad_line=on_bad_line))
    columns = [pyarrow.array([1]), pyarrow.array([2])]
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(columns, ["n", "n"]), tmp_path / "rows.parquet")
    with pytest.raises(FlowFileError, match=r"it has two columns named 'n'"):
        read_inputs(tmp_path / "rows.parquet", on_bad_line=on_bad_line)


def test_invalid_input_files_and_arguments(tmp_path: Path) -> None:
    with pytest.raises(FlowFileNotFoundError, match="does not exist"):
        read_inputs(tmp_path / "none.csv")
    (tmp_path / "one.json").write_text("{}")
    (tmp_path / "not.parquet").write_text("no")
    for name, message in (("one.json", "is not a list of inputs"), ("not.parquet", "cannot be read")):
        with pytest.raises(FlowFileError, match=message):
            read_inputs(tmp_path / name)
    wrong: list[Any] = [3, None, [1, 2]]
    for source in wrong:
        with pytest.raises(InvalidArgumentError, match="must be a path or an open file"):
            read_inputs(source)
    with (
        (tmp_path / "not.parquet").open() as file,
        pytest.raises(InvalidArgumentError, match="source must be a path, or a file opened in binary mode"),
    ):
        read_inputs(file, format="parquet")
    for options in ({"format": "xml"}, {"on_bad_line": "skip"}):
        with pytest.raises(InvalidArgumentError):
            read_inputs(tmp_path / "one.json", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "json", "yaml", "parquet"])
def test_outcomes_are_read_as_they_were_written(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{ending}"
    with write_outcomes(path) as file:
        for outcome in OUTCOMES:
            file.write(outcome)
    assert list(iter_outcome_records(str(path), ending)) == [outcome.to_dict() for outcome in OUTCOMES]  # type: ignore[arg-type]


def test_lone_surrogates_are_written(tmp_path: Path) -> None:
    error = FlowError(message="no \ud800", code=ErrorCode.INVALID_INPUT)
    outcome: Outcome[Any] = Outcome(0, "\udfff", None, ExecutionStatus.FAILED, None, error)
    for ending in ("jsonl", "csv", "json", "parquet"):
        path = tmp_path / f"out.{ending}"
        with write_outcomes(path) as file:
            file.write(outcome)
        record = next(iter_outcome_records(str(path), ending))  # type: ignore[arg-type]
        assert record["key"] in ("\udfff", r"\udfff")
        assert record["error"]["message"] in ("no \ud800", r"no \ud800")


@pytest.mark.parametrize("ending", ["jsonl", "csv", "json", "yaml", "parquet"])
def test_outcomes_written_before_an_error_are_complete(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{ending}"

    def interrupted() -> None:
        with write_outcomes(path) as file:
            file.write(OUTCOMES[0])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert list(iter_outcome_records(str(path), ending)) == [OUTCOMES[0].to_dict()]  # type: ignore[arg-type]


def test_parquet_columns_have_the_types_of_the_output_schema(tmp_path: Path) -> None:
    kinds: dict[str, Any] = {"total": ["number", "null"], "n": "integer", "name": "string", "ok": "boolean"}
    schema = {"type": "object", "properties": {name: {"type": kind} for name, kind in kinds.items()} | {"any": {}}}
    flow = FLOW | {"schemas": {"properties": {"output": schema}}}
    outputs: list[Any] = [
        {"total": 1, "n": 2**62, "name": "a", "ok": True, "any": [1], "more": 1},
        {"total": "1", "n": 2**70, "name": 3, "ok": 0},
        {"total": True, "n": 1.5, "name": "\ud800"},
        None,
    ]
    outcomes = [Outcome(place, None, "r", ExecutionStatus.COMPLETED, each) for place, each in enumerate(outputs)]
    path = tmp_path / "out.parquet"
    with write_outcomes(path, flow=flow) as file:
        for each in outcomes:
            file.write(each)
    table = pyarrow.parquet.read_table(path)
    assert {name: str(table.schema.field(f"output_{name}").type) for name in kinds} == {
        "total": "double",
        "n": "int64",
        "name": "string",
        "ok": "bool",
    }
    typed = [tuple(row[f"output_{name}"] for name in kinds) for row in table.to_pylist()]
    nothing = (None, None, None, None)
    assert typed == [(1.0, 2**62, "a", True), nothing, (None, None, "\\ud800", None), nothing]
    assert list(iter_outcome_records(str(path), "parquet")) == [each.to_dict() for each in outcomes]


def test_a_file_without_outcomes_is_an_empty_list(tmp_path: Path) -> None:
    for name, text in (("out.json", "[]\n"), ("out.yaml", "[]\n"), ("out.jsonl", "")):
        write_outcomes(tmp_path / name).close()
        assert (tmp_path / name).read_text() == text


def test_invalid_outcome_files_and_arguments(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="has none of the extensions"):
        write_outcomes(tmp_path / "out.docx")
    with pytest.raises(FlowFileError, match="cannot be written: No such file"):
        write_outcomes(tmp_path / "no" / "out.csv")
    with pytest.raises(InvalidArgumentError, match="must be a path or an open file"):
        write_outcomes(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="Parquet is written to a path"):
        write_outcomes(io.StringIO(), format="parquet")
    text = io.StringIO()
    with write_outcomes(text) as file:
        file.write(OUTCOMES[0].to_dict())
    assert json.loads(text.getvalue())["key"] == "a"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
def test_a_full_disk_raises_a_flow_file_error() -> None:
    file = write_outcomes("/dev/full", format="jsonl")
    file.write(OUTCOMES[0])
    with pytest.raises(FlowFileError, match="No space left"):
        file.close()
