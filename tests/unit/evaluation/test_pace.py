"""Readers of the same cases stay together."""

from __future__ import annotations

import asyncio
import threading

import pytest
from stepflow_client.evaluation.pace import AsyncPace, SyncPace

AHEAD, COUNT = 3, 40


class Readers:
    """How far each reader is, and the largest distance that was seen."""

    def __init__(self, count: int) -> None:
        self.read = [0] * count
        self.distance = 0
        self.lock = threading.Lock()

    def note(self, reader: int, count: int, still: set[int]) -> None:
        with self.lock:
            self.read[reader] += count
            self.distance = max(self.distance, self.read[reader] - min(self.read[each] for each in still))


@pytest.mark.anyio
async def test_no_task_is_far_ahead() -> None:
    pace, readers, still = AsyncPace(3, AHEAD), Readers(3), {0, 1, 2}

    async def read(reader: int) -> None:
        while readers.read[reader] < COUNT:
            count = await pace.turn(reader, 1 + reader)
            assert 0 < count <= 1 + reader
            readers.note(reader, count, still)
            pace.moved(reader, count)
            await asyncio.sleep(0.001 * reader)
        still.discard(reader)
        pace.leave(reader)

    await asyncio.wait_for(asyncio.gather(*map(read, range(3))), 60)
    assert readers.distance <= AHEAD
    assert min(readers.read) >= COUNT


def test_no_thread_is_far_ahead() -> None:
    pace, readers = SyncPace(3, AHEAD), Readers(3)

    def read(reader: int) -> None:
        while readers.read[reader] < COUNT:
            count = pace.turn(reader, 1)
            readers.note(reader, count, {0, 1, 2})
            pace.moved(reader, count)
        pace.leave(reader)

    threads = [threading.Thread(target=read, args=[reader], daemon=True) for reader in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60)
    assert readers.read == [COUNT] * 3
    assert readers.distance <= AHEAD + 1


@pytest.mark.anyio
async def test_readers_that_wait_can_be_stopped() -> None:
    pace, twin = AsyncPace(2, AHEAD), SyncPace(2, AHEAD)
    for each in (pace, twin):
        each.moved(0, AHEAD)
    waiting = asyncio.create_task(pace.turn(0, 1))
    thread = asyncio.create_task(asyncio.to_thread(twin.turn, 0, 1))
    await asyncio.sleep(0)
    pace.stop()
    twin.stop()
    assert await asyncio.wait_for(waiting, 60) == await asyncio.wait_for(thread, 60) == 0


@pytest.mark.anyio
async def test_a_reader_that_has_left_is_not_waited_for() -> None:
    pace = AsyncPace(2, AHEAD)
    pace.leave(1)
    pace.moved(0, 10 * AHEAD)
    assert await asyncio.wait_for(pace.turn(0, 2), 60) == 2
