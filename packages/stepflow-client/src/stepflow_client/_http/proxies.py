"""The proxy for a server, from an argument or the environment."""

from __future__ import annotations

import os
import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .._base.text import without_password
from ..errors import InvalidArgumentError

if TYPE_CHECKING:
    import httpx

    from .settings import ServerUrl

_SCHEMES = ("http", "https", "socks5", "socks5h")
_HINT = "write http://HOST:PORT; and / ? # @ in a password as %2F %3F %23 %40"


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
        raise InvalidArgumentError(f"{source} is the URL of a proxy, not {type(proxy).__name__}", hint=_HINT)
    text = str(proxy).strip()
    has_scheme = "://" in text
    if not has_scheme:
        text = f"http://{text}"
    try:
        parsed = urlsplit(text)
        host, port = (parsed.hostname or "").encode("idna"), parsed.port
    except (ValueError, UnicodeError):
        raise InvalidArgumentError(f"{source} is not the URL of a proxy", hint=_HINT) from None
    if parsed.scheme not in _SCHEMES:
        raise InvalidArgumentError(f"{source} is not an http, https or socks5 URL", hint=_HINT)
    if not host or (port is None and not has_scheme):
        raise InvalidArgumentError(f"{source} has no host and port", hint=_HINT)
    # A part of an unescaped password may have been parsed as the host, which would be shown.
    if "@" in text.partition(parsed.netloc)[2] or not text.isprintable() or " " in text:
        raise InvalidArgumentError(f"{source} is not the URL of a proxy", hint=_HINT)
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
    if kind is None or any(_is_covered(entry, url) for entry in excluded if entry) or proxy_bypass(url.host):
        return None
    proxy = check_proxy(proxies[kind], f"{kind.upper()}_PROXY")
    return proxy if isinstance(proxy, str) else None


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine: `localhost` or a loopback address. 127.example.com is neither."""
    address = _parse_address(host)
    return host == "localhost" if address is None else bool(address.is_loopback)


def _is_covered(entry: str, url: ServerUrl) -> bool:
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
