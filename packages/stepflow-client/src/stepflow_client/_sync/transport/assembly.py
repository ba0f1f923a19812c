# Written from _async/transport/assembly.py by `make generate`. Change that file instead.

"""Which transports a client sends through, for its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from ..._http.proxies import environment_proxy
from ..._http.tls import ssl_context
from ..._settings import ServerUrl, TokenAuth, check_limits, is_httpx_auth, static_authorization
from ...errors import InvalidArgumentError
from .base import Transport
from .failover import Authorization
from .pool import Pool

if TYPE_CHECKING:
    import ssl

    import httpx

__all__ = ["Limits", "sender_to", "signing"]


class Limits(NamedTuple):
    """Limits of the connection pool, where the caller gives none."""

    max_connections: int | None = 256
    max_keepalive_connections: int | None = 256
    keepalive_expiry: float | None = 30.0


def sender_to(
    root: ServerUrl,
    verify: bool | str | ssl.SSLContext,
    cert: str | tuple[str, ...] | None,
    proxy: str | httpx.URL | httpx.Proxy | None,
    limits: httpx.Limits | None,
    transport: httpx.BaseTransport | None,
) -> Transport:
    """Return what sends: connections of our own, or an httpx transport where one is given or a proxy stands between."""
    tls = ssl_context(root, verify, cert)
    via = proxy or environment_proxy(root)
    if transport is None and via is None:
        return Pool(root, tls, Limits() if limits is None else check_limits(limits))
    import httpx

    from .httpx_bridge import HttpxTransport, LocalTransport

    if transport is None:
        bounds = limits or httpx.Limits(**Limits()._asdict())
        try:
            if isinstance(via, str) and via.startswith("https:"):
                # A proxy that speaks TLS is verified as a server is.
                via = httpx.Proxy(via, ssl_context=ssl_context(replace(root, scheme="https"), verify, None))
            transport = LocalTransport(verify=tls or False, proxy=via, limits=bounds)
        except (TypeError, ValueError, AttributeError, ImportError, httpx.InvalidURL) as error:
            raise InvalidArgumentError(f"the proxy cannot be used: {error}") from None
    return HttpxTransport(transport, root)


def signing(
    sender: Transport, credentials: httpx.Auth | TokenAuth | tuple[str, str] | None, root: ServerUrl
) -> Transport:
    """Return what sends to one server with its credentials: those of the client, or those in its own URL."""
    if isinstance(credentials, TokenAuth):
        from .httpx_bridge import Token as TokenMiddleware

        return TokenMiddleware(sender, credentials)
    if is_httpx_auth(credentials):
        from .httpx_bridge import HttpxAuth

        return HttpxAuth(sender, credentials, root)
    header = static_authorization(root.user)
    return sender if header is None else Authorization(sender, header)
