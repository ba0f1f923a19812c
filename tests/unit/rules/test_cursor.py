"""Cursors: positions in the events of a run."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, strategies as st
from stepflow_client import InvalidArgumentError
from stepflow_client._rules.run_progress import Cursor

numbers = st.integers(0, 10**18 - 1)
modes = st.sampled_from("es")
# The sequence numbers of a run increase, and several events can share one.
shared = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 10)), max_size=8)


def sequence(steps: list[tuple[int, int]]) -> list[int]:
    """Return sequence numbers; each pair is an increment and the number of events that share the new number."""
    result: list[int] = []
    number = 0
    for step, count in steps:
        number += step
        result += [number] * count
    return result


@given(modes, numbers, numbers)
def test_cursors_round_trip(mode: str, number: int, handled: int) -> None:
    cursor = Cursor(mode, number, handled)
    assert Cursor.parse(str(cursor), mode) == cursor


def test_none_and_integers_are_cursors() -> None:
    assert Cursor.parse(None, "e") == Cursor("e", 0, 0)
    assert Cursor.parse(0, "s") == Cursor("s", 0, 0)
    assert Cursor.parse(7, "e") == Cursor("e", 7, 0)


@pytest.mark.parametrize(
    "since",
    ["", "e", "7", "e7", "e7.", "e.7", "e-1.0", "e1.0 ", " e1.0", "e1.0\n", "x1.0", "e1.0.0", "e" + "1" * 19 + ".0"],
)
def test_invalid_strings_are_rejected(since: str) -> None:
    with pytest.raises(InvalidArgumentError, match="cursor"):
        Cursor.parse(since, "e")


@pytest.mark.parametrize("since", [-1, True, False, 1.0, b"e1.0", ["e1.0"], {}], ids=repr)
def test_other_types_are_rejected(since: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="cursor"):
        Cursor.parse(since, "e")


@pytest.mark.parametrize(("one", "other"), [("e", "s"), ("s", "e")])
def test_cursors_of_the_other_mode_are_rejected(one: str, other: str) -> None:
    with pytest.raises(InvalidArgumentError, match="different include_sub_runs") as caught:
        Cursor.parse(str(Cursor(one, 3, 1)), other)
    assert "include_sub_runs" in str(caught.value)


def test_events_that_share_a_number_are_counted() -> None:
    cursor = Cursor("e")
    cursors = []
    for number in (0, 0, 1, 4, 4, 4, 5):
        cursor = cursor.get_cursor_after(number)
        cursors.append(str(cursor))
    assert cursors == ["e0.1", "e0.2", "e1.1", "e4.1", "e4.2", "e4.3", "e5.1"]


@given(modes, shared)
def test_no_two_events_have_the_same_cursor(mode: str, steps: list[tuple[int, int]]) -> None:
    cursor, cursors = Cursor(mode), []
    for number in sequence(steps):
        cursor = cursor.get_cursor_after(number)
        cursors.append(cursor)
    assert len(set(cursors)) == len(cursors)
    assert all((one.number, one.handled) < (two.number, two.handled) for one, two in pairwise(cursors))


@given(shared, st.data())
def test_resuming_yields_each_event_exactly_once(steps: list[tuple[int, int]], data: st.DataObject) -> None:
    # The server returns all events from a sequence number on; the client skips those it has handled.
    events = list(enumerate(sequence(steps)))
    stop = data.draw(st.integers(0, len(events)))
    cursor, handled = Cursor("e"), []
    for event in events[:stop]:
        cursor = cursor.get_cursor_after(event[1])
        handled.append(event)
    position = Cursor.parse(str(cursor), "e")
    again = [event for event in events if event[1] >= position.number]
    assert handled + again[position.handled :] == events
