"""Strings that change from run to run become matchers in expected outputs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from stepflow_client import ExecutionStatus, FlowResult
from stepflow_client._cases.expected_output_updates import expectation_of, replace_volatile_strings
from stepflow_client.flows.expected_results import compare

AT = datetime(2026, 11, 27, 12, tzinfo=UTC)
ID, OTHER = "0199d3a0-0000-7000-8000-00000000abcd", "1199d3a0-1111-7000-8000-00000000ABCD"
TIME, LATER = "2026-11-27T12:00:01.123456789Z", "2026-11-27T13:30:02+01:00"
BLOB = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.mark.parametrize(
    ("value", "rerun_value"),
    [
        (ID, OTHER),
        (TIME, LATER),
        ((AT + timedelta(hours=23)).isoformat(), (AT - timedelta(hours=23)).isoformat()),
        (f"order (no. {ID}) at {TIME}: 5 $", f"order (no. {OTHER}) at {LATER}: 5 $"),
        ({"id": ID, "n": 1, "all": [TIME]}, {"id": OTHER, "n": 1, "all": [LATER]}),
        ({ID: 1, "n": 2}, {OTHER: 1, "n": 2}),
        ({ID: 1}, {OTHER: 1}),
        ({"run_id": ID}, {"run_id": OTHER}),
    ],
)
def test_volatile_strings_become_matchers(value: Any, rerun_value: Any) -> None:
    expected = replace_volatile_strings(value, at=AT)
    assert compare(expected, value) == compare(expected, rerun_value) == []
    assert compare(value, rerun_value) != [] or "run_id" in value


@pytest.mark.parametrize(
    "value",
    [
        BLOB,
        f"{ID}0",
        "2024-01-01T00:00:00Z",
        (AT + timedelta(days=1)).isoformat(),
        (AT - timedelta(days=1)).isoformat(),
        "2026-11-27",
        "2026-13-27T12:00:01Z",
        "2026-11-27T12:00:01",
        {},
        [{}],
        {"a": [None, True, 1.5, "text"]},
    ],
)
def test_stable_values_are_unchanged(value: Any) -> None:
    assert replace_volatile_strings(value, at=AT) == value


def test_strings_from_the_inputs_are_unchanged() -> None:
    inputs: tuple[Any, ...] = ({"order": OTHER.lower(), "since": TIME}, {"steps": []})
    assert replace_volatile_strings({"order": OTHER, "text": f"{OTHER} since {TIME}"}, inputs, AT) == {
        "order": OTHER,
        "text": f"{OTHER} since {TIME}",
    }
    assert replace_volatile_strings({"order": OTHER, "id": ID}, inputs, AT)["id"] == {"$regex": "^[0-9a-fA-F-]{36}$"}


@pytest.mark.parametrize("value", [{"$any": True}, {"$regx": "x"}, {"$equals": {"a": 1}}])
def test_an_output_that_looks_like_a_matcher_is_escaped(value: Any) -> None:
    expected = replace_volatile_strings([value])
    assert compare(expected, [value]) == []
    assert compare(expected, ["anything"]) != []


def test_an_update_keeps_matching_matchers_and_replaces_volatile_strings() -> None:
    output = {"id": ID, "at": TIME, "who": OTHER, "n": 5, "note": "new", "empty": {"a": 1}}
    before = {
        "outcome": "success",
        "result": {"id": {"$any": True}, "at": {"$regex": "^2026"}, "n": {"$type": "string"}, "note": ID, "empty": {}},
    }
    result = FlowResult(status=ExecutionStatus.COMPLETED, output=output)
    assert expectation_of(result, before, given=[OTHER], at=AT) == {
        "outcome": "success",
        "result": {"id": {"$any": True}, "at": {"$regex": "^2026"}, "n": 5, "note": "new", "empty": {"a": 1}},
    }
    new = expectation_of(result, given=[OTHER], at=AT)["result"]
    assert (new["who"], new["note"]) == (OTHER, "new")
    assert {*new["id"], *new["at"]} == {"$regex"}
    # Without a time zone, the time of the run is local.
    local = AT.astimezone().replace(tzinfo=None)
    assert expectation_of(result, given=[OTHER], at=local)["result"] == new
