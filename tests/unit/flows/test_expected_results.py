"""Expected and actual values are compared, and test cases get a verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stepflow_client import ErrorCode, ExecutionStatus, FlowError, FlowResult, InvalidArgumentError
from stepflow_client._data.secrets import HIDDEN_IN_URL
from stepflow_client.flows.expected_results import (
    check_matchers,
    compare,
    compute_verdict,
    get_code_number,
    get_error_code_name,
    has_error_code,
    may_equal_masked,
    parse_error_code,
    resembles_matcher,
)

COMPLETED, FAILED = ExecutionStatus.COMPLETED, ExecutionStatus.FAILED


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1}, {"a": 1.0, "b": 2}),
        ([{"a": 1}], [{"a": 1, "b": 2}]),
        (2**60, 2**60),
        (None, None),
        ({}, {}),
        ({"$type": "object"}, {"any": "thing"}),
        ({"a": {"$any": True}}, {"a": None}),
        ({"$contains": "ell"}, "hello"),
        ({"$contains": "key"}, {"key": 1}),
        ({"$contains": {"id": {"$type": "integer"}}}, [{"id": "x"}, {"id": 3.0, "n": 1}]),
        ({"$range": [1, 2]}, 2.0),
        ({"$range": [2, 2]}, 2),
        ({"$range": [None, 2]}, -7),
        ({"$regex": "^a.c$"}, "abc"),
        ({"$regex": ".+"}, "abc"),
        ({"$regex": "^.{0,100}$"}, ""),
        ({"$regex": "^$"}, ""),
        ({"$type": "integer"}, 3.0),
        ({"$type": "null"}, None),
        ({"$equals": {"$any": True}}, {"$any": True}),
        ({"$equals": [1, [2]]}, [1.0, [2]]),
        ({"$any": True, "other": 1}, {"$any": True, "other": 1}),
    ],
)
def test_matching_values_have_no_differences(expected: Any, actual: Any) -> None:
    assert compare(expected, actual) == []


@pytest.mark.parametrize(
    ("expected", "actual", "differences"),
    [
        ({"a": 1}, {}, ["$.a: expected 1, got nothing"]),
        (True, 1, ["$: expected true, got 1"]),
        (0, False, ["$: expected 0, got false"]),
        ([1, 2], [1], ["$: expected 2 elements, got 1 element: [1]"]),
        ([1], 1, ["$: expected [1], got 1"]),
        (1, [1], ["$: expected 1, got [1]"]),
        ({"a b": [{"x": 1}]}, {"a b": [{"x": 2}]}, ['$["a b"][0].x: expected 1, got 2']),
        ({"$range": [1, 2]}, 3, ['$: expected {"$range": [1, 2]}, got 3']),
        ({"$range": [0, 2]}, True, ['$: expected {"$range": [0, 2]}, got true']),
        ({"$type": "integer"}, 3.5, ['$: expected {"$type": "integer"}, got 3.5']),
        ({"$regex": "^b"}, "abc", ['$: expected {"$regex": "^b"}, got "abc"']),
        ({"$contains": 3}, [1, 2], ['$: expected {"$contains": 3}, got [1, 2]']),
        ({"$equals": [1]}, 1, ['$: expected {"$equals": [1]}, got 1']),
        ({"$equals": 1}, [1], ['$: expected {"$equals": 1}, got [1]']),
        ({"$contains": "x"}, 5, ['$: expected {"$contains": "x"}, got 5']),
        ({"$equals": {"a": 1}}, {"a": 1, "b": 2}, ['$: expected {"$equals": {"a": 1}}, got {"a": 1, "b": 2}']),
        ({"$equals": [1, 2]}, [1, 2, 3], ['$: expected {"$equals": [1, 2]}, got [1, 2, 3]']),
        ({}, {"a": 1}, ['$: expected an object with no keys ({$type: object} matches any), got {"a": 1}']),
        ({"$any": True, "other": 1}, {"other": 1}, ["$.$any: expected true, got nothing"]),
    ],
)
def test_differences_have_paths(expected: Any, actual: Any, differences: list[str]) -> None:
    assert [str(each) for each in compare(expected, actual)] == differences


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"$any": False}, "$any expects true"),
        ({"$range": [1]}, "$range expects"),
        ({"$range": ["a", 2]}, "$range expects"),
        ({"$range": [None, None]}, "$range expects"),
        ({"$regex": ""}, "$regex expects a non-empty string"),
        ({"$regex": ".*"}, "$regex expects a pattern that does not match every string"),
        ({"$regex": "x|"}, "$regex expects a pattern that does not match every string"),
        ({"$contains": {"$regex": "^\\s*"}}, "$regex expects a pattern that does not match every string"),
        ({"$contains": ""}, "$contains expects a substring"),
        ({"$regex": "("}, "$regex expects a regular expression"),
        ({"$type": "int"}, "$type expects one of"),
        ({"a": [{"$contains": {"$type": 1}}]}, "$.a[0]"),
        ({"a": {"$regx": "x"}}, "$.a: $regx is not a matcher; did you mean $regex?"),
    ],
)
def test_a_malformed_matcher_is_an_error(expected: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_matchers(expected)
    assert message in caught.value.message
    assert "$equals" in str(caught.value.hint)


def test_a_malformed_matcher_is_not_compared() -> None:
    with pytest.raises(InvalidArgumentError, match=r"\$\.a: \$any expects true, not 5"):
        compare({"a": {"$any": 5}}, {"a": 5})
    with pytest.raises(InvalidArgumentError, match="path"):
        compare(1, 1, 5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "resembles"),
    [
        ({"$any": 1}, True),
        ({"$regx": 1}, True),
        ({"$ref": 1}, False),
        ({"regex": 1}, False),
        ({"$regx": 1, "$any": 1}, False),
        ({}, False),
        (["$any"], False),
        ("$any", False),
    ],
)
def test_objects_with_a_misspelled_matcher_resemble_one(value: Any, resembles: bool) -> None:
    assert resembles_matcher(value) is resembles
    if isinstance(value, dict) and not resembles:
        check_matchers(value)


@pytest.mark.parametrize(
    ("masked", "matching", "other"),
    [
        ("***", 7, None),
        ("a *** b", "a secret b", "a secret c"),
        ("*** a *** b ***", "x a y b z", "x b y a z"),
        ("ab***ba", "abba", "aba"),
        ("a***b***c", "a1b2c", "a1c2b"),
        ({"a": "x***", "b": 1}, {"a": "xy", "b": 1.0}, {"a": "xy", "b": 2}),
        ({"a***": 1, "b": 2}, {"a1": 1, "b": 2}, {"a1": 1}),
        ({"a***": 1, "b***": 2}, {"a1": 1, "b1": 2}, {"a1": 1}),
        (["***", 1], [[2], 1], [1]),
        ({"a": "***"}, {"a": 1}, ["a"]),
        (["***"], [1], {"a": 1}),
        ({"a": 1}, {"a": 1.0}, {"a": 1, "b": 1}),
    ],
)
def test_masked_values_may_equal_actual_values(masked: Any, matching: Any, other: Any) -> None:
    assert may_equal_masked(masked, matching)
    assert may_equal_masked(masked, masked)
    assert other is None or not may_equal_masked(masked, other)


def test_with_a_custom_mask_the_default_mask_is_data() -> None:
    assert may_equal_masked("*** of ://***@h", "*** of ://me:word@h", HIDDEN_IN_URL)
    assert not may_equal_masked("*** of ://***@h", "x of ://me:word@h", HIDDEN_IN_URL)
    assert not may_equal_masked("***", "x", HIDDEN_IN_URL)
    assert not may_equal_masked(["://***@h"], ["://h"], HIDDEN_IN_URL)


def test_run_ids_equal_only_other_run_ids() -> None:
    one, other = ({"run_id": f"0192f0c1-0000-7000-8000-00000000000{number}"} for number in (1, 2))
    assert compare(one, other) == []
    assert [difference.path for difference in compare(one, {"run_id": "r"})] == ["$.run_id"]
    assert [difference.path for difference in compare({"run_id": "r"}, one)] == ["$.run_id"]


def verdict(expected: Any, **result: Any) -> tuple[str, list[str]]:
    outcome, differences = compute_verdict(expected, FlowResult(run_id="r", **result))
    return outcome, [str(each) for each in differences]


ANY_FAILURE = {"outcome": "failed", "error": {"message": {"$any": True}}}


def test_cancelled_and_lost_runs_are_not_flow_failures() -> None:
    boom = FlowError(message="boom", code=ErrorCode.COMPONENT_FAILED)
    assert verdict(ANY_FAILURE, status=FAILED, error=boom) == ("passed", [])
    assert verdict(ANY_FAILURE, status=ExecutionStatus.CANCELLED)[0] == "failed"
    for code in (ErrorCode.LOST, ErrorCode.LOST_BEFORE_START):
        assert verdict(ANY_FAILURE, status=FAILED, error=FlowError(message="gone", code=code))[0] == "failed"


def test_error_data_is_compared_only_if_the_server_sends_it() -> None:
    def expecting(data: Any) -> dict[str, Any]:
        return {"outcome": "failed", "error": {"code": "COMPONENT_FAILED", "data": data}}

    bare = FlowError(message="boom", code=ErrorCode.COMPONENT_FAILED)
    sent = replace(bare, details={"data": {"kind": "ValueError", "line": 3}})
    assert verdict(expecting({"kind": "ValueError"}), status=FAILED, error=sent) == ("passed", [])
    assert verdict(expecting({"line": {"$range": [1, 2]}}), status=FAILED, error=sent)[0] == "failed"
    for data in ({"$any": True}, {"kind": {"$any": True}}):
        outcome, differences = verdict(expecting(data), status=FAILED, error=bare)
        assert (outcome, differences[0].endswith("got nothing: the server sends no data")) == ("failed", True)
    # Like on servers, null expects nothing.
    assert verdict(expecting(None), status=FAILED, error=bare) == ("passed", [])


def test_failures_are_compared_by_code_and_message() -> None:
    expected = {"outcome": "failed", "error": {"code": "TIMEOUT", "message": {"$contains": "x"}}}
    message = '$.error.message: expected {"$contains": "x"}, got "boom"'
    names = {ErrorCode.COMPONENT_FAILED: "COMPONENT_FAILED", ErrorCode.EXPRESSION_FAILED: "EXPRESSION_FAILURE"}
    for code, code_name in (*names.items(), (None, "none")):
        assert verdict(expected, status=FAILED, error=FlowError(message="boom", code=code)) == (
            "failed",
            [f'$.error.code: expected "TIMEOUT", got {code_name}', message],
        )


def test_an_unexpected_outcome_is_reported_with_the_actual_one() -> None:
    boom = FlowError(message="boom", code=ErrorCode.COMPONENT_FAILED)
    assert verdict(ANY_FAILURE, status=COMPLETED, output={"a": 1}) == (
        "failed", ['$.outcome: expected "failed", got "success" with {"a": 1}'],
    )  # fmt: skip
    difference = '$.outcome: expected "success", got "failed": boom'
    success = {"outcome": "success", "result": 1}
    assert verdict(success, status=FAILED, error=boom) == ("failed", [f"{difference} (component_failed)"])
    assert verdict(None, status=FAILED, error=replace(boom, code=None)) == ("failed", [difference])
    assert verdict(None, status=COMPLETED, output=1) == ("unchecked", [])


@pytest.mark.parametrize(
    ("expected", "is_match"),
    [
        ("COMPONENT_FAILED", True),
        ("Component_Failed", True),
        ("TIMEOUT", False),
        ("nothing", False),
        (get_code_number(ErrorCode.COMPONENT_FAILED), True),
        (get_code_number(ErrorCode.TIMEOUT), False),
        (-32000, True),
        ({"$regex": "^COMPONENT_"}, True),
        ({"$equals": "component_failed"}, False),
    ],
)
def test_error_codes_match_by_name_and_number(expected: Any, is_match: bool) -> None:
    error = FlowError(message="boom", code=ErrorCode.COMPONENT_FAILED, details={"code": -32000})
    assert has_error_code(expected, error) is is_match
    assert not has_error_code(expected, None)
    assert not has_error_code(expected, replace(error, code=None))


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("timeout", ErrorCode.TIMEOUT),
        ("EXPRESSION_FAILURE", ErrorCode.EXPRESSION_FAILED),
        ("Expression_Failed", ErrorCode.EXPRESSION_FAILED),
        (ErrorCode.WORKER, ErrorCode.WORKER),
    ],
)
def test_a_code_matches_its_name_in_flow_files_and_its_own_name(word: Any, code: ErrorCode) -> None:
    assert parse_error_code(word) is code
    assert parse_error_code(get_error_code_name(FlowError(message="", code=code))) is code


def test_client_only_codes_have_no_name_in_flow_files() -> None:
    assert get_error_code_name(FlowError(message="", code=ErrorCode.LOST)) == "UNSPECIFIED"
    for code, hint in (("lost", "TIMEOUT"), ("TIMEOUTS", "TIMEOUT")):
        with pytest.raises(InvalidArgumentError, match=f"unknown error code '{code}'") as caught:
            parse_error_code(code)
        assert hint in str(caught.value.hint)


def test_an_expected_null_is_an_expectation() -> None:
    null = {"outcome": "success", "result": None}
    assert verdict(null, status=COMPLETED, output=None) == ("passed", [])
    assert verdict(null, status=COMPLETED, output=0)[0] == "failed"
    assert verdict({"outcome": "success", "result": {}}, status=COMPLETED, output={"a": 1})[0] == "failed"
