"""`map` sends chunks while it reads inputs, and chunks share the concurrency limit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.both_twins import FLOW, Server, call_with_handler, get_request_line


def test_the_first_chunk_is_sent_before_all_inputs_are_read() -> None:
    server = Server()
    runs_sent: list[int] = []

    def inputs() -> Iterator[Any]:
        for number in range(4):
            runs_sent.append(server.request_lines.count("POST /runs"))
            yield {"n": number}

    outcomes = call_with_handler(
        "async", server, lambda client: client.map(FLOW, inputs(), chunk_size=1, max_concurrency=4)
    )
    assert sorted(outcome.index for outcome in outcomes) == [0, 1, 2, 3]
    assert runs_sent[-1] > 0


@pytest.mark.parametrize("twin", ["async", "sync"])
@pytest.mark.parametrize(
    ("count", "chunk_size", "limits"), [(1, None, [8]), (1, 1, [8]), (2, 1, [4, 4]), (8, 1, [2] * 8)]
)
def test_chunks_share_the_concurrency_limit(twin: str, count: int, chunk_size: int | None, limits: list[int]) -> None:
    server = Server()
    inputs = [{"n": number} for number in range(count)]
    call_with_handler(twin, server, lambda client: client.map(FLOW, inputs, chunk_size=chunk_size, max_concurrency=8))
    bodies = [json.loads(each.content) for each in server.requests if get_request_line(each) == "POST /runs"]
    assert [each["maxConcurrency"] for each in bodies] == limits
