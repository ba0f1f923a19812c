"""`stepflow flows` stores, prints and deletes flows."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process

FORMS = ("table", "json", "jsonl", "yaml", "name")
UNKNOWN = "0" * 64


def store(stepflow: Stepflow, flow: str) -> str:
    """Store a flow and return its ID."""
    done = stepflow("flows", "store", flow)
    assert done.code == 0, done
    return done.stdout.strip()


@pytest.mark.usefixtures("server")
def test_store(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("flows", "store", "clean.yaml"),
        *(stepflow("flows", "store", "echo.yaml", "clean.yaml", "-o", form) for form in FORMS),
        stepflow("flows", "store", "-", stdin=(stepflow.folder / "echo.yaml").read_text()),
    )


@pytest.mark.usefixtures("server")
def test_store_quietly(stepflow: Stepflow) -> None:
    assert "warning: " in stepflow("flows", "store", "echo.yaml").stderr
    quiet = stepflow("flows", "store", "echo.yaml", "-q")
    assert (quiet.code, len(quiet.stdout), quiet.stderr) == (0, 65, "")
    # Without the diagnostics, nothing would say why a flow was refused.
    assert "refused.yaml: " in stepflow("flows", "store", "refused.yaml", "-q").stderr.partition("\n")[0]


@pytest.mark.usefixtures("server")
def test_store_invalid_flows(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("flows", "store", "refused.yaml"),
        stepflow("flows", "store", "refused.yaml", "-o", "json"),
        stepflow("flows", "store", "clean.yaml", "refused.yaml", "echo.yaml"),
        stepflow("flows", "store", "clean.yaml", "refused.yaml", "-o", "jsonl"),
        stepflow("flows", "store", "clean.yaml", "helo.yaml"),
        stepflow("flows", "store"),
    )


@pytest.mark.usefixtures("server")
def test_get(stepflow: Stepflow, golden: Golden) -> None:
    flow_id = store(stepflow, "hello.yaml")
    golden(
        *(stepflow("flows", "get", flow_id, "-o", form) for form in ("table", "name")),
        stepflow("flows", "get", flow_id, "--examples"),
        stepflow("flows", "get", flow_id, "--examples", "-o", "table"),
        stepflow("flows", "get", flow_id, "--examples", "-o", "name"),
        stepflow("flows", "get", store(stepflow, "echo.yaml"), "--examples"),
        stepflow("flows", "get", UNKNOWN),
        stepflow("flows", "get", "no/id", "-o", "json"),
        stepflow("flows", "get"),
    )


@pytest.mark.usefixtures("server")
def test_stored_flow_can_be_saved_and_run(stepflow: Stepflow) -> None:
    flow_id = store(stepflow, "hello.yaml")
    for ending, first in (("yaml", "name: hello"), ("json", "{"), ("jsonl", '{"name"')):
        done = stepflow("flows", "get", flow_id, "--output", f"got.{ending}")
        assert (done.code, done.stdout, done.stderr) == (0, "", "")
        text = (stepflow.folder / f"got.{ending}").read_text()
        assert first in text
        assert text.count("\n") == 1 or ending != "jsonl"
        done = stepflow("run", f"got.{ending}", "--example", "grace")
        assert json.loads(done.stdout) == {"hello": "Grace"}
    assert stepflow("flows", "get", flow_id).stdout == (stepflow.folder / "got.yaml").read_text()
    assert stepflow("flows", "get", flow_id, "-o", "json").stdout == (stepflow.folder / "got.json").read_text()


@pytest.mark.usefixtures("server")
def test_delete(stepflow: Stepflow, golden: Golden) -> None:
    flow_id, other = store(stepflow, "echo.yaml"), store(stepflow, "clean.yaml")
    golden(
        stepflow("flows", "delete", flow_id),
        stepflow("flows", "delete", flow_id, other),
        stepflow("flows", "delete", flow_id, other, "--yes"),
        stepflow("flows", "delete", flow_id, "--yes", "-o", "json"),
        stepflow("flows", "delete", flow_id, UNKNOWN, "--yes"),
        stepflow("flows", "delete"),
    )


def test_delete_asks_for_confirmation_on_a_terminal(
    stepflow: Stepflow, server: str, terminal: Callable[..., Terminal]
) -> None:
    flow_id = store(stepflow, "echo.yaml")
    for typed, code, message in (("n\n", 2, "not confirmed"), ("y\n", 0, "kept")):
        shown = terminal("flows", "delete", flow_id)
        shown.wait_for("[y/N]")
        shown.send(typed)
        assert shown.end() == code
        assert message in shown.screen


@pytest.mark.usefixtures("server")
def test_variables(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        *(stepflow("flows", "get", "--variables", "clean.yaml", "-o", form) for form in FORMS),
        stepflow("flows", "get", "--variables", "echo.yaml"),
        stepflow("flows", "get", "--variables", "-", "-o", "name", stdin=(stepflow.folder / "clean.yaml").read_text()),
        stepflow("flows", "get", "echo.yaml", "--variables", "--examples"),
    )


def test_secret_inside_a_variable_is_not_shown(stepflow: Stepflow) -> None:
    account = {
        "type": "object",
        "properties": {"key": {"type": "string", "is_secret": True, "default": "hunter22-inner"}},
        "default": {"key": "hunter22-outer"},
    }
    flow = {"schemas": {"properties": {"variables": {"properties": {"account": account}}}}, "steps": [], "output": 1}
    (stepflow.folder / "nested.json").write_text(json.dumps(flow))
    for form in FORMS:
        done = stepflow("flows", "get", "--variables", "nested.json", "-o", form)
        assert (done.code, "hunter22" in done.stdout) == (0, False), done


def test_variables_of_a_stored_flow(stepflow: Stepflow, server: str) -> None:
    from_file = stepflow("flows", "get", "--variables", "clean.yaml", STEPFLOW_URL="http://127.0.0.1:9")
    from_server = stepflow("flows", "get", "--variables", store(stepflow, "clean.yaml"))
    # A file needs no server. Servers return keys in varying order.
    assert (from_file.code, from_server.code) == (0, 0)
    assert sorted(from_file.stdout.splitlines()) == sorted(from_server.stdout.splitlines())


def test_on_a_terminal(stepflow: Stepflow, server: str, terminal: Callable[..., Terminal], golden: Golden) -> None:
    flow_id = store(stepflow, "hello.yaml")
    golden(
        terminal("flows", "store", "hello.yaml"),
        terminal("flows", "get", flow_id, "-o", "table"),
        terminal("flows", "get", "--variables", "clean.yaml"),
        terminal("flows", "delete", flow_id, "--yes"),
    )


def test_no_server(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("flows", "store", "hello.yaml"),
        stepflow("flows", "get", UNKNOWN, "-o", "json"),
        stepflow("flows", "delete", UNKNOWN, "--yes"),
        stepflow("flows"),
        stepflow("flows", "gte"),
    )


def test_flow_file_is_printed_without_a_server(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("flows", "get", "hello.yaml"),
        stepflow("flows", "get", "--flow", "hello.yaml", "--examples"),
        stepflow("flows", "get", "hello.yaml", "-o", "table"),
        stepflow("flows", "get", "hello.yaml", "-o", "name"),
        stepflow("flows", "get", "-", "--json", stdin='{"name": "piped", "steps": [], "output": 1}'),
        stepflow("flows", "get", "helo"),
    )


def test_stored_flow_and_its_file_are_printed_alike(stepflow: Stepflow, server: str) -> None:
    flow_id = store(stepflow, "hello.yaml")
    # Servers normalize paths and add keys.
    for options in (["--examples"], ["--variables"]):
        file, flow = (stepflow("flows", "get", each, *options) for each in ("hello.yaml", flow_id))
        assert (file.code, file.stderr) == (flow.code, flow.stderr) == (0, "")
        assert file.stdout == flow.stdout
