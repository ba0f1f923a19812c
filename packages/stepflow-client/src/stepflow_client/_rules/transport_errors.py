"""Which error a request without a response becomes: refused, timed out, broken off. Pure."""

from __future__ import annotations

from .._http.messages import (
    CannotSend,
    ConnectFailed,
    ConnectTimeout,
    HttpError,
    HttpRequest,
    NameTimeout,
    NotHttp,
    PoolTimeout,
    ReadTimeout,
    TooLarge,
    Unreadable,
    WriteTimeout,
)
from .._http.tls import refusal
from ..errors import (
    InvalidArgumentError,
    InvalidResponseError,
    RequestTimeoutError,
    ServerConnectionError,
    TransportError,
)
from . import server_advice
from .request_retries import was_not_processed


def error_from(
    error: Exception, asked: HttpRequest, url: str, proxy: str | None, run_id: str | None
) -> TransportError | InvalidArgumentError:
    """Return the error that callers get for a request without a usable response.

    Args:
        error: The exception that the transport raised.
        asked: The request.
        url: The server's URL, without credentials.
        proxy: The URL of the proxy in use, without its password; None if there is no proxy.
        run_id: The id of the run concerned, if any.
    """
    found = _error_from(error, asked, url, proxy, run_id)
    if isinstance(error, HttpError):
        found.attempts = error.attempts
    if isinstance(found, TransportError):
        found.was_sent = not was_not_processed(error)
    return found


def _error_from(
    error: Exception, asked: HttpRequest, url: str, proxy: str | None, run_id: str | None
) -> TransportError | InvalidArgumentError:
    reason = str(error) or type(error).__name__
    limit = asked.timeout
    match error:
        case PoolTimeout():
            message = f"{asked} waited {limit.pool:.3g} s for a free connection"
            return RequestTimeoutError(message, hint="limits= allows more connections", run_id=run_id)
        case NameTimeout():
            message = f"the name of {url} was not resolved within {limit.connect:.3g} s"
            return ServerConnectionError(message, hint=server_advice.NO_NAME_SERVER, run_id=run_id)
        case ConnectTimeout():
            message = f"{url} did not accept a connection within {limit.connect:.3g} s"
            return ServerConnectionError(message, hint=server_advice.NO_RESPONSE, run_id=run_id)
        case ConnectFailed():
            through = f" through the proxy {proxy}" if proxy else ""
            reason, hint = refusal(error) or (reason, server_advice.unreachable(error, url, proxy))
            message = f"{url} cannot be reached{through}: {reason}"
            return ServerConnectionError(message, hint=hint, run_id=run_id)
        case ReadTimeout() | WriteTimeout():
            seconds = limit.write if isinstance(error, WriteTimeout) else limit.read
            message = f"{asked} got no response from {url} within {seconds:.3g} s"
            return RequestTimeoutError(message, hint=server_advice.SLOW, run_id=run_id)
        case CannotSend():
            return InvalidArgumentError(f"{asked} cannot be sent: {reason}", run_id=run_id)
        case TooLarge():
            message = f"the response to {asked} is too large: {reason}"
            return InvalidResponseError(message, hint="the client takes max_response_bytes=", run_id=run_id)
        case NotHttp():
            message = f"{url} does not speak HTTP: {reason}"
            return InvalidResponseError(message, hint=server_advice.not_http(reason, url), run_id=run_id)
        case Unreadable():
            return InvalidResponseError(f"the response to {asked} cannot be read: {reason}", run_id=run_id)
        case HttpError() | OSError():
            said, advice = refusal(error) or (reason, server_advice.broken(reason, url))
            return ServerConnectionError(f"the connection to {url} broke: {said}", hint=advice, run_id=run_id)
        case _:
            return InvalidResponseError(f"the response to {asked} cannot be read: {reason}", run_id=run_id)
