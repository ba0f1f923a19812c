"""Server-sent event streams for open pages.

A `change` event means that the page's content has changed. The page then fetches itself again and applies the
differences. Because the server renders everything, an open page always looks like a freshly loaded one. Events never
contain any text from a flow.
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

from ...params.runs import parse_user_run_query
from ..site_state import Site, get_site
from .runs import get_live_batch_progress, parse_number_parameter, parse_run_list_query

# Minimum time in seconds between events to the page, because thousands of run events can arrive at once.
_MIN_EVENT_SECONDS = 0.5
_POLL_SECONDS = 1.5
# How often (in seconds) to tell a page to refresh if it's still open after the last event of its run.
_FINAL_REFRESH_SECONDS = 3.0
_KEEPALIVE_INTERVAL = 10
_CHANGE_EVENT = "event: change\ndata: {}\n\n"


HasChanged = Callable[[], Awaitable[bool]]
"""Waits up to `_POLL_SECONDS` seconds for the page's content to change and returns whether it did."""


def _make_change_detector(read_state: Callable[[], Awaitable[Any]]) -> HasChanged:
    """Return a change detector that polls `read_state`. The first call always reports a change."""
    seen: Any = None

    async def has_changed() -> bool:
        nonlocal seen
        if seen is not None:
            await asyncio.sleep(_POLL_SECONDS)
        before, seen = seen, await read_state()
        return bool(seen != before)

    return has_changed


async def stream_server_health(request: Request) -> Response:
    """Send events for pages that only need to know whether the server responds."""

    async def has_changed() -> bool:
        await asyncio.sleep(_POLL_SECONDS)
        return False

    return _build_event_stream_response(request, has_changed)


async def stream_run_list_changes(request: Request) -> Response:
    """Send an event when the newest runs in a list change, or when its running batches make progress."""
    site, query = get_site(request), parse_run_list_query(request)

    async def read_shown_state() -> Any:
        runs = await site.run_lists.read_newest_runs(parse_user_run_query(str(query)).fields)
        return [(run.run_id, run.status.value, run.items) for run in runs], await get_live_batch_progress(site, runs)

    return _build_event_stream_response(request, _make_change_detector(read_shown_state))


async def stream_run_changes(request: Request) -> Response:
    """Send an event when a run changes or goes quiet. If the URL has an `item`, only consider that item."""
    site = get_site(request)
    run = await site.read_run_details(request.path_params["run_id"])
    follower = await site.followers.get_or_create_follower(run.run_id)
    is_item, index = "item" in request.query_params, parse_number_parameter(request, "item", 0)
    version, seen = -1, None

    async def has_changed() -> bool:
        nonlocal version, seen
        version = await follower.wait_for_change(version, _POLL_SECONDS)
        state: Any = version
        if is_item:
            # After the run is cancelled, steps that are still being executed don't send a final event.
            state = follower.list_started_steps_of_item(index), (await site.read_run_details(run.run_id)).status
        # The server may still report a run as running after its last event.
        ended = time.monotonic() // _FINAL_REFRESH_SECONDS if follower.has_ended else None
        before, seen = seen, (state, ended, follower.quiet_since)
        return bool(seen != before)

    return _build_event_stream_response(request, has_changed, follower.counting_page())


async def stream_rerun_changes(request: Request) -> Response:
    """Send an event when the status of any run started by a rerun changes."""
    site = get_site(request)
    again = site.reruns.get(request.path_params["key"])

    async def read_statuses() -> list[str]:
        return [] if again is None else [run.status.value for run in await again.fetch_started_runs(site)]

    return _build_event_stream_response(request, _make_change_detector(read_statuses))


def _build_event_stream_response(
    request: Request, has_changed: HasChanged, watching: AbstractContextManager[None] | None = None
) -> Response:
    messages = _iter_sse_messages(get_site(request), has_changed, watching or nullcontext(), request.app.state.stopping)
    return StreamingResponse(messages, media_type="text/event-stream")


async def _iter_sse_messages(
    site: Site, has_changed: HasChanged, watching: AbstractContextManager[None], stopping: asyncio.Event
) -> AsyncIterator[str]:
    was_up: bool | None = None
    quiet = 0
    yield "retry: 1000\n\n"
    with watching:
        while not stopping.is_set():
            is_up = await site.health.is_server_up()
            if is_up != was_up:
                yield f"event: server\ndata: {'up' if is_up else 'down'}\n\n"
                was_up, quiet = is_up, 0
            try:
                is_new = is_up and await asyncio.wait_for(has_changed(), _POLL_SECONDS * 2)
            except (StepflowClientError, TimeoutError):
                is_new = False
                await asyncio.sleep(_MIN_EVENT_SECONDS)
            if is_new:
                yield _CHANGE_EVENT
            quiet = 0 if is_new else quiet + 1
            if quiet % _KEEPALIVE_INTERVAL == _KEEPALIVE_INTERVAL - 1:
                yield ": \n\n"
            await asyncio.sleep(_MIN_EVENT_SECONDS)
