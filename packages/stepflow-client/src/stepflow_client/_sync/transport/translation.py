# Written from _async/transport/translation.py by `make generate`. Change that file instead.

"""Translates for servers of older releases: the layers above only see the current wire format."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from ..._data.values import decode, encode
from ..._http.messages import ConnectFailed, ConnectionBroken, HttpError, HttpRequest, HttpResponse
from ..._rules import dialect, old_responses, operations, releases
from ..._rules.request_retries import is_transient_status
from ..._rules.server_advice import build_not_stepflow_error
from ...errors import InvalidResponseError
from .base import Middleware, Transport, health_request

if TYPE_CHECKING:
    from ..._rules.releases import Server

# Operations whose responses are read here, whatever the server.
_ALWAYS_READ = frozenset({operations.health_check.name, operations.list_components.name})
_UNAUTHORISED = frozenset({401, 403, 407})


class Dialect(Middleware):
    """Detects the server's release once, from its health response, and translates for older servers.

    Args:
        inner: The transport that sends the requests.
        url: The server's URL, for errors.
        server: The server's release and capabilities, if known; they are not requested then.
    """

    def __init__(self, inner: Transport, url: str, server: Server | None = None) -> None:
        super().__init__(inner)
        self.url = url
        self.server = server
        self.pinned = server is not None
        self.closed = False
        """Whether the client was closed, or another one on the same connections."""

    def forget(self) -> None:
        """Detect the server again before the next request: it may have been replaced by one of another release."""
        if not self.pinned:
            self.server = None

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request in the current format and return a response in the current format."""
        server = self.server
        if server is None or request.operation in _ALWAYS_READ or server.needs_translation:
            return self._detect_and_send(request)
        return self.inner.send(request)

    def _detect_and_send(self, request: HttpRequest) -> HttpResponse:
        if request.operation == operations.health_check.name:
            response, server = self._request_health(request)
            self._check_is_stepflow(response, server)
            return response
        server = self.server
        if server is None:
            refusal, server = self._detect_server(request)
            if server is None:
                return refusal
        if server.needs_translation:
            return self._send_translated(server, request)
        response = self.inner.send(request)
        body = _parse_json(response.content) if request.operation == operations.list_components.name else None
        if response.status == 200 and isinstance(body, dict):
            # With the field names of the current server.
            with suppress(TypeError, AttributeError, ValueError, RecursionError):
                return response._replace(content=encode(old_responses.convert_components(body)))
        return response

    def _request_health(self, request: HttpRequest) -> tuple[HttpResponse, Server | None]:
        """Return the response and the server it describes; other threads may reset `self.server` in the meantime."""
        response = self.inner.send(request)
        health = _parse_json(response.content) if response.status == 200 else None
        if not isinstance(health, dict) or not ("version" in health or "build" in health):
            return response, None
        server = self.server if self.pinned else releases.identify_server(self.url, health)
        self.server = server
        if "build" in health:
            return response, server
        try:
            return response._replace(content=encode(old_responses.convert_health(health))), server
        except (ValueError, RecursionError) as error:
            raise InvalidResponseError(f"{request} returned what JSON cannot represent: {error}") from None

    def _detect_server(self, request: HttpRequest) -> tuple[HttpResponse, Server | None]:
        """Request the server's health and return the response, and the server it describes.

        If the server is None, the response also serves as the response to `request`.

        Raises:
            InvalidResponseError: If the response is not from a Stepflow server.
        """
        try:
            response, server = self._request_health(health_request(request, request.timeout))
        except HttpError as error:
            if request.idempotent:
                raise
            # Whatever happened to the health request, the request itself was not sent.
            raise _make_not_sent_error(str(error), error.attempts) from error
        self._check_is_stepflow(response, server)
        if server is None and not request.idempotent and is_transient_status(response.status):
            raise _make_not_sent_error(f"it returned {response.status}", response.attempts)
        return response, server

    def _check_is_stepflow(self, response: HttpResponse, server: Server | None) -> None:
        """Raise unless a Stepflow server sent the response to the health request, or one may be behind its sender."""
        if server is None and response.status not in _UNAUTHORISED and not is_transient_status(response.status):
            raise build_not_stepflow_error(self.url, response.status, response.headers, response.content)

    def _send_translated(self, server: Server, request: HttpRequest) -> HttpResponse:
        body = (
            _parse_json(request.content)
            if request.headers.get("content-type", "").startswith("application/json")
            else None
        )
        current = dialect.Request(request.method, unquote(request.path), dict(parse_qsl(request.query)), body)
        translation = dialect.translate(server, current)
        response: HttpResponse | None = None
        reply: dialect.Reply | None = None
        try:
            translated = next(translation)
            while True:
                response = self.inner.send(_build_request(request, current, translated))
                reply = dialect.Reply(response.status, _parse_json(response.content))
                translated = translation.send(reply)
        except StopIteration as done:
            final: dialect.Reply = done.value
        except HttpError as error:
            if request.idempotent or response is None:
                raise
            # There was a response to the request itself; a follow-up request failed.
            raise ConnectionBroken(str(error)) from error
        except old_responses.ShapeChangedError:
            self.forget()
            assert response is not None
            return response
        except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
            self.forget()
            raise InvalidResponseError(
                f"{request} returned a response whose shape is not that of {server.release or server.dialect}",
                details=str(error),
            ) from None
        if response is not None and (final is reply or final.body is None):
            return response
        headers = {"content-type": "application/json"}
        try:
            content = encode(final.body)
        except (ValueError, RecursionError) as error:
            raise InvalidResponseError(f"{request} returned what JSON cannot represent: {error}") from None
        if response is None:
            return HttpResponse(final.status, headers, content)
        headers |= {name: response.headers[name] for name in ("retry-after", "date") if name in response.headers}
        return HttpResponse(final.status, headers, content, response.attempts, response.server)


def _build_request(request: HttpRequest, current: dialect.Request, translated: dialect.Request) -> HttpRequest:
    """Return the translated request to send, with the headers and limits of the original one."""
    if translated.body is current.body and translated.method == current.method:
        content, headers = request.content, request.headers
    else:
        content = encode(translated.body) if translated.body is not None else b""
        headers = {k: v for k, v in request.headers.items() if content or k != "content-type"}
    return request._replace(
        method=translated.method,
        path=quote(translated.path),
        query=urlencode(dict(translated.params)),
        headers=headers,
        content=content,
        idempotent=request.idempotent or translated.method == "GET",
    )


def _make_not_sent_error(reason: str, attempts: Sequence[str]) -> ConnectFailed:
    error = ConnectFailed(reason)
    error.attempts = attempts
    return error


def _parse_json(content: bytes) -> Any:
    try:
        return decode(content) if content.lstrip()[:1] in (b"{", b"[") else None
    except (ValueError, RecursionError):
        return None
