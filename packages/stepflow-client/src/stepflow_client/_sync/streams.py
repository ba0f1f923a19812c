# Written from _async/streams.py by `make generate`. Change that file instead.

"""Streams of events, outcomes and runs (both iterators and context managers)."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from typing import Any, Generic, Self, TypeVar

from ..events import RunEvent
from ..types.model_base import get_data_frame_maker
from ..types.results import Outcome, OutputT
from ..types.runs import RunDetails

Item = TypeVar("Item")


class _Stream(Iterator[Item], Generic[Item]):
    """An iterator that warns if it was started but never finished or closed."""

    _has_begun = False
    _holds_resources = True
    """Whether the stream ties up a connection, or has runs in progress, while it's open."""

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
        # Keep the stream alive during `anext(client.map(...))` by awaiting in this frame.
        item: Item = next(self._source)
        return item

    def close(self) -> None:
        """End the stream immediately."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class SyncEventStream(_Stream[RunEvent]):
    """The events of a run. Leaving its `with` block closes the connection immediately."""

    cursor: str | None = None
    """The cursor of the most recently yielded event, or None if there hasn't been one yet."""

    def __next__(self) -> RunEvent:
        """Return the next event."""
        event = super().__next__()
        self.cursor = event.cursor
        return event


class SyncOutcomeStream(_Stream[Outcome[OutputT]], Generic[OutputT]):
    """The outcomes of a batch. Leaving its `with` block ends the batch and, if requested, cancels its runs."""

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
        """End the batch immediately, dropping any outcomes that haven't been yielded."""
        self._ready = iter(())
        super().close()

    def chunks(self) -> Generator[list[Outcome[OutputT]], None, None]:
        """Yield outcomes in lists, one per run that has ended. This is faster than iterating over them one by one.

        With `ordered=True`, a list can contain the outcomes of several runs.
        """
        self._has_begun = True
        if left := list(self._ready):
            yield left
        for chunk in self._source:
            yield chunk

    def to_dataframe(self) -> Any:
        """Read all outcomes and return them as a pandas or polars data frame, in input order.

        Raises:
            StepflowClientError: If neither library is installed (in which case nothing is read).
        """
        make_data_frame = get_data_frame_maker()
        outcomes = sorted([outcome for outcome in self], key=lambda outcome: outcome.index)
        return make_data_frame([outcome.to_dict() for outcome in outcomes])


class SyncRunPager(_Stream[RunDetails]):
    """Runs, newest first, fetched one page at a time. No connection stays open between pages."""

    _holds_resources = False
