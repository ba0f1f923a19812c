"""Updating the expected outputs in a flow file leaves every other byte unchanged."""

from __future__ import annotations

import difflib
from typing import Any

import pytest
from hypothesis import example, given, settings, strategies
from stepflow_client import ErrorCode, ExecutionStatus, FlowError, FlowFileError, FlowResult, InvalidArgumentError
from stepflow_client._cases.expected_output_updates import expectation_of, update_expected
from stepflow_client.flows.reading import parse_json, parse_yaml

SUCCESS = {"outcome": "success"}

ODD = b"""\
\xef\xbb\xbf# \xc3\xa4 comment before all
name:   'odd'   # two quotes: ' and "
description: >-
  folded: text\x20\x20\n    with   blanks

  and a gap
defaults: &shared {limit: 0x10, on: yes}   # YAML 1.1 would read these differently
steps: [ {id: say, component: "/builtin/noop", input: *shared} ]
output: {$step: say}
test:
    cases:
      # the first
      - name: "block"   # kept 1
        input: &input
            who:   Bob
        output:   # kept 2

          # kept 3
          outcome: success
          result:
              a:   1     # kept 4
              text: |
                two
                lines

              same: 'x'  # kept 5
      -   name: flow
          input: *input
          output: {outcome: success, result: {a: [1,  2], b: "x" } }  # kept 6
      - {name: inline, input: {a: 1}}   # kept 7
      - name: last
        input: !!str 5
        tags: [ 'slow' ]   # kept 8

# the end, without a line break: \xe2\x80\xa6"""


def changed_lines(before: bytes, after: bytes) -> list[str]:
    lines = difflib.ndiff(before.decode().split("\n"), after.decode().split("\n"))
    return [line for line in lines if line[0] in "+-"]


def test_update_changes_only_expected_outputs() -> None:
    new: dict[int, Any] = {
        0: {**SUCCESS, "result": {"a": 2, "text": "three\nlines\nhere\n", "same": "x"}},
        1: {**SUCCESS, "result": {"a": [1, 3], "b": "x"}},
        2: {**SUCCESS, "result": "0o17"},
        3: {**SUCCESS, "result": {"a": "1e3", "b": [None, "no"]}},
    }
    after = update_expected(ODD, new, "odd.yaml")
    cases = parse_yaml(after.decode("utf-8-sig"))["test"]["cases"]
    assert [case["output"] for case in cases] == list(new.values())
    assert changed_lines(ODD, after) == [
        "-               a:   1     # kept 4",
        "+               a:   2     # kept 4",
        "-                 two",
        "+                 three",
        "+                 here",
        '-           output: {outcome: success, result: {a: [1,  2], b: "x" } }  # kept 6',
        '+           output: {outcome: success, result: {a: [1,  3], b: "x" } }  # kept 6',
        "-       - {name: inline, input: {a: 1}}   # kept 7",
        '+       - {name: inline, input: {a: 1}, output: {"outcome": "success", "result": "0o17"}}   # kept 7',
        "+         output:",
        "+           outcome: success",
        "+           result:",
        "+             a: '1e3'",
        "+             b:",
        "+             - null",
        "+             - 'no'",
    ]


def test_update_preserves_all_other_bytes_with_crlf() -> None:
    before = ODD.replace(b"\n", b"\r\n")
    after = update_expected(before, {3: {**SUCCESS, "result": {"a": 1}}}, "odd.yaml")
    start, end = before.index(b"   # kept 8"), len(before)
    added = b"\r\n        output:\r\n          outcome: success\r\n          result:\r\n            a: 1"
    position = start + len(b"   # kept 8")
    assert after == before[:position] + added + before[position:end]


def test_update_keeps_json_and_its_indentation() -> None:
    before = (
        b'{\n    "steps": [],\n    "test": {"cases": [\n        {\n            "name": "a",\n            "input": 1\n'
    )
    before += b"        }\n    ]}\n}\n"
    after = update_expected(before, {0: {**SUCCESS, "result": {"x": "\u00e4"}}}, "flow.json")
    assert parse_json(after.decode())["test"]["cases"][0]["output"] == {**SUCCESS, "result": {"x": "ä"}}
    assert after.startswith(before[: before.index(b"1\n        }") + 1])
    assert after.endswith(before[before.index(b"1\n        }") + 1 :])
    assert b'            "output": {\n                "outcome": "success",' in after


def test_a_referenced_anchor_is_not_replaced() -> None:
    before = b"test:\n  cases:\n  - {name: a, input: 1, output: {outcome: success, result: &r {a: 1}}}\n"
    before += b"  - {name: b, input: 1, output: {outcome: success, result: *r}}\n"
    for start, line in ((b"", 4), (b"\n", 5)):
        with pytest.raises(FlowFileError, match=f"anchor &r, which line {line} uses"):
            update_expected(start + before, {0: {**SUCCESS, "result": {"a": 2}}}, "x.yaml")
    after = update_expected(before, {1: {**SUCCESS, "result": {"a": 2}}}, "x.yaml")
    assert after == before.replace(b"*r", b'{"a": 2}')


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("two words", "two words"),
        (5, "5"),
        (None, "null"),
        ("no", "'no'"),
        ("a\nb\n", "|\n        a\n        b"),
        ("a\nb", "|-\n        a\n        b"),
        (" a\nb", '" a\\nb"'),
        ("a\tb", '"a\\tb"'),
    ],
)
def test_values_are_written_in_the_simplest_yaml_style(value: Any, written: str) -> None:
    before = b"test:\n  cases:\n  - input: 1\n    output:\n      result: old\n"
    after = update_expected(before, {0: {"result": value}}, "x.yaml").decode()
    assert after == before.decode().replace("old", written)


def test_matching_parts_of_an_expectation_are_kept() -> None:
    before = {**SUCCESS, "result": {"id": {"$type": "integer"}, "n": 1, "gone": 1, "list": [{"$any": True}, 2]}}
    result = FlowResult(status=ExecutionStatus.COMPLETED, output={"id": 7, "n": 2, "more": 1, "list": [5, 3]})
    after = expectation_of(result, before)
    assert after == {**SUCCESS, "result": {"id": {"$type": "integer"}, "n": 2, "list": [{"$any": True}, 3]}}


def test_a_failure_becomes_an_expected_failure() -> None:
    result = FlowResult(status=ExecutionStatus.FAILED, error=FlowError(message="boom", code=ErrorCode.COMPONENT_FAILED))
    assert expectation_of(result) == {"outcome": "failed", "error": {"code": "COMPONENT_FAILED", "message": "boom"}}
    matching = {"outcome": "failed", "error": {"code": 3, "message": {"$contains": "oo"}}}
    assert expectation_of(result, matching) == matching


@pytest.mark.parametrize(
    ("error", "after"),
    [
        ({"code": "TIMEOUT"}, {"code": "COMPONENT_FAILED"}),
        ({"code": "component_failed", "message": "bang"}, {"code": "component_failed", "message": "boom"}),
        ({"message": "boom", "data": {"n": {"$range": [2, 9]}, "gone": 1}}, {"message": "boom", "data": {"n": 1}}),
        ({"data": {"n": {"$range": [0, 9]}}}, {"data": {"n": {"$range": [0, 9]}}}),
        ({"message": None, "data": None}, {"message": "boom", "data": None}),
    ],
)
def test_only_differing_fields_of_an_expected_failure_change(error: Any, after: Any) -> None:
    failed = FlowError(message="boom", code=ErrorCode.COMPONENT_FAILED, details={"data": {"n": 1}})
    result = FlowResult(status=ExecutionStatus.FAILED, error=failed)
    before = {"outcome": "failed", "error": error}
    assert expectation_of(result, before) == {"outcome": "failed", "error": after}
    bare = FlowResult(status=ExecutionStatus.FAILED, error=FlowError(message="boom", code=ErrorCode.COMPONENT_FAILED))
    unchanged = expectation_of(bare, {"outcome": "failed", "error": {"data": {"n": 2}}})
    assert unchanged == {"outcome": "failed", "error": {"data": {"n": 2}}}
    assert expectation_of(result, {"outcome": "success", "result": 1}) == {
        "outcome": "failed", "error": {"code": "COMPONENT_FAILED", "message": "boom"},
    }  # fmt: skip


@pytest.mark.parametrize("before", [None, {}, {"outcome": "success"}, {"outcome": "failed", "result": 1, "error": {}}])
def test_an_expectation_without_a_result_is_replaced(before: Any) -> None:
    result = FlowResult(status=ExecutionStatus.COMPLETED, output=5)
    assert expectation_of(result, before) == {**SUCCESS, "result": 5}


@pytest.mark.parametrize("before", [{"outcome": "failed"}, {"outcome": "success", "error": {"code": 1}}])
def test_an_expectation_without_an_error_is_replaced(before: Any) -> None:
    result = FlowResult(status=ExecutionStatus.FAILED, error=FlowError(message="boom"))
    expected = {"outcome": "failed", "error": {"code": "UNSPECIFIED", "message": "boom"}}
    assert expectation_of(result, before) == expected


DONE = FlowResult(status=ExecutionStatus.COMPLETED, output=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expectation_of({}), "result must be"),  # type: ignore[arg-type]
        (lambda: expectation_of(DONE, given="x"), "given must be a list of JSON values"),
        (lambda: expectation_of(DONE, at="today"), "at must be"),  # type: ignore[arg-type]
        (lambda: update_expected("", {}, "x.yaml"), "content must be"),  # type: ignore[arg-type]
        (lambda: update_expected(b"", {}, 5), "source must be"),  # type: ignore[arg-type]
        (lambda: update_expected(b"", [], "x"), "expected must be a mapping from case index"),  # type: ignore[arg-type]
        (lambda: update_expected(b"", {"a": 1}, "x"), "expected must be a mapping"),  # type: ignore[dict-item]
    ],
)
def test_arguments_of_the_wrong_type_are_rejected(call: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        call()


def test_run_ids_are_kept_or_replaced_with_a_placeholder() -> None:
    one, other = (f"0192f0c1-0000-7000-8000-{number:012}" for number in (1, 2))
    none = "00000000-0000-0000-0000-000000000000"
    output = {"run_id": one, "n": 2}
    result = FlowResult(status=ExecutionStatus.COMPLETED, output=output)
    for before, after in (
        (other, other), ({"$any": True}, {"$any": True}), ("r1", none), ({"$regex": "^x"}, none)
    ):  # fmt: skip
        expected = expectation_of(result, {**SUCCESS, "result": {"run_id": before, "n": 1}})
        assert expected["result"] == {"run_id": after, "n": 2}
    # Nothing in the expectation can be reused.
    assert expectation_of(result, {**SUCCESS, "result": {"m": 1}})["result"] == {"run_id": none, "n": 2}
    assert expectation_of(result, {**SUCCESS, "result": [1]})["result"] == {"run_id": none, "n": 2}


@pytest.mark.parametrize(
    "text",
    [
        "x: &t {cases: [{input: 1}]}\ntest: *t\n",
        "x: &c [{input: 1}]\ntest: {cases: *c}\n",
        "x: &c {input: 1}\ntest: {cases: [*c]}\n",
    ],
)
def test_a_case_that_is_an_alias_is_not_updated(text: str) -> None:
    with pytest.raises(FlowFileError, match=r"x\.yaml: test case 0 is an alias; write it out to update it"):
        update_expected(text.encode(), {0: {**SUCCESS, "result": 1}}, "x.yaml")


JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-(2**60), 2**60)
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | strategies.text()
    | strategies.sampled_from(
        ["1e3", "012", "0b1", "~", "no", "- a", "a: b", "# x", "x #y", "two\nlines", " s ", "'", '"']
    ),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("number", [6, pytest.param(50, marks=pytest.mark.exhaustive)])
def test_any_value_is_written_and_replaced(number: int) -> None:
    @settings(max_examples=number, deadline=None)
    @given(JSON, JSON, strategies.sampled_from(["\n", "\r\n"]))
    @example(None, "0\n", "\n")
    @example("text", {"a": [1, {"b": 2}]}, "\n")
    @example([{"a": 1}], 5, "\n")
    def check(first: Any, second: Any, newline: str) -> None:
        before = ODD.replace(b"\n", newline.encode())
        content = before
        for value in (first, second):
            new = {index: {**SUCCESS, "result": value} for index in range(4)}
            content = update_expected(content, new, "odd.yaml")
            cases = parse_yaml(content.decode("utf-8-sig"))["test"]["cases"]
            assert [case["output"] for case in cases] == list(new.values())
            assert content.startswith(before[: before.index(b"outcome: success")])
            assert content.endswith(before[before.index(newline.encode() * 2 + b"# the end") :])
            assert all(f"# kept {number}".encode() in content for number in (1, 2, 3, 6, 7, 8))

    check()
