"""`map`: what happens between reading inputs and yielding outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stepflow_client import ExecutionStatus, Outcome

from tests.unit.both_twins import FLOW, Server, ask


def test_the_first_chunk_is_sent_before_the_next_are_read() -> None:
    server = Server()
    sent: list[int] = []

    def inputs() -> Iterator[Any]:
        for number in range(4):
            sent.append(server.asked.count("POST /runs"))
            yield {"n": number}

    outcomes = ask("async", server, lambda client: client.map(FLOW, inputs(), chunk_size=1, max_concurrency=4))
    assert sorted(outcome.index for outcome in outcomes) == [0, 1, 2, 3]
    assert sent[-1] > 0


def test_outcomes_of_successes_are_as_others() -> None:
    made = Outcome._of_successes("r", [3, 4], ["a", None], [{"n": 1}, None], 0.5, 1)
    assert made == [
        Outcome(3, "a", "r", ExecutionStatus.COMPLETED, {"n": 1}),
        Outcome(4, None, "r", ExecutionStatus.COMPLETED),
    ]
    assert [each.duration for each in made] == [0.5, 0.5]
    assert [each.error for each in made] == [None, None]
