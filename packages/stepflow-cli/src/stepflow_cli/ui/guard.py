"""The first handler of a request: requests that are not permitted are rejected before any view is called."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .bodies import MAX_BODY_BYTES, MalformedFormError, read_form
from .security import HEADERS, Addresses, FormTokens, Sessions

__all__ = ["CHECK", "Guard"]

CHECK = "/flows/check"
"""The path that checks text while it is being typed. It changes nothing, so its token can be used repeatedly."""

_SESSION_OPENED = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Stepflow</title>
<link rel="icon" href="/static/icon.svg">
<meta http-equiv="refresh" content="0;url=/runs"></head><body><a href="/runs">Open the runs</a></body></html>"""


class Guard:
    """Checks every request and adds headers to every response.

    It checks, in this order, the `Host`, the `Origin`, the method, the session, and for a form its size and token.
    Views find the session in `scope["stepflow.session"]` and a form's fields in `scope["stepflow.form"]`.

    Args:
        app: The application that serves accepted requests.
        addresses: The accepted hosts and origins.
        sessions: The sessions.
        forms: The form tokens.
        port: Part of the cookie's name, because browsers send cookies to all ports of a host.
    """

    def __init__(self, app: ASGIApp, *, addresses: Addresses, sessions: Sessions, forms: FormTokens, port: int) -> None:
        """Store the parts."""
        self._app = app
        self._addresses = addresses
        self._sessions = sessions
        self._forms = forms
        self._cookie = f"stepflow_ui_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or reject it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *ours]}
            await send(message)

        refusal = await self._refusal(scope, receive)
        await (refusal or self._app)(scope, receive, send_with_headers)

    async def _refusal(self, scope: Scope, receive: Receive) -> Response | None:
        heads: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            heads.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts, origins = heads.get("host", []), heads.get("origin", [])
        host = hosts[0] if len(hosts) == 1 else ""
        if not self._addresses.accepts_host(host):
            return _refuse(403, "This server is not at the address that was asked for.")
        if len(origins) > 1 or not self._addresses.accepts_origin(origins[0] if origins else None, host):
            return _refuse(403, "Pages of other origins are not served.")
        method, path = scope["method"], scope["path"]
        if method not in ("GET", "HEAD", "POST"):
            return _refuse(405, "Only GET and POST are served.")
        if method == "POST" and "cross-site" in heads.get("sec-fetch-site", []):
            return _refuse(403, "Pages of other origins are not served.")
        if path.startswith("/static/"):
            return None if method != "POST" else _refuse(405, "Files are only read.")
        tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token", []) if path == "/" else []
        session = self._session(heads.get("cookie", []))
        if tokens and method == "GET" and session is None:
            return self._begin(tokens[0])
        if session is None:
            return _refuse(401, "Open the link that 'stepflow ui' has printed last; each link opens one browser.")
        scope["stepflow.session"] = session
        return await self._refused_form(scope, receive, heads, session) if method == "POST" else None

    def _session(self, cookies: list[str]) -> str | None:
        for text in cookies:
            try:
                morsel = SimpleCookie(text).get(self._cookie)
            except CookieError:
                continue
            if morsel is not None and self._sessions.knows(morsel.value):
                return morsel.value
        return None

    def _begin(self, token: str) -> Response:
        session = self._sessions.begin(token)
        if session is None:
            return _refuse(403, "This link was used already, or is not of this server. Open the one printed last.")
        # A page that continues by itself instead of a redirect: browsers send a strict cookie only with requests that
        # start on this site, and a redirect counts as started by the page with the link.
        response = HTMLResponse(_SESSION_OPENED)
        response.set_cookie(self._cookie, session, httponly=True, samesite="strict", path="/")
        return response

    async def _refused_form(
        self, scope: Scope, receive: Receive, heads: dict[str, list[str]], session: str
    ) -> Response | None:
        body = await _body(receive)
        if body is None:
            return _refuse(413, f"A form may have up to {MAX_BODY_BYTES // 2**20} MiB.")
        try:
            form: Any = read_form(heads.get("content-type", [""])[0], body)
        except MalformedFormError:
            return _refuse(400, "The form cannot be read.")
        path = scope["path"]
        if not self._forms.accept(session, path, form.get("csrf", ""), again=path == CHECK):
            return _refuse(403, "This form was sent already, or is too old. Go back, reload the page and try again.")
        scope["stepflow.form"] = form
        return None


async def _body(receive: Receive) -> bytes | None:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _refuse(status: int, words: str) -> Response:
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Stepflow</title>'
        '<link rel="icon" href="/static/icon.svg">'
        '<link rel="stylesheet" href="/static/ui.css"></head>'
        f'<body><main><h1>Refused</h1><p>{words}</p><p><a href="/runs">Runs</a></p></main></body></html>',
        status_code=status,
    )
