"""Decides which requests from browsers and agents to accept, based on their `Host` and `Origin` headers."""

from __future__ import annotations

import ipaddress
import socket
from collections import defaultdict
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit


def group_headers_by_name(headers: Iterable[tuple[bytes, bytes]]) -> defaultdict[str, list[str]]:
    """Group the values of headers by lowercase name."""
    heads: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in headers:
        heads[name.decode("latin-1").lower()].append(value.decode("latin-1"))
    return heads


class AcceptedAddresses:
    """The `Host` and `Origin` values that belong to this server.

    A malicious site can make its own name resolve to this machine (DNS rebinding). Browsers still send that name in the
    `Host` header, so only known names are accepted. IP addresses are safe because they can't be rebound.

    Args:
        port: The port that the server is listening on.
        names: Other host names to accept. `localhost` is always accepted.
        is_exposed: Whether other machines can reach the port. If so, any IP address is accepted as a host. Otherwise,
            only loopback addresses are.
    """

    def __init__(self, port: int, names: Collection[str] = (), *, is_exposed: bool = False) -> None:
        self.port = port
        self._host_names = {"localhost", *(name.lower() for name in names)}
        self.is_exposed = is_exposed

    @classmethod
    def from_socket(cls, listening: socket.socket, host: str) -> AcceptedAddresses:
        """Return the addresses to accept for a socket that is listening on this host."""
        address, port = listening.getsockname()[:2]
        is_exposed = not ipaddress.ip_address(address).is_loopback
        return cls(port, {host, socket.gethostname()} if is_exposed else {host}, is_exposed=is_exposed)

    def get_refusal_reason(self, hosts: list[str], origins: list[str]) -> str | None:
        """Return the reason to reject a request with these `Host` and `Origin` headers, or None to accept it."""
        host = hosts[0] if len(hosts) == 1 else ""
        if not self.accepts_host(host):
            return "This server does not accept requests for this host."
        if len(origins) > 1 or not self.accepts_origin(origins[0] if origins else None, host):
            return "This server does not accept requests from other origins."
        return None

    def accepts_host(self, host: str | None) -> bool:
        """Return whether a request with this `Host` is meant for this server."""
        if not host or any(letter in host for letter in "/@?#\\ ,\t"):
            return False
        try:
            parts = urlsplit(f"//{host}")
            port = parts.port or 80
        except ValueError:
            return False
        if port != self.port or not parts.hostname:
            return False
        try:
            address = ipaddress.ip_address(parts.hostname)
        except ValueError:
            return parts.hostname in self._host_names
        return self.is_exposed or address.is_loopback

    def accepts_origin(self, origin: str | None, host: str) -> bool:
        """Return whether a request comes from the server's own origin.

        Requests without an `Origin` are also accepted.
        """
        return origin is None or origin.lower() == f"http://{host.lower()}"
