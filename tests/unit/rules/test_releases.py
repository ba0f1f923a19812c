"""Identifying a server from its health response, and its capabilities."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client._rules.operations_and_releases import (
    TARGET_RANGE,
    identify_server,
    make_pinned_server,
    parse_checkable_release,
    require_capability,
)
from stepflow_client.errors import InvalidArgumentError, InvalidResponseError, UnsupportedByServerError

URL = "http://server:7840"


@pytest.mark.parametrize(
    ("version", "dialect"),
    [
        ("0.10.0", "0.10"),
        ("0.11.0", "0.11"),
        ("0.11.1", "0.11"),
        ("0.11.2-rc.1", "0.11"),
        ("0.12.0", "0.12"),
        ("0.13.0", "0.12"),
        ("1.0.0", "0.12"),
        ("", "0.12"),
        ("nightly", "0.12"),
        ("0", "0.12"),
        ("9" * 5000 + ".1", "0.12"),
    ],
)
def test_a_server_that_reports_its_release(version: str, dialect: str) -> None:
    server = identify_server(URL, {"status": "healthy", "version": version, "timestamp": "2026-01-01T00:00:00+00:00"})
    assert (server.dialect, server.release, server.commit, server.url) == (dialect, version, None, URL)


@pytest.mark.parametrize(
    ("build", "known_release", "commit"),
    [
        ({"gitVersion": "dd82fa7"}, "0.13.0", "dd82fa7"),
        ({"gitVersion": "37c721f"}, "0.12.0", "37c721f"),
        ({"gitVersion": "abcdef0"}, None, "abcdef0"),
        ({"gitVersion": None}, None, None),
        ({"gitVersion": 5}, None, "5"),
        ({}, None, None),
    ],
)
def test_a_server_that_reports_its_commit(build: dict[str, Any], known_release: str | None, commit: str | None) -> None:
    server = identify_server(URL, {"status": "healthy", "build": build})
    assert (server.dialect, server.release, server.commit) == ("0.12", known_release, commit)


@pytest.mark.parametrize(
    "health", [{}, {"status": "ok"}, {"version": 5}, {"build": "x"}, {"version": None, "build": None}, {"build": []}]
)
def test_other_services_are_rejected(health: dict[str, Any]) -> None:
    with pytest.raises(InvalidResponseError, match="not like a Stepflow server"):
        identify_server(URL, health)


NEW = {"empty_batch", "flow_variables", "events", "live_steps", "step_outputs"}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.10.0", {"exact_numbers", "cancel_refuses_finished"}),
        ("0.11.1", {"exact_numbers", "cancel_refuses_finished", "flow_variables", "empty_batch"}),
        ("0.12.0", NEW),
        ("0.13.0", NEW),
        ("1.0", NEW),
    ],
)
def test_features_by_release(version: str, expected: set[str]) -> None:
    capabilities = make_pinned_server(URL, version).capabilities
    assert {name for name, is_supported in capabilities.items() if is_supported} == expected
    assert capabilities.keys() == {*NEW, "exact_numbers", "cancel_refuses_finished"}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.10", (0, 10)),
        ("v0.13.0", (0, 13)),
        ("0.9", None),
        ("0.14", None),
        ("1.10", None),
        ("0", None),
        ("newest", None),
        (None, None),
    ],
)
def test_supported_target_releases(text: Any, number: tuple[int, int] | None) -> None:
    assert parse_checkable_release(text) == number
    assert TARGET_RANGE == "0.10 to 0.13"


def test_the_error_for_a_missing_capability_names_the_release_that_has_it() -> None:
    require_capability(make_pinned_server(URL, "0.12"), "events", "events")
    with pytest.raises(UnsupportedByServerError, match=r"^events: not supported by this server \(0\.11\.1\)") as caught:
        require_capability(make_pinned_server(URL, "0.11.1"), "events", "events")
    assert caught.value.hint == "it needs release 0.12 or newer"


@pytest.mark.parametrize("version", ["0.9.0", "0.9", "0.8.3"])
def test_a_server_that_is_too_old_is_refused(version: str) -> None:
    with pytest.raises(UnsupportedByServerError, match=rf"^{URL} is Stepflow {version}, ") as caught:
        identify_server(URL, {"status": "healthy", "version": version})
    assert caught.value.hint == "the oldest supported release is 0.10: upgrade the server"


@pytest.mark.parametrize("version", ["", "x", "1", 0.13, None, "0", "a.b", True, "0.9", "0.9.0"])
def test_invalid_releases_are_rejected(version: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        make_pinned_server(URL, version)
