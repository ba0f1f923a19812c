"""`stepflow mcp config` prints entries for hosts, and `stepflow mcp serve` explains why it cannot serve."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from stepflow_cli.commands.mcp import HOSTS

from tests.cli.command import Stepflow

OTHERS = sorted(HOSTS.keys() - {"codex"})


@pytest.mark.parametrize("name", ["orders-2", 'my "orders".v2'])
@pytest.mark.parametrize("client", ["codex", *(pytest.param(each, marks=pytest.mark.exhaustive) for each in OTHERS)])
def test_entry_starts_the_command(client: str, name: str, stepflow: Stepflow) -> None:
    options = ["--tools", "runs,diagnose", "--url", "http://localhost:7837", "--var", "key=a b"]
    done = stepflow("mcp", "config", "hello.yaml", "--client", client, "--name", name, *options)
    assert done.code == 0, done
    assert done.stderr == f"stepflow: add this to {HOSTS[client].file}\n"
    text = tomllib.loads(done.stdout) if HOSTS[client].form == "toml" else json.loads(done.stdout)
    entry = text[HOSTS[client].key][name]
    assert Path(entry["command"]).name == "stepflow"
    assert entry["args"] == ["mcp", "serve", str(stepflow.folder / "hello.yaml"), *options]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("missing.yaml", "missing.yaml does not exist"),
        ("hello.yaml --tools rnus", "unknown tools rnus"),
        ("hello.yaml --read-only other.yaml", "--read-only names other.yaml, which is not served"),
        ("hello.yaml --http 0 --host 203.0.113.7", "cannot listen on 203.0.113.7"),
        ("empty", "no flows to serve"),
        ("hello.yaml --max-wait 0", "--max-wait"),
        ("hello.yaml --variables -", "would read the agent's messages"),
    ],
)
def test_invalid_arguments_of_serve(arguments: str, message: str, stepflow: Stepflow) -> None:
    (stepflow.folder / "empty").mkdir()
    done = stepflow("mcp", "serve", *arguments.split())
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.exhaustive
def test_invalid_flows_in_a_folder_are_skipped(stepflow: Stepflow) -> None:
    folder = stepflow.folder / "some"
    folder.mkdir()
    (folder / "good.yaml").write_text("steps: []\noutput: 1\n")
    (folder / "bad.yaml").write_text("steps: [\noutput: 1\n")
    done = stepflow("mcp", "serve", "some")
    assert (done.code, done.stdout) == (0, "")
    assert "bad.yaml" in done.stderr
    assert "is not served" in done.stderr


def test_missing_extra_is_named(stepflow: Stepflow) -> None:
    program = (
        "import sys; sys.modules['mcp'] = None; from stepflow_cli.main import run_command_line_and_exit\n"
        "run_command_line_and_exit(['mcp', 'serve', 'a'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=stepflow.environment)
    assert done.returncode == 2
    assert re.search(r"pip install .*stepflow-cli\[mcp\]'", done.stderr)


@pytest.mark.exhaustive
def test_other_commands_do_not_import_mcp() -> None:
    program = (
        "import sys, stepflow_cli.main as m\n"
        "for name in m.cli.summaries: m.cli.get_command(None, name)\n"
        "print(sorted({'mcp', 'mcp_types'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_entry_keeps_the_server_from_the_environment(stepflow: Stepflow) -> None:
    def options(*arguments: str, **environment: str) -> list[str]:
        done = stepflow("mcp", "config", "hello.yaml", "--client", "cursor", *arguments, **environment)
        assert done.code == 0, done
        entry_options: list[str] = json.loads(done.stdout)["mcpServers"]["stepflow"]["args"][3:]
        return entry_options

    path = stepflow.home / ".config" / "stepflow" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[profiles.prod]\nurl = "http://prod"\n')
    assert options() == []
    assert options(STEPFLOW_URL="http://localhost:7900") == ["--url", "http://localhost:7900"]
    assert options(STEPFLOW_PROFILE="prod") == ["--profile", "prod"]
    assert options("--url", "http://a", STEPFLOW_URL="http://b") == ["--url", "http://a"]
    assert options("--profile", "prod") == ["--profile", "prod"]
    secret = stepflow("mcp", "config", "hello.yaml", "--client", "cursor", STEPFLOW_URL="http://me:hidden@a")
    assert (secret.code, secret.stdout, "hidden" in secret.stderr) == (2, "", False)


def test_no_entry_without_the_extra(stepflow: Stepflow) -> None:
    stepflow.at_start("import sys\nsys.modules['mcp'] = None\n")
    done = stepflow("mcp", "config", "hello.yaml", "--client", "cursor")
    assert (done.code, done.stdout, "needs the extra stepflow-cli[mcp]" in done.stderr) == (2, "", True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("missing.yaml", "missing.yaml does not exist"),
        ("hello.yaml --config missing.yml", "missing.yml does not exist"),
        ("hello.yaml --read-only other", "--read-only names other, which is not served"),
        ("hello.yaml --profile nope", "nope"),
    ],
)
def test_no_entry_that_cannot_work(arguments: str, message: str, stepflow: Stepflow) -> None:
    done = stepflow("mcp", "config", *arguments.split(), "--client", "cursor")
    assert (done.code, done.stdout, message in done.stderr) == (2, "", True), done


def test_entry_has_absolute_paths_and_local_settings(stepflow: Stepflow) -> None:
    (stepflow.folder / "stepflow-config.yml").write_text("plugins: {}\n")
    (stepflow.folder / "values.yaml").write_text("{}\n")
    (stepflow.folder / "mine.toml").write_text('[profiles.prod]\nurl = "http://prod"\n')

    def server(*arguments: str, **environment: str) -> dict[str, Any]:
        done = stepflow("mcp", "config", "hello.yaml", "--client", "cursor", *arguments, **environment)
        assert done.code == 0, done
        entry: dict[str, Any] = json.loads(done.stdout)["mcpServers"]["stepflow"]
        return entry

    folder = stepflow.folder
    assert server("--local")["args"][3:] == ["--local", "--config", str(folder / "stepflow-config.yml")]
    assert server("--variables=values.yaml")["args"][3:] == [f"--variables={folder / 'values.yaml'}"]
    assert server("--read-only", "hello.yaml")["args"][3:] == ["--read-only", str(folder / "hello.yaml")]
    for name in ("runs", "hello", "prod"):
        (folder / name).mkdir()
    names = ["--tools", "runs", "--read-only", "hello", "--profile", "prod"]
    assert server(*names, STEPFLOW_CONFIG_FILE="mine.toml")["args"][3:] == names
    with_profile = server("--profile", "prod", STEPFLOW_CONFIG_FILE="mine.toml")
    assert with_profile["env"] == {"STEPFLOW_CONFIG_FILE": str(folder / "mine.toml")}
    token = stepflow("mcp", "config", "hello.yaml", "--client", "cursor", STEPFLOW_TOKEN="hidden")
    assert "set STEPFLOW_TOKEN in the host too" in token.stderr
    assert "hidden" not in token.stdout + token.stderr
