# Written from _async/transport/middlewares.py by `make generate`. Change that file instead.

"""Transports that wrap another one: retries, credentials, and translation for older servers."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode

from ..._base.lazy import lazy_module
from ..._base.logging import logger
from ..._data.wire import decode, to_json
from ..._http.http1_format import ConnectFailed, ConnectionBroken, HttpError, HttpRequest, HttpResponse
from ..._http.settings import API_PATH, ServerUrl, TokenAuth
from ..._rules import older_dialects
from ..._rules import operations_and_releases as api
from ..._rules.deadlines import has_passed
from ..._rules.retries import RetryBudget, RetryPolicy, compute_retry_delay, describe_outcome, is_transient_status
from ..._rules.transport_errors import build_not_stepflow_error
from ..._telemetry.tracing import count_resend
from ...errors import InvalidArgumentError, InvalidResponseError, RequestTimeoutError, StepflowClientError
from .base import Middleware, Stream, Transport, build_health_request

if TYPE_CHECKING:
    import httpx

    from ..._rules.operations_and_releases import Server
else:
    httpx = lazy_module("httpx")


class Retry(Middleware):
    """Retries requests that are safe to repeat, within the caller's deadline and the client's retry budget.

    Opening a stream isn't retried, because whoever reads the stream decides how to resume it.

    Args:
        inner: The transport to send each attempt with.
        policy: When and how often to retry.
    """

    def __init__(self, inner: Transport, policy: RetryPolicy) -> None:
        super().__init__(inner)
        self._policy = policy
        self._retry_budget = RetryBudget(policy)

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request, retrying it as often as the policy allows. If it fails, the error lists all `attempts`."""
        started = time.monotonic()
        attempts: list[str] = []
        self._retry_budget.requests += 1
        outcome: HttpError | HttpResponse
        while True:
            try:
                outcome = self.inner.send(request)
                if outcome.status < 400:
                    return outcome
            except HttpError as error:
                outcome = error
            attempts.append(describe_outcome(outcome))
            left = request.get_seconds_allowed(request.timeout.read - (time.monotonic() - started))
            delay = compute_retry_delay(
                self._policy, len(attempts), outcome, idempotent=request.idempotent, time_left=left
            )
            if delay is None or not request.is_retried or not self._retry_budget.try_spend_retry():
                break
            logger.info("%s: %s; retrying in %.2f s", request, attempts[-1], delay)
            count_resend()
            time.sleep(delay)
        if isinstance(outcome, HttpResponse):
            return outcome._replace(attempts=attempts)
        outcome.attempts = attempts
        raise outcome


Signed = TypeVar("Signed")


class Authorization(Middleware):
    """Adds credentials to each request."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request with the credentials."""
        return self.inner.send(self._add_credentials(request))

    @contextmanager
    def stream(self, request: HttpRequest) -> Generator[Stream, None, None]:
        """Send a request with the credentials, returning the response as it arrives."""
        with self.inner.stream(self._add_credentials(request)) as stream:
            yield stream

    @abstractmethod
    def _add_credentials(self, request: HttpRequest) -> HttpRequest:
        """Return the request with the credentials."""


class StaticAuthorization(Authorization):
    """Adds the credentials for one server and never sends them to any other."""

    def __init__(self, inner: Transport, header: str) -> None:
        super().__init__(inner)
        self._header = header

    def _add_credentials(self, request: HttpRequest) -> HttpRequest:
        return request._replace(headers={**request.headers, "authorization": self._header})


class TokenAuthorization(Authorization):
    """Adds a bearer token, which it gets from the user's code before each request.

    Args:
        inner: The transport to send requests with.
        auth: Gets the token from the user's code.
    """

    def __init__(self, inner: Transport, auth: TokenAuth) -> None:
        super().__init__(inner)
        self._auth = auth

    def _add_credentials(self, request: HttpRequest) -> HttpRequest:
        token = _run_auth_step(self._auth.sync_get_token, request)
        return request._replace(headers={**request.headers, "authorization": self._auth.format_header(token)})


class HttpxAuth(Authorization):
    """Adds credentials from an `httpx.Auth`, which may need to see responses (except to stream requests).

    Args:
        inner: The transport to send requests with.
        auth: The credentials.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, inner: Transport, auth: httpx.Auth, root: ServerUrl) -> None:
        super().__init__(inner)
        self._auth = auth
        self._api = str(root) + API_PATH

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request as many times as the `httpx.Auth` requires."""
        from .httpx_bridge import convert_request_to_httpx, replace_headers_from_httpx_request

        flow = self._auth.sync_auth_flow(convert_request_to_httpx(request, self._api))
        with closing(flow):
            signed = _run_auth_step(flow.__next__, request)
            while True:
                response = self.inner.send(replace_headers_from_httpx_request(request, signed))
                answer = httpx.Response(
                    response.status, headers=response.headers, content=response.content, request=signed
                )
                following = _run_auth_step(partial(flow.send, answer), request)
                if following is None:
                    return response
                signed = following

    def _add_credentials(self, request: HttpRequest) -> HttpRequest:
        from .httpx_bridge import convert_request_to_httpx, replace_headers_from_httpx_request

        flow = self._auth.sync_auth_flow(convert_request_to_httpx(request, self._api))
        with closing(flow):
            return replace_headers_from_httpx_request(request, _run_auth_step(flow.__next__, request))


def _run_auth_step(step: Callable[[], Signed], request: HttpRequest) -> Signed | None:
    """Return the next request from the user's auth code, with credentials added, or None if there are no more.

    Args:
        step: The next step of the user's code (a function that returns a token, or an `httpx.Auth`).
        request: The request to send. Time spent waiting for credentials counts toward its deadline.

    Raises:
        RequestTimeoutError: If the step takes longer than the connect timeout or runs past the deadline. (The sync
            client only checks the deadline, and only after the step.)
        InvalidArgumentError: If the user's code fails.
    """
    from ..._concurrency import sync_call_with_timeout

    seconds = request.get_seconds_allowed(request.timeout.connect)
    try:
        signed = sync_call_with_timeout(step, seconds)
        if has_passed(request.deadline):
            raise TimeoutError
    except StopIteration:
        return None
    except TimeoutError as error:
        late = RequestTimeoutError(f"{request} was not sent: timed out waiting for the credentials from auth")
        late.was_sent = False
        raise late from error
    except (StepflowClientError, AssertionError):
        raise
    except Exception as error:
        # Leave out the error's message, because it may quote the credentials.
        raise InvalidArgumentError(f"getting the credentials from auth failed: {type(error).__name__}") from error
    return signed


# Operations whose responses are always parsed here, regardless of the server's release.
_ALWAYS_PARSED_OPERATIONS = frozenset({api.health_check.name, api.list_components.name})
_UNAUTHORIZED_STATUSES = frozenset({401, 403, 407})


class DialectTranslator(Middleware):
    """Detects the server's release once, from its health response, and translates requests for older servers.

    Args:
        inner: The transport to send requests with.
        url: The server's URL, for error messages.
        server: The server's release and capabilities, if already known (which skips detection).
    """

    def __init__(self, inner: Transport, url: str, server: Server | None = None) -> None:
        super().__init__(inner)
        self.url = url
        self.server = server
        self.pinned = server is not None
        self.closed = False
        """Whether the client, or one sharing its connections, has been closed."""

    def forget_server(self) -> None:
        """Detect the server again before the next request, in case it has been replaced by a different release."""
        if not self.pinned:
            self.server = None

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request that's in the current format and return the response in the same format."""
        server = self.server
        if server is None or request.operation in _ALWAYS_PARSED_OPERATIONS or server.needs_translation:
            return self._detect_and_send(request)
        return self.inner.send(request)

    def _detect_and_send(self, request: HttpRequest) -> HttpResponse:
        if request.operation == api.health_check.name:
            return (self._request_health(request))[0]
        server = self.server
        if server is None:
            refusal, server = self._detect_server(request)
            if server is None:
                return refusal
        if server.needs_translation:
            return self._send_translated(server, request)
        response = self.inner.send(request)
        body = _parse_json(response.content) if request.operation == api.list_components.name else None
        if response.status == 200 and isinstance(body, dict):
            # Rename fields to the names that the current release uses.
            with suppress(TypeError, AttributeError, ValueError, RecursionError):
                return response._replace(content=to_json(older_dialects.rename_component_fields(body)))
        return response

    def _request_health(self, request: HttpRequest) -> tuple[HttpResponse, Server | None]:
        """Return the response and the server it describes. (Other threads can reset `self.server` at any time.)

        The server is None if the response is from a proxy that may have a Stepflow server behind it.

        Raises:
            InvalidResponseError: If the response comes from neither a Stepflow server nor such a proxy.
        """
        response = self.inner.send(request)
        health = _parse_json(response.content) if response.status == 200 else None
        if not isinstance(health, dict) or not ("version" in health or "build" in health):
            if response.status not in _UNAUTHORIZED_STATUSES and not is_transient_status(response.status):
                raise build_not_stepflow_error(self.url, response.status, response.headers, response.content)
            return response, None
        server = self.server if self.pinned else api.identify_server(self.url, health)
        self.server = server
        if "build" not in health:
            response = response._replace(content=_encode_body(request, older_dialects.complete_health_body(health)))
        return response, server

    def _detect_server(self, request: HttpRequest) -> tuple[HttpResponse, Server | None]:
        """Request the server's health and return the response along with the server it describes.

        If the server is None, treat the response as the response to `request`.

        Raises:
            InvalidResponseError: If the response isn't from a Stepflow server.
        """
        try:
            response, server = self._request_health(build_health_request(request, request.timeout))
        except HttpError as error:
            if request.idempotent:
                raise
            # No matter what went wrong with the health check, the request itself was never sent.
            raise _make_failed_detection_error(str(error), error.attempts) from error
        if server is None and not request.idempotent and is_transient_status(response.status):
            raise _make_failed_detection_error(f"it returned {response.status}", response.attempts)
        return response, server

    def _send_translated(self, server: Server, request: HttpRequest) -> HttpResponse:
        is_json = request.headers.get("content-type", "").startswith("application/json")
        body = _parse_json(request.content) if is_json else None
        path, params = unquote(request.path), dict(parse_qsl(request.query))
        current = older_dialects.DecodedRequest(request.method, path, params, body)
        translation = older_dialects.translate_exchange(server, current)
        response: HttpResponse | None = None
        reply: older_dialects.DecodedResponse | None = None
        try:
            translated = next(translation)
            while True:
                response = self.inner.send(_build_translated_request(request, current, translated))
                reply = older_dialects.DecodedResponse(response.status, _parse_json(response.content))
                translated = translation.send(reply)
        except StopIteration as done:
            final: older_dialects.DecodedResponse = done.value
        except HttpError as error:
            if request.idempotent or response is None:
                raise
            # There was a response to the request itself, so it was a follow-up request that failed.
            raise ConnectionBroken(str(error)) from error
        except older_dialects.AlreadyCurrentError:
            self.forget_server()
            assert response is not None
            return response
        except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
            self.forget_server()
            raise InvalidResponseError(
                f"{request} returned a response that does not match {server.release or server.dialect}",
                details=str(error),
            ) from None
        if response is not None and (final is reply or final.body is None):
            return response
        headers = {"content-type": "application/json"}
        content = _encode_body(request, final.body)
        if response is None:
            return HttpResponse(final.status, headers, content)
        headers |= {name: response.headers[name] for name in ("retry-after", "date") if name in response.headers}
        return HttpResponse(final.status, headers, content, response.attempts, response.server)


def _build_translated_request(
    request: HttpRequest, current: older_dialects.DecodedRequest, translated: older_dialects.DecodedRequest
) -> HttpRequest:
    """Build the translated request, keeping the original headers and limits."""
    if translated.body is current.body and translated.method == current.method:
        content, headers = request.content, request.headers
    else:
        content = to_json(translated.body) if translated.body is not None else b""
        headers = {k: v for k, v in request.headers.items() if content or k != "content-type"}
    return request._replace(
        method=translated.method,
        path=quote(translated.path),
        query=urlencode(dict(translated.params)),
        headers=headers,
        content=content,
        idempotent=request.idempotent or translated.method == "GET",
    )


def _make_failed_detection_error(reason: str, attempts: Sequence[str]) -> ConnectFailed:
    error = ConnectFailed(reason)
    error.attempts = attempts
    return error


def _encode_body(request: HttpRequest, body: Any) -> bytes:
    try:
        return to_json(body)
    except (ValueError, RecursionError) as error:
        raise InvalidResponseError(f"{request} returned data that JSON cannot represent: {error}") from None


def _parse_json(content: bytes) -> Any:
    try:
        return decode(content) if content.lstrip()[:1] in (b"{", b"[") else None
    except (ValueError, RecursionError):
        return None
