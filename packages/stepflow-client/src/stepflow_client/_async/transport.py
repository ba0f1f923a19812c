"""Speaks to servers of any release: what is above sees the current wire only."""

from __future__ import annotations

from typing import Any

import httpx

from .. import _dialect, _servers
from .._dialect import Reply, Request
from .._settings import API_PATH
from .._values import decode, encode
from ..errors import InvalidResponseError
from ..types import ServerInfo

__all__ = ["DialectTransport"]

_HEALTH = "/health"
_COMPONENTS = "/components"


class DialectTransport(httpx.AsyncBaseTransport):
    """Recognises the server by its health, once, and translates for it if it is an older one.

    Args:
        inner: What sends the requests.
        root: The server's URL, without `/api/v1`.
        server: What the server is, where that is known beforehand; it is not asked then.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, root: httpx.URL, server: ServerInfo | None = None) -> None:
        self.inner = inner
        self.root = str(root).rstrip("/")
        self.server = server
        self.pinned = server is not None
        self.api = root.path.rstrip("/") + API_PATH

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self.inner.aclose()

    def forget(self) -> None:
        """Ask the server anew before the next request: it may have been replaced by one of another release."""
        if not self.pinned:
            self.server = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request of the current shape and give an answer of the current shape."""
        path = request.url.path.removeprefix(self.api)
        if path == _HEALTH:
            return await self._health(request)
        server = self.server or await self._recognise(request)
        try:
            if path == _COMPONENTS and not _dialect.needs_translation(server):
                return await self._components(request)
            if not _dialect.needs_translation(server):
                return await self.inner.handle_async_request(request)
            return await self._translated(server, request, path)
        except httpx.TransportError:
            # What answers after a lost connection may be another server.
            self.forget()
            raise

    async def _health(self, request: httpx.Request) -> httpx.Response:
        response = await self.inner.handle_async_request(request)
        content = await response.aread()
        if response.status_code == 200 and not self.pinned:
            health = _json(content)
            if isinstance(health, dict) and ("version" in health or "build" in health):
                self.server = _servers.recognise(self.root, health)
        return response

    async def _recognise(self, request: httpx.Request) -> ServerInfo:
        """Ask for the server's health with the credentials of the request that is about to be sent."""
        dropped = ("content-length", "content-type", "transfer-encoding")
        headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() not in dropped]
        probe = httpx.Request("GET", self.root + API_PATH + _HEALTH, headers=headers, extensions=request.extensions)
        response = await self._health(probe)
        await response.aclose()
        if self.server is None:
            raise InvalidResponseError(
                f"{self.root} answers, but not as a Stepflow server does ({_about(response)})",
                status_code=response.status_code,
                hint="is this the URL of a Stepflow server?",
            )
        return self.server

    async def _components(self, request: httpx.Request) -> httpx.Response:
        """Give 0.12's list of components the field names of 0.13."""
        response = await self.inner.handle_async_request(request)
        body = _json(await response.aread())
        if response.status_code != 200 or not isinstance(body, dict):
            return response
        return _response(Reply(200, _dialect.current_components(body)), request)

    async def _translated(self, server: ServerInfo, request: httpx.Request, path: str) -> httpx.Response:
        content = await request.aread()
        is_json = request.headers.get("content-type", "").startswith("application/json")
        body = _json(content) if is_json else None
        current = Request(request.method, path, dict(request.url.params.multi_items()), body)
        translation = _dialect.translate(server, current)
        response: httpx.Response | None = None
        try:
            wanted = next(translation)
            while True:
                if response is not None:
                    await response.aclose()
                response = await self.inner.handle_async_request(self._request(request, current, wanted, content))
                reply = Reply(response.status_code, _json(await response.aread()))
                wanted = translation.send(reply)
        except StopIteration as done:
            final: Reply = done.value
        except _dialect.ShapeChangedError:
            self.forget()
            final = reply
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            self.forget()
            asked = f"{request.method} {path}"
            raise InvalidResponseError(
                f"{asked} was answered in a shape that a server {server.release or server.dialect} does not have",
                details=str(error),
            ) from None
        if response is not None and (final is reply or final.body is None):
            return response
        return _response(final, request)

    def _request(self, request: httpx.Request, current: Request, wanted: Request, content: bytes) -> httpx.Request:
        """Give the request that is sent, with the headers of the one that was asked for."""
        same_body = wanted.body is current.body and wanted.method == current.method
        body = content if same_body else encode(wanted.body) if wanted.body is not None else b""
        dropped = {"content-length", "transfer-encoding", *(() if body else ("content-type",))}
        headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() not in dropped]
        return httpx.Request(
            wanted.method,
            self.root + API_PATH + wanted.path,
            params=dict(wanted.params) or None,
            headers=headers,
            content=body or None,
            extensions=request.extensions,
        )


def _response(reply: Reply, request: httpx.Request) -> httpx.Response:
    return httpx.Response(
        reply.status,
        headers={"content-type": "application/json"},
        content=encode(reply.body),
        request=request,
    )


def _json(content: bytes) -> Any:
    try:
        return decode(content) if content.lstrip()[:1] in (b"{", b"[") else None
    except (ValueError, RecursionError):
        return None


def _about(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "").partition(";")[0]
    return f"{response.status_code}, {kind or 'no content type'}"
