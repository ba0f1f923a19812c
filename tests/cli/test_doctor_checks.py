"""Checks of `stepflow doctor` for situations that the test servers cannot produce."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from stepflow_cli import doctor
from stepflow_cli.doctor import local_setup, network, server
from stepflow_client.types import HealthResponse, ServerInfo

from tests import releases
from tests.certificates import NEW_KEY
from tests.cli.gateway import Gateway


def info(release: str | None, commit: str | None = None) -> ServerInfo:
    return ServerInfo(url="http://server", dialect="0.12", release=release, commit=commit)


@pytest.mark.parametrize("supported", releases.RELEASES)
def test_every_release_is_supported(supported: str) -> None:
    assert server._check_server_release(info(supported)) == doctor.ok("release", f"{supported} is supported")


@pytest.mark.parametrize(
    ("reported", "commit", "message"),
    [
        ("0.99.0", None, "0.99.0 is newer than 0.13, the newest release this command was tested with"),
        ("1.0.0", None, "1.0.0 is newer than 0.13, the newest release this command was tested with"),
        ("nightly", None, "nightly is newer than 0.13, the newest release this command was tested with"),
        (None, "abc1234", "it does not report its release, and its commit abc1234 is unknown; treated as 0.12"),
    ],
)
def test_unknown_releases_get_a_warning(reported: str | None, commit: str | None, message: str) -> None:
    check = server._check_server_release(info(reported, commit))
    assert (check.status, check.message) == ("warning", message)
    assert check.hint


def test_clock_check_is_skipped_without_a_timestamp() -> None:
    assert server._check_clock_difference(HealthResponse(status="healthy"), 0, 1).status == "skipped"


@pytest.mark.parametrize(("before", "after", "status"), [(-4, 4, "ok"), (-20, -10, "warning"), (10, 20, "warning")])
def test_clock_difference_allows_for_the_request_time(before: float, after: float, status: str) -> None:
    now = datetime.now(UTC)
    health = HealthResponse(status="healthy", timestamp=now)
    span = [(now + timedelta(seconds=each)).timestamp() for each in (before, after)]
    assert server._check_clock_difference(health, *span).status == status


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (9, "is not valid yet"),
        (10, "has expired"),
        (18, "is self-signed"),
        (19, "is signed by an unknown authority"),
        (20, "is signed by an unknown authority"),
        (62, "is not valid for host"),
        (64, "is not valid for host"),
        (1, "cannot be verified: unspecified"),
    ],
)
def test_certificate_errors(code: int, message: str) -> None:
    problem = ssl.SSLCertVerificationError("refused")
    problem.verify_code, problem.verify_message = code, "unspecified"
    check = network._build_certificate_error(problem, "host", 443)
    assert (check.status, check.exit_code, check.message) == ("error", 4, f"the certificate of host:443 {message}")
    assert check.hint


def test_certificate_that_expires_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, file = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", *NEW_KEY, "-nodes", "-subj", "/CN=localhost", "-days", "3"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(file)]
    subprocess.run([*make, *names], check=True, capture_output=True)
    file.write_text(file.read_text() + key.read_text())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with Gateway(None, certificate=file) as gateway:
        check = network._check_certificate("127.0.0.1", int(gateway.url.rpartition(":")[2]), None)
    assert (check.status, check.message) == ("warning", "it expires in 3 days")


def test_connection_that_breaks_during_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **more: object) -> None:
        raise ConnectionResetError("reset by peer")

    monkeypatch.setattr("socket.create_connection", broken)
    check = network._check_certificate("127.0.0.1", 1, None)
    assert (check.status, check.exit_code, "broke" in check.message) == ("error", 4, True)


def test_packages_of_different_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_setup, "version", lambda name: "0.1.0" if name == "stepflow-api" else "0.2.0")
    check = next(iter(local_setup.check_versions_and_path()))
    assert (check.status, check.message.endswith("the stepflow packages have different versions")) == ("warning", True)


def test_stepflow_is_not_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    check = list(local_setup.check_versions_and_path())[1]
    assert (check.status, check.message) == ("warning", "stepflow is not on PATH")
