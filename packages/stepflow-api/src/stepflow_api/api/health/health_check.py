# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.health import Health


from ... import errors
from ...types import Response

METHOD = "GET"
"""The HTTP method."""
PATH = "/health"
"""The path below the API's root, with the names of its parameters in braces."""


def build_request() -> dict[str, Any]:
    """Return the request of this operation, as arguments of `httpx.Client.request`. Nothing is sent.

    The parameters are those of `sync_detailed`.
    """

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH,
    }
    return _kwargs


def _parse_response(response: httpx.Response) -> Health | None:
    from ...models.health import Health

    status = response.status_code
    if status == 200:
        response_200 = Health.from_dict(response.json())

        return response_200

    return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Health]:
    status = response.status_code
    if client.raise_on_unexpected_status and not (status == 200):
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
) -> Response[Health]:
    """Tell whether the server is alive.

    Answers as soon as the server listens. Workers may still be on their way: a healthy server can list
    components of failed plugins.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Health]
    """

    kwargs = build_request()
    response = client.get_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
) -> Health | None:
    """Tell whether the server is alive.

    Answers as soon as the server listens. Workers may still be on their way: a healthy server can list
    components of failed plugins.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Health
    """

    return (
        sync_detailed(
            client=client,
        )
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
) -> Response[Health]:
    """Tell whether the server is alive.

    Answers as soon as the server listens. Workers may still be on their way: a healthy server can list
    components of failed plugins.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Health]
    """

    kwargs = build_request()
    response = await client.get_async_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
) -> Health | None:
    """Tell whether the server is alive.

    Answers as soon as the server listens. Workers may still be on their way: a healthy server can list
    components of failed plugins.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Health
    """

    return (
        await asyncio_detailed(
            client=client,
        )
    ).parsed
