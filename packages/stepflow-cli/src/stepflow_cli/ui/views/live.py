"""Streams of server-sent events for open pages.

`change` says that the page's content has changed: the page fetches itself again and takes over what differs.
`progress` has the numbers of a batch or of the batches of a list, which change too often for that. No message contains
a text of a flow.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from stepflow_client import StepflowClientError

from ..reports import MOST_DRAWN_ITEMS
from ..site import Site, site_of
from ..states import changes
from .runs import filters_of, number_of, numbers_of, progress_of

if TYPE_CHECKING:
    from ..following import RunFollower

_BETWEEN = 0.5
"""Minimum seconds between two messages, because thousands of events may arrive."""
_BETWEEN_NUMBERS = 0.25
_BETWEEN_PICTURES = 3.0
"""Minimum seconds between two changes of the page of a running batch, whose numbers are sent without it."""
_EVERY = 1.5
_COMMENT_EVERY = 10
_CHANGE = "event: change\ndata: {}\n\n"


class Watched(Protocol):
    """What a page watches."""

    between: float
    """Minimum seconds between two messages."""

    async def messages(self) -> list[str]:
        """Wait up to `_EVERY` seconds for something new, and return its messages."""
        ...

    def held(self) -> AbstractContextManager[None]:
        """Return a context in which it stays watched."""
        ...


class _Nothing:
    """Only whether the server responds, which every page shows."""

    between = _BETWEEN

    async def messages(self) -> list[str]:
        await asyncio.sleep(_EVERY)
        return []

    def held(self) -> AbstractContextManager[None]:
        return nullcontext()


class _Rerun(_Nothing):
    """The states of the runs of a rerun."""

    def __init__(self, site: Site, again: Any) -> None:
        self._site, self._again = site, again
        self._seen: list[str] | None = None

    async def messages(self) -> list[str]:
        if self._seen is not None:
            await asyncio.sleep(_EVERY)
        runs = [] if self._again is None else await self._again.runs(self._site)
        before, self._seen = self._seen, [run.status.value for run in runs]
        return [] if self._seen == before else [_CHANGE]


class _Runs(_Nothing):
    """The newest runs of a list, and the progress of the batches among them."""

    def __init__(self, site: Site, filters: dict[str, str]) -> None:
        self._site, self._filters = site, filters
        self._seen: list[Any] | None = None
        self._numbers: dict[str, Any] = {}

    async def messages(self) -> list[str]:
        if self._seen is not None:
            await asyncio.sleep(_EVERY)
        runs = await self._site.listings.newest(self._filters)
        now = [(run.run_id, run.status.value, run.items) for run in runs]
        # The page's content may already be older than the first state.
        told = [] if now == self._seen else [_CHANGE]
        self._seen = now
        progress = await progress_of(self._site, runs)
        numbers = {run_id: numbers_of(each) for run_id, each in progress.items()}
        new = {run_id: each for run_id, each in numbers.items() if self._numbers.get(run_id) != each}
        self._numbers = numbers
        return [*told, _message("progress", {"runs": new})] if new else told


class _Run:
    """A run of one item: each event changes its page."""

    between = _BETWEEN

    def __init__(self, follower: RunFollower) -> None:
        self._follower = follower
        self._version = -1

    async def messages(self) -> list[str]:
        before = self._version
        self._version = await self._follower.changes(before, _EVERY)
        return [] if self._version == before else [_CHANGE]

    def held(self) -> AbstractContextManager[None]:
        return self._follower.page()


class _Item(_Run):
    """An item of a batch: the events of its steps change its page."""

    def __init__(self, follower: RunFollower, index: int) -> None:
        super().__init__(follower)
        self._index = index
        self._steps: Any = None

    async def messages(self) -> list[str]:
        is_new = bool(await super().messages())
        before, self._steps = self._steps, (self._follower.steps_of(self._index), self._follower.has_ended)
        return [_CHANGE] if is_new and self._steps != before else []


class _Batch(_Run):
    """A run of many items: its events change numbers, and its page only now and then."""

    between = _BETWEEN_NUMBERS

    def __init__(self, follower: RunFollower, *, is_drawn: bool) -> None:
        super().__init__(follower)
        self._is_drawn = is_drawn
        self._had_ended = False
        self._changed_at = time.monotonic()
        self._text, self._codes = "", b""

    async def messages(self) -> list[str]:
        is_new = bool(await super().messages())
        told = self._numbers()
        has_ended, now = self._follower.has_ended, time.monotonic()
        # The end is told at once, and again if the page does not know it yet.
        is_due = now - self._changed_at >= _BETWEEN_PICTURES and (has_ended or (self._is_drawn and is_new))
        if is_due or has_ended != self._had_ended:
            told.append(_CHANGE)
            self._changed_at, self._had_ended = now, has_ended
        return told

    def _numbers(self) -> list[str]:
        progress, codes = self._follower.progress(), self._follower.codes()
        if progress is None or (str(progress), codes) == (self._text, self._codes):
            return []
        numbers = {**numbers_of(progress), "states": changes(self._codes, codes)}
        self._text, self._codes = str(progress), codes
        return [_message("progress", numbers)]


async def live(request: Request) -> Response:
    """Send the live state that every page shows: whether the server responds."""
    return _stream(request, _Nothing())


async def live_runs(request: Request) -> Response:
    """Send an event when the newest runs of a list change, and the progress of its running batches."""
    return _stream(request, _Runs(site_of(request), filters_of(request)))


async def live_run(request: Request) -> Response:
    """Send an event when something happens in a run."""
    site = site_of(request)
    run = await site.run(request.path_params["run_id"])
    follower = await site.followers.of(run.run_id)
    if run.items.total == 1:
        return _stream(request, _Run(follower))
    if "item" in request.query_params:
        return _stream(request, _Item(follower, number_of(request, "item", 0)))
    return _stream(request, _Batch(follower, is_drawn=run.items.total <= MOST_DRAWN_ITEMS))


async def live_rerun(request: Request) -> Response:
    """Send an event when the state of a run of a rerun changes."""
    site = site_of(request)
    return _stream(request, _Rerun(site, site.reruns.get(request.path_params["key"])))


def _message(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n"


def _stream(request: Request, watched: Watched) -> Response:
    messages = _messages(site_of(request), watched, request.app.state.stopping)
    return StreamingResponse(messages, media_type="text/event-stream")


async def _messages(site: Site, watched: Watched, stopping: asyncio.Event) -> AsyncIterator[str]:
    was_up: bool | None = None
    quiet = 0
    yield "retry: 1000\n\n"
    with watched.held():
        while not stopping.is_set():
            is_up = await site.health.is_up()
            if is_up != was_up:
                yield f"event: server\ndata: {'up' if is_up else 'down'}\n\n"
                was_up, quiet = is_up, 0
            try:
                told = await asyncio.wait_for(watched.messages(), _EVERY * 2) if is_up else []
            except (StepflowClientError, TimeoutError):
                told = []
                await asyncio.sleep(_BETWEEN)
            for message in told:
                yield message
            quiet = 0 if told else quiet + 1
            if quiet % _COMMENT_EVERY == _COMMENT_EVERY - 1:
                yield ": \n\n"
            await asyncio.sleep(watched.between)
