# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.error_envelope import ErrorEnvelope
    from ...models.store_flow_request import StoreFlowRequest
    from ...models.store_flow_response import StoreFlowResponse


from ... import errors
from ...types import Response

METHOD = "POST"
"""The HTTP method."""
PATH = "/flows"
"""The path below the API's root, with the names of its parameters in braces."""


def build_request(
    *,
    body: StoreFlowRequest | dict[str, Any],
) -> dict[str, Any]:
    """Return the request of this operation, as arguments of `httpx.Client.request`. Nothing is sent.

    The parameters are those of `sync_detailed`. A JSON body may also be a dict, with field names as on the wire.
    """
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH,
    }
    _kwargs["json"] = body if isinstance(body, dict) else body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(response: httpx.Response) -> ErrorEnvelope | StoreFlowResponse | str | None:
    from ...models.error_envelope import ErrorEnvelope
    from ...models.store_flow_response import StoreFlowResponse

    status = response.status_code
    if status == 200:
        response_200 = StoreFlowResponse.from_dict(response.json())

        return response_200

    if status == 400:
        if response.headers.get("content-type", "").startswith("text/plain"):
            return response.text

        response_400 = ErrorEnvelope.from_dict(response.json())

        return response_400

    if status == 415:
        response_415 = response.text
        return response_415

    if status == 422:
        response_422 = response.text
        return response_422

    return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorEnvelope | StoreFlowResponse | str]:
    status = response.status_code
    if client.raise_on_unexpected_status and not (
        status == 200 or status == 400 or status == 415 or status == 422
    ):
        raise errors.UnexpectedStatus(status, response.content)
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: StoreFlowRequest,
) -> Response[ErrorEnvelope | StoreFlowResponse | str]:
    """Check a flow and store it.

    A flow with a fatal diagnostic is not stored, but the answer is still 200. Integers in the flow
    become floating point numbers; store the flow as a blob of type `flow` to keep them.

    Args:
        body (StoreFlowRequest): A flow to check and store.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | StoreFlowResponse | str]
    """

    kwargs = build_request(
        body=body,
    )
    response = client.get_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: StoreFlowRequest,
) -> ErrorEnvelope | StoreFlowResponse | str | None:
    """Check a flow and store it.

    A flow with a fatal diagnostic is not stored, but the answer is still 200. Integers in the flow
    become floating point numbers; store the flow as a blob of type `flow` to keep them.

    Args:
        body (StoreFlowRequest): A flow to check and store.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | StoreFlowResponse | str
    """

    return (
        sync_detailed(
            client=client,
            body=body,
        )
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: StoreFlowRequest,
) -> Response[ErrorEnvelope | StoreFlowResponse | str]:
    """Check a flow and store it.

    A flow with a fatal diagnostic is not stored, but the answer is still 200. Integers in the flow
    become floating point numbers; store the flow as a blob of type `flow` to keep them.

    Args:
        body (StoreFlowRequest): A flow to check and store.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | StoreFlowResponse | str]
    """

    kwargs = build_request(
        body=body,
    )
    response = await client.get_async_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: StoreFlowRequest,
) -> ErrorEnvelope | StoreFlowResponse | str | None:
    """Check a flow and store it.

    A flow with a fatal diagnostic is not stored, but the answer is still 200. Integers in the flow
    become floating point numbers; store the flow as a blob of type `flow` to keep them.

    Args:
        body (StoreFlowRequest): A flow to check and store.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | StoreFlowResponse | str
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
