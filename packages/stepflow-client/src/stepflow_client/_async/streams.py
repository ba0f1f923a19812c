"""Streams of events, outcomes and runs (both iterators and context managers)."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, Generic, Self, TypeVar

from ..events import RunEvent
from ..types.model_base import get_data_frame_maker
from ..types.results import Outcome, OutputT
from ..types.runs import RunDetails

Item = TypeVar("Item")


class _Stream(AsyncIterator[Item], Generic[Item]):
    """An iterator that warns if it was started but never finished or closed."""

    _has_begun = False
    _holds_resources = True
    """Whether the stream ties up a connection, or has runs in progress, while it's open."""

    def __init__(self, source: AsyncGenerator[Item, None]) -> None:
        self._source: Any = source

    def __del__(self) -> None:
        source = getattr(self, "_source", None)
        frame = getattr(source, "ag_frame", None) or getattr(source, "gi_frame", None)
        if self._has_begun and self._holds_resources and frame is not None:
            message = f"{type(self).__name__} was not closed: use it in a with block"
            warnings.warn(message, ResourceWarning, stacklevel=2, source=self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        self._has_begun = True
        # Keep the stream alive during `anext(client.map(...))` by awaiting in this frame.
        item: Item = await anext(self._source)
        return item

    async def aclose(self) -> None:
        """End the stream immediately."""
        await self._source.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()


class EventStream(_Stream[RunEvent]):
    """The events of a run. Leaving its `async with` block closes the connection immediately."""

    cursor: str | None = None
    """The cursor of the most recently yielded event, or None if there hasn't been one yet."""

    async def __anext__(self) -> RunEvent:
        """Return the next event."""
        event = await super().__anext__()
        self.cursor = event.cursor
        return event


class OutcomeStream(_Stream[Outcome[OutputT]], Generic[OutputT]):
    """The outcomes of a batch. Leaving its `async with` block ends the batch and, if requested, cancels its runs."""

    def __init__(self, source: AsyncGenerator[list[Outcome[OutputT]], None]) -> None:
        self._source = source
        self._ready: Iterator[Outcome[OutputT]] = iter(())

    async def __anext__(self) -> Outcome[OutputT]:
        """Return the next outcome."""
        self._has_begun = True
        for outcome in self._ready:
            return outcome
        self._ready = iter(await anext(self._source))
        return next(self._ready)

    async def aclose(self) -> None:
        """End the batch immediately, dropping any outcomes that haven't been yielded."""
        self._ready = iter(())
        await super().aclose()

    async def chunks(self) -> AsyncGenerator[list[Outcome[OutputT]], None]:
        """Yield outcomes in lists, one per run that has ended. This is faster than iterating over them one by one.

        With `ordered=True`, a list can contain the outcomes of several runs.
        """
        self._has_begun = True
        if left := list(self._ready):
            yield left
        async for chunk in self._source:
            yield chunk

    async def to_dataframe(self) -> Any:
        """Read all outcomes and return them as a pandas or polars data frame, in input order.

        Raises:
            StepflowClientError: If neither library is installed (in which case nothing is read).
        """
        make_data_frame = get_data_frame_maker()
        outcomes = sorted([outcome async for outcome in self], key=lambda outcome: outcome.index)
        return make_data_frame([outcome.to_dict() for outcome in outcomes])


class RunPager(_Stream[RunDetails]):
    """Runs, newest first, fetched one page at a time. No connection stays open between pages."""

    _holds_resources = False
