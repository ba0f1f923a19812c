"""TLS on real sockets: verification settings, client certificates and the reasons for refusal."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_client import ServerConnectionError, StepflowClient, SyncStepflowClient
from stepflow_client._data.arguments import short_repr
from stepflow_client.errors import InvalidArgumentError

from tests.certificates import Authority, self_signed, server_context
from tests.scripted_server import healthy, listening
from tests.unit.both_twins import CALLS, TWINS, call

TRANSPORTS = ["own", "httpx"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates") / "authority")


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Path:
    return authority.issue()


@pytest.fixture(autouse=True)
def without_tls_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def check_health(
    twin: str, transport: str, port: int, authority: Path, host: str = "localhost", **settings: Any
) -> Any:
    """Check a server's health through the built-in connections or an httpx transport."""
    sender = None
    if transport == "httpx":
        kind = httpx.AsyncHTTPTransport if twin == "async" else httpx.HTTPTransport
        sender = kind(verify=ssl.create_default_context(cafile=authority))
        settings.pop("verify", None)
    else:
        settings = {"verify": str(authority), **settings}
    return call(twin, sender, CALLS["health_check"], f"https://{host}:{port}", timeout=5, **settings)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("twin", TWINS)
def test_a_server_is_verified(twin: str, transport: str, authority: Authority, certificate: Path) -> None:
    with listening(healthy, server_context(certificate)) as port:
        for host in ("localhost", "127.0.0.1"):
            assert check_health(twin, transport, port, authority.file, host).status == "healthy"


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    ("names", "first", "last", "host", "reason", "hint"),
    [
        ("DNS:localhost", "2020", "2021", "localhost", "has expired", "clock"),
        ("DNS:localhost", "2090", "2099", "localhost", "is not valid yet", "clock"),
        ("DNS:other.example", "2020", "2099", "localhost", "is not valid for this host", "host name"),
        ("DNS:localhost", "2020", "2099", "127.0.0.1", "is not valid for this host", "host name"),
    ],
    ids=["expired", "not yet valid", "wrong name", "wrong address"],
)
def test_the_reason_why_a_certificate_is_refused(
    twin: str,
    transport: str,
    names: str,
    first: str,
    last: str,
    host: str,
    reason: str,
    hint: str,
    authority: Authority,
) -> None:
    with (
        listening(healthy, server_context(authority.issue(names, first, last))) as port,
        pytest.raises(ServerConnectionError, match=f"https://{host}:{port} cannot be reached: its certificate {reason}")
        as caught,
    ):  # fmt: skip
        check_health(twin, transport, port, authority.file, host)
    assert hint in (caught.value.hint or "")
    assert not caught.value.was_sent


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("twin", TWINS)
def test_an_unknown_authority_and_a_self_signed_certificate(
    twin: str, transport: str, authority: Authority, certificate: Path, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "Another CA")
    with listening(healthy, server_context(certificate)) as port:
        with pytest.raises(ServerConnectionError, match="its certificate is signed by an unknown authority") as caught:
            check_health(twin, transport, port, other.file)
        assert "SSL_CERT_FILE" in str(caught.value)
    with listening(healthy, server_context(self_signed(tmp_path / "self"))) as port:
        with pytest.raises(ServerConnectionError, match="its certificate is self-signed") as caught:
            check_health(twin, transport, port, other.file)
        assert "SSL_CERT_FILE" in str(caught.value)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("twin", TWINS)
def test_a_server_that_requires_a_client_certificate(
    twin: str, transport: str, authority: Authority, certificate: Path
) -> None:
    with (
        listening(healthy, server_context(certificate, authority.file)) as port,
        pytest.raises(ServerConnectionError, match="rejects the client's certificate") as caught,
    ):
        check_health(twin, transport, port, authority.file)
    assert "cert=" in (caught.value.hint or "")


@pytest.mark.parametrize("twin", TWINS)
def test_a_client_certificate_is_sent(twin: str, authority: Authority, certificate: Path) -> None:
    with listening(healthy, server_context(certificate, authority.file)) as port:
        assert check_health(twin, "own", port, authority.file, cert=str(certificate)).status == "healthy"


@pytest.mark.parametrize("twin", TWINS)
def test_only_false_turns_verification_off(twin: str, certificate: Path) -> None:
    with listening(healthy, server_context(certificate)) as port:
        assert check_health(twin, "own", port, certificate, verify=False).status == "healthy"
        with pytest.raises(ServerConnectionError, match="unknown authority"):
            check_health(twin, "own", port, certificate, verify=True)


@pytest.mark.parametrize("url", ["https://server", "http://server"])
@pytest.mark.parametrize(
    "verify", [None, 0, 1, 0.0, "", b"", b"authority.pem", [], (), {}, object, 10**5000], ids=short_repr
)
def test_invalid_verify_arguments_are_rejected(verify: Any, url: str) -> None:
    for client in (StepflowClient, SyncStepflowClient):
        with pytest.raises(InvalidArgumentError, match="verify must be True, False, the path"):
            client(url, verify=verify)


@pytest.mark.parametrize("twin", TWINS)
def test_ssl_cert_file_sets_the_authority(
    twin: str, authority: Authority, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with listening(healthy, server_context(certificate)) as port:
        assert check_health(twin, "own", port, authority.file, verify=True).status == "healthy"


@pytest.mark.parametrize("client", [StepflowClient, SyncStepflowClient])
@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("SSL_CERT_FILE", "missing.pem", "No such file"),
        ("SSL_CERT_FILE", __file__, "no PEM certificate"),
        ("SSL_CERT_FILE", "empty.pem", "no PEM certificate"),
        ("SSL_CERT_FILE", "broken.pem", "no PEM certificate"),
        ("SSL_CERT_FILE", ".", "it is a folder"),
        ("SSL_CERT_DIR", "missing", "No such file"),
        ("SSL_CERT_DIR", __file__, "Not a directory"),
    ],
)
def test_an_invalid_variable_is_named(
    client: type[StepflowClient | SyncStepflowClient],
    variable: str,
    value: str,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.pem").touch()
    Path("broken.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidArgumentError, match="cannot be loaded") as caught:
        client("https://server")
    assert f"{value} ({variable})" in str(caught.value)
    assert reason in str(caught.value)
    # The variables are read only if they are needed.
    client("http://server")
    client("https://server", verify=False)
