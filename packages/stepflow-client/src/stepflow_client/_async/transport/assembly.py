"""Builds the transports of a client from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ..._http.connecting import build_ssl_context
from ..._http.settings import (
    PoolLimits,
    ServerUrl,
    TokenAuth,
    build_static_authorization,
    check_limits,
    find_environment_proxy,
    is_httpx_auth,
)
from ...errors import InvalidArgumentError
from .base import Transport
from .layers import Authorization, HttpxAuth, Token
from .pool import Pool

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from ..._http.settings import Token as BearerToken
    from ..._rules.retries import RetryPolicy


class ConnectionSettings(NamedTuple):
    """The settings of a client's connection, with the meaning that they have in `StepflowClient`."""

    base_url: str | httpx.URL | Sequence[str | httpx.URL]
    timeout: float | httpx.Timeout | None
    headers: Mapping[str, str] | None
    auth: httpx.Auth | BearerToken | tuple[str, str] | None
    verify: bool | str | ssl.SSLContext
    cert: str | tuple[str, ...] | None
    proxy: str | httpx.URL | httpx.Proxy | None
    limits: httpx.Limits | None
    transport: httpx.AsyncBaseTransport | None
    server_release: str | None
    strategy: str
    retry: RetryPolicy
    max_response_bytes: int
    event_hooks: Mapping[str, Sequence[Callable[[Any], Any]]] | None


def build_sender(root: ServerUrl, settings: ConnectionSettings) -> Transport:
    """Return the transport to a server: our own pool, or an httpx transport if one is given or a proxy is used."""
    limits, transport = settings.limits, settings.transport
    tls = build_ssl_context(root, settings.verify, settings.cert)
    via = settings.proxy or find_environment_proxy(root)
    sender: Transport
    if transport is None and via is None:
        sender = Pool(root, tls, PoolLimits() if limits is None else check_limits(limits))
    else:
        import httpx

        from .httpx_bridge import HttpxTransport, LocalTransport

        if transport is None:
            bounds = limits or httpx.Limits(**PoolLimits()._asdict())
            try:
                if isinstance(via, str) and via.startswith("https:"):
                    # The certificate of an https proxy is verified like a server's.
                    proxy_tls = build_ssl_context(root._replace(scheme="https"), settings.verify, None)
                    via = httpx.Proxy(via, ssl_context=proxy_tls)
                transport = LocalTransport(verify=tls or False, proxy=via, limits=bounds)
            except (TypeError, ValueError, AttributeError, ImportError, httpx.InvalidURL) as error:
                raise InvalidArgumentError(f"the proxy cannot be used: {error}") from None
        sender = HttpxTransport(transport, root)
    if settings.event_hooks is None:
        return sender
    from ..._http.limits import check_hooks
    from .hooks import Hooks

    return Hooks(sender, check_hooks(settings.event_hooks), root)


def add_credentials(
    sender: Transport, credentials: httpx.Auth | TokenAuth | tuple[str, str] | None, root: ServerUrl
) -> Transport:
    """Return a transport that adds the credentials for a server: the client's, or those in the server's URL."""
    if isinstance(credentials, TokenAuth):
        return Token(sender, credentials)
    if is_httpx_auth(credentials):
        return HttpxAuth(sender, credentials, root)
    header = build_static_authorization(root.user)
    return sender if header is None else Authorization(sender, header)
