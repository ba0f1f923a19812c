"""Converts transport failures (requests without a usable response) to client errors with hints."""

from __future__ import annotations

import re
from collections.abc import Mapping
from errno import ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH
from urllib.parse import urlsplit

from .. import errors
from .._http import http1_format
from .._http.connecting import explain_certificate_error, iter_causes
from .._http.settings import API_PATH, is_loopback, parse_url
from .retries import was_not_processed

ANOTHER_SERVICE = "another service is at this address: correct the host, port or path of the URL"
NO_RESPONSE_HINT = "the host may be down, or blocked by a firewall or VPN; otherwise correct the URL"
NO_NAME_SERVER_HINT = "the name server does not respond: check the network or VPN of this machine"
SLOW_SERVER_HINT = "the server may be overloaded; to wait longer, set timeout= in Python, or STEPFLOW_TIMEOUT"
PROXIED_SERVER_HINT = "the server behind a proxy is not responding: check that it is running, then try again"
_SERVE_PORT, _DEFAULT_PORT = 7837, 80
_NO_ROUTE_CODES = frozenset({EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH})
_NO_TLS_TEXT = "wrong version number|record layer|packet length too long|http request"
# Part of the client's own error message when the health check before the actual request fails.
_SERVER_ERROR_TEXT = r"\bit returned 5\d\d\b"
# How nginx, Apache, Go and others respond to plain HTTP on an HTTPS port.
_WANTS_TLS_TEXT = rb"(?i)plain HTTP|HTTP request to an HTTPS"


def get_unreachable_hint(error: BaseException, url: str, proxy: str | None) -> str:
    """Return the hint for a failed connection attempt.

    Args:
        error: The connection error. Its causes are checked too.
        url: The server URL.
        proxy: The proxy URL, or None if no proxy is used.
    """
    host = parse_url(url).host
    if proxy:
        return f"correct the proxy's URL, or set NO_PROXY={host} to connect without it"
    chain = list(iter_causes(error))
    text = " ".join(map(str, chain)).lower()
    if re.search(_SERVER_ERROR_TEXT, text):
        return PROXIED_SERVER_HINT
    codes = {getattr(cause, "errno", None) for cause in chain}
    if re.search(_NO_TLS_TEXT, text):
        return f"the server speaks http: write {_replace_scheme(url, 'http')}"
    if "cannot be resolved" in text or "name or service not known" in text:
        return f"the host {host} cannot be resolved here: correct the URL, or connect to its network or VPN"
    if codes & _NO_ROUTE_CODES:
        return f"there is no route to {host}: check the network or VPN of this machine, or correct the URL"
    return get_refused_hint(url) if ECONNREFUSED in codes else NO_RESPONSE_HINT


def get_refused_hint(url: str) -> str:
    """Return the hint for a refused connection. For a local address, it explains how to start a server there."""
    root = parse_url(url)
    if root.scheme == "http" and not root.path and is_loopback(root.host):
        if root.port == _DEFAULT_PORT:
            return f"nothing is listening on port 80: 'stepflow serve' uses http://{root.host}:{_SERVE_PORT}"
        port = "" if root.port == _SERVE_PORT else f" --port {root.port}"
        return f"nothing is listening on port {root.port}: run 'stepflow serve{port}', or correct the URL"
    return f"nothing is listening on port {root.port} of {root.host}: start the server, or correct the URL"


def build_not_stepflow_error(
    url: str, status: int, headers: Mapping[str, str], content: bytes
) -> errors.InvalidResponseError:
    """Build the error for a health response that can't be from a Stepflow server.

    Args:
        url: The server URL.
        status: The status code.
        headers: The response headers, with lowercase names.
        content: The response body.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    summary, hint = f"({status}, {kind or 'no content type'})", ANOTHER_SERVICE
    path = urlsplit(url).path
    location = headers.get("location", "")
    if 300 <= status < 400 and location:
        # Drop the query string, which may contain secrets.
        shown, target = location.partition("?")[0][:200], urlsplit(location)
        summary = f"({status}, it redirects to {shown})"
        if target.netloc and target.path == f"{path}{API_PATH}/health":
            hint = f"write {shown.removesuffix(f'{API_PATH}/health')}"
        else:
            advice = "correct the URL, or set the token that a proxy requires"
            hint = f"a login page or another service is at this address: {advice}"
    elif status == 400 and url.startswith("http://") and re.search(_WANTS_TLS_TEXT, content):
        hint = f"the server speaks https: write {_replace_scheme(url, 'https')}"
    elif path and (kind == "application/grpc" or status == 404):
        # Current servers respond to unknown paths with the content type application/grpc.
        hint = f"a Stepflow server has no path unless a proxy adds one: write {url.removesuffix(path)}"
    message = f"{url} responds, but not like a Stepflow server {summary}"
    return errors.InvalidResponseError(message, status_code=status, hint=hint)


def _replace_scheme(url: str, scheme: str) -> str:
    return f"{scheme}://{url.partition('://')[2]}"


def convert_error(
    error: Exception, request: http1_format.HttpRequest, url: str, proxy: str | None, run_id: str | None
) -> errors.TransportError | errors.InvalidArgumentError:
    """Convert an exception raised by the transport to a client error.

    Args:
        error: The exception.
        request: The request that failed.
        url: The server URL, without credentials.
        proxy: The proxy URL without its password, or None if no proxy is used.
        run_id: The ID of the run the request is about, if any.
    """
    converted: errors.TransportError | errors.InvalidArgumentError
    reason = str(error) or type(error).__name__
    limit = request.timeout
    match error:
        case http1_format.PoolTimeout():
            message = f"{request} waited {limit.pool:.3g} s for a free connection"
            converted = errors.RequestTimeoutError(message, hint="to allow more connections, set limits=")
        case http1_format.NameTimeout():
            message = f"the name of {url} was not resolved within {limit.connect:.3g} s"
            converted = errors.ServerConnectionError(message, hint=NO_NAME_SERVER_HINT)
        case http1_format.ConnectTimeout():
            message = f"{url} did not accept a connection within {limit.connect:.3g} s"
            converted = errors.ServerConnectionError(message, hint=NO_RESPONSE_HINT)
        case http1_format.ConnectFailed():
            through = f" through the proxy {proxy}" if proxy else ""
            reason, hint = explain_certificate_error(error) or (reason, get_unreachable_hint(error, url, proxy))
            message = f"{url} cannot be reached{through}: {reason}"
            converted = errors.ServerConnectionError(message, hint=hint)
        case http1_format.ReadTimeout() | http1_format.WriteTimeout():
            seconds = limit.write if isinstance(error, http1_format.WriteTimeout) else limit.read
            message = f"{request} got no response from {url} within {seconds:.3g} s"
            converted = errors.RequestTimeoutError(message, hint=SLOW_SERVER_HINT)
        case http1_format.CannotSend():
            converted = errors.InvalidArgumentError(f"{request} cannot be sent: {reason}")
        case http1_format.TooLarge():
            message = f"the response to {request} is too large: {reason}"
            converted = errors.InvalidResponseError(message, hint="to allow larger responses, set max_response_bytes=")
        case http1_format.NotHttp():
            is_tls = reason == http1_format.TLS_RESPONSE
            hint = f"the server speaks https: write {_replace_scheme(url, 'https')}" if is_tls else ANOTHER_SERVICE
            converted = errors.InvalidResponseError(f"{url} does not speak HTTP: {reason}", hint=hint)
        case http1_format.HttpError() | OSError() if not isinstance(error, http1_format.Unreadable):
            advice: str | None = None
            if reason.endswith("without a response"):
                advice = "check that the server is running"
                if url.startswith("http://"):
                    advice += f"; if it speaks https, write {_replace_scheme(url, 'https')}"
            reason, advice = explain_certificate_error(error) or (reason, advice)
            converted = errors.ServerConnectionError(f"the connection to {url} broke: {reason}", hint=advice)
        case _:
            converted = errors.InvalidResponseError(f"the response to {request} cannot be read: {reason}")
    converted.run_id = run_id
    if isinstance(error, http1_format.HttpError):
        converted.attempts = error.attempts
    if isinstance(converted, errors.TransportError):
        converted.was_sent = not was_not_processed(error)
    return converted
