# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ... import models
from ...errors import Failure

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client

from ... import errors
from ...types import UNSET, Response, Unset

METHOD = "GET"
"""The HTTP method."""
PATH = "/runs/{run_id}/steps"
"""The path below the root of the API, with the names of its parameters in braces."""


def build_request(
    run_id: str,
    *,
    item_index: int | Unset = UNSET,
) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for this operation. Nothing is sent."""

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


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> models.GetRunStepsResponse | Failure | None:
    if response.status_code == 200:
        response_200 = models.GetRunStepsResponse.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        if response.headers.get("content-type", "").startswith("text/plain"):
            return response.text
        response_400 = models.ErrorEnvelope.from_dict(response.json())

        return response_400

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[models.GetRunStepsResponse]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, client=client, response=response),
        expected="GetRunStepsResponse",
        is_strict=client.raise_on_unexpected_status,
    )


def sync_detailed(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    item_index: int | Unset = UNSET,
) -> Response[models.GetRunStepsResponse]:
    """Read the steps of a run.

    Live, in no particular order. Steps that have not started are missing. An unknown run has an empty
    list.

    Args:
        run_id (str): The id of a run, a UUID.
        item_index (int | Unset): Only the steps of this item, counted from 0. Default is all
            items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[GetRunStepsResponse]
    """

    kwargs = build_request(
        run_id=run_id,
        item_index=item_index,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    item_index: int | Unset = UNSET,
) -> models.GetRunStepsResponse | Failure | None:
    """Read the steps of a run.

    Live, in no particular order. Steps that have not started are missing. An unknown run has an empty
    list.

    Args:
        run_id (str): The id of a run, a UUID.
        item_index (int | Unset): Only the steps of this item, counted from 0. Default is all
            items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        GetRunStepsResponse | Failure | None
    """

    return sync_detailed(
        run_id=run_id,
        client=client,
        item_index=item_index,
    ).parsed


async def asyncio_detailed(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    item_index: int | Unset = UNSET,
) -> Response[models.GetRunStepsResponse]:
    """Read the steps of a run.

    Live, in no particular order. Steps that have not started are missing. An unknown run has an empty
    list.

    Args:
        run_id (str): The id of a run, a UUID.
        item_index (int | Unset): Only the steps of this item, counted from 0. Default is all
            items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[GetRunStepsResponse]
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
) -> models.GetRunStepsResponse | Failure | None:
    """Read the steps of a run.

    Live, in no particular order. Steps that have not started are missing. An unknown run has an empty
    list.

    Args:
        run_id (str): The id of a run, a UUID.
        item_index (int | Unset): Only the steps of this item, counted from 0. Default is all
            items.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        GetRunStepsResponse | Failure | None
    """

    return (
        await asyncio_detailed(
            run_id=run_id,
            client=client,
            item_index=item_index,
        )
    ).parsed
