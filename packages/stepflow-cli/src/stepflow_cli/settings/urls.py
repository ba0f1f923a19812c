"""Server URLs: displayed without passwords, and the proxies that the environment names for them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from stepflow_client import StepflowClientError, SyncStepflowClient
from stepflow_client._base.text import without_password


@dataclass(frozen=True)
class EnvironmentProxy:
    """The environment's proxy settings for one server."""

    url: str | None
    """The proxy that is used, without its password; None if none is used."""
    variable: str
    """The variable that names a proxy for such servers."""
    why_not: str | None = None
    """Why the proxy is not used, if it is not."""


def split_url(url: str) -> tuple[str, str, int]:
    """Return the scheme, host and port of a server's URL; `host:port` counts as http.

    Raises:
        ValueError: If the URL has none.
    """
    parts = urlsplit(url.strip() if "://" in url else f"http://{url.strip().removeprefix('//')}")
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("it is not an http or https URL")
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def find_environment_proxy(url: str) -> EnvironmentProxy | None:
    """Return the proxy that the environment's proxy variables give for a server, as the client reads them.

    Returns:
        None if no variable names a proxy for it.
    """
    try:
        scheme, host, _ = split_url(url)
    except ValueError:
        return None
    names = [name for kind in (scheme, "all") for name in (f"{kind}_proxy", f"{kind}_proxy".upper())]
    variable = next((name for name in names if os.environ.get(name)), None)
    if variable is None:
        return None
    try:
        with SyncStepflowClient(url) as client:
            proxy = client.proxy
    except StepflowClientError:
        # The value is not the URL of a proxy; connecting will report that.
        return EnvironmentProxy(without_password(os.environ[variable]), variable)
    if proxy is not None:
        return EnvironmentProxy(proxy, variable)
    why_not = "a server on this machine is asked directly" if _is_loopback(host) else f"NO_PROXY has {host}"
    return EnvironmentProxy(None, variable, why_not)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
