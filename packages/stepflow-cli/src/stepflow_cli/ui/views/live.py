"""Streams of server-sent events for open pages.

`change` says that the page's content has changed: the page fetches itself again and takes over what differs. The server
renders everything, so that an open page and a new one show the same. No message contains a text of a flow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from stepflow_client import StepflowClientError

from ...params.run_query import parse_query
from ..following import RunFollower
from ..site import Site, site_of
from .runs import number_of, progress_of, query_of

_BETWEEN = 0.5
"""Minimum seconds between two messages, because thousands of events may arrive."""
_EVERY = 1.5
_END_EVERY = 3.0
"""Seconds between two changes of a page that is still open after the last event of its run."""
_COMMENT_EVERY = 10
_CHANGE = "event: change\ndata: {}\n\n"


class _Watch:
    """Watches only whether the server responds, which every page shows."""

    async def has_changed(self) -> bool:
        """Wait up to `_EVERY` seconds for a change, and return whether there was one."""
        await asyncio.sleep(_EVERY)
        return False

    def held(self) -> AbstractContextManager[None]:
        """Return a context in which it is watched."""
        return nullcontext()


class _Polled(_Watch):
    """Watches something that has to be requested again and again. The first time, it has changed."""

    def __init__(self, read: Callable[[], Awaitable[Any]]) -> None:
        self._read = read
        self._seen: Any = None

    async def has_changed(self) -> bool:
        if self._seen is not None:
            await asyncio.sleep(_EVERY)
        before, self._seen = self._seen, await self._read()
        return bool(self._seen != before)


class _Run(_Watch):
    """Watches a run: each event changes its page, and so does a long time without any.

    Of a page about one item, only a change of what `item` returns changes the page.
    """

    def __init__(self, follower: RunFollower, item: Callable[[], Awaitable[Any]] | None = None) -> None:
        self._follower, self._item = follower, item
        self._seen: Any = None
        self._version = -1

    async def has_changed(self) -> bool:
        follower = self._follower
        self._version = await follower.changes(self._version, _EVERY)
        state = self._version if self._item is None else await self._item()
        # The server may still report a run as running whose last event is known.
        ended = time.monotonic() // _END_EVERY if follower.has_ended else None
        before, self._seen = self._seen, (state, ended, follower.quiet_since)
        return bool(self._seen != before)

    def held(self) -> AbstractContextManager[None]:
        return self._follower.page()


async def live(request: Request) -> Response:
    """Send the live state that every page shows: whether the server responds."""
    return _stream(request, _Watch())


async def live_runs(request: Request) -> Response:
    """Send an event when the newest runs of a list change, or the progress of its running batches."""
    site, query = site_of(request), query_of(request)

    async def shown() -> Any:
        runs = await site.listings.newest(parse_query(str(query)).fields)
        return [(run.run_id, run.status.value, run.items) for run in runs], await progress_of(site, runs)

    return _stream(request, _Polled(shown))


async def live_run(request: Request) -> Response:
    """Send an event when something happens in a run."""
    site = site_of(request)
    run = await site.run(request.path_params["run_id"])
    follower = await site.followers.of(run.run_id)
    if "item" not in request.query_params:
        return _stream(request, _Run(follower))
    index = number_of(request, "item", 0)

    async def item() -> Any:
        # A cancelled run has no event of its end while its steps are executed.
        return follower.steps_of(index), (await site.run(run.run_id)).status

    return _stream(request, _Run(follower, item))


async def live_rerun(request: Request) -> Response:
    """Send an event when the state of a run of a rerun changes."""
    site = site_of(request)
    again = site.reruns.get(request.path_params["key"])

    async def statuses() -> list[str]:
        return [] if again is None else [run.status.value for run in await again.runs(site)]

    return _stream(request, _Polled(statuses))


def _stream(request: Request, watch: _Watch) -> Response:
    messages = _messages(site_of(request), watch, request.app.state.stopping)
    return StreamingResponse(messages, media_type="text/event-stream")


async def _messages(site: Site, watch: _Watch, stopping: asyncio.Event) -> AsyncIterator[str]:
    was_up: bool | None = None
    quiet = 0
    yield "retry: 1000\n\n"
    with watch.held():
        while not stopping.is_set():
            is_up = await site.health.is_up()
            if is_up != was_up:
                yield f"event: server\ndata: {'up' if is_up else 'down'}\n\n"
                was_up, quiet = is_up, 0
            try:
                is_new = is_up and await asyncio.wait_for(watch.has_changed(), _EVERY * 2)
            except (StepflowClientError, TimeoutError):
                is_new = False
                await asyncio.sleep(_BETWEEN)
            if is_new:
                yield _CHANGE
            quiet = 0 if is_new else quiet + 1
            if quiet % _COMMENT_EVERY == _COMMENT_EVERY - 1:
                yield ": \n\n"
            await asyncio.sleep(_BETWEEN)
