# Written from _async/streams.py by `make generate`. Change that file instead.

"""Streams of events, outcomes and runs: iterators that are also context managers."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from typing import Any, Generic, Self, TypeVar

from ..events import RunEvent
from ..types.models import find_data_frame_type
from ..types.results import Outcome, OutputT
from ..types.runs import RunDetails

Item = TypeVar("Item")


class _Stream(Iterator[Item], Generic[Item]):
    """Warns if it is forgotten after it was begun and neither read to its end nor closed."""

    _has_begun = False
    _holds_resources = True
    """Whether an open stream holds a connection or runs."""

    def __init__(self, source: Generator[Item, None]) -> None:
        self._source: Any = source

    def __del__(self) -> None:
        source = getattr(self, "_source", None)
        frame = getattr(source, "ag_frame", None) or getattr(source, "gi_frame", None)
        if self._has_begun and self._holds_resources and frame is not None:
            message = f"{type(self).__name__} was not closed: use it in a with block"
            warnings.warn(message, ResourceWarning, stacklevel=2, source=self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        self._has_begun = True
        # This frame keeps the stream alive in `anext(client.map(...))`.
        item: Item = next(self._source)
        return item

    def close(self) -> None:
        """End the stream at once."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class SyncEventStream(_Stream[RunEvent]):
    """The events of a run. Leaving its `with` block closes the connection at once."""

    cursor: str | None = None
    """The cursor of the last event that was yielded; None before the first one."""

    def __next__(self) -> RunEvent:
        """Return the next event."""
        event = super().__next__()
        self.cursor = event.cursor
        return event


class SyncOutcomeStream(_Stream[Outcome[OutputT]], Generic[OutputT]):
    """The outcomes of a batch. Leaving its `with` block ends the batch at once, and cancels its runs if asked."""

    def __init__(self, source: Generator[list[Outcome[OutputT]], None]) -> None:
        self._source = source
        self._ready: Iterator[Outcome[OutputT]] = iter(())

    def __next__(self) -> Outcome[OutputT]:
        """Return the next outcome."""
        self._has_begun = True
        for outcome in self._ready:
            return outcome
        self._ready = iter(next(self._source))
        return next(self._ready)

    def close(self) -> None:
        """End the batch at once. Outcomes that were not yielded yet are left out."""
        self._ready = iter(())
        super().close()

    def chunks(self) -> Generator[list[Outcome[OutputT]], None, None]:
        """Yield the outcomes in lists: those of a run together, once it has ended. This is faster than one by one.

        With `ordered=True`, a list may have the outcomes of several runs.
        """
        self._has_begun = True
        if left := list(self._ready):
            yield left
        for chunk in self._source:
            yield chunk

    def to_dataframe(self) -> Any:
        """Read all outcomes and return them as a data frame of pandas or polars, in the order of their inputs.

        Raises:
            StepflowClientError: If neither is installed; then nothing is read.
        """
        make_data_frame = find_data_frame_type()
        outcomes = sorted([outcome for outcome in self], key=lambda outcome: outcome.index)
        return make_data_frame([outcome.to_dict() for outcome in outcomes])


class SyncRunPager(_Stream[RunDetails]):
    """Runs, newest first, read page by page. Nothing is open between two pages."""

    _holds_resources = False
