"""Who may use the pages: addresses, sessions and the tokens of forms. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

__all__ = ["HEADERS", "Addresses", "FormTokens", "Sessions"]

HEADERS = {
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
"""Sent with every response."""

_FORM_SECONDS = 12 * 3600.0
_MOST_USED = 10_000
_MOST_SESSIONS = 100


class Addresses:
    """The values of `Host` and `Origin` that are this server's own.

    A page of somebody else can let its name point to this machine (DNS rebinding), but the browser still sends that
    name: names are compared with those known, IP addresses cannot be rebound.

    Args:
        port: The port that the server listens on.
        names: Further host names; `localhost` is always one.
        is_exposed: Whether other machines reach the port. Any IP address is a host then, else only loopback ones.
    """

    def __init__(self, port: int, names: Collection[str] = (), *, is_exposed: bool = False) -> None:
        """Keep what is accepted."""
        self._port = port
        self._names = {"localhost", *(name.lower() for name in names)}
        self._is_exposed = is_exposed

    def accepts_host(self, host: str | None) -> bool:
        """Return whether a request with this `Host` is meant for this server."""
        if not host or any(letter in host for letter in "/@?#\\ ,\t"):
            return False
        try:
            parts = urlsplit(f"//{host}")
            port = parts.port or 80
        except ValueError:
            return False
        if port != self._port or not parts.hostname:
            return False
        try:
            address = ipaddress.ip_address(parts.hostname)
        except ValueError:
            return parts.hostname in self._names
        return self._is_exposed or address.is_loopback

    def accepts_origin(self, origin: str | None, host: str) -> bool:
        """Return whether a request with this `Origin` comes from a page of this server; None if it has none."""
        return origin is None or origin.lower() == f"http://{host.lower()}"


class Sessions:
    """Browsers that have shown a token.

    A token is in a URL, so it may stay in a history or a log: each is good for one browser.

    Args:
        on_used: Called when a token was used, with the next one.
    """

    def __init__(self, on_used: Callable[[str], None] | None = None) -> None:
        """Make the first token."""
        self._on_used = on_used
        self._open: dict[str, None] = {}
        self.token = secrets.token_urlsafe(32)
        """The token that the next browser shows."""

    def begin(self, token: str) -> str | None:
        """Return the session that a token opens; None if it is not the current one."""
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode()):
            return None
        self.token = secrets.token_urlsafe(32)
        session = secrets.token_urlsafe(32)
        self._open[session] = None
        if len(self._open) > _MOST_SESSIONS:
            del self._open[next(iter(self._open))]
        if self._on_used is not None:
            self._on_used(self.token)
        return session

    def knows(self, session: str) -> bool:
        """Return whether a session was opened."""
        # A random text of 256 bits, looked up by its hash: how long it takes tells nothing.
        return session in self._open


class FormTokens:
    """Tokens of forms: for one session, one path, one use and 12 hours."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Make a key of its own."""
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._used: dict[str, float] = {}

    def issue(self, session: str, path: str) -> str:
        """Return a new token for a form that is sent to this path."""
        ticket = f"{self._clock():.0f}.{secrets.token_urlsafe(16)}"
        return f"{ticket}.{self._signature(session, path, ticket)}"

    def accept(self, session: str, path: str, token: str, *, again: bool = False) -> bool:
        """Return whether a token is good, and use it up.

        Args:
            session: The session that sends the form.
            path: Where it is sent.
            token: What came with it.
            again: Whether the same token is good another time: for what changes nothing.
        """
        ticket, _, signature = token.rpartition(".")
        expected = self._signature(session, path, ticket)
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
            return False
        now = self._clock()
        # What is signed was issued here, so it begins with a number.
        if now - float(ticket.partition(".")[0]) > _FORM_SECONDS or ticket in self._used:
            return False
        if not again:
            self._used = {each: at for each, at in self._used.items() if now - at <= _FORM_SECONDS}
            if len(self._used) >= _MOST_USED:
                return False
            self._used[ticket] = now
        return True

    def _signature(self, session: str, path: str, ticket: str) -> str:
        text = "\n".join((session, path, ticket)).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
