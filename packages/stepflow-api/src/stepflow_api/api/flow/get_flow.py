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
from ...types import Response

METHOD = "GET"
"""The HTTP method."""
PATH = "/flows/{flow_id}"
"""The path below the root of the API, with the names of its parameters in braces."""


def build_request(
    flow_id: str,
) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for this operation. Nothing is sent."""

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH.format(
            flow_id=quote(str(flow_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> models.GetFlowResponse | Failure | None:
    if response.status_code == 200:
        response_200 = models.GetFlowResponse.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = models.ErrorEnvelope.from_dict(response.json())

        return response_400

    if response.status_code == 404:
        response_404 = models.ErrorEnvelope.from_dict(response.json())

        return response_404

    if response.status_code == 500:
        response_500 = models.ErrorEnvelope.from_dict(response.json())

        return response_500

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[models.GetFlowResponse]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, client=client, response=response),
        expected="GetFlowResponse",
        is_strict=client.raise_on_unexpected_status,
    )


def sync_detailed(
    flow_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[models.GetFlowResponse]:
    """Read a stored flow.

    The flow comes back as the server understood it; keys it does not know are gone.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[GetFlowResponse]
    """

    kwargs = build_request(
        flow_id=flow_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    flow_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> models.GetFlowResponse | Failure | None:
    """Read a stored flow.

    The flow comes back as the server understood it; keys it does not know are gone.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        GetFlowResponse | Failure | None
    """

    return sync_detailed(
        flow_id=flow_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    flow_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[models.GetFlowResponse]:
    """Read a stored flow.

    The flow comes back as the server understood it; keys it does not know are gone.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[GetFlowResponse]
    """

    kwargs = build_request(
        flow_id=flow_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    flow_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> models.GetFlowResponse | Failure | None:
    """Read a stored flow.

    The flow comes back as the server understood it; keys it does not know are gone.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        GetFlowResponse | Failure | None
    """

    return (
        await asyncio_detailed(
            flow_id=flow_id,
            client=client,
        )
    ).parsed
