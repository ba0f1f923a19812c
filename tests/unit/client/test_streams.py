"""Outcome streams close at the end of their with block and warn if they are never closed."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from stepflow_client import OutcomeStream, SyncOutcomeStream

CHUNKS: list[list[Any]] = [[0, 1], [2]]


class Source:
    def __init__(self) -> None:
        self.is_closed = False

    def sync(self) -> Generator[list[Any], None, None]:
        try:
            yield from CHUNKS
        finally:
            self.is_closed = True

    async def asynchronous(self) -> AsyncGenerator[list[Any], None]:
        try:
            for chunk in CHUNKS:
                yield chunk
        finally:
            self.is_closed = True


def test_leaving_the_block_closes_a_stream() -> None:
    source = Source()
    with SyncOutcomeStream(source.sync()) as stream:
        for _ in stream:
            break
        assert not source.is_closed
    assert source.is_closed
    assert list(stream) == []


def test_leaving_the_block_closes_an_async_stream() -> None:
    async def leave() -> list[int]:
        source = Source()
        async with OutcomeStream(source.asynchronous()) as stream:
            async for _ in stream:
                break
            assert not source.is_closed
        assert source.is_closed
        return [each async for each in stream]

    assert asyncio.run(leave()) == []


def test_an_unclosed_stream_warns() -> None:
    def forget() -> None:
        next(SyncOutcomeStream(Source().sync()))
        gc.collect()

    with pytest.warns(ResourceWarning, match="SyncOutcomeStream was not closed: use it in a with block"):
        forget()


def test_an_unstarted_or_exhausted_stream_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(SyncOutcomeStream(Source().sync())) == [0, 1, 2]
        SyncOutcomeStream(Source().sync())
        gc.collect()


def test_outcomes_are_read_one_by_one_or_in_chunks() -> None:
    assert list(SyncOutcomeStream(Source().sync()).chunks()) == CHUNKS
    stream = SyncOutcomeStream(Source().sync())
    assert next(stream) == 0
    assert list(stream.chunks()) == [[1], [2]]

    async def read() -> tuple[Any, list[Any]]:
        stream = OutcomeStream(Source().asynchronous())
        return await anext(stream), [each async for each in stream.chunks()]

    assert asyncio.run(read()) == (0, [[1], [2]])
