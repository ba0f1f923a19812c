"""The connection to the server: its name, port and certificate."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

from stepflow_client._base.text import without_password

from ..settings.resolve import Settings
from ..settings.urls import split_url
from . import Check, error, ok, warning

if TYPE_CHECKING:
    from ..settings.profiles import Profile

__all__ = ["network_checks", "speaks_tls"]

_TIMEOUT = 5.0
_SOON = 14 * 86_400.0
"""Seconds before a certificate expires from which a warning is given."""


def network_checks(settings: Settings, proxy: str | None) -> Iterator[Check]:
    """Check the server's name, port and certificate, or the name and port of its proxy."""
    url = str(settings.url.value)
    try:
        scheme, host, port = split_url(proxy or url)
    except ValueError as problem:
        yield error("name", f"{without_password(proxy or url)} is not a URL: {problem}", "write http://HOST:PORT")
        return
    named = _name(host, port)
    yield named
    if named.status == "error":
        return
    reached = _port(host, port, "the proxy" if proxy else "the server")
    yield reached
    if reached.status == "error" or scheme != "https":
        return
    if proxy is None:
        yield _certificate(host, port, settings.profile)


def _name(host: str, port: int) -> Check:
    with suppress(ValueError):
        ip_address(host.partition("%")[0])
        return ok("name", f"{host} is an IP address")
    try:
        found = {str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        hint = "is it spelled right, and does it need a VPN?"
        return error("name", f"{host} is not known: {reason[:1].lower()}{reason[1:]}", hint, exit_code=4)
    return ok("name", f"{host} is {', '.join(sorted(found))}")


def _port(host: str, port: int, what: str) -> Check:
    started = time.monotonic()
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT):
            return ok("port", f"{host}:{port} accepts connections, after {_milliseconds(started)}")
    except TimeoutError:
        hint = "is a firewall in the way?"
        return error("port", f"{host}:{port} does not accept a connection within {_TIMEOUT:g} s", hint, exit_code=4)
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        hint = f"is {what} running, and is {port} its port?"
        return error("port", f"{host}:{port} cannot be reached: {reason}", hint, exit_code=4)


def _milliseconds(started: float) -> str:
    return f"{(time.monotonic() - started) * 1000:.0f} ms"


def _context(profile: Profile | None) -> ssl.SSLContext | Check:
    """Return the client's TLS context, or the error in a file that the profile names."""
    import httpx

    settings = {} if profile is None else profile.client_settings()
    verify, cert = settings.get("verify", True), settings.get("cert")
    try:
        context = (
            ssl.create_default_context(cafile=verify) if isinstance(verify, str) else httpx.create_ssl_context(verify)
        )
    except (OSError, ValueError) as problem:
        return _unreadable("ca_file", (verify,), problem)
    if cert is not None:
        try:
            context.load_cert_chain(*cert)
        except (OSError, ValueError) as problem:
            return _unreadable("cert_file" if len(cert) == 1 else "cert_file and key_file", cert, problem)
    return context


def _unreadable(keys: str, files: Sequence[str], problem: Exception) -> Check:
    said = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
    return error("certificate", f"{' and '.join(files)} cannot be loaded: {said}", f"correct {keys} in the profile")


def _certificate(host: str, port: int, profile: Profile | None) -> Check:
    context = _context(profile)
    if isinstance(context, Check):
        return context
    try:
        with (
            socket.create_connection((host, port), timeout=_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            certificate, spoken = secured.getpeercert(), secured.version()
    except ssl.SSLCertVerificationError as problem:
        return _refused(problem, host, port)
    except ssl.SSLError as problem:
        hint = "does it speak http only? Then write http:// in its URL"
        return error("certificate", f"{host}:{port} does not speak TLS: {problem.reason}", hint, exit_code=4)
    except OSError as problem:
        return error("certificate", f"the connection broke while TLS began: {problem}", exit_code=4)
    if not certificate:
        hint = "set ca_file in the profile, and remove verify = false"
        return warning("certificate", f"{spoken}; the profile turns verification of the certificate off", hint)
    left = ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()
    if left < _SOON:
        return warning("certificate", f"it expires in {left / 86_400:.0f} days", "renew it on the server")
    return ok("certificate", f"{spoken}; valid until {certificate['notAfter']}")


def _refused(problem: ssl.SSLCertVerificationError, host: str, port: int) -> Check:
    """Return what is wrong with a certificate."""
    from stepflow_client._http.tls import certificate_problem

    said, hint = certificate_problem(problem, host)
    hint = hint or "if you trust it, name it: ca_file in a profile, or SSL_CERT_FILE in the environment"
    return error("certificate", f"the certificate of {host}:{port} {said}", hint, exit_code=4)


def speaks_tls(url: str) -> bool:
    """Return whether a server that is configured with http speaks TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _, host, port = split_url(url)
        with (
            socket.create_connection((host, port), timeout=_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except (OSError, ValueError):
        return False
