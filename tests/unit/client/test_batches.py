"""`map`: what happens between reading inputs and yielding outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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
