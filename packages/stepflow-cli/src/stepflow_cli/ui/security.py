"""Control access to the pages, using sessions, origin checks, form tokens and security headers."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from email import message_from_bytes
from email.message import Message as EmailMessage
from email.policy import HTTP
from html import escape
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl
from uuid import UUID

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from stepflow_client._command import BoundedDict

from ..server.host_origin_checks import AcceptedAddresses, group_headers_by_name

CHECK_PATH = "/flows/check"
"""The path that checks text while the user is typing. It has no side effects, so its form token can be reused."""

_SESSION_OPENED_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Stepflow</title>
<link rel="icon" href="/static/icon.svg">
<meta http-equiv="refresh" content="0;url={path}"></head><body><a href="{path}">Open the runs</a></body></html>"""


MAX_BODY_BYTES = 16 * 2**20
"""Maximum size of a submitted form in bytes."""
_MAX_FORM_FIELDS = 2_000
_PAGE_PATH = re.compile(r"/(runs|flows|components|reruns)([/?][\w\-.~%/?=&+:,@!$'()*;]*)?", re.ASCII)


def parse_page_path_or_none(text: str) -> str | None:
    """Return the path if it leads to one of our own pages, or None for anything else (such as an external URL)."""
    return text if _PAGE_PATH.fullmatch(text) else None


def choose_landing_path(query: Mapping[str, str]) -> str:
    """Return the path that an access link leads to: the run or page given in the link, or the list of runs."""
    page = parse_page_path_or_none(query.get("to", ""))
    if page is not None:
        return page
    try:
        # Parse the ID to make sure that nothing but a UUID ends up in the path.
        return f"/runs/{UUID(query.get('run', ''))}"
    except ValueError:
        return "/runs"


def get_accepted_form(request: Request) -> Mapping[str, str]:
    """Return the fields of a form that the guard has accepted."""
    form = request.scope["stepflow.form"]
    assert isinstance(form, Mapping)
    return form


class RequestGuard:
    """Checks every request and adds headers to every response.

    It checks the `Host`, `Origin`, method and session, in that order, followed by the size and token of any form. Views
    find the session in `scope["stepflow.session"]` and the form's fields in `scope["stepflow.form"]`.
    """

    def __init__(self, app: ASGIApp, addresses: AcceptedAddresses, sessions: Sessions, forms: FormTokens) -> None:
        self._app = app
        self._addresses = addresses
        self._sessions = sessions
        self._tokens = forms
        # Browsers don't isolate cookies by port, so include the port in the name.
        self._cookie = f"stepflow_ui_{addresses.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the application, or reject it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in RESPONSE_HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *ours]}
            await send(message)

        refusal = await self._check_request(scope, receive)
        await (refusal or self._app)(scope, receive, send_with_headers)

    async def _check_request(self, scope: Scope, receive: Receive) -> Response | None:
        headers = group_headers_by_name(scope["headers"])
        refusal = self._addresses.get_refusal_reason(headers["host"], headers["origin"])
        if refusal is not None:
            return _refuse(403, refusal)
        method, path = scope["method"], scope["path"]
        if method not in ("GET", "HEAD", "POST"):
            return _refuse(405, "Only GET and POST requests are supported.")
        if method == "POST" and "cross-site" in headers["sec-fetch-site"]:
            return _refuse(403, "This server does not accept requests from other origins.")
        if path.startswith("/static/"):
            return None if method != "POST" else _refuse(405, "Static files are read-only.")
        query = dict(parse_qsl(scope["query_string"].decode("latin-1"))) if path == "/" else {}
        session = self._find_open_session(headers["cookie"])
        if "token" in query and method == "GET" and session is None:
            session = self._sessions.open_session(query["token"])
            if session is None:
                return _refuse(403, "This link was already used, or is for another server. Open the one printed last.")
            # Instead of a redirect, send a page that goes to the target by refreshing itself. Browsers don't send a
            # strict cookie with cross-site requests, and a redirect counts as initiated by the page that contains the
            # link.
            response = HTMLResponse(_SESSION_OPENED_PAGE.format(path=escape(choose_landing_path(query))))
            response.set_cookie(self._cookie, session, httponly=True, samesite="strict", path="/")
            return response
        if session is None:
            return _refuse(401, "Open the link that 'stepflow ui' printed last; each link works in only one browser.")
        scope["stepflow.session"] = session
        return await self._check_and_store_form(scope, receive, headers, session) if method == "POST" else None

    def _find_open_session(self, cookies: list[str]) -> str | None:
        for text in cookies:
            try:
                morsel = SimpleCookie(text).get(self._cookie)
            except CookieError:
                continue
            if morsel is not None and self._sessions.has_session(morsel.value):
                return morsel.value
        return None

    async def _check_and_store_form(
        self, scope: Scope, receive: Receive, headers: dict[str, list[str]], session: str
    ) -> Response | None:
        body, has_more = bytearray(), True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return _refuse(400, "The form is incomplete.")
            body += message.get("body", b"")
            has_more = message.get("more_body", False)
            if len(body) > MAX_BODY_BYTES:
                return _refuse(413, f"A form can be at most {MAX_BODY_BYTES // 2**20} MiB.")
        try:
            form = parse_form_body(next(iter(headers["content-type"]), ""), bytes(body))
        except MalformedFormError:
            return _refuse(400, "The form cannot be read.")
        path = scope["path"]
        if not self._tokens.verify_and_consume(session, path, form.get("csrf", ""), is_reusable=path == CHECK_PATH):
            return _refuse(403, "This form was already sent or is too old. Go back, reload the page and try again.")
        scope["stepflow.form"] = form
        return None


class MalformedFormError(ValueError):
    """Raised if a request body isn't a valid form."""


def parse_form_body(content_type: str, body: bytes) -> Mapping[str, str]:
    """Parse the fields of a form. If a name occurs more than once, its last value wins. Files become text fields.

    Raises:
        MalformedFormError: If the body isn't a form, isn't UTF-8, or has more than 2,000 fields.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            text = body.decode("ascii")
            return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FORM_FIELDS))
        if kind != "multipart/form-data":
            raise MalformedFormError(f"forms must be urlencoded or multipart/form-data, not {kind or 'without a type'}")
        head = f"Content-Type: {content_type}\r\n\r\n".encode("ascii")
        parts = message_from_bytes(head + body, policy=HTTP).get_payload()
        if not isinstance(parts, list) or len(parts) > _MAX_FORM_FIELDS:
            raise MalformedFormError("it has no parts or too many")
        fields = {}
        for part in parts:
            name = part.get_param("name", header="content-disposition") if isinstance(part, EmailMessage) else None
            content = part.get_payload(decode=True) if isinstance(part, EmailMessage) else None
            if isinstance(name, str) and isinstance(content, bytes):
                fields[name] = content.decode("utf-8-sig")
        return fields
    except (ValueError, LookupError) as error:
        raise MalformedFormError(str(error)) from None


def _refuse(status: int, words: str) -> Response:
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Stepflow</title>'
        '<link rel="icon" href="/static/icon.svg">'
        '<link rel="stylesheet" href="/static/ui.css"></head>'
        f'<body><main><h1>Refused</h1><p>{words}</p><p><a href="/runs">Runs</a></p></main></body></html>',
        status_code=status,
    )


RESPONSE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""The headers added to every response."""

_FORM_MAX_AGE_SECONDS = 12 * 3600.0
_MAX_USED_TOKENS = 10_000
_MAX_SESSIONS = 100


class Sessions:
    """The sessions of browsers that have presented a valid token.

    Tokens appear in URLs, so they can end up in browser histories and logs. That's why each token works for only one
    browser. Once a token is used, `on_used` is called with the next one.
    """

    def __init__(self, on_used: Callable[[str], None] | None = None) -> None:
        self._on_used = on_used
        self._open_sessions: BoundedDict[str, None] = BoundedDict(_MAX_SESSIONS)
        self.token = secrets.token_urlsafe(32)
        """The token for the next browser."""

    def open_session(self, token: str) -> str | None:
        """Open a session and return it, or return None if the token isn't the current one."""
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            return None
        self.token = secrets.token_urlsafe(32)
        session = secrets.token_urlsafe(32)
        self._open_sessions.put_newest(session, None)
        if self._on_used is not None:
            self._on_used(self.token)
        return session

    def has_session(self, session: str) -> bool:
        """Return whether a session exists."""
        # There's no need for a constant-time comparison, because looking up a random 256-bit string in a hash table
        # leaks nothing useful.
        return session in self._open_sessions


class FormTokens:
    """Single-use form tokens. Each is bound to a session and a path, and is valid for 12 hours."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._used_at: dict[str, float] = {}

    def issue_token(self, session: str, path: str) -> str:
        """Return a new token for a form that posts to this path."""
        ticket = f"{self._clock():.0f}.{secrets.token_urlsafe(16)}"
        return f"{ticket}.{self._sign(session, path, ticket)}"

    def verify_and_consume(self, session: str, path: str, token: str, *, is_reusable: bool = False) -> bool:
        """Return whether a token is valid. The token can't be used again unless `is_reusable` is set."""
        ticket, _, signature = token.rpartition(".")
        expected = self._sign(session, path, ticket)
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
            return False
        now = self._clock()
        # The signature proves that we issued the ticket, so it must start with a number.
        if now - float(ticket.partition(".")[0]) > _FORM_MAX_AGE_SECONDS or ticket in self._used_at:
            return False
        if not is_reusable:
            self._used_at = {used: at for used, at in self._used_at.items() if now - at <= _FORM_MAX_AGE_SECONDS}
            if len(self._used_at) >= _MAX_USED_TOKENS:
                return False
            self._used_at[ticket] = now
        return True

    def _sign(self, session: str, path: str, ticket: str) -> str:
        text = "\n".join((session, path, ticket)).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
