# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.empty import Empty


from ... import errors
from ...types import Response

METHOD = "DELETE"
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


def _parse_response(response: httpx.Response) -> Empty | None:
    from ...models.empty import Empty

    status = response.status_code
    if status == 200:
        response_200 = Empty.from_dict(response.json())

        return response_200

    return None


def _build_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> Response[Empty]:
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
    flow_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[Empty]:
    """Ask for a flow to be deleted.

    Answers 200 for any id, malformed and unknown ones too, and the server deletes nothing.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Empty]
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
) -> Empty | None:
    """Ask for a flow to be deleted.

    Answers 200 for any id, malformed and unknown ones too, and the server deletes nothing.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Empty
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
) -> Response[Empty]:
    """Ask for a flow to be deleted.

    Answers 200 for any id, malformed and unknown ones too, and the server deletes nothing.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Empty]
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
) -> Empty | None:
    """Ask for a flow to be deleted.

    Answers 200 for any id, malformed and unknown ones too, and the server deletes nothing.

    Args:
        flow_id (str): The id that storing the flow gave, 64 hexadecimal digits.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Empty
    """

    return (
        await asyncio_detailed(
            flow_id=flow_id,
            client=client,
        )
    ).parsed
