"""`stepflow repl` runs commands from a prompt and from standard input."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

TAB, CTRL_D, UP = "\t", "\x04", "\x1b[A"
PROMPT = "stepflow> "


@pytest.fixture
def prompt(terminal: Callable[..., Terminal]) -> Terminal:
    """A REPL at its prompt, with an embedded server."""
    shown = terminal("repl")
    shown.wait_for(PROMPT.rstrip())
    return shown


def enter(shown: Terminal, line: str, until: str) -> None:
    """Type a line and wait for a text on the screen."""
    shown.send(f"{line}\r")
    shown.wait_for(until)


def script(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_script(stepflow: Stepflow, golden: Golden) -> None:
    lines = script(
        "# a comment, and an empty line",
        "",
        """run echo.yaml --input-json '{"a b": "c # d"}'""",
        "stepflow run hello.yaml --example ada",
        "health -o name",
        "exit",
        "health --wrong",
    )
    golden(stepflow("repl", stdin=lines))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nonsense", 2),
        ("helth", 2),
        ("-x health", 2),
        ('run "', 2),
        ("repl", 2),
        ("runs watch nonsense -o json", 2),
        ("run unrouted.yaml --input-json '{\"ms\": 1}'", 1),
        ("health --url http://127.0.0.1:9", 4),
    ],
)
def test_errors_do_not_stop_it(line: str, code: int, stepflow: Stepflow, golden: Golden) -> None:
    done = stepflow("repl", stdin=script(line, "health -o name"))
    assert done.code == code
    assert re.search(r"http://127\.0\.0\.1:\d+\n$", done.stdout)
    golden(done)


def test_help(stepflow: Stepflow) -> None:
    done = stepflow("repl", stdin=script("help", "help runs", "runs --help", "stepflow help runs"))
    assert done.code == 0
    assert "\n  batch " in done.stdout
    assert done.stdout.count("Usage: stepflow runs [OPTIONS] COMMAND") == 3


def test_all_lines_use_one_server(stepflow: Stepflow) -> None:
    done = stepflow(
        "repl",
        stdin=script(
            "health -o name", "submit --detach echo.yaml --input-json 1", "runs list -o name", "health -o name"
        ),
    )
    first, submitted, listed, second = done.stdout.splitlines()
    assert first == second
    assert submitted == listed


@pytest.mark.parametrize("source", ["--url", "STEPFLOW_URL"])
def test_server_from_option_and_environment(source: str, stepflow: Stepflow, server: str) -> None:
    if source == "--url":
        del stepflow.environment["STEPFLOW_URL"]
    done = stepflow("repl", *([source, server] if source == "--url" else []), stdin=script("health -o name"))
    assert done.stdout == f"{server}\n"


def test_unreachable_server(stepflow: Stepflow, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("repl", "--url", "http://127.0.0.1:9")
    assert shown.end() == 4
    assert "http://127.0.0.1:9 cannot be reached" in shown.screen


def test_tests_in_a_repl_use_its_server_even_if_the_configuration_changes(stepflow: Stepflow, prompt: Terminal) -> None:
    path = stepflow.home / ".config" / "stepflow" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("not TOML")
    enter(prompt, "test hello.yaml", "1 without an expectation in")


def test_crashed_embedded_server(stepflow: Stepflow, prompt: Terminal) -> None:
    enter(prompt, "run echo.yaml --input-json 41", "\n41\n")
    (child,) = stepflow.shell(f"pgrep -P {prompt.child.pid} -f stepflow-server").stdout.split()
    os.kill(int(child), signal.SIGKILL)
    enter(prompt, "run echo.yaml --input-json 42", "the embedded server exited unexpectedly")
    prompt.send("exit\r")
    assert prompt.end() == 0


def test_each_line_logs_once(stepflow: Stepflow) -> None:
    lines = script(*["health -v -o name"] * 10)
    assert stepflow("repl", "--log-level", "trace", "--log-file", "log", stdin=lines).code == 0
    assert (stepflow.folder / "log").read_text().count(" stepflow.client: GET /health ") == 10


def test_closed_output_pipe(stepflow: Stepflow) -> None:
    (stepflow.folder / "lines").write_text(script("health -o name") * 50)
    done = stepflow.shell("stepflow repl < lines | head -1")
    assert (done.code, done.stdout.startswith("http://127.0.0.1:"), done.stderr) == (0, True, "")


def test_ctrl_c_clears_the_line_and_ctrl_d_exits(prompt: Terminal, stepflow: Stepflow) -> None:
    # A server at the default URL would cause a note before this line.
    assert re.search(r"(?m)^stepflow \S+ at http://127\.0\.0\.1:\d+ \(embedded, release 0\.\S+\)\. help", prompt.screen)
    prompt.send("nonsense that nobody wants")
    prompt.wait_for("nobody wants")
    prompt.interrupt()
    prompt.wait_for("\nstepflow>\n")
    enter(prompt, "health", "STATUS        healthy")
    assert "unknown command" not in prompt.screen
    prompt.send(CTRL_D)
    assert prompt.end() == 0
    assert "Traceback" not in prompt.screen


@pytest.mark.parametrize("word", ["exit", "quit"])
def test_exit_and_quit(word: str, prompt: Terminal) -> None:
    prompt.send(f"{word}\r")
    assert prompt.end() == 0


def test_ctrl_c_stops_only_the_command(prompt: Terminal) -> None:
    prompt.send("run steps.yaml --input-json '{\"ms\": 20000}'\r")
    prompt.wait_for("running  1.")
    prompt.interrupt()
    prompt.wait_for("hint: runs watch ")
    match = re.search(r"hint: (runs watch \S+)", prompt.screen)
    assert match is not None
    # The run continues because the server does, and the printed command watches it again.
    prompt.send(f"{match[1]}\r")
    prompt.wait_for("prepare  running")
    prompt.interrupt()
    prompt.wait_for("\nstepflow>\n")
    enter(prompt, "health", "STATUS        healthy")


def test_completion(prompt: Terminal, stepflow: Stepflow) -> None:
    for typed, completed in [
        ("stepflow hea", "stepflow> stepflow health"),
        ("--for", "stepflow> stepflow health --format"),
        ("ya", "stepflow> stepflow health --format yaml"),
    ]:
        prompt.send(typed + TAB)
        prompt.wait_for(completed)
    enter(prompt, "", "status: healthy")
    prompt.send(f"run unr{TAB}")
    prompt.wait_for("run unrouted.yaml")
    enter(prompt, " --input-json '{\"ms\": 1}'", "error routing component")
    # Completes the runs of the embedded server.
    prompt.send(f"runs get {TAB}")
    (run_id,) = re.findall(r"run (\S{36}) failed", prompt.screen)
    prompt.wait_for(f"stepflow> runs get {run_id}")


def test_history_is_kept_in_a_private_file(
    terminal: Callable[..., Terminal], stepflow: Stepflow, prompt: Terminal
) -> None:
    enter(prompt, "health", "STATUS        healthy")
    prompt.send(CTRL_D)
    assert prompt.end() == 0
    (history,) = stepflow.home.rglob("repl_history")
    assert history.stat().st_mode & 0o777 == 0o600
    again = terminal("repl")
    again.wait_for(PROMPT.rstrip())
    again.send(UP)
    again.wait_for("health")
    enter(again, "", "STATUS        healthy")
