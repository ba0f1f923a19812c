# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.error_envelope import ErrorEnvelope
    from ...models.get_run_steps_response import GetRunStepsResponse


from ... import errors
from ...types import UNSET, Response, Unset

METHOD = "GET"
"""The HTTP method."""
PATH = "/runs/{run_id}/steps"
"""The path below the API's root, with the names of its parameters in braces."""


def build_request(
    run_id: str,
    *,
    item_index: int | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request of this operation, as arguments of `httpx.Client.request`. Nothing is sent.

    The parameters are those of `sync_detailed`.
    """

    params: dict[str, Any] = {}

    params["itemIndex"] = item_index

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH.format(
            run_id=quote(str(run_id), safe=""),
        ),
        "params": params,
    }
    return _kwargs


def _parse_response(response: httpx.Response) -> ErrorEnvelope | GetRunStepsResponse | str | None:
    from ...models.error_envelope import ErrorEnvelope
    from ...models.get_run_steps_response import GetRunStepsResponse

    status = response.status_code
    if status == 200:
        response_200 = GetRunStepsResponse.from_dict(response.json())

        return response_200

    if status == 400:
        if response.headers.get("content-type", "").startswith("text/plain"):
            return response.text

        response_400 = ErrorEnvelope.from_dict(response.json())

        return response_400

    return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorEnvelope | GetRunStepsResponse | str]:
    status = response.status_code
    if client.raise_on_unexpected_status and not (status == 200 or status == 400):
        raise errors.UnexpectedStatus(status, response.content)
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, response),
    )


def sync_detailed(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    item_index: int | Unset = UNSET,
) -> Response[ErrorEnvelope | GetRunStepsResponse | str]:
    """Read the steps of a run.

    Live, in no particular order. Steps that have not started are missing. An unknown run has an empty
    list.

    Args:
        run_id (str): The id of a run, a UUID.
        item_index (int | Unset): Only the steps of this item, counted from 0. Default is all
            items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | GetRunStepsResponse | str]
    """

    kwargs = build_request(
        run_id=run_id,
        item_index=item_index,
    )
    response = client.get_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


def sync(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    item_index: int | Unset = UNSET,
) -> ErrorEnvelope | GetRunStepsResponse | str | None:
    """Read the steps of a run.

    Live, in no particular order. Steps that have not started are missing. An unknown run has an empty
    list.

    Args:
        run_id (str): The id of a run, a UUID.
        item_index (int | Unset): Only the steps of this item, counted from 0. Default is all
            items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | GetRunStepsResponse | str
    """

    return (
        sync_detailed(
            run_id=run_id,
            client=client,
            item_index=item_index,
        )
    ).parsed


async def asyncio_detailed(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    item_index: int | Unset = UNSET,
) -> Response[ErrorEnvelope | GetRunStepsResponse | str]:
    """Read the steps of a run.

    Live, in no particular order. Steps that have not started are missing. An unknown run has an empty
    list.

    Args:
        run_id (str): The id of a run, a UUID.
        item_index (int | Unset): Only the steps of this item, counted from 0. Default is all
            items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | GetRunStepsResponse | str]
    """

    kwargs = build_request(
        run_id=run_id,
        item_index=item_index,
    )
    response = await client.get_async_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


async def asyncio(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    item_index: int | Unset = UNSET,
) -> ErrorEnvelope | GetRunStepsResponse | str | None:
    """Read the steps of a run.

    Live, in no particular order. Steps that have not started are missing. An unknown run has an empty
    list.

    Args:
        run_id (str): The id of a run, a UUID.
        item_index (int | Unset): Only the steps of this item, counted from 0. Default is all
            items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | GetRunStepsResponse | str
    """

    return (
        await asyncio_detailed(
            run_id=run_id,
            client=client,
            item_index=item_index,
        )
    ).parsed
