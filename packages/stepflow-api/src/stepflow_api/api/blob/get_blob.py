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
from ...types import UNSET, Response, Unset

METHOD = "GET"
"""The HTTP method."""
PATH = "/blobs/{blob_id}"
"""The path below the root of the API, with the names of its parameters in braces."""


def build_request(
    blob_id: str,
    *,
    accept: models.GetBlobAccept | Unset = UNSET,
) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for this operation. Nothing is sent."""
    headers: dict[str, Any] = {}
    if not isinstance(accept, Unset):
        headers["Accept"] = str(accept)

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH.format(
            blob_id=quote(str(blob_id), safe=""),
        ),
    }

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> models.Blob | bytes | Failure | None:
    if response.status_code == 200:
        if response.headers.get("content-type", "").startswith("application/octet-stream"):
            return response.content
        response_200 = models.Blob.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = None
        return response_400

    if response.status_code == 404:
        response_404 = None
        return response_404

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[models.Blob | bytes]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, client=client, response=response),
        expected="Blob | bytes",
        is_strict=client.raise_on_unexpected_status,
    )


def sync_detailed(
    blob_id: str,
    *,
    client: AuthenticatedClient | Client,
    accept: models.GetBlobAccept | Unset = UNSET,
) -> Response[models.Blob | bytes]:
    """Read a blob as JSON or as raw bytes.

    The Accept header selects. If it names `application/octet-stream`, in small letters and at any
    place, the answer is raw bytes; otherwise it is JSON, in which the data of a binary blob is null.
    All errors have an empty body.

    Args:
        blob_id (str): The SHA-256 of the content, 64 hexadecimal digits.
        accept (GetBlobAccept | Unset): The form of the answer, `application/json` (the default)
            or `application/octet-stream`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Blob | bytes]
    """

    kwargs = build_request(
        blob_id=blob_id,
        accept=accept,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    blob_id: str,
    *,
    client: AuthenticatedClient | Client,
    accept: models.GetBlobAccept | Unset = UNSET,
) -> models.Blob | bytes | Failure | None:
    """Read a blob as JSON or as raw bytes.

    The Accept header selects. If it names `application/octet-stream`, in small letters and at any
    place, the answer is raw bytes; otherwise it is JSON, in which the data of a binary blob is null.
    All errors have an empty body.

    Args:
        blob_id (str): The SHA-256 of the content, 64 hexadecimal digits.
        accept (GetBlobAccept | Unset): The form of the answer, `application/json` (the default)
            or `application/octet-stream`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Blob | bytes | Failure | None
    """

    return sync_detailed(
        blob_id=blob_id,
        client=client,
        accept=accept,
    ).parsed


async def asyncio_detailed(
    blob_id: str,
    *,
    client: AuthenticatedClient | Client,
    accept: models.GetBlobAccept | Unset = UNSET,
) -> Response[models.Blob | bytes]:
    """Read a blob as JSON or as raw bytes.

    The Accept header selects. If it names `application/octet-stream`, in small letters and at any
    place, the answer is raw bytes; otherwise it is JSON, in which the data of a binary blob is null.
    All errors have an empty body.

    Args:
        blob_id (str): The SHA-256 of the content, 64 hexadecimal digits.
        accept (GetBlobAccept | Unset): The form of the answer, `application/json` (the default)
            or `application/octet-stream`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Blob | bytes]
    """

    kwargs = build_request(
        blob_id=blob_id,
        accept=accept,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    blob_id: str,
    *,
    client: AuthenticatedClient | Client,
    accept: models.GetBlobAccept | Unset = UNSET,
) -> models.Blob | bytes | Failure | None:
    """Read a blob as JSON or as raw bytes.

    The Accept header selects. If it names `application/octet-stream`, in small letters and at any
    place, the answer is raw bytes; otherwise it is JSON, in which the data of a binary blob is null.
    All errors have an empty body.

    Args:
        blob_id (str): The SHA-256 of the content, 64 hexadecimal digits.
        accept (GetBlobAccept | Unset): The form of the answer, `application/json` (the default)
            or `application/octet-stream`.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Blob | bytes | Failure | None
    """

    return (
        await asyncio_detailed(
            blob_id=blob_id,
            client=client,
            accept=accept,
        )
    ).parsed
