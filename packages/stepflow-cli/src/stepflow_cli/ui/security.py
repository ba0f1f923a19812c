"""Access control of the pages: addresses, sessions and form tokens. No I/O."""

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
"""Headers sent with every response."""

_FORM_SECONDS = 12 * 3600.0
_MOST_USED = 10_000
_MOST_SESSIONS = 100


class Addresses:
    """The values of `Host` and `Origin` that belong to this server.

    A malicious site can make its own name resolve to this machine (DNS rebinding), but the browser still sends that
    name. Therefore names must be known ones; IP addresses cannot be rebound.

    Args:
        port: The port that the server listens on.
        names: Further host names; `localhost` is always accepted.
        is_exposed: Whether other machines can reach the port. If so, any IP address is accepted as a host, otherwise
            only loopback addresses.
    """

    def __init__(self, port: int, names: Collection[str] = (), *, is_exposed: bool = False) -> None:
        """Store what is accepted."""
        self._port = port
        self._names = {"localhost", *(name.lower() for name in names)}
        self._is_exposed = is_exposed

    def accepts_host(self, host: str | None) -> bool:
        """Return whether a request with this `Host` is addressed to this server."""
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
        """Return whether a request with this `Origin`, or with none, may come from a page of this server."""
        return origin is None or origin.lower() == f"http://{host.lower()}"


class Sessions:
    """Browsers that have presented a token.

    A token is part of a URL, so it may be kept in a history or a log; each token is therefore valid for one browser
    only.

    Args:
        on_used: Called with the next token when one was used.
    """

    def __init__(self, on_used: Callable[[str], None] | None = None) -> None:
        """Create the first token."""
        self._on_used = on_used
        self._open: dict[str, None] = {}
        self.token = secrets.token_urlsafe(32)
        """The token for the next browser."""

    def begin(self, token: str) -> str | None:
        """Return a new session for a token; None if the token is not the current one."""
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
        """Return whether a session exists."""
        # A random text of 256 bits is looked up by its hash, so the duration reveals nothing.
        return session in self._open


class FormTokens:
    """Form tokens, valid for one session, one path, one use and 12 hours."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Create a new signing key."""
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._used: dict[str, float] = {}

    def issue(self, session: str, path: str) -> str:
        """Return a new token for a form that is sent to this path."""
        ticket = f"{self._clock():.0f}.{secrets.token_urlsafe(16)}"
        return f"{ticket}.{self._signature(session, path, ticket)}"

    def accept(self, session: str, path: str, token: str, *, again: bool = False) -> bool:
        """Return whether a token is valid, and invalidate it.

        Args:
            session: The session that sends the form.
            path: The path that it is sent to.
            token: The token sent with it.
            again: Whether the token may be used again, for requests that change nothing.
        """
        ticket, _, signature = token.rpartition(".")
        expected = self._signature(session, path, ticket)
        if not hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode()):
            return False
        now = self._clock()
        # A signed ticket was issued here, so it begins with a number.
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
