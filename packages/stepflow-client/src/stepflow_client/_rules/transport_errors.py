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
            return RequestTimeoutError(f"{asked} waited {limit.pool:.3g} s for a free connection", run_id=run_id)
        case NameTimeout():
            message = f"the name of {url} was not resolved within {limit.connect:.3g} s"
            return ServerConnectionError(message, hint="does the name server respond?", run_id=run_id)
        case ConnectTimeout():
            message = f"{url} did not accept a connection within {limit.connect:.3g} s"
            return ServerConnectionError(message, run_id=run_id)
        case ConnectFailed():
            through = f" through the proxy {proxy}" if proxy else ""
            reason, hint = refusal(error) or (reason, _hint(error, proxy))
            message = f"{url} cannot be reached{through}: {reason}"
            return ServerConnectionError(message, hint=hint, run_id=run_id)
        case ReadTimeout() | WriteTimeout():
            seconds = limit.write if isinstance(error, WriteTimeout) else limit.read
            message = f"{asked} got no response from {url} within {seconds:.3g} s"
            return RequestTimeoutError(message, run_id=run_id)
        case CannotSend():
            return InvalidArgumentError(f"{asked} cannot be sent: {reason}", run_id=run_id)
        case TooLarge():
            message = f"the response to {asked} is too large: {reason}"
            return InvalidResponseError(message, hint="the client takes max_response_bytes=", run_id=run_id)
        case NotHttp():
            message = f"{url} does not speak HTTP: {reason}"
            return InvalidResponseError(message, hint="is this the URL of a Stepflow server?", run_id=run_id)
        case Unreadable():
            return InvalidResponseError(f"the response to {asked} cannot be read: {reason}", run_id=run_id)
        case HttpError() | OSError():
            said, advice = refusal(error) or (reason, None)
            return ServerConnectionError(f"the connection to {url} broke: {said}", hint=advice, run_id=run_id)
        case _:
            return InvalidResponseError(f"the response to {asked} cannot be read: {reason}", run_id=run_id)


def _hint(error: BaseException | None, proxy: str | None) -> str:
    """Return a hint at the possible cause of a failed connection."""
    if proxy:
        return "is the proxy right? NO_PROXY names servers that are asked directly"
    words = ""
    while error is not None:
        words += f"{error} ".lower()
        error = error.__cause__
    if "wrong version number" in words or "record layer" in words:
        return "does the server speak http, and not https?"
    if "cannot be resolved" in words or "name or service not known" in words:
        return "is the name right?"
    return "is the server running?"
