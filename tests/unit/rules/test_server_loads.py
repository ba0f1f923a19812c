"""Which server of a list gets a new run."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import given, strategies as st
from stepflow_client._rules.server_loads import ServerLoads


def one_after_the_other(spread: ServerLoads, count: int, servers: tuple[int, ...]) -> list[int]:
    chosen = []
    for _ in range(count):
        with spread.place_run(servers) as number:
            chosen.append(number)
    return chosen


def test_equals_take_turns() -> None:
    assert one_after_the_other(ServerLoads(3), 7, (0, 1, 2)) == [0, 1, 2, 0, 1, 2, 0]


def test_one_that_is_back_takes_its_turn_and_no_more() -> None:
    spread = ServerLoads(2)
    assert one_after_the_other(spread, 10, (0,)) == [0] * 10
    assert one_after_the_other(spread, 4, (0, 1)) == [1, 0, 1, 0]


def test_the_server_with_the_fewest_runs_comes_first() -> None:
    spread = ServerLoads(2)
    spread.remember_server("long", 0)
    with spread.count_waited_run("long"), ExitStack() as open_runs:
        chosen = [open_runs.enter_context(spread.place_run((0, 1))) for _ in range(5)]
    assert chosen == [1, 0, 1, 0, 1]
    assert sorted(one_after_the_other(spread, 2, (0, 1))) == [0, 1]


def test_a_fork_does_not_count_the_runs_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = ServerLoads(2)
    spread.remember_server("of the parent", 0)
    # Nothing of the parent ends in a fork: neither does this context.
    waiting = spread.count_waited_run("of the parent")
    waiting.__enter__()
    assert one_after_the_other(spread, 3, (0, 1)) == [1, 1, 1]
    monkeypatch.setattr("stepflow_client._rules.server_loads.get_process_token", lambda: "a fork")
    assert sorted(one_after_the_other(spread, 4, (0, 1))) == [0, 0, 1, 1]


def test_a_run_of_somebody_else_is_nobodys_load() -> None:
    spread = ServerLoads(2)
    with spread.count_waited_run("unknown"):
        assert one_after_the_other(spread, 2, (0, 1)) == [0, 1]
    assert spread.find_run_server("unknown") is None
    assert spread.find_run_server(None) is None


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=60))
def test_runs_in_flight_differ_by_one_at_most_where_all_end_alike(servers: int, steps: list[bool]) -> None:
    spread = ServerLoads(servers)
    every = tuple(range(servers))
    in_flight: list[tuple[ExitStack, int]] = []
    counts = Counter(dict.fromkeys(every, 0))
    for begins in steps:
        if begins or not in_flight:
            stack = ExitStack()
            number = stack.enter_context(spread.place_run(every))
            assert counts[number] == min(counts.values())
            in_flight.append((stack, number))
            counts[number] += 1
        else:
            stack, number = in_flight.pop(0)
            stack.close()
            counts[number] -= 1
    for stack, _ in in_flight:
        stack.close()
