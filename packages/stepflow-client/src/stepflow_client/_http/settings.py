"""Validates a client's connection settings: URLs, timeouts, credentials, proxies and environment variables."""

from __future__ import annotations

import math
import os
import re
import sys
from binascii import b2a_base64
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard
from urllib.parse import quote, unquote, urlsplit

from .._base.text_formatting import format_url_without_credentials
from .._data.arguments import check_seconds
from ..errors import InvalidArgumentError

if TYPE_CHECKING:
    import httpx

_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_TIMEOUT_PHASES = ("connect", "read", "write", "pool")
_PROXY_HINT = "write http://HOST:PORT; and / ? # @ in a password as %2F %3F %23 %40"
MAX_EVENT_BYTES = 256 * 1024 * 1024
"""Maximum size of an event in bytes. It contains at most one step's output, and servers accept requests of 250 MiB."""


# If the server holds back a response for longer than this many seconds, it counts as lost, even without a timeout.
_MAX_OVERDUE_SECONDS = 600.0


class Timeouts(NamedTuple):
    """The timeout of each phase of a request, plus a limit for the whole request (in seconds)."""

    connect: float = 30.0
    read: float = 30.0
    write: float = 30.0
    pool: float = 600.0
    whole: float = math.inf
    """Limit for all attempts combined, because no single phase times out if a server keeps trickling bytes."""

    def for_stream(self, seconds: float) -> Timeouts:
        """Return a copy for a stream with this read timeout and no overall limit, since a stream can last for hours."""
        return self._replace(read=seconds, whole=math.inf)

    @lru_cache(maxsize=32)  # noqa: B019 - a few constants
    def for_long_poll(self, seconds: float) -> Timeouts:
        """Return a copy for a request that the server may hold for this many seconds before it responds."""
        return self._replace(read=min(self.read, _MAX_OVERDUE_SECONDS) + seconds, whole=self.whole + seconds)

    def at_most(self, seconds: float) -> Timeouts:
        """Return a copy with every phase capped at this many seconds."""
        return Timeouts(*(min(phase, seconds) for phase in self))

    def as_dict(self) -> dict[str, float]:
        """Return the timeout of each phase as a dict, like `httpx.Timeout.as_dict`."""
        return dict(zip(_TIMEOUT_PHASES, self, strict=False))


def parse_proxy(
    proxy: str | httpx.URL | httpx.Proxy | None, source: str = "proxy"
) -> str | httpx.URL | httpx.Proxy | None:
    """Validate a proxy and return it in a form that httpx accepts. `host:port` means an HTTP proxy.

    Args:
        proxy: The proxy URL.
        source: The setting to name in error messages. They never quote the URL, because it may contain a password.

    Raises:
        InvalidArgumentError: If it isn't a proxy URL.
    """
    if proxy is None or hasattr(proxy, "raw_auth"):
        return proxy
    # Detect httpx.URL by its attributes, without importing httpx.
    if not isinstance(proxy, str) and not hasattr(proxy, "raw_path"):
        raise InvalidArgumentError(f"{source} must be a proxy URL, not {type(proxy).__name__}", hint=_PROXY_HINT)
    text = str(proxy).strip()
    has_scheme = "://" in text
    if not has_scheme:
        text = f"http://{text}"
    try:
        parsed = urlsplit(text)
        host, port = (parsed.hostname or "").encode("idna"), parsed.port
    except (ValueError, UnicodeError):
        raise InvalidArgumentError(f"{source} is not a proxy URL", hint=_PROXY_HINT) from None
    if parsed.scheme not in _PROXY_SCHEMES:
        raise InvalidArgumentError(f"{source} is not an http, https or socks5 URL", hint=_PROXY_HINT)
    if not host or (port is None and not has_scheme):
        raise InvalidArgumentError(f"{source} has no host and port", hint=_PROXY_HINT)
    # If a password isn't escaped, part of it might have been parsed as the host and would end up in messages.
    if "@" in text.partition(parsed.netloc)[2] or not text.isprintable() or " " in text:
        raise InvalidArgumentError(f"{source} is not a proxy URL", hint=_PROXY_HINT)
    return text


def find_environment_proxy(url: ServerUrl) -> str | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY set for a server, or None.

    No proxy is used for servers on this machine. NO_PROXY is a list of host names (which include their subdomains),
    addresses and networks (such as `10.0.0.0/8`). Each entry can include a port. `*` matches every server.

    Raises:
        InvalidArgumentError: If the value of the variable that applies isn't a proxy URL.
    """
    if is_loopback(url.host) or not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    kind = next((kind for kind in (url.scheme, "all") if (proxies.get(kind) or "").strip()), None)
    excluded = re.split(r"[,\s]+", proxies.get("no", "").lower())
    if kind is None or any(_matches_no_proxy(entry, url) for entry in excluded if entry) or proxy_bypass(url.host):
        return None
    proxy = parse_proxy(proxies[kind], f"{kind.upper()}_PROXY")
    return proxy if isinstance(proxy, str) else None


def is_loopback(host: str) -> bool:
    """Return True for `localhost` and loopback addresses, but not for names such as 127.example.com."""
    address = _parse_ip_address(host)
    return host == "localhost" if address is None else bool(address.is_loopback)


def _matches_no_proxy(entry: str, url: ServerUrl) -> bool:
    """Return whether a NO_PROXY entry matches a server."""
    if entry == "*":
        return True
    name = entry
    if parts := re.fullmatch(r"(\[.*\]|[^:]*):(\d+)", entry):
        if int(parts[2]) != url.port:
            return False
        name = parts[1]
    address = _parse_ip_address(url.host)
    if "/" in name:
        try:
            return address is not None and address in ip_network(name, strict=False)
        except ValueError:
            return False
    name = name.removeprefix("[").removesuffix("]")
    if address is not None:
        return bool(address == _parse_ip_address(name))
    name = name.removeprefix("*").removeprefix(".")
    return bool(name) and (url.host == name or url.host.endswith(f".{name}"))


def _parse_ip_address(host: str) -> Any:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def format_proxy(proxy: str | httpx.URL | httpx.Proxy | None) -> str | None:
    """Return a proxy URL without user and password."""
    if proxy is None:
        return None
    text = str(getattr(proxy, "url", proxy))
    return format_url_without_credentials(text if "://" in text else f"http://{text}")


API_PATH = "/api/v1"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MIN_POOL_TIMEOUT = 600.0
MAX_TIMEOUT = 2_000_000
"""Maximum timeout in seconds. Also stands for "no limit", because sockets don't accept 2**31 milliseconds or more."""

_HEADER_NAME = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"

Token = str | Callable[[], str | Awaitable[str]]
"""A bearer token, or a callable that returns one. The async client also accepts one that returns an awaitable."""


class ServerUrl(NamedTuple):
    """A server's root URL, without `/api/v1`, query or fragment."""

    scheme: str
    host: str
    """The host name in ASCII. IPv6 addresses have no brackets."""
    port: int
    path: str = ""
    """The path before `/api/v1`, if any (a proxy can add one). Percent-encoded, without a trailing slash."""
    user: tuple[str, str] | None = None
    """The user and password from the URL, if any."""

    @property
    def netloc(self) -> str:
        """The host, plus the port unless it's the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"

    def __repr__(self) -> str:
        # Leave out the password.
        return f"<{type(self).__name__} {self}>"


class PoolLimits(NamedTuple):
    """Connection pool limits, with the same fields as `httpx.Limits`."""

    max_connections: int | None = 256
    """Maximum number of connections, or None for no limit."""
    max_keepalive_connections: int | None = 256
    """Maximum number of idle connections to keep open."""
    keepalive_expiry: float | None = 30.0
    """How many seconds an idle connection can be reused for, or None to reuse it until the server closes it."""


def parse_pool_limits(limits: httpx.Limits) -> PoolLimits:
    """Validate and return connection pool limits.

    Raises:
        InvalidArgumentError: If the limits aren't an `httpx.Limits` or if they don't allow any connections.
    """
    if not hasattr(limits, "max_keepalive_connections"):
        raise InvalidArgumentError(f"limits must be httpx.Limits, not {type(limits).__name__}")
    if limits.max_connections is not None and limits.max_connections < 1:
        raise InvalidArgumentError("limits allow no connections")
    return PoolLimits(limits.max_connections, limits.max_keepalive_connections, limits.keepalive_expiry)


_URL_HINT = "write http://HOST:PORT"


def parse_url(url: str | httpx.URL | ServerUrl) -> ServerUrl:
    """Parse a server's root URL, dropping `/api/v1`, trailing slashes, query and fragment.

    `host`, `host:port` and `//host` are treated as HTTP URLs. A path before `/api/v1` is kept, since a proxy might need
    it.

    Raises:
        InvalidArgumentError: If it isn't an HTTP or HTTPS URL.
    """
    if isinstance(url, ServerUrl):
        return url
    # Detect httpx.URL by its attributes, without importing httpx.
    if not isinstance(url, str) and not hasattr(url, "raw_path"):
        raise InvalidArgumentError(f"the server's URL must be a string, not {type(url).__name__}")
    text = str(url).strip()
    if not text:
        raise InvalidArgumentError("the server's URL is empty")
    if text.isdecimal():
        raise InvalidArgumentError(f"{text!r} is a port, not a URL", hint=f"write http://localhost:{text}")
    if "://" not in text:
        text = "http://" + text.removeprefix("//")
    _, at, after = text.rpartition("@")
    shown = repr(f"...@{after}" if at else text)
    try:
        parsed = urlsplit(text)
        host, port = _encode_host(parsed.hostname or ""), parsed.port
    except (ValueError, UnicodeError) as error:
        if at:
            # Don't use the exception's message, since it might quote the password.
            reason, hint = "it cannot be read", "write / ? # @ in a password as %2F %3F %23 %40"
        else:
            is_port = "port" in str(error).lower()
            reason, hint = "its port is not a number up to 65535" if is_port else str(error), _URL_HINT
        raise InvalidArgumentError(f"{shown} is not a URL: {reason}", hint=hint) from None
    if parsed.scheme not in _DEFAULT_PORTS:
        raise InvalidArgumentError(f"{shown} is not an http or https URL", hint=_URL_HINT)
    if not host or port == 0 or any(char.isspace() or not char.isprintable() for char in text) or len(text) > 65_536:
        raise InvalidArgumentError(f"{shown} is not a server URL")
    path = quote(parsed.path, safe="/%:@!$&'()*+,;=~").rstrip("/").removesuffix(API_PATH).rstrip("/")
    user = None
    if parsed.username is not None:
        user = (unquote(parsed.username), unquote(parsed.password or ""))
    return ServerUrl(parsed.scheme, host, port or _DEFAULT_PORTS[parsed.scheme], path, user)


def parse_urls(urls: str | httpx.URL | ServerUrl | Sequence[str | httpx.URL | ServerUrl]) -> list[ServerUrl]:
    """Parse the root URL of a server, or the root URLs of several servers that share a store.

    Raises:
        InvalidArgumentError: If any of them isn't an HTTP or HTTPS URL, or if the list is empty.
    """
    if isinstance(urls, Sequence) and not isinstance(urls, (str, bytes, ServerUrl)):
        if not urls:
            raise InvalidArgumentError("the list of servers is empty")
        return [parse_url(url) for url in urls]
    return [parse_url(urls)]


def _encode_host(host: str) -> str:
    """Encode a host name in ASCII, which is the form needed to look it up.

    Raises:
        UnicodeError: If the name can't be encoded.
    """
    if ":" in host:
        return str(IPv6Address(host.partition("%")[0])) if "%" not in host else host
    is_plain = host.isascii() and all(0 < len(label) < 64 for label in host.split("."))
    # Only a few names need the IDNA codec, so don't import it for the others.
    ascii_host = host.encode("idna").decode("ascii") if host and not is_plain else host
    for label in ascii_host.split("."):
        if label.startswith("xn--"):
            label.encode("ascii").decode("idna")
    return ascii_host


def parse_timeout(timeout: float | httpx.Timeout | Timeouts | None, *, of_a_call: bool = False) -> Timeouts:
    """Validate a timeout and return per-phase timeouts in seconds.

    Args:
        timeout: The number of seconds for each phase, an object with a timeout for each phase, or None for no limit.
        of_a_call: Whether the timeout is for a single call. If so, a number limits each request as a whole, including
            the time it waits for a free connection.

    Raises:
        InvalidArgumentError: If the timeout isn't positive or has the wrong type.
    """
    if timeout is None:
        return Timeouts(MAX_TIMEOUT, MAX_TIMEOUT, MAX_TIMEOUT, MAX_TIMEOUT)
    if not isinstance(timeout, (int, float)) and hasattr(timeout, "as_dict"):
        phases = {phase: _parse_phase_timeout(limit, f"timeout.{phase}") for phase, limit in timeout.as_dict().items()}
        return Timeouts(**phases, whole=getattr(timeout, "whole", math.inf))
    seconds = _parse_phase_timeout(timeout, "timeout")
    if of_a_call:
        return Timeouts(seconds, seconds, seconds, seconds, whole=seconds)
    # Be generous with the time to wait for a connection. If the client's other calls are using all of them, that
    # doesn't mean that the server is slow.
    return Timeouts(seconds, seconds, seconds, max(seconds, _MIN_POOL_TIMEOUT))


def _parse_phase_timeout(limit: object, what: str) -> float:
    seconds = MAX_TIMEOUT if limit is None else check_seconds(limit, what)
    if seconds > MAX_TIMEOUT:
        raise InvalidArgumentError(f"{what} must be at most {MAX_TIMEOUT:,} seconds, not {seconds!r}")
    return seconds


def read_environment_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the client arguments set by STEPFLOW_URL, STEPFLOW_TOKEN and STEPFLOW_TIMEOUT.

    Raises:
        InvalidArgumentError: If STEPFLOW_TIMEOUT isn't a number.
    """
    settings: dict[str, Any] = {}
    if url := environ.get("STEPFLOW_URL"):
        settings["base_url"] = url
    if token := environ.get("STEPFLOW_TOKEN"):
        settings["auth"] = token
    if timeout := environ.get("STEPFLOW_TIMEOUT"):
        try:
            settings["timeout"] = float(timeout)
        except ValueError:
            raise InvalidArgumentError(f"STEPFLOW_TIMEOUT must be a number of seconds, not {timeout!r}") from None
    return settings


class TokenAuth:
    """A token for the header `Authorization: Bearer ...`.

    Args:
        token: The token, or a callable that returns it. The callable is called before each request. For the async
            client, it can be a coroutine function.
    """

    def __init__(self, token: Token) -> None:
        """Store the token, which is never included in a repr."""
        self._token = token if callable(token) else lambda: token
        self.header = None if callable(token) else f"Bearer {token.strip()}"

    def sync_get_token(self) -> object:
        """Return the token."""
        token = self._token()
        if isinstance(token, Coroutine):
            # Close the coroutine, because Python warns about any that are never awaited.
            token.close()
        return token

    async def async_get_token(self) -> object:
        """Return the token, awaiting it if necessary."""
        token = self._token()
        return await token if isinstance(token, Awaitable) else token

    @staticmethod
    def format_header(token: object) -> str:
        """Return the header for a token that the callable returned."""
        if not isinstance(token, str):
            raise InvalidArgumentError(f"the callable passed as auth must return a token, not {type(token).__name__}")
        return f"Bearer {_check_token(token.strip())}"


def is_httpx_auth(auth: object) -> TypeGuard[httpx.Auth]:
    """Return whether an object is an `httpx.Auth`, without importing httpx."""
    # Use a default for getattr, since another thread might be in the middle of importing httpx.
    kind = getattr(sys.modules.get("httpx"), "Auth", None)
    return kind is not None and isinstance(auth, kind)


def check_auth(auth: httpx.Auth | Token | tuple[str, str] | None) -> httpx.Auth | TokenAuth | tuple[str, str] | None:
    """Validate and return credentials.

    Raises:
        InvalidArgumentError: If the credentials have the wrong type, can't be sent, or are an empty token.
    """
    if auth is None or is_httpx_auth(auth):
        return auth
    if isinstance(auth, tuple) and len(auth) == 2 and all(isinstance(part, str) for part in auth):
        try:
            ":".join(auth).encode()
        except UnicodeEncodeError:
            # Don't chain the exception, because its message quotes the credentials.
            raise InvalidArgumentError("the user or password passed as auth is not Unicode text") from None
        return auth
    if callable(auth):
        return TokenAuth(auth)
    if not isinstance(auth, str):
        raise InvalidArgumentError(
            f"auth must be a token, a callable, a (user, password) pair or httpx.Auth, not {type(auth).__name__}"
        )
    return TokenAuth(_check_token(auth))


def build_static_authorization(auth: httpx.Auth | TokenAuth | tuple[str, str] | None) -> str | None:
    """Return the Authorization header for credentials that never change, or None for other kinds."""
    if isinstance(auth, TokenAuth):
        return auth.header
    if not isinstance(auth, tuple):
        return None
    return "Basic " + b2a_base64(":".join(auth).encode(), newline=False).decode()


def check_headers(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """Validate and return headers. Messages never quote their values, which may be credentials.

    Raises:
        InvalidArgumentError: If the headers aren't a mapping from names to printable strings.
    """
    if headers is None:
        return None
    if not isinstance(headers, Mapping):
        raise InvalidArgumentError(f"headers must be a mapping from name to value, not {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str) or not re.fullmatch(_HEADER_NAME, name):
            raise InvalidArgumentError(f"{name!r} is not a header name")
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            raise InvalidArgumentError(f"the value of the header {name} is not printable ASCII text")
    return dict(headers)


def _check_token(token: str) -> str:
    if not token.strip() or not (token.isascii() and token.isprintable()):
        raise InvalidArgumentError("the token is empty or not printable ASCII text")
    return token
