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
PATH = "/components"
"""The path below the root of the API, with the names of its parameters in braces."""


def build_request(
    *,
    exclude_schemas: bool | Unset = UNSET,
) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for this operation. Nothing is sent."""

    params: dict[str, Any] = {}

    params["excludeSchemas"] = exclude_schemas

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH,
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> models.ListComponentsResponse | Failure | None:
    if response.status_code == 200:
        response_200 = models.ListComponentsResponse.from_dict(response.json())

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
) -> Response[models.ListComponentsResponse]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, client=client, response=response),
        expected="ListComponentsResponse",
        is_strict=client.raise_on_unexpected_status,
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    exclude_schemas: bool | Unset = UNSET,
) -> Response[models.ListComponentsResponse]:
    """List the components that steps can use.

    Asks every plugin. A plugin that does not answer is named in the result and costs about five
    seconds.

    Args:
        exclude_schemas (bool | Unset): Leave out the input and output schemas, which make most of
            the answer. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ListComponentsResponse]
    """

    kwargs = build_request(
        exclude_schemas=exclude_schemas,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    exclude_schemas: bool | Unset = UNSET,
) -> models.ListComponentsResponse | Failure | None:
    """List the components that steps can use.

    Asks every plugin. A plugin that does not answer is named in the result and costs about five
    seconds.

    Args:
        exclude_schemas (bool | Unset): Leave out the input and output schemas, which make most of
            the answer. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ListComponentsResponse | Failure | None
    """

    return sync_detailed(
        client=client,
        exclude_schemas=exclude_schemas,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    exclude_schemas: bool | Unset = UNSET,
) -> Response[models.ListComponentsResponse]:
    """List the components that steps can use.

    Asks every plugin. A plugin that does not answer is named in the result and costs about five
    seconds.

    Args:
        exclude_schemas (bool | Unset): Leave out the input and output schemas, which make most of
            the answer. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ListComponentsResponse]
    """

    kwargs = build_request(
        exclude_schemas=exclude_schemas,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    exclude_schemas: bool | Unset = UNSET,
) -> models.ListComponentsResponse | Failure | None:
    """List the components that steps can use.

    Asks every plugin. A plugin that does not answer is named in the result and costs about five
    seconds.

    Args:
        exclude_schemas (bool | Unset): Leave out the input and output schemas, which make most of
            the answer. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ListComponentsResponse | Failure | None
    """

    return (
        await asyncio_detailed(
            client=client,
            exclude_schemas=exclude_schemas,
        )
    ).parsed
