# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.list_components_response import ListComponentsResponse


from ... import errors
from ...types import UNSET, Response, Unset

METHOD = "GET"
"""The HTTP method."""
PATH = "/components"
"""The path below the API's root, with the names of its parameters in braces."""


def build_request(
    *,
    exclude_schemas: bool | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request of this operation, as arguments of `httpx.Client.request`. Nothing is sent.

    The parameters are those of `sync_detailed`.
    """

    params: dict[str, Any] = {}

    params["excludeSchemas"] = exclude_schemas

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH,
        "params": params,
    }
    return _kwargs


def _parse_response(response: httpx.Response) -> ListComponentsResponse | str | None:
    from ...models.list_components_response import ListComponentsResponse

    status = response.status_code
    if status == 200:
        response_200 = ListComponentsResponse.from_dict(response.json())

        return response_200

    if status == 400:
        response_400 = response.text
        return response_400

    return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ListComponentsResponse | str]:
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
    *,
    client: AuthenticatedClient | Client,
    exclude_schemas: bool | Unset = UNSET,
) -> Response[ListComponentsResponse | str]:
    """List the components that steps can use.

    Asks every plugin. A plugin that does not answer is named in the result and costs about five
    seconds.

    Args:
        exclude_schemas (bool | Unset): Leave out the input and output schemas, which make most of
            the answer. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ListComponentsResponse | str]
    """

    kwargs = build_request(
        exclude_schemas=exclude_schemas,
    )
    response = client.get_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    exclude_schemas: bool | Unset = UNSET,
) -> ListComponentsResponse | str | None:
    """List the components that steps can use.

    Asks every plugin. A plugin that does not answer is named in the result and costs about five
    seconds.

    Args:
        exclude_schemas (bool | Unset): Leave out the input and output schemas, which make most of
            the answer. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ListComponentsResponse | str
    """

    return (
        sync_detailed(
            client=client,
            exclude_schemas=exclude_schemas,
        )
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    exclude_schemas: bool | Unset = UNSET,
) -> Response[ListComponentsResponse | str]:
    """List the components that steps can use.

    Asks every plugin. A plugin that does not answer is named in the result and costs about five
    seconds.

    Args:
        exclude_schemas (bool | Unset): Leave out the input and output schemas, which make most of
            the answer. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ListComponentsResponse | str]
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
) -> ListComponentsResponse | str | None:
    """List the components that steps can use.

    Asks every plugin. A plugin that does not answer is named in the result and costs about five
    seconds.

    Args:
        exclude_schemas (bool | Unset): Leave out the input and output schemas, which make most of
            the answer. Default false.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ListComponentsResponse | str
    """

    return (
        await asyncio_detailed(
            client=client,
            exclude_schemas=exclude_schemas,
        )
    ).parsed
