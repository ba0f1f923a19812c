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

METHOD = "DELETE"
"""The HTTP method."""
PATH = "/runs/{run_id}"
"""The path below the root of the API, with the names of its parameters in braces."""


def build_request(
    run_id: str,
) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for this operation. Nothing is sent."""

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH.format(
            run_id=quote(str(run_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> models.Empty | Failure | None:
    if response.status_code == 200:
        response_200 = models.Empty.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = models.ErrorEnvelope.from_dict(response.json())

        return response_400

    if response.status_code == 404:
        response_404 = models.ErrorEnvelope.from_dict(response.json())

        return response_404

    if response.status_code == 412:
        response_412 = models.ErrorEnvelope.from_dict(response.json())

        return response_412

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[models.Empty]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, client=client, response=response),
        expected="Empty",
        is_strict=client.raise_on_unexpected_status,
    )


def sync_detailed(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[models.Empty]:
    """Ask for a finished run to be deleted.

    Answers 200 and the server deletes nothing. A run that is still running is refused.

    Args:
        run_id (str): The id of a run, a UUID.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Empty]
    """

    kwargs = build_request(
        run_id=run_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> models.Empty | Failure | None:
    """Ask for a finished run to be deleted.

    Answers 200 and the server deletes nothing. A run that is still running is refused.

    Args:
        run_id (str): The id of a run, a UUID.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Empty | Failure | None
    """

    return sync_detailed(
        run_id=run_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
) -> Response[models.Empty]:
    """Ask for a finished run to be deleted.

    Answers 200 and the server deletes nothing. A run that is still running is refused.

    Args:
        run_id (str): The id of a run, a UUID.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Empty]
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
) -> models.Empty | Failure | None:
    """Ask for a finished run to be deleted.

    Answers 200 and the server deletes nothing. A run that is still running is refused.

    Args:
        run_id (str): The id of a run, a UUID.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Empty | Failure | None
    """

    return (
        await asyncio_detailed(
            run_id=run_id,
            client=client,
        )
    ).parsed
