"""Opens connections: TLS settings, name lookups, and sockets.

If a host has several addresses, they are tried in parallel ("happy eyeballs", RFC 8305).
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from .._base.lazy import lazy_module
from .._data.arguments import argument_error
from ..errors import InvalidArgumentError
from .http1_format import NameTimeout

if TYPE_CHECKING:
    import asyncio
    import queue
    import selectors
    import ssl

    from .settings import ServerUrl
else:
    # Import these lazily. Plain HTTP doesn't need ssl, the blocking client doesn't need asyncio, only host names are
    # looked up in a thread (with a queue), and only hosts with several addresses need selectors.
    asyncio = lazy_module("asyncio")
    queue = lazy_module("queue")
    selectors = lazy_module("selectors")
    ssl = lazy_module("ssl")

_TRUST_HINT = "if you trust it, set its CA certificate: SSL_CERT_FILE, verify= in Python or ca_file in a profile"
_WRONG_HOST_REJECTION = ("is not valid for {host}", "use a host name that it is valid for")
_REJECTIONS: dict[int, tuple[str, str | None]] = {
    # The problem and a hint, by OpenSSL error number. There's no hint if the certificate just isn't trusted yet.
    9: ("is not valid yet", "is the clock of this machine wrong?"),
    10: ("has expired", "renew it on the server; or is the clock of this machine wrong?"),
    18: ("is self-signed", None),
    19: ("is signed by an unknown authority", None),
    20: ("is signed by an unknown authority", None),
    21: ("is signed by an unknown authority", None),
    23: ("has been revoked", "renew it on the server"),
    62: _WRONG_HOST_REJECTION,
    64: _WRONG_HOST_REJECTION,
}


def build_ssl_context(
    url: ServerUrl, verify: bool | str | os.PathLike[str] | ssl.SSLContext, cert: str | tuple[str, ...] | None
) -> ssl.SSLContext | None:
    """Build the SSL context for a server. Return None if the server uses plain HTTP.

    Args:
        url: The server URL. No certificates are loaded for plain HTTP.
        verify: True to trust the CA certificates in SSL_CERT_FILE or SSL_CERT_DIR (or certifi's if neither is set),
            False to turn verification off, a file or folder with CA certificates, or an SSL context.
        cert: The client certificate: a file, a (file, key file) pair or a (file, key file, password) tuple.

    Raises:
        InvalidArgumentError: If `verify` has any other value, or a file can't be loaded.
    """
    is_path = isinstance(verify, (str, os.PathLike)) and bool(os.fspath(verify))
    # This doesn't import ssl if `verify` is a bool, so plain HTTP never needs it.
    if not (verify is True or verify is False or is_path or isinstance(verify, ssl.SSLContext)):
        # Reject None and 0, which could turn verification off by accident.
        expected = "True, False, the path of CA certificates or an ssl.SSLContext"
        raise argument_error("verify", expected, verify, hint="only False turns verification off")
    if url.scheme == "http":
        return None
    if isinstance(verify, ssl.SSLContext):
        if cert is not None:
            raise InvalidArgumentError("put the client certificate in the SSL context passed as verify")
        return verify
    context = _build_context_from_verify(verify)
    if cert is not None:
        files = cert if isinstance(cert, (tuple, list)) else (cert,)
        try:
            context.load_cert_chain(*files)
        except (OSError, ValueError, TypeError) as error:
            # Leave out the third element, which is the key's password.
            names = " and ".join(str(file) for file in files[:2])
            reason = _describe_certificate_load_error(error)
            raise InvalidArgumentError(f"the certificate in {names} cannot be loaded: {reason}") from None
    return context


def _build_context_from_verify(verify: bool | str | os.PathLike[str]) -> ssl.SSLContext:
    """Build a context that trusts the CAs from `verify` or the environment, or any certificate if `verify` is False."""
    import httpx

    if verify is False:
        return httpx.create_ssl_context(verify=False)
    if verify is not True:
        path = os.fspath(verify)
        return _load_ca_files(path, f"the CA certificates in {path}", is_folder=os.path.isdir(path))
    for variable, is_folder in (("SSL_CERT_FILE", False), ("SSL_CERT_DIR", True)):
        if location := os.environ.get(variable):
            return _load_ca_files(location, f"the CA certificates in {location} ({variable})", is_folder=is_folder)
    return httpx.create_ssl_context(trust_env=False)


def _load_ca_files(path: str, what: str, *, is_folder: bool) -> ssl.SSLContext:
    try:
        if not is_folder:
            # Check for folders first, because OpenSSL would only report "system library" as the reason.
            if os.path.isdir(path):
                raise IsADirectoryError(0, "it is a folder")
            return ssl.create_default_context(cafile=path)
        # OpenSSL doesn't read the folder until it needs a certificate, so check now that it can be read.
        os.listdir(path)
        return ssl.create_default_context(capath=path)
    except ssl.SSLError:
        raise InvalidArgumentError(f"{what} cannot be loaded: it contains no PEM certificate") from None
    except (OSError, ValueError, TypeError) as error:
        raise InvalidArgumentError(f"{what} cannot be loaded: {_describe_certificate_load_error(error)}") from None


def _describe_certificate_load_error(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def describe_certificate_problem(
    error: ssl.SSLCertVerificationError, host: str = "this host"
) -> tuple[str, str | None]:
    """Describe what's wrong with a server's certificate, adding a hint unless the certificate just isn't trusted."""
    problem, hint = _REJECTIONS.get(error.verify_code, (f"cannot be verified: {error.verify_message}", None))
    return problem.replace("{host}", host), hint


def explain_certificate_error(error: BaseException) -> tuple[str, str] | None:
    """Explain why a certificate was rejected and how to fix it, or return None if something else went wrong.

    Args:
        error: The connection error. Its causes are examined as well.
    """
    for cause in iter_causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            problem, hint = describe_certificate_problem(cause)
            return f"its certificate {problem}", hint or _TRUST_HINT
        reason = (cause.reason or "") if isinstance(cause, ssl.SSLError) else ""
        if "ALERT" in reason and "CERTIFICATE" in reason:
            return (
                f"it rejects the client's certificate: {reason.replace('_', ' ').lower()}",
                "set a client certificate: cert= in Python, cert_file and key_file in a profile",
            )
    return None


def iter_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, then its cause, the cause of that, and so on."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        yield cause
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__


# Maximum number of seconds before the next address is tried in parallel.
_ATTEMPT_DELAY_SECONDS = 0.25
_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK)})

# An element of the list that `socket.getaddrinfo` returns.
_Address = tuple[Any, ...]
_Callback = Callable[["list[_Address] | BaseException"], object]


def sync_open_socket(host: str, port: int, seconds: float) -> socket.socket:
    """Open a socket connected to a host.

    Raises:
        NameTimeout: If the name isn't resolved in time.
        OSError: If no address accepts the connection, or TimeoutError if none does in time.
    """
    end = time.monotonic() + seconds
    addresses = _sync_resolve_host(host, port, seconds)
    if len(addresses) > 1:
        return _sync_connect_to_fastest(addresses, end)
    connected = socket.socket(*addresses[0][:3])
    try:
        connected.settimeout(max(end - time.monotonic(), 0.001))
        connected.connect(addresses[0][4])
    except BaseException:
        connected.close()
        raise
    return connected


async def async_open_socket(host: str, port: int, seconds: float) -> socket.socket:
    """Open a socket connected to a host. Works with any event loop.

    Raises:
        NameTimeout: If the name isn't resolved in time.
        OSError: If no address accepts the connection, or TimeoutError if none does in time.
    """
    end = time.monotonic() + seconds
    addresses = await _async_resolve_host(host, port, seconds)
    async with asyncio.timeout(end - time.monotonic()):
        if len(addresses) > 1:
            return await _async_connect_to_fastest(addresses, end)
        return await _async_connect_to_address(addresses[0])


# Name lookup


def _sync_resolve_host(host: str, port: int, seconds: float) -> list[_Address]:
    if _is_ip_address(host):
        return _resolve_addresses(host, port)
    outcomes: queue.SimpleQueue[list[_Address] | BaseException] = queue.SimpleQueue()
    _look_up_host_in_thread(host, port, outcomes.put)
    try:
        outcome = outcomes.get(timeout=min(seconds, threading.TIMEOUT_MAX))
    except queue.Empty:
        raise _build_name_timeout_error(seconds) from None
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


async def _async_resolve_host(host: str, port: int, seconds: float) -> list[_Address]:
    if _is_ip_address(host):
        return _resolve_addresses(host, port)
    from concurrent.futures import Future

    future: Future[list[_Address] | BaseException] = Future()
    # Mark the future as running so that it isn't cancelled if the caller gives up, because the lookup still sets the
    # result.
    future.set_running_or_notify_cancel()
    _look_up_host_in_thread(host, port, future.set_result)
    try:
        async with asyncio.timeout(seconds):
            outcome = await asyncio.wrap_future(future)
    except TimeoutError:
        raise _build_name_timeout_error(seconds) from None
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _build_name_timeout_error(seconds: float) -> NameTimeout:
    return NameTimeout(f"its name was not resolved within {seconds:.3g} s")


def _is_ip_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdecimal()


def _resolve_addresses(host: str, port: int) -> list[_Address]:
    """Resolve a host's addresses, alternating between address families."""
    # Pass bytes, because Python imports the IDNA codec for any str, even if it's ASCII.
    name = host.encode() if host.isascii() else host
    addresses = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    if not addresses:
        raise OSError("it has no address")
    families: dict[int, list[_Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    return [address for address in chain(*zip_longest(*families.values())) if address is not None]


# The callbacks waiting for each host. Lookups of the same host share a thread, so at most one thread per host can hang.
_running: dict[tuple[str, int], list[_Callback]] = {}
_lock = threading.Lock()


def _look_up_host_in_thread(host: str, port: int, callback: _Callback) -> None:
    """Look up a host's addresses in another thread, which then passes them (or the exception) to a callback."""
    with _lock:
        callbacks = _running.get((host, port))
        if callbacks is not None:
            callbacks.append(callback)
            return
        thread = threading.Thread(target=_run_host_lookup, args=(host, port), name="stepflow-resolver", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise OSError(str(error)) from error
        # Add the entry last, so that an interrupt can't leave behind an entry that has no thread.
        _running[host, port] = [callback]


def _run_host_lookup(host: str, port: int) -> None:
    outcome: list[_Address] | BaseException
    try:
        outcome = _resolve_addresses(host, port)
    except BaseException as error:
        outcome = error
    with _lock:
        callbacks = _running.pop((host, port), [])
    for callback in callbacks:
        callback(outcome)


def _forget_lookups_in_fork() -> None:
    """Forget the running lookups, whose threads don't exist in a forked process."""
    global _lock
    _lock = threading.Lock()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lookups_in_fork)


# Hosts with several addresses


def _compute_attempt_delay(end: float, left: int) -> float:
    """Return how many seconds to wait before trying the next address, so that there is enough time to try them all."""
    return min(_ATTEMPT_DELAY_SECONDS, max(end - time.monotonic(), 0) / (left + 1))


def _sync_connect_to_fastest(addresses: list[_Address], end: float) -> socket.socket:
    failure = OSError("it has no address")
    left = addresses[::-1]
    with selectors.DefaultSelector() as attempts:
        try:
            while left or attempts.get_map():
                if left:
                    try:
                        attempts.register(_start_nonblocking_connect(left.pop()), selectors.EVENT_WRITE)
                    except OSError as error:
                        failure = error
                        continue
                until = time.monotonic() + _compute_attempt_delay(end, len(left)) if left else end
                ready = attempts.select(max(until - time.monotonic(), 0))
                if not ready and time.monotonic() >= end:
                    raise TimeoutError
                for key, _ in ready:
                    attempt: Any = attempts.unregister(key.fileobj).fileobj
                    code = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if not code:
                        return attempt  # type: ignore[no-any-return]
                    attempt.close()
                    failure = OSError(code, os.strerror(code))
        finally:
            for key in list(attempts.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
    raise failure


def _start_nonblocking_connect(address: _Address) -> socket.socket:
    """Start connecting to an address without waiting and return the socket.

    Raises:
        OSError: If the connection fails right away.
    """
    attempt = socket.socket(*address[:3])
    attempt.setblocking(False)
    code = attempt.connect_ex(address[4])
    if code and code not in _IN_PROGRESS:
        attempt.close()
        raise OSError(code, os.strerror(code))
    return attempt


async def _async_connect_to_address(address: _Address) -> socket.socket:
    connected = socket.socket(*address[:3])
    try:
        connected.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connected, address[4])
    except BaseException:
        connected.close()
        raise
    return connected


async def _async_connect_to_fastest(addresses: list[_Address], end: float) -> socket.socket:
    left = addresses[::-1]
    running: set[asyncio.Task[socket.socket]] = set()
    failure: BaseException = OSError("it has no address")
    try:
        while left or running:
            if left:
                running.add(asyncio.create_task(_async_connect_to_address(left.pop())))
            seconds = _compute_attempt_delay(end, len(left)) if left else None
            done, _ = await asyncio.wait(running, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                running.discard(task)
                if (error := task.exception()) is None:
                    return task.result()
                failure = error
        raise failure
    finally:
        for task in running:
            task.cancel()
        for loser in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(loser, socket.socket):
                loser.close()
