# Written from _async/transport/hooks.py by `make generate`. Change that file instead.

"""A transport that calls the functions of `event_hooks`, as httpx does."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import httpx

from ..._http.limits import Hook, sync_call_hooks
from ..._http.messages import HttpRequest, HttpResponse
from ..._http.settings import API_PATH, ServerUrl
from .base import Middleware, Stream, Transport
from .httpx_bridge import copy_headers_from, to_httpx


class Hooks(Middleware):
    """Calls functions with each request before it is sent, and with each response.

    Args:
        inner: The transport that sends the requests.
        hooks: The functions, by `request` and `response`.
        root: The server's URL, without `/api/v1`.
    """

    def __init__(self, inner: Transport, hooks: Mapping[str, Sequence[Hook]], root: ServerUrl) -> None:
        super().__init__(inner)
        self._hooks = hooks
        self._api = str(root) + API_PATH

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send a request with the headers that the hooks have set."""
        began = time.monotonic()
        sent = self._call_request_hooks(request)
        response = self.inner.send(copy_headers_from(request, sent))
        seen = httpx.Response(response.status, headers=response.headers, content=response.content, request=sent)
        self._call_response_hooks(request, seen, began)
        return response

    @contextmanager
    def stream(self, request: HttpRequest) -> Generator[Stream, None, None]:
        """Send a request with the headers that the hooks have set; they see the head of the response."""
        began = time.monotonic()
        sent = self._call_request_hooks(request)
        with self.inner.stream(copy_headers_from(request, sent)) as stream:
            self._call_response_hooks(
                request, httpx.Response(stream.status, headers=stream.headers, request=sent), began
            )
            yield stream

    def _call_request_hooks(self, request: HttpRequest) -> httpx.Request:
        sent = to_httpx(request, self._api)
        sync_call_hooks("request", self._hooks["request"], sent, request)
        return sent

    def _call_response_hooks(self, request: HttpRequest, response: httpx.Response, began: float) -> None:
        response.elapsed = timedelta(seconds=time.monotonic() - began)
        sync_call_hooks("response", self._hooks["response"], response, request)
