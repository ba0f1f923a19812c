"""Which server of a list gets a new run."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import given, strategies as st
from stepflow_client._rules.server_loads import ServerLoads


def place_runs(spread: ServerLoads, count: int, servers: tuple[int, ...]) -> list[int]:
    chosen = []
    for _ in range(count):
        with spread.placing_run(servers) as number:
            chosen.append(number)
    return chosen


def test_equally_loaded_servers_take_turns() -> None:
    assert place_runs(ServerLoads(3), 7, (0, 1, 2)) == [0, 1, 2, 0, 1, 2, 0]


def test_a_returning_server_does_not_catch_up() -> None:
    spread = ServerLoads(2)
    assert place_runs(spread, 10, (0,)) == [0] * 10
    assert place_runs(spread, 4, (0, 1)) == [1, 0, 1, 0]


def test_the_server_with_the_fewest_runs_comes_first() -> None:
    spread = ServerLoads(2)
    spread.remember_server("long", 0)
    with spread.count_waited_run("long"), ExitStack() as open_runs:
        chosen = [open_runs.enter_context(spread.placing_run((0, 1))) for _ in range(5)]
    assert chosen == [1, 0, 1, 0, 1]
    assert sorted(place_runs(spread, 2, (0, 1))) == [0, 1]


def test_a_fork_does_not_count_the_runs_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = ServerLoads(2)
    spread.remember_server("of the parent", 0)
    # A fork never exits contexts of its parent, so this one stays open.
    waiting = spread.count_waited_run("of the parent")
    waiting.__enter__()
    assert place_runs(spread, 3, (0, 1)) == [1, 1, 1]
    monkeypatch.setattr("stepflow_client._rules.server_loads.get_process_token", lambda: "a fork")
    assert sorted(place_runs(spread, 4, (0, 1))) == [0, 0, 1, 1]


def test_an_unknown_run_is_not_counted() -> None:
    spread = ServerLoads(2)
    with spread.count_waited_run("unknown"):
        assert place_runs(spread, 2, (0, 1)) == [0, 1]
    assert spread.find_run_server("unknown") is None
    assert spread.find_run_server(None) is None


@given(st.integers(1, 5), st.lists(st.booleans(), max_size=60))
def test_runs_in_flight_differ_by_at_most_one(servers: int, steps: list[bool]) -> None:
    spread = ServerLoads(servers)
    every = tuple(range(servers))
    in_flight: list[tuple[ExitStack, int]] = []
    counts = Counter(dict.fromkeys(every, 0))
    for begins in steps:
        if begins or not in_flight:
            stack = ExitStack()
            number = stack.enter_context(spread.placing_run(every))
            assert counts[number] == min(counts.values())
            in_flight.append((stack, number))
            counts[number] += 1
        else:
            stack, number = in_flight.pop(0)
            stack.close()
            counts[number] -= 1
    for stack, _ in in_flight:
        stack.close()
