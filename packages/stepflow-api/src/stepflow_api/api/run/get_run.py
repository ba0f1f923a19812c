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
PATH = "/runs/{run_id}"
"""The path below the root of the API, with the names of its parameters in braces."""


def build_request(
    run_id: str,
    *,
    wait: bool | Unset = UNSET,
    timeout_secs: int | Unset = UNSET,
) -> dict[str, Any]:
    """Return the arguments of `httpx.Client.request` for this operation. Nothing is sent."""

    params: dict[str, Any] = {}

    params["wait"] = wait

    params["timeoutSecs"] = timeout_secs

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": METHOD,
        "url": PATH.format(
            run_id=quote(str(run_id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> models.GetRunResponse | Failure | None:
    if response.status_code == 200:
        response_200 = models.GetRunResponse.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        if response.headers.get("content-type", "").startswith("text/plain"):
            return response.text
        response_400 = models.ErrorEnvelope.from_dict(response.json())

        return response_400

    if response.status_code == 404:
        response_404 = models.ErrorEnvelope.from_dict(response.json())

        return response_404

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[models.GetRunResponse]:
    return Response(
        status_code=response.status_code,
        content=response.content,
        headers=response.headers,
        parse=partial(_parse_response, client=client, response=response),
        expected="GetRunResponse",
        is_strict=client.raise_on_unexpected_status,
    )


def sync_detailed(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    wait: bool | Unset = UNSET,
    timeout_secs: int | Unset = UNSET,
) -> Response[models.GetRunResponse]:
    """Read a run, or wait until it ends.

    The steps of all items are in the answer, which for a large batch makes it large.

    Args:
        run_id (str): The id of a run, a UUID.
        wait (bool | Unset): Answer when the run has ended or the timeout passed. Default false.
        timeout_secs (int | Unset): Seconds to wait, a whole number; 0 answers at once. When they
            pass, the run is answered as it is. Default 300.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[GetRunResponse]
    """

    kwargs = build_request(
        run_id=run_id,
        wait=wait,
        timeout_secs=timeout_secs,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    wait: bool | Unset = UNSET,
    timeout_secs: int | Unset = UNSET,
) -> models.GetRunResponse | Failure | None:
    """Read a run, or wait until it ends.

    The steps of all items are in the answer, which for a large batch makes it large.

    Args:
        run_id (str): The id of a run, a UUID.
        wait (bool | Unset): Answer when the run has ended or the timeout passed. Default false.
        timeout_secs (int | Unset): Seconds to wait, a whole number; 0 answers at once. When they
            pass, the run is answered as it is. Default 300.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        GetRunResponse | Failure | None
    """

    return sync_detailed(
        run_id=run_id,
        client=client,
        wait=wait,
        timeout_secs=timeout_secs,
    ).parsed


async def asyncio_detailed(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    wait: bool | Unset = UNSET,
    timeout_secs: int | Unset = UNSET,
) -> Response[models.GetRunResponse]:
    """Read a run, or wait until it ends.

    The steps of all items are in the answer, which for a large batch makes it large.

    Args:
        run_id (str): The id of a run, a UUID.
        wait (bool | Unset): Answer when the run has ended or the timeout passed. Default false.
        timeout_secs (int | Unset): Seconds to wait, a whole number; 0 answers at once. When they
            pass, the run is answered as it is. Default 300.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[GetRunResponse]
    """

    kwargs = build_request(
        run_id=run_id,
        wait=wait,
        timeout_secs=timeout_secs,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    wait: bool | Unset = UNSET,
    timeout_secs: int | Unset = UNSET,
) -> models.GetRunResponse | Failure | None:
    """Read a run, or wait until it ends.

    The steps of all items are in the answer, which for a large batch makes it large.

    Args:
        run_id (str): The id of a run, a UUID.
        wait (bool | Unset): Answer when the run has ended or the timeout passed. Default false.
        timeout_secs (int | Unset): Seconds to wait, a whole number; 0 answers at once. When they
            pass, the run is answered as it is. Default 300.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not the documented one.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        GetRunResponse | Failure | None
    """

    return (
        await asyncio_detailed(
            run_id=run_id,
            client=client,
            wait=wait,
            timeout_secs=timeout_secs,
        )
    ).parsed
