"""`stepflow health` reports the state of the server and waits for components."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "yaml", "name"])
def test_health(form: str, stepflow: Stepflow, server: str, golden: Golden) -> None:
    golden(stepflow("health", "-o", form))


def test_health_on_a_terminal(terminal: Callable[..., Terminal], server: str, golden: Golden) -> None:
    golden(terminal("health"))


@pytest.mark.usefixtures("server")
def test_waiting_for_components(stepflow: Stepflow) -> None:
    there = stepflow("health", "--component", "/builtin/create_messages", "--wait", "5s")
    assert (there.code, "healthy" in there.stdout) == (0, True), there.stderr
    assert stepflow("health", "--wait", "30s").code == 0
    for wait in ([], ["--wait", "0.5s"]):
        absent = stepflow("health", "--component", "/builtin/no_such", *wait)
        assert "unknown component /builtin/no_such" in absent.stderr
        assert (absent.code, absent.stdout) == (4, "")
    assert stepflow("health", "--component", "echo").code == 2


def test_no_server(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("health"),
        stepflow("health", "-o", "json"),
        stepflow("health", "--url", "http://127.0.0.1:9"),
    )


def test_invalid_arguments(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("health", "--local", "--url", "http://localhost:1"),
        stepflow("health", "--config", "x.yml", "--profile", "prod"),
        stepflow("health", "--profile", "prod"),
        stepflow("health", "--output-format", "json"),
        stepflow("health", "-o", "xml"),
        stepflow("health", "-o", "json", "--feilds", "a"),
        stepflow("heath"),
    )


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}], ids=["no-color", "dumb", "color"])
def test_colors(environment: dict[str, str], terminal: Callable[..., Terminal], server: str) -> None:
    shown = terminal("health", **environment)
    assert shown.end() == 0
    assert ("\x1b[" in shown.raw.decode()) == (not environment)
    shown = terminal("health", "--color", "never", **environment)
    shown.end()
    assert "\x1b[" not in shown.raw.decode()
    shown = terminal("health", "--color", "always", **environment)
    shown.end()
    assert "\x1b[32mhealthy" in shown.raw.decode()
