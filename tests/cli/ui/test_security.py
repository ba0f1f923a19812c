"""Accepted hosts and origins, sessions and form tokens."""

from __future__ import annotations

import pytest
from stepflow_cli.server.host_origin_checks import AcceptedAddresses
from stepflow_cli.ui.security import RESPONSE_HEADERS, FormTokens, Sessions


@pytest.mark.parametrize(
    "host", ["127.0.0.1:80", "localhost:80", "LocalHost:80", "[::1]:80", "127.5.5.5:80", "localhost"]
)
def test_loopback_hosts_are_accepted(host: str) -> None:
    assert AcceptedAddresses(80).accepts_host(host)


@pytest.mark.parametrize(
    "host",
    [
        None, "", "evil.example:80", "127.0.0.1.evil.example:80", "localhost.evil.example:80", "127.0.0.1:81",
        "evil@127.0.0.1:80", "127.0.0.1:80@evil", "127.0.0.1:80, evil", "127.0.0.1:80/x", "10.0.0.1:80", "0.0.0.0:80",
        "[::]:80", "[::ffff:10.0.0.1]:80", "127.1:80", "2130706433:80", "localhost:080x", "[::1:80", "localhost:99999",
        "localhost.:80", "ｌocalhost:80", "localhost:8 0",
    ],
)  # fmt: skip
def test_other_hosts_are_refused(host: str | None) -> None:
    assert not AcceptedAddresses(80).accepts_host(host)


def test_exposed_server_accepts_addresses_and_its_own_names() -> None:
    addresses = AcceptedAddresses(8080, ["box"], is_exposed=True)
    assert addresses.accepts_host("10.0.0.1:8080")
    assert addresses.accepts_host("Box:8080")
    assert not addresses.accepts_host("rebound.example:8080")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:80", "http://127.0.0.1:81", "http://127.0.0.1", ""]
)
def test_other_origins_are_refused(origin: str) -> None:
    assert not AcceptedAddresses(80).accepts_origin(origin, "127.0.0.1:80")


def test_own_origin_is_accepted() -> None:
    assert AcceptedAddresses(80).accepts_origin("http://127.0.0.1:80", "127.0.0.1:80")
    assert AcceptedAddresses(80).accepts_origin(None, "127.0.0.1:80")


def test_token_opens_one_session() -> None:
    new_tokens: list[str] = []
    sessions = Sessions(new_tokens.append)
    token = sessions.token
    session = sessions.open_session(token)
    assert session is not None
    assert sessions.has_session(session)
    assert sessions.open_session(token) is None
    assert new_tokens == [sessions.token] != [token]
    assert not sessions.has_session("")
    assert sessions.open_session("ä") is None
    assert sessions.open_session("") is None


def test_number_of_sessions_is_limited() -> None:
    sessions = Sessions()
    first = sessions.open_session(sessions.token)
    for _ in range(100):
        sessions.open_session(sessions.token)
    assert not sessions.has_session(first or "")


def test_form_token_can_be_used_once() -> None:
    forms = FormTokens()
    token = forms.issue_token("a", "/runs/1/cancel")
    assert forms.verify_and_consume("a", "/runs/1/cancel", token)
    assert not forms.verify_and_consume("a", "/runs/1/cancel", token)


def test_form_token_belongs_to_a_session_and_path() -> None:
    forms = FormTokens()
    token = forms.issue_token("a", "/runs/1/cancel")
    assert not forms.verify_and_consume("b", "/runs/1/cancel", token)
    assert not forms.verify_and_consume("a", "/runs/2/cancel", token)
    assert not FormTokens().verify_and_consume("a", "/runs/1/cancel", token)
    for wrong in ("", ".", "..", "x", token[:-1], token + "0", "0" + token, token.replace(".", "")):
        assert not forms.verify_and_consume("a", "/runs/1/cancel", wrong)
    assert forms.verify_and_consume("a", "/runs/1/cancel", token)


def test_form_token_expires_after_12_hours() -> None:
    now = [1000.0]
    forms = FormTokens(lambda: now[0])
    token = forms.issue_token("a", "/")
    assert forms.verify_and_consume("a", "/", token, is_reusable=True)
    now[0] += 12 * 3600 + 1
    assert not forms.verify_and_consume("a", "/", token, is_reusable=True)


def test_tokens_are_refused_while_too_many_used_ones_are_stored() -> None:
    now = [0.0]
    forms = FormTokens(lambda: now[0])
    forms._used_at = {str(number): 0.0 for number in range(10_000)}
    token = forms.issue_token("a", "/")
    assert not forms.verify_and_consume("a", "/", token)
    now[0] += 12 * 3600 + 1
    assert forms.verify_and_consume("a", "/", forms.issue_token("a", "/"))
    assert len(forms._used_at) == 1


def test_content_security_policy_forbids_inline_code() -> None:
    policy = RESPONSE_HEADERS["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
