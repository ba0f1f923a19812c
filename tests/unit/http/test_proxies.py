"""Proxies on real sockets: environment variables, NO_PROXY, and hidden passwords."""

from __future__ import annotations

import json
import socket
from base64 import b64encode
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_client import ServerConnectionError, StepflowClient, SyncStepflowClient
from stepflow_client._http.settings import find_environment_proxy, format_proxy, is_loopback, parse_proxy, parse_url
from stepflow_client.errors import InvalidArgumentError, StepflowClientError

from tests.certificates import Authority, server_context
from tests.scripted_server import Answer, decoded, listening, message, sending
from tests.unit.both_twins import CALLS, HEALTH, TWINS, call
from tests.unit.codec.test_secrets import all_text_of

PASSWORD = "passw0rd-passw0rd"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def without_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def record_and_respond(heads: list[bytes]) -> Answer:
    """Respond on behalf of any server, and record the request heads."""

    def answer(connection: socket.socket, head: bytes) -> None:
        heads.append(head)
        connection.sendall(message(json.dumps(HEALTH).encode()))

    return answer


def check_health(twin: str, url: str = "http://server.example:7840", **settings: Any) -> Any:
    return call(twin, None, CALLS["health_check"], url, timeout=5, retry=None, **settings)


@pytest.mark.parametrize("how", ["environment", "argument"])
@pytest.mark.parametrize("scheme", ["", "http://"])
@pytest.mark.parametrize("twin", TWINS)
def test_a_proxy_without_a_scheme_speaks_http(
    twin: str, scheme: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[bytes] = []
    with listening(record_and_respond(heads)) as port:
        proxy = f"{scheme}me:{PASSWORD}@127.0.0.1:{port}"
        if how == "environment":
            monkeypatch.setenv("HTTP_PROXY", proxy)
        assert check_health(twin, **({"proxy": proxy} if how == "argument" else {})).status == "healthy"
    assert heads[0].startswith(b"GET http://server.example:7840/api/v1/health HTTP/1.1\r\n")
    basic = b64encode(f"me:{PASSWORD}".encode()).decode()
    assert decoded(heads[0])["proxy-authorization"] == f"Basic {basic}"


@pytest.mark.parametrize("twin", TWINS)
def test_a_name_that_starts_like_a_loopback_address_is_not_one(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Otherwise the token would bypass the proxy and reach the owner of the name.
    heads: list[bytes] = []
    with listening(record_and_respond(heads)) as port:
        monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{port}")
        check_health(twin, "http://127.evil.example")
    assert len(heads) == 1
    assert not is_loopback("127.evil.example")
    assert not is_loopback("127.0.0.1.evil.example")
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    "answer",
    [
        sending(message(b"no", status=407)),
        sending(message(b"no", status=503)),
        sending(b"nonsense"),
        sending(b""),
    ],
    ids=["407", "503", "nonsense", "no response"],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_error_contains_the_password(
    twin: str, scheme: str, answer: Answer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("DEBUG", logger="stepflow")
    with listening(answer) as port:
        monkeypatch.setenv("ALL_PROXY", f"me:{PASSWORD}@127.0.0.1:{port}")
        with pytest.raises(StepflowClientError) as caught:
            check_health(twin, f"{scheme}://server.example")
    assert PASSWORD not in all_text_of(caught.value)
    assert PASSWORD not in caplog.text


@pytest.mark.parametrize("twin", TWINS)
def test_an_unreachable_proxy_is_named_without_its_password(twin: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ServerConnectionError, match=f"through the proxy http://127.0.0.1:{port}: ") as caught:
        check_health(twin, proxy=f"http://me:{PASSWORD}@127.0.0.1:{port}")
    assert "NO_PROXY" in (caught.value.hint or "")
    assert PASSWORD not in all_text_of(caught.value)


@pytest.mark.parametrize("how", ["environment", "argument"])
@pytest.mark.parametrize(
    "proxy",
    [
        f"ftp://me:{PASSWORD}@proxy",
        f"me:{PASSWORD}@proxy",
        f"http://me:{PASSWORD}@proxy:port",
        f"http://me:{PASSWORD}@proxy:99999",
        f"http://me:{PASSWORD}@",
        f"http://me:1/{PASSWORD}@proxy:3128",
        f"me:1#{PASSWORD}@proxy:3128",
        f"http://me:x/{PASSWORD}@proxy:3128",
        f"http://me:{PASSWORD}@[::1",
        f"http://me:{PASSWORD}\x7f@proxy:3128",
        f"socks5://me:{PASSWORD}@proxy:3128",
        "proxy",
        "http://",
        "http://me\udc80@proxy:3128",
    ],
    ids=ascii,
)
def test_invalid_proxies_are_rejected(proxy: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {}
    if how == "environment":
        monkeypatch.setenv("HTTP_PROXY", proxy)
    else:
        settings = {"proxy": proxy}
    for client in (StepflowClient, SyncStepflowClient):
        with pytest.raises(InvalidArgumentError, match=r"proxy|PROXY") as caught:
            client("http://server", **settings)
        assert PASSWORD not in all_text_of(caught.value)


@pytest.mark.parametrize("proxy", [5, True, b"http://proxy", ["http://proxy"], object], ids=repr)
def test_proxy_arguments_of_other_types_are_rejected(proxy: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="proxy must be a proxy URL, not"):
        parse_proxy(proxy)


def test_httpx_proxies_are_accepted() -> None:
    assert parse_proxy(httpx.URL("http://proxy:1")) == "http://proxy:1"
    proxy = httpx.Proxy("http://proxy:1", auth=("me", PASSWORD))
    assert parse_proxy(proxy) is proxy
    with pytest.raises(InvalidArgumentError, match="http, https or socks5"):
        parse_proxy(httpx.URL("ftp://proxy"))


@pytest.mark.parametrize(
    "proxy",
    [
        f"http://me:{PASSWORD}@proxy:1",
        f"me:{PASSWORD}@proxy:1",
        f"http://me:a://{PASSWORD}@proxy:1",
        f"http://me:{PASSWORD}://b@proxy:1",
        f"http://me:a@{PASSWORD}@proxy:1",
        httpx.URL(f"http://me:{PASSWORD}@proxy:1"),
        httpx.Proxy(f"http://me:{PASSWORD}@proxy:1"),
    ],
    ids=str,
)
def test_a_proxy_is_shown_without_its_password(proxy: Any) -> None:
    assert format_proxy(proxy) == "http://proxy:1"


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("server", "http://server", True),
        ("server", "http://a.server", True),
        (".server", "http://a.server", True),
        ("*.server", "http://a.server", True),
        ("server", "http://otherserver", False),
        ("SERVER", "http://server", True),
        ("other, server", "http://server", True),
        ("other server", "http://server", True),
        ("server:7840", "http://server:7840", True),
        ("server:7840", "http://a.server:7840", True),
        ("server:7840", "http://server:7841", False),
        ("server:80", "http://server", True),
        ("server:443", "https://server", True),
        ("server:443", "http://server", False),
        ("10.0.0.1", "http://10.0.0.1:7840", True),
        ("10.0.0.1:7840", "http://10.0.0.1:7840", True),
        ("10.0.0.1:7840", "http://10.0.0.1:80", False),
        ("10.0.0.0/8", "http://10.1.2.3:7840", True),
        ("10.0.0.1/8", "http://10.1.2.3:7840", True),
        ("10.0.0.0/8", "http://11.1.2.3:7840", False),
        ("10.0.0.0/8:7840", "http://10.1.2.3:7840", True),
        ("10.0.0.0/8:80", "http://10.1.2.3:7840", False),
        ("10.0.0.0/8", "http://10.example", False),
        ("fd00::/8", "http://[fd12::1]:7840", True),
        ("fd00::/8", "http://[fe12::1]:7840", False),
        ("10.0.0.0/8", "http://[fd12::1]:7840", False),
        ("fd12::1", "http://[fd12::1]:7840", True),
        ("fd12:0::1", "http://[fd12::1]:7840", True),
        ("[fd12::1]:7840", "http://[fd12::1]:7840", True),
        ("[fd12::1]:80", "http://[fd12::1]:7840", False),
        ("10.0.0.0/99", "http://10.0.0.0", False),
        ("10.0.0.0/x", "http://10.0.0.0", False),
        (":7840", "http://server:7840", False),
        (",,", "http://server", False),
        ("*", "http://server", True),
        ("", "http://server", False),
    ],
)
def test_no_proxy(no_proxy: str, url: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert (find_environment_proxy(parse_url(url)) is None) == is_direct


@pytest.mark.parametrize("twin", TWINS)
def test_the_certificate_of_an_https_proxy_is_verified(twin: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    heads: list[bytes] = []
    with listening(record_and_respond(heads), server_context(authority.issue())) as port:
        proxy = f"https://me:{PASSWORD}@127.0.0.1:{port}"
        assert check_health(twin, proxy=proxy, verify=str(authority.file)).status == "healthy"
        assert check_health(twin, proxy=proxy, verify=False).status == "healthy"
        with pytest.raises(ServerConnectionError, match="its certificate is signed by an unknown authority") as caught:
            check_health(twin, proxy=proxy)
    assert len(heads) == 2
    assert PASSWORD not in all_text_of(caught.value)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("no_proxy", ["127.0.0.2/31", "127.0.0.2:PORT"])
def test_no_proxy_bypasses_the_proxy(twin: str, no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Loopback addresses bypass the proxy by default, so pretend that this one is not a loopback address.
    monkeypatch.setattr("stepflow_client._http.settings.is_loopback", lambda host: False)
    heads: list[bytes] = []
    with listening(record_and_respond(heads), host="127.0.0.2") as port, listening(sending(b"")) as nowhere:
        monkeypatch.setenv("HTTP_PROXY", f"127.0.0.1:{nowhere}")
        monkeypatch.setenv("NO_PROXY", no_proxy.replace("PORT", str(port)))
        assert check_health(twin, f"http://127.0.0.2:{port}").status == "healthy"
    assert heads[0].startswith(b"GET /api/v1/health")
