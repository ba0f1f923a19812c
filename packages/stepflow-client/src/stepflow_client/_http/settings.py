"""Connection settings of a client: URL, timeout, credentials, proxy, environment. Checked before any request. Pure."""

from __future__ import annotations

import math
import os
import re
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeGuard
from urllib.parse import quote, unquote, urlsplit

from .._base.text import without_password
from .._data.arguments import check_seconds
from ..errors import InvalidArgumentError
from .messages import Timeouts

if TYPE_CHECKING:
    import httpx

_SCHEMES = ("http", "https", "socks5", "socks5h")
_PROXY_HINT = "write http://HOST:PORT; and / ? # @ in a password as %2F %3F %23 %40"


def check_proxy(
    proxy: str | httpx.URL | httpx.Proxy | None, source: str = "proxy"
) -> str | httpx.URL | httpx.Proxy | None:
    """Return a proxy in a form that httpx accepts. `host:port` means http.

    Args:
        proxy: The URL of the proxy.
        source: The name of the setting, for errors. They never show the URL, which may contain a password.

    Raises:
        InvalidArgumentError: If it is not the URL of a proxy.
    """
    if proxy is None or hasattr(proxy, "raw_auth"):
        return proxy
    # An httpx.URL is recognised without importing httpx.
    if not isinstance(proxy, str) and not hasattr(proxy, "raw_path"):
        raise InvalidArgumentError(f"{source} is the URL of a proxy, not {type(proxy).__name__}", hint=_PROXY_HINT)
    text = str(proxy).strip()
    has_scheme = "://" in text
    if not has_scheme:
        text = f"http://{text}"
    try:
        parsed = urlsplit(text)
        host, port = (parsed.hostname or "").encode("idna"), parsed.port
    except (ValueError, UnicodeError):
        raise InvalidArgumentError(f"{source} is not the URL of a proxy", hint=_PROXY_HINT) from None
    if parsed.scheme not in _SCHEMES:
        raise InvalidArgumentError(f"{source} is not an http, https or socks5 URL", hint=_PROXY_HINT)
    if not host or (port is None and not has_scheme):
        raise InvalidArgumentError(f"{source} has no host and port", hint=_PROXY_HINT)
    # A part of an unescaped password may have been parsed as the host, which would be shown.
    if "@" in text.partition(parsed.netloc)[2] or not text.isprintable() or " " in text:
        raise InvalidArgumentError(f"{source} is not the URL of a proxy", hint=_PROXY_HINT)
    return text


def find_environment_proxy(url: ServerUrl) -> str | None:
    """Return the proxy for a server from HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, or None.

    No proxy is used for a server on this machine. NO_PROXY is a list of host names, which include their subdomains,
    addresses and networks (`10.0.0.0/8`), each with or without a port; `*` means all servers.

    Raises:
        InvalidArgumentError: If a variable that applies is not the URL of a proxy.
    """
    if is_loopback(url.host) or not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.request import getproxies, proxy_bypass

    proxies = getproxies()
    kind = next((kind for kind in (url.scheme, "all") if (proxies.get(kind) or "").strip()), None)
    excluded = re.split(r"[,\s]+", proxies.get("no", "").lower())
    if kind is None or any(_is_excluded(entry, url) for entry in excluded if entry) or proxy_bypass(url.host):
        return None
    proxy = check_proxy(proxies[kind], f"{kind.upper()}_PROXY")
    return proxy if isinstance(proxy, str) else None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: `localhost` or a loopback address. 127.example.com is neither."""
    address = _parse_address(host)
    return host == "localhost" if address is None else bool(address.is_loopback)


def _is_excluded(entry: str, url: ServerUrl) -> bool:
    """Return whether an entry of NO_PROXY covers a server."""
    if entry == "*":
        return True
    name = entry
    if parts := re.fullmatch(r"(\[.*\]|[^:]*):(\d+)", entry):
        if int(parts[2]) != url.port:
            return False
        name = parts[1]
    address = _parse_address(url.host)
    if "/" in name:
        try:
            return address is not None and address in ip_network(name, strict=False)
        except ValueError:
            return False
    name = name.removeprefix("[").removesuffix("]")
    if address is not None:
        return bool(address == _parse_address(name))
    name = name.removeprefix("*").removeprefix(".")
    return bool(name) and (url.host == name or url.host.endswith(f".{name}"))


def _parse_address(host: str) -> Any:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def format_proxy(proxy: str | httpx.URL | httpx.Proxy | None) -> str | None:
    """Return the URL of a proxy without its user and password."""
    if proxy is None:
        return None
    text = str(getattr(proxy, "url", proxy))
    return without_password(text if "://" in text else f"http://{text}")


API_PATH = "/api/v1"
_PORTS = {"http": 80, "https": 443}
_MIN_POOL_TIMEOUT = 600.0
MAX_TIMEOUT = 2_000_000
"""Maximum timeout in seconds, and that of phases without a limit: sockets do not accept 2**31 milliseconds or more."""

_HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")

Token = str | Callable[[], str | Awaitable[str]]
"""A bearer token, or a callable that returns one. Callables that return awaitables work only with the async client."""


class ServerUrl(NamedTuple):
    """The root URL of a server: without `/api/v1`, query or fragment."""

    scheme: str
    host: str
    """The host name in ASCII; an IPv6 address has no brackets."""
    port: int
    path: str = ""
    """The path before `/api/v1`, as used by a proxy: percent-encoded, without a trailing slash."""
    user: tuple[str, str] | None = None
    """The user and password in the URL, if any."""

    @property
    def netloc(self) -> str:
        """The host, and the port if it is not the default of the scheme."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.path}"

    def __repr__(self) -> str:
        # Without the password.
        return f"<{type(self).__name__} {self}>"


class PoolLimits(NamedTuple):
    """Limits of a connection pool, with the fields of `httpx.Limits`."""

    max_connections: int | None = 256
    """Maximum number of connections; None for no limit."""
    max_keepalive_connections: int | None = 256
    """Maximum number of idle connections that are kept open."""
    keepalive_expiry: float | None = 30.0
    """Seconds after which an idle connection is not reused; None to keep it as long as the server does."""


def check_limits(limits: httpx.Limits) -> PoolLimits:
    """Check the limits of a connection pool and return them.

    Raises:
        InvalidArgumentError: If they are not an `httpx.Limits`, or allow no connections.
    """
    if not hasattr(limits, "max_keepalive_connections"):
        raise InvalidArgumentError(f"limits are httpx.Limits, not {type(limits).__name__}")
    if limits.max_connections is not None and limits.max_connections < 1:
        raise InvalidArgumentError("limits allow no connections")
    return PoolLimits(limits.max_connections, limits.max_keepalive_connections, limits.keepalive_expiry)


_URL_HINT = "write http://HOST:PORT"


def parse_url(url: str | httpx.URL | ServerUrl) -> ServerUrl:
    """Return the root URL of a server: without `/api/v1`, a trailing slash, query or fragment.

    `host`, `host:port` and `//host` are read as http URLs. A path before `/api/v1`, as a proxy may use, is kept.

    Raises:
        InvalidArgumentError: If it is not an http or https URL.
    """
    if isinstance(url, ServerUrl):
        return url
    # Recognise an httpx.URL without importing httpx.
    if not isinstance(url, str) and not hasattr(url, "raw_path"):
        raise InvalidArgumentError(f"the server's URL is a text, not {type(url).__name__}")
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
            # The exception's message may quote the password.
            reason, hint = "it cannot be read", "write / ? # @ in a password as %2F %3F %23 %40"
        else:
            is_port = "port" in str(error).lower()
            reason, hint = "its port is not a number up to 65535" if is_port else str(error), _URL_HINT
        raise InvalidArgumentError(f"{shown} is not a URL: {reason}", hint=hint) from None
    if parsed.scheme not in _PORTS:
        raise InvalidArgumentError(f"{shown} is not an http or https URL", hint=_URL_HINT)
    if not host or port == 0 or any(char.isspace() or not char.isprintable() for char in text) or len(text) > 65_536:
        raise InvalidArgumentError(f"{shown} is not the URL of a server")
    path = quote(parsed.path, safe="/%:@!$&'()*+,;=~").rstrip("/").removesuffix(API_PATH).rstrip("/")
    user = None
    if parsed.username is not None:
        user = (unquote(parsed.username), unquote(parsed.password or ""))
    return ServerUrl(parsed.scheme, host, port or _PORTS[parsed.scheme], path, user)


def parse_urls(urls: str | httpx.URL | ServerUrl | Sequence[str | httpx.URL | ServerUrl]) -> list[ServerUrl]:
    """Return the root URLs of one server, or of several servers that share a store.

    Raises:
        InvalidArgumentError: If one of them is not an http or https URL, or if the list is empty.
    """
    if isinstance(urls, Sequence) and not isinstance(urls, (str, bytes, ServerUrl)):
        if not urls:
            raise InvalidArgumentError("the list of servers is empty")
        return [parse_url(url) for url in urls]
    return [parse_url(urls)]


def _encode_host(host: str) -> str:
    """Return the ASCII form of a host name, as used for the lookup.

    Raises:
        UnicodeError: If it has no ASCII form.
    """
    if ":" in host:
        return str(IPv6Address(host.partition("%")[0])) if "%" not in host else host
    # Most names do not need the IDNA codec, which is only imported when it is first used.
    ascii_host = host.encode("idna").decode("ascii") if host and not is_plain_host(host) else host
    for label in ascii_host.split("."):
        if label.startswith("xn--"):
            label.encode("ascii").decode("idna")
    return ascii_host


def is_plain_host(host: str) -> bool:
    """Return whether a host name is ASCII and its labels have a valid length."""
    return host.isascii() and all(0 < len(label) < 64 for label in host.split("."))


def check_timeout(
    timeout: float | httpx.Timeout | Timeouts | None, what: str = "timeout", *, of_a_call: bool = False
) -> Timeouts:
    """Check a timeout and return the timeout of each phase of a request, in seconds.

    Args:
        timeout: Seconds for every phase, or an object with the seconds of each phase; None for no limit.
        what: The name of the argument in error messages.
        of_a_call: Whether this is the timeout of single calls. A number then limits each request as a whole, including
            the wait for a free connection.

    Raises:
        InvalidArgumentError: If it is not a positive number.
    """
    if timeout is None:
        return Timeouts(MAX_TIMEOUT, MAX_TIMEOUT, MAX_TIMEOUT, MAX_TIMEOUT)
    if not isinstance(timeout, (int, float)) and hasattr(timeout, "as_dict"):
        phases: dict[str, float] = {}
        for phase, seconds in timeout.as_dict().items():
            phase_name = f"{what}.{phase}"
            limit = MAX_TIMEOUT if seconds is None else check_seconds(seconds, phase_name)
            phases[phase] = _check_max(limit, phase_name)
        return Timeouts(**phases, whole=getattr(timeout, "whole", math.inf))
    seconds = _check_max(check_seconds(timeout, what), what)
    if of_a_call:
        return Timeouts(seconds, seconds, seconds, seconds, whole=seconds)
    # Waiting for connections used by other calls of this client does not mean that the server is slow.
    return Timeouts(seconds, seconds, seconds, max(seconds, _MIN_POOL_TIMEOUT))


def _check_max(seconds: float, what: str) -> float:
    if seconds > MAX_TIMEOUT:
        raise InvalidArgumentError(f"{what} is at most {MAX_TIMEOUT:,} seconds, not {seconds!r}")
    return seconds


def read_environment_settings(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of a client that are set by STEPFLOW_URL, STEPFLOW_TOKEN and STEPFLOW_TIMEOUT.

    Raises:
        InvalidArgumentError: If STEPFLOW_TIMEOUT is not a number.
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
            raise InvalidArgumentError(f"STEPFLOW_TIMEOUT is a number of seconds, not {timeout!r}") from None
    return settings


class _Signable(Protocol):
    @property
    def headers(self) -> Any: ...


class TokenAuth:
    """Sends `Authorization: Bearer ...` with each request.

    Args:
        token: The token, or a callable that returns it, which is called before each request. With the async client, it
            may be a coroutine function.
    """

    def __init__(self, token: Token) -> None:
        """Store the token. It never appears in a repr."""
        self._token = token if callable(token) else lambda: token
        self.header = None if callable(token) else f"Bearer {token.strip()}"

    def sync_auth_flow(self, request: _Signable) -> Generator[_Signable, Any, None]:
        """Add the header."""
        token = self._token()
        if isinstance(token, Coroutine):
            # Python warns if a coroutine is never awaited.
            token.close()
        self._sign(request, token)
        yield request

    async def async_auth_flow(self, request: _Signable) -> AsyncGenerator[_Signable, Any]:
        """Add the header, and await the token if necessary."""
        token = self._token()
        if isinstance(token, Awaitable):
            token = await token
        self._sign(request, token)
        yield request

    @staticmethod
    def _sign(request: _Signable, token: object) -> None:
        if not isinstance(token, str):
            raise InvalidArgumentError(f"the callable given as auth must return a token, not {type(token).__name__}")
        request.headers["authorization"] = f"Bearer {_check_token(token.strip())}"


def is_httpx_auth(auth: object) -> TypeGuard[httpx.Auth]:
    """Return whether an object is an `httpx.Auth`, without importing httpx."""
    # getattr with a default, because another thread may be importing httpx at the moment.
    kind = getattr(sys.modules.get("httpx"), "Auth", None)
    return kind is not None and isinstance(auth, kind)


def check_auth(
    auth: httpx.Auth | Token | tuple[str, str] | None,
) -> httpx.Auth | TokenAuth | tuple[str, str] | None:
    """Check credentials and return them.

    Raises:
        InvalidArgumentError: If they have the wrong type, cannot be sent, or are an empty token.
    """
    if auth is None or is_httpx_auth(auth):
        return auth
    if isinstance(auth, tuple) and len(auth) == 2 and all(isinstance(part, str) for part in auth):
        try:
            ":".join(auth).encode()
        except UnicodeEncodeError:
            # The exception's message quotes the credentials.
            raise InvalidArgumentError("the user or the password given as auth is not Unicode text") from None
        return auth
    if callable(auth):
        return TokenAuth(auth)
    if not isinstance(auth, str):
        raise InvalidArgumentError(
            f"auth is a token, a callable, a (user, password) pair or httpx.Auth, not {type(auth).__name__}"
        )
    return TokenAuth(_check_token(auth))


def build_static_authorization(auth: httpx.Auth | TokenAuth | tuple[str, str] | None) -> str | None:
    """Return the value of the Authorization header for credentials that never change; None for others."""
    if isinstance(auth, TokenAuth):
        return auth.header
    if not isinstance(auth, tuple):
        return None
    return "Basic " + b64encode(":".join(auth).encode()).decode()


def check_headers(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """Check headers and return them. Their values are never shown, because they may be credentials.

    Raises:
        InvalidArgumentError: If they are not a mapping of names to printable text.
    """
    if headers is None:
        return None
    if not isinstance(headers, Mapping):
        raise InvalidArgumentError(f"headers are a mapping from name to value, not {type(headers).__name__}")
    for name, value in headers.items():
        if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
            raise InvalidArgumentError(f"{name!r} is not the name of a header")
        if not isinstance(value, str) or not _is_printable(value):
            raise InvalidArgumentError(f"the value of the header {name} is not printable ASCII text")
    return dict(headers)


def _check_token(token: str) -> str:
    if not token.strip() or not _is_printable(token):
        raise InvalidArgumentError("the token is empty or not printable ASCII text")
    return token


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()
