# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.blob import Blob
    from ...models.get_blob_accept import GetBlobAccept


from ... import errors
from ...types import UNSET, Response, Unset

METHOD = "GET"
"""The HTTP method."""
PATH = "/blobs/{blob_id}"
"""The path below the API's root, with the names of its parameters in braces."""


def build_request(
    blob_id: str,
    *,
    accept: GetBlobAccept | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request of this operation, as arguments of `httpx.Client.request`. Nothing is sent.

    The parameters are those of `sync_detailed`.
    """
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


def _parse_response(response: httpx.Response) -> Blob | bytes | None:
    from ...models.blob import Blob

    status = response.status_code
    if status == 200:
        if response.headers.get("content-type", "").startswith("application/octet-stream"):
            return response.content

        response_200 = Blob.from_dict(response.json())

        return response_200

    if status == 400:
        return None

    if status == 404:
        return None

    return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Blob | bytes]:
    status = response.status_code
    if client.raise_on_unexpected_status and not (status == 200 or status == 400 or status == 404):
        raise errors.UnexpectedStatus(status, response.content)
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, response),
    )


def sync_detailed(
    blob_id: str,
    *,
    client: AuthenticatedClient | Client,
    accept: GetBlobAccept | Unset = UNSET,
) -> Response[Blob | bytes]:
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
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Blob | bytes]
    """

    kwargs = build_request(
        blob_id=blob_id,
        accept=accept,
    )
    response = client.get_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


def sync(
    blob_id: str,
    *,
    client: AuthenticatedClient | Client,
    accept: GetBlobAccept | Unset = UNSET,
) -> Blob | bytes | None:
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
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Blob | bytes
    """

    return (
        sync_detailed(
            blob_id=blob_id,
            client=client,
            accept=accept,
        )
    ).parsed


async def asyncio_detailed(
    blob_id: str,
    *,
    client: AuthenticatedClient | Client,
    accept: GetBlobAccept | Unset = UNSET,
) -> Response[Blob | bytes]:
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
    accept: GetBlobAccept | Unset = UNSET,
) -> Blob | bytes | None:
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
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Blob | bytes
    """

    return (
        await asyncio_detailed(
            blob_id=blob_id,
            client=client,
            accept=accept,
        )
    ).parsed
