"""Check the network connection to the server."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING

from stepflow_client._base.text_formatting import format_url_without_credentials
from stepflow_client._command import describe_certificate_problem

from ..server.connect import add_url_origins_to_hint
from ..settings.profiles import find_environment_proxy, split_scheme_host_and_port
from ..settings.server_choice import ServerChoice
from . import CheckResult, error, ok, warning

if TYPE_CHECKING:
    from ..settings.profiles import Profile

_TIMEOUT = 5.0
# Warn if a certificate expires within this many seconds.
_EXPIRY_WARNING_SECONDS = 14 * 86_400.0


def check_proxy(choice: ServerChoice) -> tuple[CheckResult, str | None]:
    """Check the server's proxy. Return the result, along with the proxy's URL if there is one."""
    url = str(choice.url.value)
    if choice.profile is not None and choice.profile.proxy:
        named = choice.profile.proxy
        return ok("proxy", f"{format_url_without_credentials(named)}, from profile {choice.profile.name}"), named
    proxy = find_environment_proxy(url)
    if proxy is None:
        return ok("proxy", "none"), None
    if proxy.url is None:
        return ok("proxy", f"none: {proxy.why_not} ({proxy.variable} is set)"), None
    message = f"{proxy.url}, from {proxy.variable}; to bypass it, set NO_PROXY=HOST"
    return ok("proxy", message), os.environ[proxy.variable]


def check_server_network(choice: ServerChoice, proxy: str | None) -> Iterator[CheckResult]:
    """Check the server's host name, port and certificate, or the proxy's host name and port if there is a proxy."""
    from stepflow_client._command import get_refused_hint

    url = str(choice.url.value)
    try:
        scheme, host, port = split_scheme_host_and_port(proxy or url)
    except ValueError as problem:
        message = f"{format_url_without_credentials(proxy or url)} is not a URL: {problem}"
        yield error("name", message, "use http://HOST:PORT", exit_code=2)
        return
    named = _check_host_name(host, port)
    yield named
    if named.status == "error":
        return
    hint = "start the proxy, or correct its URL" if proxy else add_url_origins_to_hint(get_refused_hint(url), choice)
    reached = _check_port(host, port, hint)
    yield reached
    if reached.status == "error" or scheme != "https":
        return
    if proxy is None:
        yield _check_certificate(host, port, choice.profile)


def _check_host_name(host: str, port: int) -> CheckResult:
    with suppress(ValueError):
        ip_address(host.partition("%")[0])
        return ok("name", f"{host} is an IP address")
    try:
        addresses = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        hint = "correct the name, or connect to the network or VPN that resolves it"
        return error("name", f"cannot resolve {host}: {reason[:1].lower()}{reason[1:]}", hint, exit_code=4)
    return ok("name", f"{host} is {', '.join(sorted(addresses))}")


def _check_port(host: str, port: int, hint: str | None) -> CheckResult:
    started = time.monotonic()
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT):
            return ok("port", f"{host}:{port} accepts connections, after {(time.monotonic() - started) * 1000:.0f} ms")
    except TimeoutError:
        hint = "it may be down, or a firewall or VPN may be blocking it"
        return error("port", f"{host}:{port} did not accept a connection within {_TIMEOUT:g} s", hint, exit_code=4)
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        return error("port", f"{host}:{port} cannot be reached: {reason}", hint, exit_code=4)


def _load_tls_context(profile: Profile | None) -> ssl.SSLContext | CheckResult:
    """Return the client's TLS context, or an error if any of the profile's files is invalid."""
    import httpx

    settings = {} if profile is None else profile.get_connection_settings()
    verify, cert = settings.get("verify", True), settings.get("cert")
    try:
        is_file = isinstance(verify, str)
        context = ssl.create_default_context(cafile=verify) if is_file else httpx.create_ssl_context(verify)
    except (OSError, ValueError) as problem:
        return _unreadable_file_error("ca_file", (verify,), problem)
    if cert is not None:
        try:
            context.load_cert_chain(*cert)
        except (OSError, ValueError) as problem:
            return _unreadable_file_error("cert_file" if len(cert) == 1 else "cert_file and key_file", cert, problem)
    return context


def _unreadable_file_error(keys: str, files: Sequence[str], problem: Exception) -> CheckResult:
    reason = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
    message = f"{' and '.join(files)} cannot be loaded: {reason}"
    return error("certificate", message, f"correct {keys} in the profile", exit_code=2)


def _check_certificate(host: str, port: int, profile: Profile | None) -> CheckResult:
    context = _load_tls_context(profile)
    if isinstance(context, CheckResult):
        return context
    try:
        with (
            socket.create_connection((host, port), timeout=_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            certificate, spoken = secured.getpeercert(), secured.version()
    except ssl.SSLCertVerificationError as problem:
        return _build_certificate_error(problem, host, port)
    except ssl.SSLError as problem:
        hint = "if it only speaks http, use http:// in its URL"
        return error("certificate", f"{host}:{port} does not speak TLS: {problem.reason}", hint, exit_code=4)
    except OSError as problem:
        return error("certificate", f"the connection broke during the TLS handshake: {problem}", exit_code=4)
    if not certificate:
        hint = "set ca_file in the profile, and remove verify = false"
        return warning("certificate", f"{spoken}; the profile turns off certificate verification", hint)
    left = ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()
    if left < _EXPIRY_WARNING_SECONDS:
        return warning("certificate", f"it expires in {left / 86_400:.0f} days", "renew it on the server")
    return ok("certificate", f"{spoken}; valid until {certificate['notAfter']}")


def _build_certificate_error(problem: ssl.SSLCertVerificationError, host: str, port: int) -> CheckResult:
    reason, hint = describe_certificate_problem(problem, host)
    hint = hint or "if you trust it, set ca_file in a profile, or SSL_CERT_FILE in the environment"
    return error("certificate", f"the certificate of {host}:{port} {reason}", hint, exit_code=4)


def speaks_tls(url: str) -> bool:
    """Return True if a server configured with an http:// URL speaks TLS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        _, host, port = split_scheme_host_and_port(url)
        with (
            socket.create_connection((host, port), timeout=_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except (OSError, ValueError):
        return False
