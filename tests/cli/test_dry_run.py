"""`--dry-run` prints what would run and masks secrets; `flows list` shows the flows of recent runs."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cli.command import Stepflow
from tests.cli.runs import Start
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process


@pytest.mark.parametrize("command", ["run", "submit"])
def test_nothing_runs_and_secrets_are_masked(stepflow: Stepflow, server: str, command: str) -> None:
    before = stepflow("runs", "list", "--all", "-o", "name").stdout
    values = ["--var", "api_key=hush", "--var", "version=1.10", "--input-json", '{"a": 1}']
    done = stepflow(command, "clean.yaml", *values, "--dry-run", "-o", "json", "--max-concurrency", "3")
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "server": server,
        "flow": "clean.yaml",
        "input": {"a": 1},
        "inputs": None,
        "variables": {"api_key": "***", "version": "1.10"},
        "variables_from_env": False,
        "overrides": None,
        "max_concurrency": 3,
    }
    assert stepflow("runs", "list", "--all", "-o", "name").stdout == before


def test_values_that_contain_a_secret_are_masked(stepflow: Stepflow, server: str) -> None:
    stepflow.environment["STEPFLOW_VAR_API_KEY"] = "from-general"
    arguments = ["--input-json", '{"a": "from-general, shown"}', "--var", "region=mars-7", "--var", "version=of-mars-7"]
    done = stepflow("run", "clean.yaml", *arguments, "--variables-from-env", "--dry-run", "-o", "json")
    shown = json.loads(done.stdout)
    assert (shown["input"], shown["variables"]) == ({"a": "***, shown"}, {"region": "***", "version": "of-***"})


def test_secret_variables_are_masked_completely(stepflow: Stepflow, server: str) -> None:
    secret = {"is_secret": True, "properties": {"key": {"type": "string"}}}
    schemas = {"properties": {"variables": secret}}
    (stepflow.folder / "all.yaml").write_text(json.dumps({"schemas": schemas, "output": {"$variable": "key"}}))
    inner = {"properties": {"variables": {"properties": {"key": secret}}}}
    (stepflow.folder / "one.yaml").write_text(json.dumps({"schemas": inner, "output": {"$variable": "key"}}))
    for name, value, shown in (
        ("all", "hush", "***"),
        ("one", "{user: hush}", {"key": "***"}),
        ("one", "''", {"key": "***"}),
    ):
        done = stepflow("run", f"{name}.yaml", "--no-check", "--var", f"key={value}", "--dry-run", "-o", "json")
        assert json.loads(done.stdout)["variables"] == shown, done


def test_inputs_of_a_batch_are_counted(stepflow: Stepflow, server: str) -> None:
    done = stepflow("batch", "hello.yaml", "-", "--dry-run", "--json", stdin='{"name": 1}\n' * 3)
    shown = json.loads(done.stdout)
    assert (shown["inputs"], shown["flow"]) == (3, "hello.yaml")


def test_invalid_flow(stepflow: Stepflow, server: str) -> None:
    done = stepflow("run", "refused.yaml", "--dry-run")
    assert (done.code, done.stdout) == (3, "")
    assert "refused.yaml is invalid" in done.stderr


def test_on_a_terminal(terminal: Callable[..., Terminal], server: str) -> None:
    ran = terminal("run", "hello.yaml", "--example", "ada", "--dry-run", width=60)
    assert ran.end() == 0
    assert "input:\n  name: Ada\n" in ran.screen
    assert "nothing was stored or run" in ran.screen


def test_flows_list_shows_flows_of_runs(stepflow: Stepflow, ada: str, start: Start) -> None:
    again = start("hello.yaml", [{"name": "Eve"}])
    done = stepflow("flows", "ls", "-n", "1", "-o", "json")
    assert (done.code, done.stderr) == (0, "")
    (flow,) = json.loads(done.stdout)
    assert (flow["name"], flow["last_run_id"], flow["runs"] >= 2) == ("hello", again, True)
    assert stepflow("flows", "get", flow["flow_id"]).code == 0
    assert stepflow("flows", "list", "--since", "2099-01-01", "-o", "name").stdout == ""


def test_flows_on_a_terminal(terminal: Callable[..., Terminal], ada: str) -> None:
    ran = terminal("flows", "list", "-n", "1", width=60)
    assert ran.end() == 0
    assert len(ran.screen.splitlines()) == 2
    assert max(map(len, ran.screen.splitlines())) <= 60
