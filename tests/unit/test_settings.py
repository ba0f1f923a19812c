"""Connection settings: URLs, timeouts, TLS, credentials, headers, proxies and the environment."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_client import SyncStepflowClient
from stepflow_client._data.arguments import check_seconds
from stepflow_client._http.connecting import build_ssl_context
from stepflow_client._http.settings import (
    MAX_TIMEOUT,
    Timeouts,
    TokenAuth,
    check_auth,
    check_headers,
    find_environment_proxy,
    parse_timeout,
    parse_url,
    read_environment_settings,
)
from stepflow_client.errors import InvalidArgumentError

# URLs


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://server", "http://server"),
        ("http://server/", "http://server"),
        ("http://server:7840", "http://server:7840"),
        ("https://server", "https://server"),
        ("https://server:443", "https://server"),
        ("HTTP://Server:80/", "http://server"),
        ("server", "http://server"),
        ("server:7840", "http://server:7840"),
        ("localhost:7837/api/v1", "http://localhost:7837"),
        ("//server:1", "http://server:1"),
        ("  http://server\n", "http://server"),
        ("http://server/api/v1", "http://server"),
        ("http://server/api/v1/", "http://server"),
        ("http://server/api/v1?x=1#y", "http://server"),
        ("http://server/flows/api/v1/", "http://server/flows"),
        ("http://server/flows//", "http://server/flows"),
        ("http://server/api/v2", "http://server/api/v2"),
        ("http://server/api/v1x", "http://server/api/v1x"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://[::1]:7840", "http://[::1]:7840"),
        ("[::1]:7840", "http://[::1]:7840"),
        ("[fe80::1]", "http://[fe80::1]"),
        ("http://bücher.example", "http://xn--bcher-kva.example"),
        ("http://me:pass@server", "http://server"),
        ("me:pa%40ss@server:1", "http://server:1"),
        ("http://server:65535", "http://server:65535"),
        (httpx.URL("http://server/api/v1"), "http://server"),
    ],
)
def test_urls(url: str | httpx.URL, root: str) -> None:
    assert str(parse_url(url)) == root
    assert parse_url(parse_url(url)) == parse_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "  ",
        "http://",
        "http://:80",
        "http:///path",
        "ftp://server",
        "file:///etc/passwd",
        "unix://socket",
        "http://server:0",
        "http://server:65536",
        "http://server:99999",
        "http://server:-1",
        "http://server:abc",
        "::1",
        "http://[::1",
        "http://server\x00",
        "http://xn--a",
        "http://\ud800",
        "http://" + "a" * 70_000,
        None,
        7840,
        b"http://server",
        Path("server"),
    ],
)
def test_invalid_urls_are_rejected(url: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:se/cret@server:1",
        "http://me:se#cret@server",
        "http://me:se?cret@server",
        "me:se://cret@server",
        "ftp://me:secret@server",
        "http://me:secret@server:99999",
        "http://me:secret@:1",
    ],
)
def test_error_messages_hide_the_password(url: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_url(url)
    for part in ("secret", "se", "cret"):
        assert part not in str(caught.value).replace("server", "")


def test_credentials_are_split_from_the_url() -> None:
    url = parse_url("http://m%40e:p%3Ass@server")
    assert url.user == ("m@e", "p:ss")
    assert "p:ss" not in repr(url)


def test_credentials_of_the_url_are_sent_as_a_header() -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={"status": "healthy", "build": {}})

    client = SyncStepflowClient("http://m%40e:p%3Ass@server:1/x", transport=httpx.MockTransport(answer))
    client.health_check()
    assert client.url == "http://server:1/x"
    assert str(requests[0].url) == "http://server:1/x/api/v1/health"
    assert requests[0].headers["authorization"] == httpx.BasicAuth("m@e", "p:ss")._auth_header
    assert repr(client) == "SyncStepflowClient('http://server:1/x')"


# Timeouts


@pytest.mark.parametrize("seconds", [1, 0.001, 30.0, MAX_TIMEOUT])
def test_a_timeout_applies_to_each_phase(seconds: float) -> None:
    phases = parse_timeout(seconds)
    assert (phases.connect, phases.read, phases.write) == (seconds, seconds, seconds)
    # The wait for a free connection may be longer.
    assert phases.pool is not None
    assert phases.pool >= seconds


def test_an_httpx_timeout_sets_each_phase() -> None:
    assert parse_timeout(httpx.Timeout(5, read=10)) == Timeouts(connect=5, read=10, write=5, pool=5)


def test_none_means_no_limit() -> None:
    assert parse_timeout(None) == parse_timeout(httpx.Timeout(None)) == Timeouts(*[MAX_TIMEOUT] * 4)
    assert parse_timeout(httpx.Timeout(5, read=None)).read == MAX_TIMEOUT
    # A response that is minutes overdue counts as lost.
    assert parse_timeout(None).for_long_poll(20).read == 620


@pytest.mark.parametrize(
    "timeout",
    [
        0,
        -1,
        True,
        "1",
        float("nan"),
        float("inf"),
        10**400,
        1e300,
        MAX_TIMEOUT + 1,
        httpx.Timeout(0),
        httpx.Timeout(5, pool=-1),
        httpx.Timeout(5, read=1e300),
        (1, 2),
    ],
)
def test_invalid_timeouts_are_rejected(timeout: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^timeout"):
        parse_timeout(timeout)


def test_a_wait_may_exceed_the_maximum_socket_timeout() -> None:
    assert check_seconds(10**9, "timeout") == 1e9
    with pytest.raises(InvalidArgumentError, match="above zero and finite"):
        check_seconds(10**400, "timeout")


# TLS

HTTPS = httpx.URL("https://server")


def test_authorities_are_loaded_for_https_only() -> None:
    assert build_ssl_context(httpx.URL("http://server"), True, None) is None
    context = build_ssl_context(HTTPS, True, None)
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    unverified = build_ssl_context(HTTPS, False, None)
    assert isinstance(unverified, ssl.SSLContext)
    assert unverified.verify_mode is ssl.CERT_NONE


def test_an_ssl_context_is_used_unchanged() -> None:
    context = ssl.create_default_context()
    assert build_ssl_context(HTTPS, context, None) is context
    with pytest.raises(InvalidArgumentError, match="in the SSL context"):
        build_ssl_context(HTTPS, context, "cert.pem")


def test_a_folder_of_authorities(tmp_path: Path) -> None:
    assert isinstance(build_ssl_context(HTTPS, str(tmp_path), None), ssl.SSLContext)


@pytest.mark.parametrize(
    ("verify", "cert"),
    [
        ("missing.pem", None),
        (__file__, None),
        ("a\0b", None),
        ("\ud800", None),
        (True, "missing.pem"),
        (True, ("missing.pem", "missing.key")),
        (True, (__file__, __file__, "password")),
        (True, (__file__, "a\0b")),
        (True, ()),
        (True, (None,)),
        (True, 5),
        (False, "missing.pem"),
    ],
)
def test_certificates_that_cannot_be_loaded(verify: Any, cert: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot be loaded"):
        build_ssl_context(HTTPS, verify, cert)


# Credentials


def authorization(auth: Any) -> str:
    return TokenAuth.format_header(auth.sync_get_token())


async def authorization_async(auth: Any) -> str:
    return TokenAuth.format_header(await auth.async_get_token())


def test_the_kinds_of_credentials() -> None:
    assert check_auth(None) is None
    assert check_auth(("user", "pass")) == ("user", "pass")
    other = httpx.DigestAuth("a", "b")
    assert check_auth(other) is other
    assert authorization(check_auth("token")) == "Bearer token"
    assert authorization(check_auth(" token ")) == "Bearer token"
    tokens = iter(["one\n", "two"])
    auth = check_auth(lambda: next(tokens))
    assert [authorization(auth), authorization(auth)] == ["Bearer one", "Bearer two"]


def test_a_token_may_be_awaitable() -> None:
    async def token() -> str:
        return "waited"

    assert asyncio.run(authorization_async(TokenAuth(token))) == "Bearer waited"
    assert asyncio.run(authorization_async(TokenAuth("text"))) == "Bearer text"
    with pytest.raises(InvalidArgumentError, match="not coroutine"):
        authorization(TokenAuth(token))


@pytest.mark.parametrize(
    "auth",
    ["", " ", "two\nlines", "töken", "\x00", 5, b"token", ("user",), ("user", 5), ["user", "pass"], {}, object()],
)
def test_invalid_credentials_are_rejected(auth: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        check_auth(auth)


@pytest.mark.parametrize("token", [None, 5, b"secret", "", "sec\nret", "secrät", "sec\x00ret"])
def test_invalid_tokens_of_a_callable_are_refused(token: Any) -> None:
    async def fetch_token() -> Any:
        return token

    for authorize in (
        lambda: authorization(TokenAuth(lambda: token)),
        lambda: asyncio.run(authorization_async(TokenAuth(lambda: token))),
        lambda: asyncio.run(authorization_async(TokenAuth(fetch_token))),
    ):
        with pytest.raises(InvalidArgumentError) as caught:
            authorize()
        assert "sec" not in str(caught.value)


# Headers


def test_headers_that_can_be_sent() -> None:
    assert check_headers(None) is None
    assert check_headers({"X-A": "1", "x-b": "a b"}) == {"X-A": "1", "x-b": "a b"}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Key": "sec\nret"},
        {"X-Key": "secr\x00et"},
        {"X-Key": "secrät"},
        {"X-Key": None},
        {"X-Key": 5},
        {"X-Key": ["secret"]},
        {"X Key": "secret"},
        {"X-Kéy": "secret"},
        {"": "secret"},
        {5: "secret"},
        [("X-Key", "secret")],
        "X-Key: secret",
    ],
)
def test_headers_that_cannot_be_sent(headers: Any) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_headers(headers)
    assert "sec" not in str(caught.value)


# The environment

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def without_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environ", "url", "proxy"),
    [
        ({}, "http://server", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://server", "http://p:1"),
        ({"http_proxy": "http://p:1"}, "http://server", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://server", None),
        ({"HTTPS_PROXY": "http://p:2"}, "https://server", "http://p:2"),
        ({"ALL_PROXY": "http://p:3"}, "http://server", "http://p:3"),
        ({"ALL_PROXY": "http://p:3", "HTTP_PROXY": "http://p:1"}, "http://server", "http://p:1"),
        ({"ALL_PROXY": "http://p:3"}, "http://localhost:7837", None),
        ({"ALL_PROXY": "http://p:3"}, "http://127.0.0.1:7840", None),
        ({"ALL_PROXY": "http://p:3"}, "http://127.9.9.9", None),
        ({"ALL_PROXY": "http://p:3"}, "http://[::1]:7840", None),
        ({"ALL_PROXY": "http://p:3", "NO_PROXY": "server,other"}, "http://server", None),
        ({"ALL_PROXY": "http://p:3", "NO_PROXY": ".internal"}, "http://a.internal", None),
        ({"ALL_PROXY": "http://p:3", "NO_PROXY": "*"}, "http://server", None),
        ({"ALL_PROXY": "http://p:3", "NO_PROXY": "other"}, "http://server", "http://p:3"),
    ],
)
def test_proxies(environ: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert find_environment_proxy(parse_url(url)) == proxy


@pytest.mark.parametrize(
    "setting",
    [
        {"proxy": "nonsense"},
        {"proxy": "socks5://proxy:1"},
        {"proxy": "http://proxy:x"},
        {"proxy": 5},
        {"limits": 5},
        {"headers": 5},
        {"auth": 5},
        {"timeout": 0},
        {"verify": "missing.pem"},
        {"cert": "missing.pem"},
        {"base_url": ""},
    ],
)
def test_invalid_settings_are_rejected_by_the_constructor(setting: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        SyncStepflowClient(**{"base_url": "https://server", **setting})


@pytest.mark.parametrize(
    ("environ", "arguments"),
    [
        ({}, {}),
        ({"STEPFLOW_URL": ""}, {}),
        ({"STEPFLOW_URL": "server:1"}, {"base_url": "server:1"}),
        ({"STEPFLOW_TOKEN": "t"}, {"auth": "t"}),
        ({"STEPFLOW_TOKEN": ""}, {}),
        ({"STEPFLOW_TIMEOUT": "2.5"}, {"timeout": 2.5}),
    ],
)
def test_environment_variables_become_arguments(environ: dict[str, str], arguments: dict[str, Any]) -> None:
    assert read_environment_settings(environ) == arguments


def test_an_invalid_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgumentError, match="STEPFLOW_TIMEOUT must be a number of seconds, not 'soon'"):
        read_environment_settings({"STEPFLOW_TIMEOUT": "soon"})
    for value in ("nan", "-1", "0", "inf"):
        monkeypatch.setenv("STEPFLOW_TIMEOUT", value)
        with pytest.raises(InvalidArgumentError):
            SyncStepflowClient.from_env()


def test_arguments_override_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEPFLOW_URL", "http://from-env:1")
    assert SyncStepflowClient.from_env().url == "http://from-env:1"
    assert SyncStepflowClient.from_env(base_url="http://given:2").url == "http://given:2"
    monkeypatch.setenv("STEPFLOW_TIMEOUT", "2.5")
    monkeypatch.setenv("STEPFLOW_TOKEN", "of-the-environment")
    for arguments, timeout, token in (
        ({}, 2.5, "of-the-environment"),
        ({"timeout": 4.0, "auth": "given"}, 4.0, "given"),
        ({"timeout": None, "auth": None}, MAX_TIMEOUT, "of-the-environment"),
    ):
        client = SyncStepflowClient.from_env(**arguments)
        assert client._connection.timeout.connect == timeout
        assert client._connection.headers["authorization"] == f"Bearer {token}"
