# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.error_envelope import ErrorEnvelope


from ... import errors
from ...types import UNSET, Response, Unset

METHOD = "GET"
"""The HTTP method."""
PATH = "/runs/{path_run_id}/events"
"""The path below the API's root, with the names of its parameters in braces."""


def build_request(
    path_run_id: str,
    *,
    run_id: str,
    since: int | Unset = UNSET,
    include_sub_runs: bool | Unset = UNSET,
    include_results: bool | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request of this operation, as arguments of `httpx.Client.request`. Nothing is sent.

    The parameters are those of `sync_detailed`.
    """

    params: dict[str, Any] = {}

    params["runId"] = run_id

    params["since"] = since

    params["includeSubRuns"] = include_sub_runs

    params["includeResults"] = include_results

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH.format(
            path_run_id=quote(str(path_run_id), safe=""),
        ),
        "params": params,
    }
    return _kwargs


def _parse_response(response: httpx.Response) -> ErrorEnvelope | str | None:
    from ...models.error_envelope import ErrorEnvelope

    status = response.status_code
    if status == 200:
        response_200 = response.text
        return response_200

    if status == 400:
        if response.headers.get("content-type", "").startswith("text/plain"):
            return response.text

        response_400 = ErrorEnvelope.from_dict(response.json())

        return response_400

    if status == 404:
        response_404 = ErrorEnvelope.from_dict(response.json())

        return response_404

    return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorEnvelope | str]:
    status = response.status_code
    if client.raise_on_unexpected_status and not (status == 200 or status == 400 or status == 404):
        raise errors.UnexpectedStatus(status, response.content)
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, response),
    )


def sync_detailed(
    path_run_id: str,
    *,
    client: AuthenticatedClient | Client,
    run_id: str,
    since: int | Unset = UNSET,
    include_sub_runs: bool | Unset = UNSET,
    include_results: bool | Unset = UNSET,
) -> Response[ErrorEnvelope | str]:
    """Follow a run's events as a stream.

    Server-sent events, replayed from the first or from `since`, then live; the stream ends after the
    run's RunCompleted. Every event is one `data:` line holding a RunEvent as JSON and an empty line;
    there are no `id:`, `event:` or `retry:` lines. A comment line keeps the stream alive after 15
    seconds of silence. Cancelling a run sends no event.

    Args:
        path_run_id (str): Not read by the server; give the run's id here too.
        run_id (str): The id of the run to follow.
        since (int | Unset): Start with this sequence number, itself included. A number past the
            last event of a finished run makes the stream wait for ever. Default is the first event.
        include_sub_runs (bool | Unset): Send the events of sub-runs too. Their step ids are
            looked up in the flow of the followed run and are therefore wrong or missing. Default
            false.
        include_results (bool | Unset): Put the output into the StepCompleted events of steps that
            succeeded. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | str]
    """

    kwargs = build_request(
        path_run_id=path_run_id,
        run_id=run_id,
        since=since,
        include_sub_runs=include_sub_runs,
        include_results=include_results,
    )
    response = client.get_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


def sync(
    path_run_id: str,
    *,
    client: AuthenticatedClient | Client,
    run_id: str,
    since: int | Unset = UNSET,
    include_sub_runs: bool | Unset = UNSET,
    include_results: bool | Unset = UNSET,
) -> ErrorEnvelope | str | None:
    """Follow a run's events as a stream.

    Server-sent events, replayed from the first or from `since`, then live; the stream ends after the
    run's RunCompleted. Every event is one `data:` line holding a RunEvent as JSON and an empty line;
    there are no `id:`, `event:` or `retry:` lines. A comment line keeps the stream alive after 15
    seconds of silence. Cancelling a run sends no event.

    Args:
        path_run_id (str): Not read by the server; give the run's id here too.
        run_id (str): The id of the run to follow.
        since (int | Unset): Start with this sequence number, itself included. A number past the
            last event of a finished run makes the stream wait for ever. Default is the first event.
        include_sub_runs (bool | Unset): Send the events of sub-runs too. Their step ids are
            looked up in the flow of the followed run and are therefore wrong or missing. Default
            false.
        include_results (bool | Unset): Put the output into the StepCompleted events of steps that
            succeeded. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | str
    """

    return (
        sync_detailed(
            path_run_id=path_run_id,
            client=client,
            run_id=run_id,
            since=since,
            include_sub_runs=include_sub_runs,
            include_results=include_results,
        )
    ).parsed


async def asyncio_detailed(
    path_run_id: str,
    *,
    client: AuthenticatedClient | Client,
    run_id: str,
    since: int | Unset = UNSET,
    include_sub_runs: bool | Unset = UNSET,
    include_results: bool | Unset = UNSET,
) -> Response[ErrorEnvelope | str]:
    """Follow a run's events as a stream.

    Server-sent events, replayed from the first or from `since`, then live; the stream ends after the
    run's RunCompleted. Every event is one `data:` line holding a RunEvent as JSON and an empty line;
    there are no `id:`, `event:` or `retry:` lines. A comment line keeps the stream alive after 15
    seconds of silence. Cancelling a run sends no event.

    Args:
        path_run_id (str): Not read by the server; give the run's id here too.
        run_id (str): The id of the run to follow.
        since (int | Unset): Start with this sequence number, itself included. A number past the
            last event of a finished run makes the stream wait for ever. Default is the first event.
        include_sub_runs (bool | Unset): Send the events of sub-runs too. Their step ids are
            looked up in the flow of the followed run and are therefore wrong or missing. Default
            false.
        include_results (bool | Unset): Put the output into the StepCompleted events of steps that
            succeeded. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | str]
    """

    kwargs = build_request(
        path_run_id=path_run_id,
        run_id=run_id,
        since=since,
        include_sub_runs=include_sub_runs,
        include_results=include_results,
    )
    response = await client.get_async_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


async def asyncio(
    path_run_id: str,
    *,
    client: AuthenticatedClient | Client,
    run_id: str,
    since: int | Unset = UNSET,
    include_sub_runs: bool | Unset = UNSET,
    include_results: bool | Unset = UNSET,
) -> ErrorEnvelope | str | None:
    """Follow a run's events as a stream.

    Server-sent events, replayed from the first or from `since`, then live; the stream ends after the
    run's RunCompleted. Every event is one `data:` line holding a RunEvent as JSON and an empty line;
    there are no `id:`, `event:` or `retry:` lines. A comment line keeps the stream alive after 15
    seconds of silence. Cancelling a run sends no event.

    Args:
        path_run_id (str): Not read by the server; give the run's id here too.
        run_id (str): The id of the run to follow.
        since (int | Unset): Start with this sequence number, itself included. A number past the
            last event of a finished run makes the stream wait for ever. Default is the first event.
        include_sub_runs (bool | Unset): Send the events of sub-runs too. Their step ids are
            looked up in the flow of the followed run and are therefore wrong or missing. Default
            false.
        include_results (bool | Unset): Put the output into the StepCompleted events of steps that
            succeeded. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | str
    """

    return (
        await asyncio_detailed(
            path_run_id=path_run_id,
            client=client,
            run_id=run_id,
            since=since,
            include_sub_runs=include_sub_runs,
            include_results=include_results,
        )
    ).parsed
