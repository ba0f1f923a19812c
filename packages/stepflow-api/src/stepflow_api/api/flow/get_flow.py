# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.error_envelope import ErrorEnvelope
    from ...models.get_flow_response import GetFlowResponse


from ... import errors
from ...types import Response

METHOD = "GET"
"""The HTTP method."""
PATH = "/flows/{flow_id}"
"""The path below the API's root, with the names of its parameters in braces."""


def build_request(
    flow_id: str,
) -> dict[str, Any]:
    """Return the request of this operation, as arguments of `httpx.Client.request`. Nothing is sent.

    The parameters are those of `sync_detailed`.
    """

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH.format(
            flow_id=quote(str(flow_id), safe=""),
        ),
    }
    return _kwargs


def _parse_response(response: httpx.Response) -> ErrorEnvelope | GetFlowResponse | None:
    from ...models.error_envelope import ErrorEnvelope
    from ...models.get_flow_response import GetFlowResponse

    status = response.status_code
    if status == 200:
        response_200 = GetFlowResponse.from_dict(response.json())

        return response_200

    if status == 400:
        response_400 = ErrorEnvelope.from_dict(response.json())

        return response_400

    if status == 404:
        response_404 = ErrorEnvelope.from_dict(response.json())

        return response_404

    if status == 500:
        response_500 = ErrorEnvelope.from_dict(response.json())

        return response_500

    return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorEnvelope | GetFlowResponse]:
    status = response.status_code
    if client.raise_on_unexpected_status and not (
        status == 200 or status == 400 or status == 404 or status == 500
    ):
        raise errors.UnexpectedStatus(status, response.content)
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, response),
    )


def sync_detailed(
    flow_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorEnvelope | GetFlowResponse]:
    """Read a stored flow.

    The flow comes back as the server understood it; keys it does not know are gone.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | GetFlowResponse]
    """

    kwargs = build_request(
        flow_id=flow_id,
    )
    response = client.get_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


def sync(
    flow_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorEnvelope | GetFlowResponse | None:
    """Read a stored flow.

    The flow comes back as the server understood it; keys it does not know are gone.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | GetFlowResponse
    """

    return (
        sync_detailed(
            flow_id=flow_id,
            client=client,
        )
    ).parsed


async def asyncio_detailed(
    flow_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorEnvelope | GetFlowResponse]:
    """Read a stored flow.

    The flow comes back as the server understood it; keys it does not know are gone.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | GetFlowResponse]
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
) -> ErrorEnvelope | GetFlowResponse | None:
    """Read a stored flow.

    The flow comes back as the server understood it; keys it does not know are gone.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | GetFlowResponse
    """

    return (
        await asyncio_detailed(
            flow_id=flow_id,
            client=client,
        )
    ).parsed
