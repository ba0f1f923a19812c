"""Converts the failure of a request that got no usable response to an error of the client. Pure."""

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
from .._http.tls import explain_certificate_rejection
from ..errors import (
    InvalidArgumentError,
    InvalidResponseError,
    RequestTimeoutError,
    ServerConnectionError,
    TransportError,
)
from . import server_advice
from .request_retries import was_not_processed


def convert_error(
    error: Exception, request: HttpRequest, url: str, proxy: str | None, run_id: str | None
) -> TransportError | InvalidArgumentError:
    """Return the client's error for a request that got no usable response.

    Args:
        error: The exception that the transport raised.
        request: The request.
        url: The server's URL, without credentials.
        proxy: The URL of the proxy in use, without its password; None if there is no proxy.
        run_id: The id of the run concerned, if any.
    """
    converted = _converted(error, request, url, proxy)
    converted.run_id = run_id
    if isinstance(error, HttpError):
        converted.attempts = error.attempts
    if isinstance(converted, TransportError):
        converted.was_sent = not was_not_processed(error)
    return converted


def _converted(
    error: Exception, request: HttpRequest, url: str, proxy: str | None
) -> TransportError | InvalidArgumentError:
    reason = str(error) or type(error).__name__
    limit = request.timeout
    match error:
        case PoolTimeout():
            message = f"{request} waited {limit.pool:.3g} s for a free connection"
            return RequestTimeoutError(message, hint="to allow more connections, set limits=")
        case NameTimeout():
            message = f"the name of {url} was not resolved within {limit.connect:.3g} s"
            return ServerConnectionError(message, hint=server_advice.NO_NAME_SERVER)
        case ConnectTimeout():
            message = f"{url} did not accept a connection within {limit.connect:.3g} s"
            return ServerConnectionError(message, hint=server_advice.NO_RESPONSE)
        case ConnectFailed():
            through = f" through the proxy {proxy}" if proxy else ""
            reason, hint = explain_certificate_rejection(error) or (
                reason,
                server_advice.get_unreachable_hint(error, url, proxy),
            )
            message = f"{url} cannot be reached{through}: {reason}"
            return ServerConnectionError(message, hint=hint)
        case ReadTimeout() | WriteTimeout():
            seconds = limit.write if isinstance(error, WriteTimeout) else limit.read
            message = f"{request} got no response from {url} within {seconds:.3g} s"
            return RequestTimeoutError(message, hint=server_advice.SLOW)
        case CannotSend():
            return InvalidArgumentError(f"{request} cannot be sent: {reason}")
        case TooLarge():
            message = f"the response to {request} is too large: {reason}"
            return InvalidResponseError(message, hint="to allow larger responses, set max_response_bytes=")
        case NotHttp():
            message = f"{url} does not speak HTTP: {reason}"
            return InvalidResponseError(message, hint=server_advice.get_not_http_hint(reason, url))
        case Unreadable():
            return InvalidResponseError(f"the response to {request} cannot be read: {reason}")
        case HttpError() | OSError():
            reason, advice = explain_certificate_rejection(error) or (
                reason,
                server_advice.get_broken_hint(reason, url),
            )
            return ServerConnectionError(f"the connection to {url} broke: {reason}", hint=advice)
        case _:
            return InvalidResponseError(f"the response to {request} cannot be read: {reason}")
