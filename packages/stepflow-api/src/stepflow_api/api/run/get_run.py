# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.error_envelope import ErrorEnvelope
    from ...models.get_run_response import GetRunResponse


from ... import errors
from ...types import UNSET, Response, Unset

METHOD = "GET"
"""The HTTP method."""
PATH = "/runs/{run_id}"
"""The path below the API's root, with the names of its parameters in braces."""


def build_request(
    run_id: str,
    *,
    wait: bool | Unset = UNSET,
    timeout_secs: int | Unset = UNSET,
) -> dict[str, Any]:
    """Return the request of this operation, as arguments of `httpx.Client.request`. Nothing is sent.

    The parameters are those of `sync_detailed`.
    """

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


def _parse_response(response: httpx.Response) -> ErrorEnvelope | GetRunResponse | str | None:
    from ...models.error_envelope import ErrorEnvelope
    from ...models.get_run_response import GetRunResponse

    status = response.status_code
    if status == 200:
        response_200 = GetRunResponse.from_dict(response.json())

        return response_200

    if status == 400:
        if response.headers.get("content-type", "").startswith("text/plain"):
            return response.text

        response_400 = ErrorEnvelope.from_dict(response.json())

        return response_400

    if status == 404:
        response_404 = ErrorEnvelope.from_dict(response.json())

        return response_404

    return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ErrorEnvelope | GetRunResponse | str]:
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
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    wait: bool | Unset = UNSET,
    timeout_secs: int | Unset = UNSET,
) -> Response[ErrorEnvelope | GetRunResponse | str]:
    """Read a run, or wait until it ends.

    The steps of all items are in the answer, which for a large batch makes it large.

    Args:
        run_id (str): The id of a run, a UUID.
        wait (bool | Unset): Answer when the run has ended or the timeout passed. Default false.
        timeout_secs (int | Unset): Seconds to wait, a whole number; 0 answers at once. When they
            pass, the run is answered as it is. Default 300.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | GetRunResponse | str]
    """

    kwargs = build_request(
        run_id=run_id,
        wait=wait,
        timeout_secs=timeout_secs,
    )
    response = client.get_httpx_client().request(**kwargs)
    return _build_response(client=client, response=response)


def sync(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    wait: bool | Unset = UNSET,
    timeout_secs: int | Unset = UNSET,
) -> ErrorEnvelope | GetRunResponse | str | None:
    """Read a run, or wait until it ends.

    The steps of all items are in the answer, which for a large batch makes it large.

    Args:
        run_id (str): The id of a run, a UUID.
        wait (bool | Unset): Answer when the run has ended or the timeout passed. Default false.
        timeout_secs (int | Unset): Seconds to wait, a whole number; 0 answers at once. When they
            pass, the run is answered as it is. Default 300.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | GetRunResponse | str
    """

    return (
        sync_detailed(
            run_id=run_id,
            client=client,
            wait=wait,
            timeout_secs=timeout_secs,
        )
    ).parsed


async def asyncio_detailed(
    run_id: str,
    *,
    client: AuthenticatedClient | Client,
    wait: bool | Unset = UNSET,
    timeout_secs: int | Unset = UNSET,
) -> Response[ErrorEnvelope | GetRunResponse | str]:
    """Read a run, or wait until it ends.

    The steps of all items are in the answer, which for a large batch makes it large.

    Args:
        run_id (str): The id of a run, a UUID.
        wait (bool | Unset): Answer when the run has ended or the timeout passed. Default false.
        timeout_secs (int | Unset): Seconds to wait, a whole number; 0 answers at once. When they
            pass, the run is answered as it is. Default 300.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorEnvelope | GetRunResponse | str]
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
) -> ErrorEnvelope | GetRunResponse | str | None:
    """Read a run, or wait until it ends.

    The steps of all items are in the answer, which for a large batch makes it large.

    Args:
        run_id (str): The id of a run, a UUID.
        wait (bool | Unset): Answer when the run has ended or the timeout passed. Default false.
        timeout_secs (int | Unset): Seconds to wait, a whole number; 0 answers at once. When they
            pass, the run is answered as it is. Default 300.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        errors.UnexpectedBody: If the body is not what is documented for its status.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorEnvelope | GetRunResponse | str
    """

    return (
        await asyncio_detailed(
            run_id=run_id,
            client=client,
            wait=wait,
            timeout_secs=timeout_secs,
        )
    ).parsed
