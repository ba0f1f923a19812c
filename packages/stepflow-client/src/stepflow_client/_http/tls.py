"""Verifies servers with TLS, and explains why a certificate was rejected."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .._base.lazy import lazy_module
from .._data.arguments import wrong
from ..errors import InvalidArgumentError

if TYPE_CHECKING:
    import ssl

    from .settings import ServerUrl
else:
    # Not needed for plain http servers.
    ssl = lazy_module("ssl")

_TRUST_HINT = "if you trust it, set its CA certificate: SSL_CERT_FILE, verify= in Python or ca_file in a profile"
_OTHER_NAME = ("is not valid for {host}", "use a host name that it is valid for")
_REJECTIONS: dict[int, tuple[str, str | None]] = {
    # By OpenSSL's error number. There is no hint if the certificate only has to be trusted.
    9: ("is not valid yet", "is the clock of this machine wrong?"),
    10: ("has expired", "renew it on the server; or is the clock of this machine wrong?"),
    18: ("is self-signed", None),
    19: ("is signed by an unknown authority", None),
    20: ("is signed by an unknown authority", None),
    21: ("is signed by an unknown authority", None),
    23: ("has been revoked", "renew it on the server"),
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}


def check_verify(verify: object) -> None:
    """Check the setting that controls how servers are verified.

    Raises:
        InvalidArgumentError: If it is not a bool, a path or an SSL context. None or 0 could turn verification off by
            accident.
    """
    if isinstance(verify, bool) or (isinstance(verify, (str, os.PathLike)) and os.fspath(verify)):
        return
    if isinstance(verify, ssl.SSLContext):
        return
    wanted = "True, False, the path of CA certificates or an ssl.SSLContext"
    raise wrong("verify", wanted, verify, hint="only False turns verification off")


def build_ssl_context(
    url: ServerUrl, verify: bool | str | os.PathLike[str] | ssl.SSLContext, cert: str | tuple[str, ...] | None
) -> ssl.SSLContext | None:
    """Return the SSL context to verify a server with; None for a plain http server.

    Args:
        url: The server's URL. For a plain http server, no certificates are loaded.
        verify: True for the CA certificates that SSL_CERT_FILE or SSL_CERT_DIR name, else those of certifi; False for
            no verification; a file or folder of CA certificates; or a context.
        cert: The client's certificate: a file, or (file, key file), or (file, key file, password).

    Raises:
        InvalidArgumentError: If `verify` is none of these, or a file cannot be loaded.
    """
    check_verify(verify)
    if url.scheme == "http":
        return None
    if isinstance(verify, ssl.SSLContext):
        if cert is not None:
            raise InvalidArgumentError("pass the client certificate inside the SSL context given as verify")
        return verify
    context = _build_verifying_context(verify)
    if cert is not None:
        files = cert if isinstance(cert, (tuple, list)) else (cert,)
        try:
            context.load_cert_chain(*files)
        except (OSError, ValueError, TypeError) as error:
            # The third element is a password.
            names = " and ".join(str(file) for file in files[:2])
            raise InvalidArgumentError(
                f"the certificate in {names} cannot be loaded: {_describe_load_error(error)}"
            ) from None
    return context


def _build_verifying_context(verify: bool | str | os.PathLike[str]) -> ssl.SSLContext:
    """Return a context with the CA certificates of a setting or of the environment."""
    import httpx

    if verify is False:
        return httpx.create_ssl_context(verify=False)
    if verify is not True:
        path = os.fspath(verify)
        return _load_certificates(path, f"the CA certificates in {path}", is_folder=os.path.isdir(path))
    for variable, is_folder in (("SSL_CERT_FILE", False), ("SSL_CERT_DIR", True)):
        if location := os.environ.get(variable):
            return _load_certificates(location, f"the CA certificates in {location} ({variable})", is_folder=is_folder)
    return httpx.create_ssl_context(trust_env=False)


def _load_certificates(path: str, what: str, *, is_folder: bool) -> ssl.SSLContext:
    try:
        if not is_folder:
            # For a folder, OpenSSL would only report an error in the system library.
            if os.path.isdir(path):
                raise IsADirectoryError(0, "it is a folder")
            return ssl.create_default_context(cafile=path)
        # OpenSSL reads the folder only when it needs a certificate.
        os.listdir(path)
        return ssl.create_default_context(capath=path)
    except ssl.SSLError:
        raise InvalidArgumentError(f"{what} cannot be loaded: there is no certificate in PEM format") from None
    except (OSError, ValueError, TypeError) as error:
        raise InvalidArgumentError(f"{what} cannot be loaded: {_describe_load_error(error)}") from None


def _describe_load_error(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def certificate_problem(error: ssl.SSLCertVerificationError, host: str = "this host") -> tuple[str, str | None]:
    """Return the problem with a server's certificate, and a hint unless the certificate only has to be trusted."""
    problem, hint = _REJECTIONS.get(error.verify_code, (f"cannot be verified: {error.verify_message}", None))
    return problem.replace("{host}", host), hint


def explain_certificate_rejection(error: BaseException) -> tuple[str, str] | None:
    """Return why a certificate was rejected, and a hint; None if the connection failed for another reason.

    Args:
        error: The error of the connection; its causes are examined too.
    """
    for cause in iter_causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            problem, hint = certificate_problem(cause)
            return f"its certificate {problem}", hint or _TRUST_HINT
        reason = (cause.reason or "") if isinstance(cause, ssl.SSLError) else ""
        if "ALERT" in reason and "CERTIFICATE" in reason:
            return (
                f"it rejects the client's certificate: {reason.replace('_', ' ').lower()}",
                "set a client certificate: cert= in Python, cert_file and key_file in a profile",
            )
    return None


def iter_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, its cause, the cause of that, and so on."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        yield cause
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
