"""Properties of all commands: help pages, fast startup and shared options."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import click
import pytest
from stepflow_cli import entry
from stepflow_cli.inputs.command_line_values import parse_assigned_value
from stepflow_cli.main import cli
from stepflow_cli.params.click_commands import Command, LazyGroup, get_full_help, get_summary

from scripts.write_cli_page import walk
from tests.cli.command import FORKED, Stepflow
from tests.cli.gateway import Gateway
from tests.cli.terminal import Terminal
from tests.fault_proxy import FaultProxy, Script


def all_commands(group: LazyGroup = cli, prefix: str = "stepflow") -> list[tuple[str, str, click.Command]]:
    """Return the full name, the summary in the group's help, and the object of each command."""
    commands: list[tuple[str, str, click.Command]] = []
    for name, summary in group.summaries.items():
        command = group.get_command(click.Context(group), name)
        assert command is not None
        commands.append((f"{prefix} {name}", summary, command))
        if isinstance(command, LazyGroup):
            commands += all_commands(command, f"{prefix} {name}")
    return commands


def test_help_of_a_command_starts_with_its_summary() -> None:
    for name, summary, command in all_commands():
        assert get_summary(command) == summary, name
        assert isinstance(command, (Command, LazyGroup)), name


def test_every_option_has_a_help_text() -> None:
    for name, _, command in all_commands():
        for param in command.params:
            assert not isinstance(param, click.Option) or param.hidden or param.help, (name, param.name)


def test_help_imports_nothing_heavy() -> None:
    heavy = ("stepflow_client", "httpx", "rich", "pydantic", "yaml", "logging", "asyncio")
    for args in (["--help"], ["--version"]):
        program = (
            "import sys; sys.argv[1:] = " + repr(args) + "\nfrom stepflow_cli.entry import main\n"
            "try: main()\nexcept SystemExit: pass\n"
            f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.stderr.strip() == "[]"


def test_ctrl_c_before_the_command_starts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.argv", ["stepflow", "health"])
    monkeypatch.setattr("stepflow_cli.main.run_command_line_and_exit", interrupt)
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert (end.value.code, capsys.readouterr().err) == (130, "stepflow: interrupted\n")


def test_run_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "stepflow_cli", "--help"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("Usage: stepflow ")


@pytest.mark.parametrize("group", [[], ["runs"]])
def test_help_is_printed_without_a_command(stepflow: Stepflow, group: list[str]) -> None:
    done = stepflow(*group)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == stepflow(*group, "--help").stdout


def test_verbose_before_and_after_the_command(stepflow: Stepflow) -> None:
    for args in (["-vv", "health"], ["health", "-vv"], ["-v", "health", "-v"]):
        assert "Traceback" in stepflow(*args).stderr
    assert "Traceback" not in stepflow("health", "-v").stderr


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ("no", "no"),
        ("", ""),
        ("text", "text"),
        ("a: b", "a: b"),
        ("- a", "- a"),
        ("[1, a]", [1, "a"]),
        ('{"a": 1}', {"a": 1}),
        ("[1", "[1"),
        ('"1"', "1"),
        ("-1.5e3", -1500.0),
        ("fix #42 now", "fix #42 now"),
        ("#general", "#general"),
        ("&a", "&a"),
        ("*a", "*a"),
        ("!!str 1", "!!str 1"),
        ("---", "---"),
        ("~", None),
        (" x ", " x "),
        (" 1 ", 1),
        ("one\ntwo", "one\ntwo"),
        ("'1'", "'1'"),
        ("{a: b}", {"a": "b"}),
        ("2026-11-25", "2026-11-25"),
        ("0x1F", 31),
    ],
)
def test_parsing_of_assigned_values(text: str, value: object) -> None:
    assert parse_assigned_value(text) == value
    assert type(parse_assigned_value(text)) is type(value)


@pytest.mark.parametrize("flag", ["--url", "--profile", "--config"])
def test_empty_option_value_is_refused(flag: str, stepflow: Stepflow) -> None:
    done = stepflow("run", "echo.yaml", flag, "")
    hint = "leave it out, or set the shell variable it uses"
    assert (done.code, done.stderr) == (2, f"stepflow: {flag} is empty\nhint: {hint}\n")


@pytest.mark.parametrize("options", [["--local"], ["--config", "x.yml"]])
def test_detach_is_refused_on_an_embedded_server(options: list[str], stepflow: Stepflow) -> None:
    done = stepflow("run", *options, "echo.yaml", "--detach")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"stepflow: --detach and {options[0]} cannot be used together\n")


@pytest.mark.parametrize("options", [[], ["-v"]])
def test_errors_name_the_server(options: list[str], stepflow: Stepflow) -> None:
    args = ["runs", "list", "--url", "http://127.0.0.1:9", *options]
    assert "\nserver http://127.0.0.1:9 (from --url)\n" in stepflow(*args).stderr
    *_, error = stepflow(*args, "-o", "json").stderr.splitlines()
    assert json.loads(error)["server"] == "http://127.0.0.1:9"


def test_detached_run_uses_the_same_server_as_submit(stepflow: Stepflow) -> None:
    detached, submitted = (stepflow(each, "echo.yaml", "--input-json", "1", "--detach") for each in ("run", "submit"))
    assert (detached.code, detached.stdout) == (4, "")
    assert "localhost:7837 cannot be reached" in detached.stderr
    assert "--local" not in detached.stderr
    assert detached.stderr == submitted.stderr


@pytest.mark.parametrize("command", ["run", "submit"])
def test_detached_run_continues(command: str, stepflow: Stepflow, server: str) -> None:
    done = stepflow(command, "hello.yaml", "--example", "ada", "--detach")
    assert (done.code, done.stderr) == (0, "")
    run_id = done.stdout.removesuffix("\n")
    assert json.loads(stepflow("runs", "result", run_id).stdout) == json.loads(
        stepflow("run", "hello.yaml", "--example", "ada").stdout
    )
    record = json.loads(stepflow(command, "hello.yaml", "--example", "ada", "--detach", "-o", "json").stdout)
    assert list(record) == ["run_id"]


def test_detach_and_cache_cannot_be_combined(stepflow: Stepflow, server: str) -> None:
    done = stepflow("run", "hello.yaml", "--example", "ada", "--detach", "--cache")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("stepflow: --detach and --cache cannot be used together")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "stepflow-config.yml:1: the configuration requires plugins\n"),
        ("plugins: [", "stepflow-config.yml is not YAML: this [ is not closed (line 1, column 10)\n"),
        ("- a", "stepflow-config.yml:1: the configuration must be a mapping\n"),
    ],
)
def test_invalid_configuration_is_reported_with_its_line(text: str, reason: str, stepflow: Stepflow) -> None:
    (stepflow.folder / "stepflow-config.yml").write_text(text)
    done = stepflow("run", "echo.yaml", "--input-json", "1")
    assert done.code == 2
    assert reason in done.stderr


def test_configuration_refused_by_the_server_is_reported(stepflow: Stepflow) -> None:
    (stepflow.folder / "stepflow-config.yml").write_text("plugins: {a: {type: nonsense}}\nroutes: {}\n")
    done = stepflow("run", "echo.yaml", "--input-json", "1")
    assert done.code == 2
    assert "stepflow-config.yml:1: plugins.a has the unknown type 'nonsense'\nhint: the types are: " in done.stderr


@pytest.mark.parametrize("status", [401, 403])
def test_refused_access_gets_a_hint(status: int, stepflow: Stepflow, server: str) -> None:
    with Gateway(server, lambda path, code, body: (status, b"forbidden")) as gateway:
        done = stepflow("runs", "list", "--url", gateway.url)
    assert done.code == 4
    assert f"returned {status}" in done.stderr
    assert "hint: " in done.stderr


def test_outage_is_reported_once(stepflow: Stepflow, server: str) -> None:
    run_id = stepflow("submit", "--detach", "steps.yaml", "--input-json", '{"ms": 600000}').stdout.strip()
    is_over = threading.Event()
    with FaultProxy(server) as proxy:
        command = [str(FORKED), "runs", "result", run_id, "--url", proxy.url, "-o", "name"]
        waiting = subprocess.Popen(
            command, env=stepflow.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while not proxy.open:
            time.sleep(0.02)
        time.sleep(1)
        proxy.script = lambda number: Script(refuse=not is_over.is_set())
        proxy.drop_all()
        assert waiting.stderr is not None
        first_line = waiting.stderr.readline()
        is_over.set()
        assert stepflow("runs", "cancel", run_id, "--yes").code == 0
        output, other_lines = waiting.communicate(timeout=60)
    assert (waiting.returncode, output) == (6, f"{run_id}\n")
    assert (first_line + other_lines).count("; retrying") == 1
    assert first_line.startswith(f"stepflow: run {run_id}: ")


def test_unwritable_help_is_an_error(stepflow: Stepflow) -> None:
    assert stepflow.shell("stepflow --help > /dev/full").code == 2
    assert stepflow.shell("stepflow --help >&-").code == 2
    assert stepflow.shell("stepflow --help | true").code == 0


@pytest.mark.parametrize("command", ["run", "batch", "submit", "runs rerun"])
def test_long_help_has_a_short_page(stepflow: Stepflow, command: str) -> None:
    short, full = (stepflow(*command.split(), option).stdout for option in ("--help", "--help-all"))
    assert short.splitlines()[0] == full.splitlines()[0]
    assert len(short.splitlines()) <= 60 < len(full.splitlines())
    first = {
        "run": "--input FILE",
        "batch": "-O, --output FILE",
        "submit": "--input FILE",
        "runs rerun": "--from STEP",
    }[command]
    assert f"Options:\n  {first}" in short


def test_help_all_has_every_option() -> None:
    pages = dict(walk("stepflow", cli))
    short = {path: context.get_help() for path, context in pages.items()}
    for path, context in pages.items():
        full = get_full_help(context)
        options = [each for each in context.command.params if isinstance(each, click.Option) and not each.hidden]
        assert [each.opts for each in options if f" {each.opts[-1]}" not in full] == [], path
        assert "--help-all " in short[path]
        assert ("--color WHEN" in short[path]) == (path == "stepflow")


def test_short_page_has_existing_options() -> None:
    long = [command for _, _, command in all_commands() if isinstance(command, Command) and command.main_options]
    for command in long:
        assert {*command.main_options} <= {name for param in command.params for name in param.opts}
    assert len(long) >= 3


def test_help_on_a_terminal_mentions_the_flows_in_the_folder(
    stepflow: Stepflow, terminal: Callable[..., Terminal]
) -> None:
    assert "in this folder" not in stepflow().stdout
    shown = terminal(height=120)
    assert shown.end() == 0
    assert "With the flows in this folder:\n  stepflow run " in shown.screen
    assert "stepflow validate ." in shown.screen
