"""How a batch is split into runs: chunk sizes, concurrency and read-ahead."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client._rules.chunks import Chunk, ChunkSizer, ReadAhead, get_input_id_or_key, split_concurrency
from stepflow_client.types import ExecutionStatus
from stepflow_client.types.results import Outcome


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 7, 10, 1000])
def test_the_runs_in_flight_share_the_limit(limit: int) -> None:
    lanes = split_concurrency(limit)
    assert len(lanes) == min(limit, 4)
    assert sum(lane or 0 for lane in lanes) == limit
    assert all(lanes)


def test_without_a_limit_the_server_decides() -> None:
    assert split_concurrency(None) == [None] * 4
    assert split_concurrency(None, most=1) == [None] * 4


def test_only_runs_that_can_start_share_the_limit() -> None:
    assert split_concurrency(7, most=1) == [7]
    assert split_concurrency(7, most=3) == [3, 2, 2]
    assert split_concurrency(2, most=3) == [1, 1]


@pytest.mark.parametrize("limit", [1, 5, 11, 12, 1000])
def test_a_spread_batch_has_runs_in_flight_on_each_server(limit: int) -> None:
    lanes = split_concurrency(limit, servers=3)
    assert len(lanes) == min(limit, 12)
    assert sum(lane or 0 for lane in lanes) == limit
    assert split_concurrency(None, servers=3) == [None] * 12


def test_chunks_grow_while_the_server_is_fast_and_are_bounded() -> None:
    sizer = ChunkSizer(None)
    sizes = [sizer.size]
    for _ in range(6):
        sizer.record_chunk_duration(sizer.size, 0.001)
        sizes.append(sizer.size)
    assert sizes == [32, 64, 128, 256, 400, 400, 400]


def test_chunks_shrink_while_the_server_is_slow() -> None:
    sizer = ChunkSizer(None)
    for _ in range(8):
        sizer.record_chunk_duration(sizer.size, 1000.0)
    assert sizer.size == 1


@pytest.mark.parametrize(
    ("count", "seconds", "size"), [(100, 0.8, 125), (100, 1.0, 100), (100, 1.6, 62), (100, 9.0, 50), (1, 9.0, 1)]
)
def test_a_chunk_takes_about_a_second(count: int, seconds: float, size: int) -> None:
    sizer = ChunkSizer(None)
    sizer.record_chunk_duration(count, seconds)
    assert sizer.size == size
    # A chunk with no sent inputs says nothing about the speed.
    sizer.record_chunk_duration(0, 5.0)
    assert sizer.size == size


def test_a_fixed_size_does_not_change() -> None:
    sizer = ChunkSizer(1000)
    sizer.record_chunk_duration(1000, 1e9)
    assert sizer.size == 1000


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ({"id": "a", "key": "b"}, "a"),
        ({"id": None, "key": 0}, 0),
        ({"id": 2**64}, 2**64),
        pytest.param({"id": 10**5000}, None, id="5000 digits"),
        pytest.param({"id": 2**1023 - 1}, 2**1023 - 1, id="1023 bits"),
        pytest.param({"id": 2**1023}, None, id="1024 bits"),
        ({"id": True}, None),
        ({"id": ["a"]}, None),
        ({}, None),
        ([{"id": "a"}], None),
        ("id", None),
    ],
)
def test_the_key_of_an_input(value: Any, key: Any) -> None:
    assert get_input_id_or_key(value) == key


def test_large_inputs_are_read_a_few_at_a_time() -> None:
    ahead = ReadAhead(1_600_000)
    counts = [ahead.count]
    for _ in range(8):
        ahead.adapt_count_to_size(ahead.count, 10 * ahead.count)
        counts.append(ahead.count)
    assert counts == [1, 2, 4, 8, 16, 32, 64, 128, 128]
    ahead.adapt_count_to_size(128, 128 * 50_000)
    assert ahead.count == 2
    ahead.adapt_count_to_size(2, 2_000_000)
    assert ahead.count == 1
    small = ReadAhead(32)
    small.adapt_count_to_size(1, 1)
    assert small.count == 2


def test_runs_of_one_input_have_more_lanes() -> None:
    assert split_concurrency(None, servers=2, single=True) == [None] * 80
    assert split_concurrency(7, single=True) == [1] * 7
    assert split_concurrency(50, single=True) == [2] * 10 + [1] * 30


def test_a_new_attempt_has_only_unsettled_inputs() -> None:
    chunk = Chunk(2, 10, "tag-2", count=4, indexes=[10, 11, 13], values=[{"n": 1}, "é", None], keys=["a", None, None])
    assert chunk.attempt_tag == "tag-2"
    chunk.run_id = "r"
    settled = [Outcome(11, None, "r", ExecutionStatus.COMPLETED)]
    chunk.begin_attempt(2, settled)
    assert (chunk.attempt, chunk.run_id, chunk.settled, chunk.attempt_tag) == (2, None, settled, "tag-2-2")
    assert (chunk.indexes, chunk.values, chunk.keys) == ([10, 13], [{"n": 1}, None], ["a", None])
    assert b",".join(chunk.texts) == b'{"n":1},null'
