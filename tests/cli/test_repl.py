"""`stepflow repl`: at a prompt, and with a script on standard input."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable

import pytest

from tests import releases
from tests.cli.command import STEPFLOW, Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

TAB, CTRL_D, UP = "\t", "\x04", "\x1b[A"
PROMPT = "stepflow> "


@pytest.fixture
def prompt(terminal: Callable[..., Terminal]) -> Terminal:
    """A repl at its prompt, with an embedded server."""
    shown = terminal("repl")
    shown.wait_for(PROMPT.rstrip())
    return shown


def enter(shown: Terminal, line: str, until: str) -> None:
    """Type a line and wait for what it prints."""
    shown.send(f"{line}\r")
    shown.wait_for(until)


def script(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_a_script(stepflow: Stepflow, golden: Golden) -> None:
    lines = script(
        "# a comment, and an empty line",
        "",
        """run echo.yaml --input-json '{"a b": "c # d"}'""",
        "rerun",
        "rerun --input-yaml 3 -o json --fields status,output",
        "status --fields server,flow,last",
        "workflow -o yaml",
        "input",
        "stepflow run hello.yaml --example ada",
        "health --fields status",
        "exit",
        "health --fields never",
    )
    golden(stepflow("repl", stdin=lines))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nonsense", 2),
        ("helth", 2),
        ("status x", 2),
        ("-x health", 2),
        ('workflow "', 2),
        ("workflow", 2),
        ("input", 2),
        ("rerun", 2),
        ("repl", 2),
        ("runs watch nonsense -o json", 2),
        ("run unrouted.yaml --input-json '{\"ms\": 1}'", 1),
        ("health --url http://127.0.0.1:9", 4),
    ],
)
def test_an_error_does_not_end_it(line: str, code: int, stepflow: Stepflow, golden: Golden) -> None:
    done = stepflow("repl", stdin=script(line, "health --fields status"))
    assert done.code == code
    assert done.stdout.endswith("STATUS  healthy\n")
    golden(done)


def test_help(stepflow: Stepflow) -> None:
    done = stepflow("repl", stdin=script("help", "help runs", "runs --help", "help rerun"))
    assert done.code == 0
    assert "\n  submit " in done.stdout
    assert "\n  rerun " in done.stdout
    assert done.stdout.count("Usage: runs [OPTIONS] COMMAND") == 2
    assert "Usage: rerun" in done.stdout


def test_the_current_flow_expressions_and_components(stepflow: Stepflow) -> None:
    done = stepflow(
        "repl",
        stdin=script(
            "flow",
            "flow hello.yaml",
            "flow",
            "validate -o json",
            "run --example ada -o name",
            "{$step: greeting, path: text}",
            """/builtin/noop --input-json '{"x": [1]}'""",
            "run --step greeting -o name",
            "rerun --from greeting -o name",
            "status -o json --fields flow,file",
            "run echo.yaml --input-json 5",
            "flow",
        ),
    )
    assert done.code == 2
    assert "there is no current flow" in done.stderr
    assert done.stderr.count("executes greeting") == 2, done
    lines = done.stdout.splitlines()
    assert lines[0] == "hello.yaml"
    assert [lines[-1], lines[-2]] == ["echo.yaml", "5"]
    assert '"Ada"' in lines
    assert '"file": "hello.yaml"' in done.stdout


def test_all_lines_have_one_server(stepflow: Stepflow) -> None:
    done = stepflow(
        "repl",
        stdin=script(
            "health -o name", "submit --detach echo.yaml --input-json 1", "runs list -o name", "health -o name"
        ),
    )
    first, submitted, listed, second = done.stdout.splitlines()
    assert first == second
    assert submitted == listed


@pytest.mark.parametrize("how", ["--url", "STEPFLOW_URL"])
def test_a_server_that_is_named(how: str, stepflow: Stepflow, server: str) -> None:
    if how == "--url":
        del stepflow.environment["STEPFLOW_URL"]
    done = stepflow(
        "repl", *([how, server] if how == "--url" else []), stdin=script("health -o name", "status -o name")
    )
    assert done.stdout == f"{server}\n{server}\n"


def test_a_server_that_is_not_there(stepflow: Stepflow, terminal: Callable[..., Terminal]) -> None:
    shown = terminal("repl", "--url", "http://127.0.0.1:9")
    assert shown.end() == 4
    assert "http://127.0.0.1:9 cannot be reached" in shown.screen


def test_an_embedded_server_that_ends_is_started_again(stepflow: Stepflow, prompt: Terminal) -> None:
    enter(prompt, "run echo.yaml --input-json 41", "\n41\n")
    children = stepflow.shell(f"pgrep -P {prompt.child.pid} -f stepflow-server").stdout.split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
    enter(prompt, "run echo.yaml --input-json 42", "\n42\n")
    assert "a new one was started" in prompt.screen


def test_an_embedded_server_that_cannot_be_started_again(stepflow: Stepflow, terminal: Callable[..., Terminal]) -> None:
    config = stepflow.folder / "stepflow-config.yml"
    config.write_text(json.dumps(releases.builtin_config(releases.NEWEST)))
    shown = terminal("repl")
    shown.wait_for(PROMPT.rstrip())
    config.write_text("plugins: {x: {type: nonsense}}")
    (pid,) = stepflow.shell(f"pgrep -P {shown.child.pid} -f stepflow-server").stdout.split()
    os.kill(int(pid), signal.SIGKILL)
    enter(shown, "run echo.yaml --input-json 42", "unknown variant `nonsense`")
    config.write_text(json.dumps(releases.builtin_config(releases.NEWEST)))
    enter(shown, "run echo.yaml --input-json 43", "\n43\n")


def test_each_line_logs_once(stepflow: Stepflow) -> None:
    lines = script(*["health -v -o name"] * 10)
    assert stepflow("repl", "--log-level", "trace", "--log-file", "log", stdin=lines).code == 0
    logged = (stepflow.folder / "log").read_text().splitlines()
    assert logged
    assert len(logged) < 1.2 * len(set(logged))


def test_a_reader_that_leaves(stepflow: Stepflow) -> None:
    (stepflow.folder / "lines").write_text(script("status", "health") * 50)
    done = stepflow.shell(f"{STEPFLOW} repl < lines | head -1")
    assert (done.code, done.stdout, done.stderr) == (0, "SERVER  embedded\n", "")


def test_a_line_that_is_given_up_and_leaving(prompt: Terminal, stepflow: Stepflow) -> None:
    assert re.search(
        r"^stepflow \S+ at http://127\.0\.0\.1:\d+ \(embedded, release 0\.\S+\)\. help lists", prompt.screen
    )
    prompt.send("nonsense that nobody wants")
    prompt.wait_for("nobody wants")
    prompt.interrupt()
    prompt.wait_for("\nstepflow>\n")
    enter(prompt, "health --fields status", "STATUS  healthy")
    assert "there is no command" not in prompt.screen
    prompt.send(CTRL_D)
    assert prompt.end() == 0
    assert "Traceback" not in prompt.screen


@pytest.mark.parametrize("word", ["exit", "quit"])
def test_words_that_end_the_prompt(word: str, prompt: Terminal) -> None:
    prompt.send(f"{word}\r")
    assert prompt.end() == 0


def test_an_interrupt_ends_the_command_only(prompt: Terminal) -> None:
    prompt.send("run steps.yaml --input-json '{\"ms\": 20000}'\r")
    prompt.wait_for("running  1.")
    prompt.interrupt()
    prompt.wait_for("hint: runs watch ")
    match = re.search(r"hint: (runs watch \S+)", prompt.screen)
    assert match is not None
    # The run goes on, as the server does; what was printed comes back to it.
    prompt.send(f"{match[1]}\r")
    prompt.wait_for("prepare  running")
    prompt.interrupt()
    prompt.wait_for("\nstepflow>\n")
    enter(prompt, "health --fields status", "STATUS  healthy")


def test_completion(prompt: Terminal, stepflow: Stepflow) -> None:
    for typed, completed in [
        ("wor", "stepflow> workflow"),
        (" --for", "stepflow> workflow --format"),
        (" ya", "stepflow> workflow --format yaml"),
    ]:
        prompt.send(typed + TAB)
        prompt.wait_for(completed)
    enter(prompt, "", "nothing has been run yet")
    prompt.send(f"run unr{TAB}")
    prompt.wait_for("run unrouted.yaml")
    enter(prompt, " --input-json '{\"ms\": 1}'", "error routing component")
    prompt.send(f"runs {TAB}")
    prompt.wait_for("Show the steps of a run live")
    prompt.interrupt()
    prompt.wait_for("\nstepflow>\n")
    # The run is asked for at the embedded server.
    prompt.send(f"runs get {TAB}")
    (run_id,) = re.findall(r"run (\S{36}) failed", prompt.screen)
    prompt.wait_for(f"stepflow> runs get {run_id}")


def test_history_is_kept_and_nobody_else_reads_it(
    terminal: Callable[..., Terminal], stepflow: Stepflow, prompt: Terminal
) -> None:
    enter(prompt, "health --fields status", "STATUS  healthy")
    prompt.send(CTRL_D)
    assert prompt.end() == 0
    (history,) = stepflow.home.rglob("repl_history")
    assert history.stat().st_mode & 0o777 == 0o600
    again = terminal("repl")
    again.wait_for(PROMPT.rstrip())
    again.send(UP)
    again.wait_for("health --fields status")
    enter(again, "", "STATUS  healthy")


def test_the_prompt_is_not_part_of_the_output(stepflow: Stepflow, terminal: Callable[..., Terminal]) -> None:
    line = f"{STEPFLOW} repl > out"
    import pexpect

    child = pexpect.spawn(
        "bash",
        ["-c", line],
        cwd=str(stepflow.folder),
        env={"TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", **stepflow.environment},
        timeout=20,
    )
    child.expect("stepflow>")
    child.send("echo\r")
    child.expect("there is no command echo")
    child.expect("stepflow>")
    child.send("run echo.yaml --input-json 1\r")
    # What is typed while a command runs is the command's.
    child.expect("json 1.*\n.*stepflow>")
    child.send(CTRL_D)
    child.expect(pexpect.EOF)
    assert (stepflow.folder / "out").read_text() == "1\n"
