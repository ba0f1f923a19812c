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
from ...types import Response

METHOD = "POST"
"""The HTTP method."""
PATH = "/runs"
"""The path below the root of the API, with the names of its parameters in braces."""


def build_request(
    *,
    body: models.CreateRunRequest | dict[str, Any],
) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for this operation. Nothing is sent."""
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH,
    }

    _kwargs["json"] = body if isinstance(body, dict) else body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> models.CreateRunResponse | Failure | None:
    if response.status_code == 200:
        response_200 = models.CreateRunResponse.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        if response.headers.get("content-type", "").startswith("text/plain"):
            return response.text
        response_400 = models.ErrorEnvelope.from_dict(response.json())

        return response_400

    if response.status_code == 404:
        response_404 = models.ErrorEnvelope.from_dict(response.json())

        return response_404

    if response.status_code == 415:
        response_415 = response.text
        return response_415

    if response.status_code == 422:
        response_422 = response.text
        return response_422

    if response.status_code == 500:
        response_500 = models.ErrorEnvelope.from_dict(response.json())

        return response_500

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[models.CreateRunResponse]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, client=client, response=response),
        expected="CreateRunResponse",
        is_strict=client.raise_on_unexpected_status,
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: models.CreateRunRequest | dict[str, Any],
) -> Response[models.CreateRunResponse]:
    """Start a run of a stored flow.

    Answers at once, or with `wait` when the run has ended or the timeout passed. A caller that
    disconnects while waiting does not stop the run.

    Args:
        body (CreateRunRequest): A run to start.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CreateRunResponse]
    """

    kwargs = build_request(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: models.CreateRunRequest | dict[str, Any],
) -> models.CreateRunResponse | Failure | None:
    """Start a run of a stored flow.

    Answers at once, or with `wait` when the run has ended or the timeout passed. A caller that
    disconnects while waiting does not stop the run.

    Args:
        body (CreateRunRequest): A run to start.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CreateRunResponse | Failure | None
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: models.CreateRunRequest | dict[str, Any],
) -> Response[models.CreateRunResponse]:
    """Start a run of a stored flow.

    Answers at once, or with `wait` when the run has ended or the timeout passed. A caller that
    disconnects while waiting does not stop the run.

    Args:
        body (CreateRunRequest): A run to start.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[CreateRunResponse]
    """

    kwargs = build_request(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: models.CreateRunRequest | dict[str, Any],
) -> models.CreateRunResponse | Failure | None:
    """Start a run of a stored flow.

    Answers at once, or with `wait` when the run has ended or the timeout passed. A caller that
    disconnects while waiting does not stop the run.

    Args:
        body (CreateRunRequest): A run to start.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        CreateRunResponse | Failure | None
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
