"""Streams of server-sent events, which notify an open page that its content has changed.

Messages hold no data of the server: the page fetches itself again and replaces the parts that differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..site import Site, site_of
from .runs import filters_of, listed

_BETWEEN = 0.5
"""Minimum seconds between two messages, because thousands of events may arrive."""
_EVERY = 1.5
_COMMENT_EVERY = 10

State = Callable[[Any], Awaitable[Any]]
"""Waits up to `_EVERY` seconds for a state that differs from the given one, and returns it."""


async def live(request: Request) -> Response:
    """Send the live state that every page shows: whether the server responds."""

    async def nothing(before: Any) -> None:
        await asyncio.sleep(_EVERY)

    return _stream(request, nothing)


async def live_runs(request: Request) -> Response:
    """Send an event when the newest runs of a list change."""
    site, filters = site_of(request), filters_of(request)

    async def newest(before: Any) -> Any:
        if before is not None:
            await asyncio.sleep(_EVERY)
        runs = await listed(site, filters, 1)
        return [(run.run_id, run.status.value, run.items) for run in runs]

    return _stream(request, newest)


async def live_run(request: Request) -> Response:
    """Send an event when something happens in a run."""
    site = site_of(request)
    run = await site.client.get_run(request.path_params["run_id"])
    follower = await site.followers.of(run.run_id)

    async def state(before: Any) -> Any:
        return await follower.changes(-1 if before is None else before, _EVERY)

    return _stream(request, state, follower.page)


async def live_rerun(request: Request) -> Response:
    """Send an event when the state of a run of a rerun changes."""
    site = site_of(request)
    again = site.reruns.get(request.path_params["key"])

    async def statuses(before: Any) -> Any:
        if before is not None:
            await asyncio.sleep(_EVERY)
        return [] if again is None else [run.status.value for run in await again.runs(site)]

    return _stream(request, statuses)


def _stream(request: Request, state: State, held: Callable[[], Any] | None = None) -> Response:
    messages = _messages(site_of(request), state, request.app.state.stopping, held)
    return StreamingResponse(messages, media_type="text/event-stream")


async def _messages(
    site: Site, state: State, stopping: asyncio.Event, held: Callable[[], Any] | None
) -> AsyncIterator[str]:
    from contextlib import nullcontext

    from stepflow_client import StepflowClientError

    was_up: bool | None = None
    seen: Any = None
    quiet = 0
    yield "retry: 1000\n\n"
    with held() if held else nullcontext():
        while not stopping.is_set():
            is_up = await site.health.is_up()
            if is_up != was_up:
                yield f"event: server\ndata: {'up' if is_up else 'down'}\n\n"
                was_up, quiet = is_up, 0
            try:
                now = await asyncio.wait_for(state(seen), _EVERY * 2) if is_up else seen
            except (StepflowClientError, TimeoutError):
                now = seen
                await asyncio.sleep(_BETWEEN)
            if now != seen:
                # The page's content may already be older than the first state.
                yield "event: change\ndata: {}\n\n"
                seen, quiet = now, 0
            quiet += 1
            if quiet % _COMMENT_EVERY == 0:
                yield ": \n\n"
            await asyncio.sleep(_BETWEEN)
