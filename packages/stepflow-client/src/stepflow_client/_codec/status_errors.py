"""Which error a response with an error status becomes. Pure.

Older servers send other formats; their responses are translated first.
"""

from __future__ import annotations

import json
import re
from typing import Any

from .. import errors
from .._base.text import cut
from .._rules.server_advice import ANOTHER_SERVICE, PROXY

_ERRORS: dict[int, type[errors.ApiError]] = {
    401: errors.AuthenticationError,
    403: errors.AuthenticationError,
    404: errors.NotFoundError,
    407: errors.AuthenticationError,
    409: errors.ConflictError,
    410: errors.NotFoundError,
    412: errors.ConflictError,
    429: errors.RateLimitError,
}
_CREDENTIALS = "give one by STEPFLOW_TOKEN, or by auth= in Python"
_HINTS = {
    401: f"the token is missing, has expired or is for another server: {_CREDENTIALS}",
    403: f"the credentials do not allow this, or a proxy refuses it: {_CREDENTIALS}",
    407: "write the user and password into the proxy's URL: http://USER:PASSWORD@HOST:PORT",
    413: "the server, or a proxy in front of it, limits the size of requests; blobs hold large values",
    429: "send fewer requests at once, or wait",
    500: "the server's log has the reason",
    502: PROXY,
    503: PROXY,
    504: PROXY,
}
# Requests that name a flow or a blob; servers refuse them only for a wrong id.
_BY_CONTENT = re.compile(r"/(flows|blobs)/[^/]+$")
_MAX_MESSAGE_LENGTH = 500


def status_error(status: int, content_type: str, content: bytes, request: str) -> errors.StepflowClientError | None:
    """Return the error that a response represents, or None if the response is usable.

    Args:
        status: The HTTP status.
        content_type: The content type; older servers send JSON errors as text/plain.
        content: The body.
        request: The request, such as `GET /runs/0190...`.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if status < 300:
        if kind == "application/grpc":
            # The response of current servers to a path they do not know.
            return errors.UnsupportedByServerError(f"this server does not know {request}", status_code=status)
        if kind == "text/html":
            return errors.InvalidResponseError(
                f"{request} returned a web page", status_code=status, hint=ANOTHER_SERVICE
            )
        if status == 206:
            return errors.InvalidResponseError(f"{request} returned a part of a response", status_code=status)
        return None
    if status < 400:
        return errors.InvalidResponseError(
            f"{request} returned a redirect ({status})", status_code=status, hint="use the address that it leads to"
        )
    message, details = _parse_message(kind, content)
    if status == 408:
        return errors.RequestTimeoutError(message or f"{request} returned 408", status_code=408)
    from http import HTTPStatus

    phrase = next((each.phrase for each in HTTPStatus if each == status), "")
    answered = f"{request} returned {status} {phrase}".rstrip()
    kinds = _ERRORS.get(status, errors.ServerFaultError if status >= 500 else errors.InvalidRequestError)
    # Otherwise the response may come from a proxy.
    is_by_server = isinstance(details, dict) and message is not None
    if message is None or kinds is errors.AuthenticationError or (status >= 500 and not is_by_server):
        message = f"{answered}: {message}" if message else answered
    hint = None if status >= 500 and is_by_server else _HINTS.get(status)
    if status == 400 and _BY_CONTENT.search(request):
        hint = "the id of a flow or blob has 64 hexadecimal digits"
    return kinds(message, status_code=status, details=details, hint=hint)


def _parse_message(kind: str, content: bytes) -> tuple[str | None, Any]:
    text = content.decode("utf-8", "replace").strip()
    if kind == "text/html" or text[:1] == "<":
        return None, text[:_MAX_MESSAGE_LENGTH] or None
    try:
        details = json.loads(text) if text[:1] == "{" else None
    except (ValueError, RecursionError):
        details = None
    if not isinstance(details, dict):
        return clean_line(text) or None, text or None
    inner = details.get("error")
    message = (inner if isinstance(inner, dict) else details).get("message")
    if not isinstance(message, str):
        message = inner if isinstance(inner, str) else None
    return (clean_line(message) or None) if message else None, details


def clean_line(text: str) -> str:
    """Return a text of a server as one printable line of limited length."""
    # A lone surrogate can neither be printed nor stored in a model.
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return cut(line, _MAX_MESSAGE_LENGTH)
