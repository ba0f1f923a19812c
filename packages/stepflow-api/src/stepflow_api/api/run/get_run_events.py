# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ... import models
from ...types import EventReader

if TYPE_CHECKING:
    from ...client import AuthenticatedClient, Client

from ... import errors
from ...types import UNSET, Unset

METHOD = "GET"
"""The HTTP method."""
PATH = "/runs/{run_id}/events"
"""The path below the root of the API, with the names of its parameters in braces."""


def build_request(
    run_id: str,
    *,
    since: int | Unset = UNSET,
    include_sub_runs: bool | Unset = UNSET,
    include_results: bool | Unset = UNSET,
) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for this operation. Nothing is sent."""

    params: dict[str, Any] = {}

    params["since"] = since

    params["includeSubRuns"] = include_sub_runs

    params["includeResults"] = include_results

    params["runId"] = run_id

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH.format(
            run_id=quote(str(run_id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def sync(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    since: int | Unset = UNSET,
    include_sub_runs: bool | Unset = UNSET,
    include_results: bool | Unset = UNSET,
) -> Generator[models.RunEvent, None, None]:
    """Follow a run's events as a stream.

    Server-sent events, replayed from the first or from `since`, then live; the stream ends after the
    run's RunCompleted. Every event is one `data:` line holding a RunEvent as JSON and an empty line;
    there are no `id:`, `event:` or `retry:` lines. A comment line keeps the stream alive after 15
    seconds of silence. Cancelling a run sends no event.

    Args:
        run_id (str): The id of the run to follow.
        since (int | Unset): Start with this sequence number, itself included. A number past the
            last event of a finished run makes the stream wait for ever. Default is the first event.
        include_sub_runs (bool | Unset): Send the events of sub-runs too. Their step ids are
            looked up in the flow of the followed run and are therefore wrong or missing. Default
            false.
        include_results (bool | Unset): Put the output into the StepCompleted events of steps that
            succeeded. Default false.

    Raises:
        errors.ApiError: If the server responds with an error.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Generator[RunEvent, None, None]
    """

    reader = EventReader(models.RunEvent)
    with client.get_httpx_client().stream(
        **build_request(
            run_id=run_id,
            since=since,
            include_sub_runs=include_sub_runs,
            include_results=include_results,
        )
    ) as response:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise errors.ApiError(response.status_code, response.read())
        for chunk in response.iter_bytes():
            for event in reader.feed(chunk):
                yield event


async def asyncio(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    since: int | Unset = UNSET,
    include_sub_runs: bool | Unset = UNSET,
    include_results: bool | Unset = UNSET,
) -> AsyncGenerator[models.RunEvent, None]:
    """Follow a run's events as a stream.

    Server-sent events, replayed from the first or from `since`, then live; the stream ends after the
    run's RunCompleted. Every event is one `data:` line holding a RunEvent as JSON and an empty line;
    there are no `id:`, `event:` or `retry:` lines. A comment line keeps the stream alive after 15
    seconds of silence. Cancelling a run sends no event.

    Args:
        run_id (str): The id of the run to follow.
        since (int | Unset): Start with this sequence number, itself included. A number past the
            last event of a finished run makes the stream wait for ever. Default is the first event.
        include_sub_runs (bool | Unset): Send the events of sub-runs too. Their step ids are
            looked up in the flow of the followed run and are therefore wrong or missing. Default
            false.
        include_results (bool | Unset): Put the output into the StepCompleted events of steps that
            succeeded. Default false.

    Raises:
        errors.ApiError: If the server responds with an error.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        AsyncGenerator[RunEvent, None]
    """

    reader = EventReader(models.RunEvent)
    async with client.get_async_httpx_client().stream(
        **build_request(
            run_id=run_id,
            since=since,
            include_sub_runs=include_sub_runs,
            include_results=include_results,
        )
    ) as response:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise errors.ApiError(response.status_code, await response.aread())
        async for chunk in response.aiter_bytes():
            for event in reader.feed(chunk):
                yield event
