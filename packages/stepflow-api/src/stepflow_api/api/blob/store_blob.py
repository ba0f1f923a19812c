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
from ...types import UNSET, File, Response, Unset

METHOD = "POST"
"""The HTTP method."""
PATH = "/blobs"
"""The path below the root of the API, with the names of its parameters in braces."""


def build_request(
    *,
    body: models.StoreBlobRequest | dict[str, Any] | File,
    x_blob_filename: str | Unset = UNSET,
) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for this operation. Nothing is sent."""
    headers: dict[str, Any] = {}
    if not isinstance(x_blob_filename, Unset):
        headers["X-Blob-Filename"] = x_blob_filename

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH,
    }

    if isinstance(body, dict) or isinstance(body, models.StoreBlobRequest):
        _kwargs["json"] = body if isinstance(body, dict) else body.to_dict()

        headers["Content-Type"] = "application/json"
    if isinstance(body, File):
        _kwargs["content"] = body.read()
        headers["Content-Type"] = "application/octet-stream"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> models.StoreBlobResponse | Failure | None:
    if response.status_code == 200:
        response_200 = models.StoreBlobResponse.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = None
        return response_400

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[models.StoreBlobResponse]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, client=client, response=response),
        expected="StoreBlobResponse",
        is_strict=client.raise_on_unexpected_status,
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: models.StoreBlobRequest | dict[str, Any] | File,
    x_blob_filename: str | Unset = UNSET,
) -> Response[models.StoreBlobResponse]:
    """Store data under the hash of its content.

    Storing the same content again gives the same id. JSON data keeps its integers. All errors have an
    empty body.

    Args:
        x_blob_filename (str | Unset): A file name to keep with raw bytes. With a JSON body it is
            ignored; use `filename` there.
        body (StoreBlobRequest): JSON data to store.
        body (File): The bytes to store.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[StoreBlobResponse]
    """

    kwargs = build_request(
        body=body,
        x_blob_filename=x_blob_filename,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: models.StoreBlobRequest | dict[str, Any] | File,
    x_blob_filename: str | Unset = UNSET,
) -> models.StoreBlobResponse | Failure | None:
    """Store data under the hash of its content.

    Storing the same content again gives the same id. JSON data keeps its integers. All errors have an
    empty body.

    Args:
        x_blob_filename (str | Unset): A file name to keep with raw bytes. With a JSON body it is
            ignored; use `filename` there.
        body (StoreBlobRequest): JSON data to store.
        body (File): The bytes to store.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        StoreBlobResponse | Failure | None
    """

    return sync_detailed(
        client=client,
        body=body,
        x_blob_filename=x_blob_filename,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: models.StoreBlobRequest | dict[str, Any] | File,
    x_blob_filename: str | Unset = UNSET,
) -> Response[models.StoreBlobResponse]:
    """Store data under the hash of its content.

    Storing the same content again gives the same id. JSON data keeps its integers. All errors have an
    empty body.

    Args:
        x_blob_filename (str | Unset): A file name to keep with raw bytes. With a JSON body it is
            ignored; use `filename` there.
        body (StoreBlobRequest): JSON data to store.
        body (File): The bytes to store.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[StoreBlobResponse]
    """

    kwargs = build_request(
        body=body,
        x_blob_filename=x_blob_filename,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: models.StoreBlobRequest | dict[str, Any] | File,
    x_blob_filename: str | Unset = UNSET,
) -> models.StoreBlobResponse | Failure | None:
    """Store data under the hash of its content.

    Storing the same content again gives the same id. JSON data keeps its integers. All errors have an
    empty body.

    Args:
        x_blob_filename (str | Unset): A file name to keep with raw bytes. With a JSON body it is
            ignored; use `filename` there.
        body (StoreBlobRequest): JSON data to store.
        body (File): The bytes to store.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        StoreBlobResponse | Failure | None
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            x_blob_filename=x_blob_filename,
        )
    ).parsed
