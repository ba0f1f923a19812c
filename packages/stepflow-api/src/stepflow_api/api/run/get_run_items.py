# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.error_envelope import ErrorEnvelope
    from ...models.get_run_items_response import GetRunItemsResponse


from ... import errors
from ...types import Response

METHOD = "GET"
"""The HTTP method."""
PATH = "/runs/{run_id}/items"
"""The path below the API's root, with the names of its parameters in braces."""


def build_request(
    run_id: str,
) -> dict[str, Any]:
    """Return the request of this operation, as arguments of `httpx.Client.request`. Nothing is sent.

    The parameters are those of `sync_detailed`.
    """

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH.format(
            run_id=quote(str(run_id), safe=""),
        ),
    }
    return _kwargs


def _parse_response(response: httpx.Response) -> ErrorEnvelope | GetRunItemsResponse | None:
    from ...models.error_envelope import ErrorEnvelope
    from ...models.get_run_items_response import GetRunItemsResponse

    status = response.status_code
    if status == 200:
        response_200 = GetRunItemsResponse.from_dict(response.json())

        return response_200

    if status == 400:
        response_400 = ErrorEnvelope.from_dict(response.json())

        return response_400

    return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorEnvelope | GetRunItemsResponse]:
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
) -> Response[ErrorEnvelope | GetRunItemsResponse]:
    """Read the results of a run's items.

    All items in one answer, in the order of the inputs. An unknown run has an empty list.

    Args:
        run_id (str): The id of a run, a UUID.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | GetRunItemsResponse]
    """

    kwargs = build_request(
        run_id=run_id,
    )
    response = client.get_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


def sync(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorEnvelope | GetRunItemsResponse | None:
    """Read the results of a run's items.

    All items in one answer, in the order of the inputs. An unknown run has an empty list.

    Args:
        run_id (str): The id of a run, a UUID.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | GetRunItemsResponse
    """

    return (
        sync_detailed(
            run_id=run_id,
            client=client,
        )
    ).parsed


async def asyncio_detailed(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[ErrorEnvelope | GetRunItemsResponse]:
    """Read the results of a run's items.

    All items in one answer, in the order of the inputs. An unknown run has an empty list.

    Args:
        run_id (str): The id of a run, a UUID.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | GetRunItemsResponse]
    """

    kwargs = build_request(
        run_id=run_id,
    )
    response = await client.get_async_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


async def asyncio(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> ErrorEnvelope | GetRunItemsResponse | None:
    """Read the results of a run's items.

    All items in one answer, in the order of the inputs. An unknown run has an empty list.

    Args:
        run_id (str): The id of a run, a UUID.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | GetRunItemsResponse
    """

    return (
        await asyncio_detailed(
            run_id=run_id,
            client=client,
        )
    ).parsed
