# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ... import models
from ...errors import Failure

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client

from ... import errors
from ...types import UNSET, Response, Unset

METHOD = "GET"
"""The HTTP method."""
PATH = "/runs"
"""The path below the root of the API, with the names of its parameters in braces."""


def build_request(
    *,
    flow_name: str | Unset = UNSET,
    status: models.RunStatus | Unset = UNSET,
    root_run_id: str | Unset = UNSET,
    parent_run_id: str | Unset = UNSET,
    roots_only: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for this operation. Nothing is sent."""

    params: dict[str, Any] = {}

    params["flowName"] = flow_name

    json_status: int | Unset = UNSET
    if not isinstance(status, Unset):
        json_status = status.value

    params["status"] = json_status

    params["rootRunId"] = root_run_id

    params["parentRunId"] = parent_run_id

    params["rootsOnly"] = roots_only

    params["limit"] = limit

    params["offset"] = offset

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH,
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> models.ListRunsResponse | Failure | None:
    if response.status_code == 200:
        response_200 = models.ListRunsResponse.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = response.text
        return response_400

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[models.ListRunsResponse]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, client=client, response=response),
        expected="ListRunsResponse",
        is_strict=client.raise_on_unexpected_status,
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    flow_name: str | Unset = UNSET,
    status: models.RunStatus | Unset = UNSET,
    root_run_id: str | Unset = UNSET,
    parent_run_id: str | Unset = UNSET,
    roots_only: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> Response[models.ListRunsResponse]:
    """List runs, newest first.

    Sub-runs are included unless `rootsOnly` is set. Without `limit` the answer holds every run the
    server knows. A malformed run id in a filter is ignored, and everything is listed.

    Args:
        flow_name (str | Unset): Only runs of flows with this name.
        status (RunStatus | Unset): The state of a run, item or step - 1 running, 2 completed, 3
            failed, 4 cancelled, 5 paused, 6 could not be recovered after a crash of the server.
            Example: 2.
        root_run_id (str | Unset): Only the run with this id and the sub-runs below it.
        parent_run_id (str | Unset): Only the sub-runs started directly by this run.
        roots_only (bool | Unset): Leave out sub-runs. Default false.
        limit (int | Unset): The largest number of runs to list; 0 lists none. Default is no
            limit.
        offset (int | Unset): How many runs to skip first. Default 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ListRunsResponse]
    """

    kwargs = build_request(
        flow_name=flow_name,
        status=status,
        root_run_id=root_run_id,
        parent_run_id=parent_run_id,
        roots_only=roots_only,
        limit=limit,
        offset=offset,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    flow_name: str | Unset = UNSET,
    status: models.RunStatus | Unset = UNSET,
    root_run_id: str | Unset = UNSET,
    parent_run_id: str | Unset = UNSET,
    roots_only: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> models.ListRunsResponse | Failure | None:
    """List runs, newest first.

    Sub-runs are included unless `rootsOnly` is set. Without `limit` the answer holds every run the
    server knows. A malformed run id in a filter is ignored, and everything is listed.

    Args:
        flow_name (str | Unset): Only runs of flows with this name.
        status (RunStatus | Unset): The state of a run, item or step - 1 running, 2 completed, 3
            failed, 4 cancelled, 5 paused, 6 could not be recovered after a crash of the server.
            Example: 2.
        root_run_id (str | Unset): Only the run with this id and the sub-runs below it.
        parent_run_id (str | Unset): Only the sub-runs started directly by this run.
        roots_only (bool | Unset): Leave out sub-runs. Default false.
        limit (int | Unset): The largest number of runs to list; 0 lists none. Default is no
            limit.
        offset (int | Unset): How many runs to skip first. Default 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ListRunsResponse | Failure | None
    """

    return sync_detailed(
        client=client,
        flow_name=flow_name,
        status=status,
        root_run_id=root_run_id,
        parent_run_id=parent_run_id,
        roots_only=roots_only,
        limit=limit,
        offset=offset,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    flow_name: str | Unset = UNSET,
    status: models.RunStatus | Unset = UNSET,
    root_run_id: str | Unset = UNSET,
    parent_run_id: str | Unset = UNSET,
    roots_only: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> Response[models.ListRunsResponse]:
    """List runs, newest first.

    Sub-runs are included unless `rootsOnly` is set. Without `limit` the answer holds every run the
    server knows. A malformed run id in a filter is ignored, and everything is listed.

    Args:
        flow_name (str | Unset): Only runs of flows with this name.
        status (RunStatus | Unset): The state of a run, item or step - 1 running, 2 completed, 3
            failed, 4 cancelled, 5 paused, 6 could not be recovered after a crash of the server.
            Example: 2.
        root_run_id (str | Unset): Only the run with this id and the sub-runs below it.
        parent_run_id (str | Unset): Only the sub-runs started directly by this run.
        roots_only (bool | Unset): Leave out sub-runs. Default false.
        limit (int | Unset): The largest number of runs to list; 0 lists none. Default is no
            limit.
        offset (int | Unset): How many runs to skip first. Default 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ListRunsResponse]
    """

    kwargs = build_request(
        flow_name=flow_name,
        status=status,
        root_run_id=root_run_id,
        parent_run_id=parent_run_id,
        roots_only=roots_only,
        limit=limit,
        offset=offset,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    flow_name: str | Unset = UNSET,
    status: models.RunStatus | Unset = UNSET,
    root_run_id: str | Unset = UNSET,
    parent_run_id: str | Unset = UNSET,
    roots_only: bool | Unset = UNSET,
    limit: int | Unset = UNSET,
    offset: int | Unset = UNSET,
) -> models.ListRunsResponse | Failure | None:
    """List runs, newest first.

    Sub-runs are included unless `rootsOnly` is set. Without `limit` the answer holds every run the
    server knows. A malformed run id in a filter is ignored, and everything is listed.

    Args:
        flow_name (str | Unset): Only runs of flows with this name.
        status (RunStatus | Unset): The state of a run, item or step - 1 running, 2 completed, 3
            failed, 4 cancelled, 5 paused, 6 could not be recovered after a crash of the server.
            Example: 2.
        root_run_id (str | Unset): Only the run with this id and the sub-runs below it.
        parent_run_id (str | Unset): Only the sub-runs started directly by this run.
        roots_only (bool | Unset): Leave out sub-runs. Default false.
        limit (int | Unset): The largest number of runs to list; 0 lists none. Default is no
            limit.
        offset (int | Unset): How many runs to skip first. Default 0.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ListRunsResponse | Failure | None
    """

    return (
        await asyncio_detailed(
            client=client,
            flow_name=flow_name,
            status=status,
            root_run_id=root_run_id,
            parent_run_id=parent_run_id,
            roots_only=roots_only,
            limit=limit,
            offset=offset,
        )
    ).parsed
