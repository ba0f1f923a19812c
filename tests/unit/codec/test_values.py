"""JSON values on their way out and back, and overrides."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import math
import uuid
from collections import OrderedDict, UserDict, deque, namedtuple
from copy import deepcopy
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel
from stepflow_client._data.values import (
    FIELD_DEPTH,
    INPUT_DEPTH,
    LOCAL_DEPTH,
    OutputDecoder,
    check_json,
    decode,
    decode_keeping_floats,
    encode,
    encode_if_plain,
    is_plain,
    restore_key_order,
    unify_overrides,
)
from stepflow_client.errors import InvalidArgumentError
from stepflow_client.types import ExecutionStatus, FlowResult

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
)


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    A = 1


class Model(BaseModel):
    when: datetime.date = datetime.date(2026, 11, 24)
    pair: tuple[int, str] = (1, "a")


class Opaque(BaseModel):
    model_config = {"arbitrary_types_allowed": True}
    it: object = object()


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Endless:
    def model_dump(self, mode: str, by_alias: bool) -> Endless:
        return self


Point = namedtuple("Point", "x y")


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


# Out


@pytest.mark.parametrize(
    ("passed", "sent"),
    [
        (None, None),
        (True, True),
        (1, 1),
        (1.0, 1.0),
        (-0.0, -0.0),
        (2**53 + 1, 2**53 + 1),
        ("ä\U0001f600", "ä\U0001f600"),
        ((1, (2, [3])), [1, [2, [3]]]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (UserDict({"a": 1}), {"a": 1}),
        (Colour.RED, "red"),
        ({Colour.RED: Level.HIGH}, {"red": 3}),
        (ExecutionStatus.FAILED, "failed"),
        (Text("x"), "x"),
        ({Text("k"): 1}, {"k": 1}),
        (Model(), {"when": "2026-11-24", "pair": [1, "a"]}),
        (decimal.Decimal("1.10"), "1.10"),
        (datetime.datetime(2026, 1, 1, 12, 30, tzinfo=datetime.UTC), "2026-01-01T12:30:00+00:00"),
        ({"day": datetime.date(2026, 1, 1)}, {"day": "2026-01-01"}),
        ([datetime.time(12, 30)], ["12:30:00"]),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Path("a") / "b.txt", "a/b.txt"),
        (Plain.A, 1),
        ([{"m": Model()}], [{"m": {"when": "2026-11-24", "pair": [1, "a"]}}]),
    ],
)
def test_what_can_be_sent(passed: Any, sent: Any) -> None:
    checked = check_json(passed, "input")
    assert json.dumps(checked) == json.dumps(sent)
    assert type(checked) is type(sent)


@pytest.mark.parametrize(
    ("value", "reason", "path"),
    [
        ({"a": [1, {"b c": math.nan}]}, "nan is not a number that JSON can represent", '$.a[1]["b c"]'),
        ([math.inf], "inf is not a number", "$[0]"),
        ({1: 2}, "the key 1 is not a string", "$"),
        ({"a": {None: 1}}, "the key None is not a string", "$.a"),
        ({(1, 2): 1}, "is not a string", "$"),
        (b"x", "bytes is not a JSON value", "$"),
        ({"a": {1, 2}}, "set is not a JSON value", "$.a"),
        (datetime.timedelta(1), "timedelta is not a JSON value", "$"),
        (range(3), "range is not a JSON value", "$"),
        (deque(), "deque is not a JSON value", "$"),
        (1j, "complex is not a JSON value", "$"),
        (print, "is not a JSON value", "$"),
        ("\ud800", "half of a surrogate pair", "$"),
        ({"a": "x\udfff"}, "half of a surrogate pair", "$.a"),
        ({"\ud800": 1}, "half of a surrogate pair", "$"),
        ({"a": FlowResult}, "FlowResult is a class, not an object", "$.a"),
        ([Opaque()], "Opaque cannot be written as JSON", "$[0]"),
        (Endless(), "nested too deeply", ""),
        (nested(300), "nested too deeply", ""),
        (nested(100_000), "nested too deeply", ""),
        ([10**400], "servers cannot read an integer of 1329 bits", "$[0]"),
        pytest.param(10**5000, "servers cannot read an integer of", "$", id="5000 digits"),
    ],
)
def test_what_cannot_be_sent(value: Any, reason: str, path: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_json(value, "input")
    assert str(caught.value).startswith("input cannot be sent: ")
    assert reason in str(caught.value)
    if path:
        assert str(caught.value).endswith(f"(at {path})")


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append({"again": value})
    with pytest.raises(InvalidArgumentError, match="nested too deeply"):
        check_json(value, "input")


@pytest.mark.parametrize("depth", [FIELD_DEPTH, INPUT_DEPTH, LOCAL_DEPTH])
def test_the_maximum_depth_is_exact(depth: int) -> None:
    fits, too_deep = nested(depth - 1), nested(depth)
    assert is_plain(fits, depth)
    assert not is_plain(too_deep, depth)
    assert check_json(fits, "input", max_depth=depth) == fits
    # A tuple takes the other path, which converts values.
    assert check_json({"a": tuple(nested(depth - 2))}, "input", max_depth=depth) == {"a": nested(depth - 2)}
    for value in (too_deep, {"a": tuple(nested(depth - 1))}):
        with pytest.raises(InvalidArgumentError, match=f"nested too deeply; the limit is {depth} levels"):
            check_json(value, "input", max_depth=depth)


def test_what_is_plain_comes_back_itself_and_the_rest_as_a_copy() -> None:
    plain = {"a": [1, 1.5, None, True, "text", {}]}
    assert check_json(plain, "input") is plain
    tuples = {"a": (1,)}
    assert check_json(tuples, "input") == {"a": [1]}
    assert tuples == {"a": (1,)}


@pytest.mark.parametrize("value", [2**53, -(2**53), 2**53 - 1, 0])
def test_integers_that_every_server_keeps(value: int) -> None:
    assert check_json(value, "input", exact_integers=False) == value


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**64])
def test_integers_that_current_servers_change(value: int) -> None:
    assert check_json([value], "input") == [value]
    with pytest.raises(InvalidArgumentError, match=r"exact only up to 2\*\*53.*\$\[0\]"):
        check_json([value], "input", exact_integers=False)


def test_compact_utf_8() -> None:
    assert encode({"ä": [1, None, True, "\U0001f600"]}) == '{"ä":[1,null,true,"\U0001f600"]}'.encode()
    assert encode({"b": 1, "a": 2}) == b'{"b":1,"a":2}'


# Back


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.0", 1),
        ("-3.0", -3),
        ("1e3", 1000),
        ("0.0", 0),
        ("-0.0", -0.0),
        ("-0", 0),
        ("1.5", 1.5),
        ("9007199254740991.0", 9007199254740991),
        ("9007199254740992.0", 9007199254740992.0),
        ("-9007199254740992.0", -9007199254740992.0),
        ("9007199254740993", 9007199254740993),
        ("1e308", 1e308),
        ('"1.0"', "1.0"),
    ],
)
def test_whole_floats_come_back_as_integers(text: str, value: Any) -> None:
    found = decode(f'{{"a": [{text}]}}'.encode())["a"][0]
    assert type(found) is type(value)
    assert repr(found) == repr(value)


@pytest.mark.parametrize("content", [b"", b"NaN", b"[Infinity]", b"{", b"\xff", b"{'a': 1}", b"9" * 5000])
def test_what_is_no_json(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kinds differ, and callers catch this one
        decode(content)


@QUICK
@given(VALUES)
def test_what_is_sent_comes_back_equal(value: Any) -> None:
    checked = check_json(value, "input")
    assert checked == value
    assert decode(encode(checked)) == value


# Overrides


@pytest.mark.parametrize(
    ("overrides", "merged"),
    [
        (None, None),
        ({}, None),
        ([], None),
        ({"steps": {}}, None),
        ({"a": {"input": {"x": 1}}}, {"a": {"value": {"input": {"x": 1}}}}),
        ({"a": {"value": {"input": 1}}}, {"a": {"value": {"input": 1}}}),
        ({"a": {"$type": "merge_patch", "value": {"input": 1}}}, {"a": {"value": {"input": 1}}}),
        ({"steps": {"a": {"value": {"input": 1}}}}, {"a": {"value": {"input": 1}}}),
        ({"steps": {"a": {"input": 1}}}, {"a": {"value": {"input": 1}}}),
        # A step may be called `steps`, beside another.
        ({"steps": {"input": 1}, "b": {"input": 2}}, {"steps": {"value": {"input": 1}}, "b": {"value": {"input": 2}}}),
        ({"a": {"value": 1, "input": 2}}, {"a": {"value": {"value": 1, "input": 2}}}),
        ({"a": {}}, {"a": {"value": {}}}),
        (
            [{"a": {"input": {"x": 1, "y": {"p": 1}}}}, {"steps": {"a": {"value": {"input": {"y": {"q": 2}}}}}}],
            {"a": {"value": {"input": {"x": 1, "y": {"p": 1, "q": 2}}}}},
        ),
        ([{"a": {"input": [1, 2]}}, {"a": {"input": [3]}}], {"a": {"value": {"input": [3]}}}),
        ([{"a": {"input": {"x": 1}}}, {"a": {"input": {"x": None}}}], {"a": {"value": {"input": {"x": None}}}}),
        (({"a": {"input": 1}}, {"b": {"input": 2}}), {"a": {"value": {"input": 1}}, "b": {"value": {"input": 2}}}),
        ([{}, {"a": {"input": 1}}], {"a": {"value": {"input": 1}}}),
    ],
)
def test_the_forms_of_overrides(overrides: Any, merged: Any) -> None:
    assert unify_overrides(overrides) == merged


@pytest.mark.parametrize(
    "overrides",
    [
        1,
        "a",
        True,
        [None],
        [[{"a": {}}]],
        {"a": 1},
        {"a": None},
        {"a": [1]},
        {1: {}},
        {"a": {"input": math.nan}},
        {"a": {"$type": "json_patch", "value": []}},
        {"a": {"$type": None, "value": {}}},
        {"steps": {"a": 1}},
        {"steps": 5},
    ],
)
def test_what_are_no_overrides(overrides: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        unify_overrides(overrides)


def test_merging_leaves_what_was_given_alone() -> None:
    first, second = {"a": {"input": {"x": 1}}}, {"a": {"input": {"y": 2}}}
    unify_overrides([first, second])
    assert first == {"a": {"input": {"x": 1}}}
    assert second == {"a": {"input": {"y": 2}}}


NAMES = st.sampled_from(["a", "b", "c", "$step", "$literal"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60).map(float)
OUTPUTS = st.recursive(
    st.none() | st.booleans() | st.text("ab", max_size=2) | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def written(value: Any) -> str:
    """Return the text of a value, which tells its order of keys and its kinds of numbers."""
    return json.dumps(value)


def part_by_part(value: Any, reading: OutputDecoder) -> Any:
    """Return an output that is read as it is opened on a page."""
    if not isinstance(value, (dict, list)):
        return reading.restore_value(value)
    read = [(key, part_by_part(each, how)) for key, each, how in reading.iter_decoded_entries(value, 0, len(value))]
    return dict(read) if isinstance(value, dict) else [each for _, each in read]


@QUICK
@given(OUTPUTS, OUTPUTS, st.booleans())
def test_an_output_read_part_by_part_is_that_read_as_a_whole(output: Any, like: Any, keeps_order: bool) -> None:
    reading = OutputDecoder(like, keeps_order=keeps_order, as_sent=True)
    assert reading.decode_flow_output(output) is output
    assert reading.decode_step_output(output) is output
    sent = deepcopy(output)
    parts = part_by_part(sent, reading)
    assert written(parts) == written(reading._replace(as_sent=False).decode_flow_output(deepcopy(output)))
    if isinstance(output, dict):
        for key in output:
            assert written(reading.get_decoder_at([key]).restore_value(sent[key])) == written(parts[key])


def test_some_entries_are_read() -> None:
    reading = OutputDecoder({"c": 1, "a": [1, 2]}, keeps_order=False)
    output = {"a": [1.0, {"z": 1, "b": 2}], "b": 2.0, "c": 3.0}
    assert [key for key, _, _ in reading.iter_decoded_entries(output, 0, 2)] == ["c", "a"]
    assert [(key, each) for key, each, _ in reading.iter_decoded_entries(output, 2, 9)] == [("b", 2)]
    assert [(key, each) for key, each, _ in reading.iter_decoded_entries(output["a"], 1, 2)] == [(1, {"z": 1, "b": 2})]


def test_keys_of_outputs_are_sorted_and_whole_numbers_are_integers_wherever_they_stand() -> None:
    told = [
        {"b": 1.0, "a": [2.0, {"d": -0.0, "c": 3.5}]},
        {"a": None, "b": {"y": 1.0, "x": []}},
        {"z": 1.0},
        4.0,
        [5.0],
    ]
    assert written([restore_key_order(output) for output in told]) == (
        '[{"a": [2, {"c": 3.5, "d": -0.0}], "b": 1}, {"a": null, "b": {"x": [], "y": 1}}, {"z": 1}, 4, [5]]'
    )


@pytest.mark.parametrize("output", ["[1e999]", '{"a": 1e999}', '{"a": [1e999]}', '{"a": {"b": [[-1e999]]}}'])
def test_numbers_beyond_every_float_are_refused_while_ordering(output: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        restore_key_order(decode_keeping_floats(output.encode()))


@QUICK
@given(VALUES | st.lists(VALUES, max_size=2))
def test_plain_values_are_written_alike(value: Any) -> None:
    assert encode_if_plain(value) in (None, encode(value))


def test_which_values_are_written_without_a_closer_look() -> None:
    deep: Any = {"ä": ["é", {"n": 1.5, "large": 2**53, "none": None, "is": True}]}
    assert encode_if_plain(deep) == encode(deep)
    for other in (float("nan"), 2**53 + 1, {1: 2}, (1, 2), {"a": {1}}, ExecutionStatus.COMPLETED):
        assert encode_if_plain([other]) is None
    for half in ("\ud800", {"a": ["\udc00"]}, {"\ud800": 1}):
        assert encode_if_plain(half) is None
    holder: list[Any] = []
    holder.append(holder)
    assert encode_if_plain(holder) is None
