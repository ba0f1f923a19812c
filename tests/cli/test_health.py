"""`stepflow health` and `stepflow list-components`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cli.command import Stepflow
from tests.cli.gateway import Gateway
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "yaml", "name"])
def test_health(form: str, stepflow: Stepflow, server: str, golden: Golden) -> None:
    golden(stepflow("health", "-o", form))


@pytest.mark.parametrize("width", [60, 120])
def test_health_on_a_terminal(width: int, terminal: Callable[..., Terminal], server: str, golden: Golden) -> None:
    golden(terminal("health", width=width))


@pytest.mark.usefixtures("server")
def test_fields(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("health", "--fields", "status,capabilities.wait"),
        stepflow("health", "--fields", "status,capabilities.wait", "-o", "json"),
        stepflow("health", "--fields", "stats"),
        stepflow("health", "--fields", "capabilities.nonsense", "-o", "json"),
        stepflow("health", "--fields", "status,", "-o", "yaml"),
    )


@pytest.mark.usefixtures("nobody_at_default_url")
def test_no_server(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("health"),
        stepflow("health", "-o", "json"),
        stepflow("health", "--url", "http://127.0.0.1:9"),
    )


def test_wrong_usage(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("health", "--local", "--url", "http://localhost:1"),
        stepflow("health", "--config", "x.yml", "--profile", "prod"),
        stepflow("health", "--profile", "prod"),
        stepflow("health", "--output-format", "json"),
        stepflow("health", "-o", "xml"),
        stepflow("health", "-o", "json", "--feilds", "a"),
        stepflow("heath"),
    )


def test_components(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("list-components"),
        stepflow("list-components", "--format", "pretty", "--fields", "path"),
        stepflow("list-components", "-o", "name"),
        stepflow("list-components", "-o", "jsonl", "--schemas", "false"),
        stepflow("list-components", "-o", "yaml", "--fields", "name,input_schema.type"),
    )


@pytest.mark.parametrize("width", [60, 120])
def test_components_on_a_terminal(width: int, terminal: Callable[..., Terminal], server: str, golden: Golden) -> None:
    golden(terminal("list-components", width=width))


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


def test_a_plugin_that_could_not_be_asked(stepflow: Stepflow, server: str) -> None:
    def failing(path: str, status: int, body: bytes) -> tuple[int, bytes]:
        failed = b'"failedPlugins":[{"plugin":"python","error":"gone \\u001b[31m"}]'
        return status, body.replace(b'"failedPlugins":[]', failed).replace(b'"complete":true', b'"complete":false')

    with Gateway(server, failing) as gateway:
        done = stepflow("list-components", "--url", gateway.url, "-o", "name")
        assert (done.code, done.stderr) == (0, "stepflow: the plugin python could not be asked: gone \\x1b[31m\n")
        # Those who asked for JSON get nothing but errors there.
        assert stepflow("list-components", "--url", gateway.url, "-o", "json").stderr == ""


def test_a_table_has_no_schemas(stepflow: Stepflow) -> None:
    said = "stepflow: a table has no room for schemas: -o json prints them\n"
    assert stepflow("list-components", "--local", "--schemas").stderr == said
    assert stepflow("list-components", "--local", "--schemas", "-o", "json").stderr == ""
