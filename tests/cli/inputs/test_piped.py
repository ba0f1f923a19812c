"""Standard input is used as the input of a run, and missing or misplaced inputs get a hint."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import FORKED, Stepflow
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.usefixtures("server")

ADA = '{"name": "Ada"}'
GREETED = {"hello": "Ada"}
REQUIRING = """
schemas: {type: object, properties: {input: {type: object, required: [name, age], properties: {age: {default: 1}}}}}
steps: [{id: greeting, component: /builtin/noop, input: {text: {$input: name}}}]
output: {$step: greeting}
examples: [{name: ada, input: {name: Ada}}]
"""


@pytest.mark.parametrize("command", ["run", "submit"])
def test_piped_json_is_the_input(stepflow: Stepflow, command: str) -> None:
    done = stepflow(command, "hello.yaml", stdin=ADA)
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == GREETED


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("stepflow run hello.yaml < ada.json", GREETED),
        ("echo 'name: Ada' | stepflow run hello.yaml --stdin-format yaml", GREETED),
        ("echo 'name: [' | stepflow run whole.yaml --no-stdin", None),
        ("stepflow run whole.yaml < /dev/null", None),
        ("stepflow run whole.yaml <&-", None),
        ("printf ' \\n' | stepflow run whole.yaml", None),
        ("echo 1 | stepflow run whole.yaml --input-json 2", 2),
        ("echo null | stepflow run whole.yaml", None),
        ("cat whole.yaml | stepflow run -", None),
        ("echo '{\"v\": 1}' | stepflow run whole.yaml --variables -", None),
    ],
)
def test_sources_of_the_input(stepflow: Stepflow, line: str, output: object) -> None:
    (stepflow.folder / "ada.json").write_text(ADA)
    (stepflow.folder / "whole.yaml").write_text("steps: []\noutput: {$input: $}\n")
    done = stepflow.shell(line)
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == output


def test_no_stdin_leaves_the_lines_of_a_loop(stepflow: Stepflow) -> None:
    done = stepflow.shell("printf '1\\n2\\n' | while read each; do stepflow run clean.yaml --no-check --no-stdin; done")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == 2 * stepflow("run", "clean.yaml", "--no-check").stdout


def test_piped_text_that_is_not_json(stepflow: Stepflow) -> None:
    done = stepflow("run", "hello.yaml", stdin="name: Ada")
    assert (done.code, done.stdout) == (2, "")
    assert "standard input is not JSON" in done.stderr
    assert "hint: for YAML, use --stdin-format yaml; to ignore standard input, use --no-stdin" in done.stderr


def test_waiting_for_a_pipe_prints_a_note(stepflow: Stepflow) -> None:
    command = [str(FORKED), "run", "hello.yaml"]
    with subprocess.Popen(
        command,
        cwd=stepflow.folder,
        env=stepflow.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stderr is not None
        assert "to ignore it, use --no-stdin" in child.stderr.readline()
        assert json.loads(child.communicate(ADA, timeout=60)[0]) == GREETED


def test_terminal_is_not_read_as_input(terminal: Callable[..., Terminal], stepflow: Stepflow) -> None:
    (stepflow.folder / "whole.yaml").write_text("steps: []\noutput: {$input: $}\n")
    ran = terminal("run", "whole.yaml", width=60)
    assert (ran.end(), ran.screen.strip()) == (0, "null")


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (["hello.yaml", "--input", ADA], "--input expects a file name, not JSON", f"use --input-json '{ADA}'"),
        (
            ["hello.yaml", "--variables", ADA],
            "--variables expects a file name, not JSON",
            f"use --variables-json '{ADA}'",
        ),
        (
            ["hello.yaml", "name=World"],
            "got unexpected extra argument (name=World)",
            'for an input, use --input-json \'{"name": "World"}\'; for a variable, use --var name=World',
        ),
        (
            ["requiring.yaml"],
            "the flow requires an input with name",
            'pass --input-json \'{"name": "..."}\', --input FILE, or --example NAME: ada',
        ),
    ],
)
def test_misplaced_inputs_get_a_hint_with_the_right_option(
    stepflow: Stepflow, args: list[str], message: str, hint: str
) -> None:
    (stepflow.folder / "requiring.yaml").write_text(REQUIRING)
    done = stepflow("run", *args)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == f"stepflow: {message}\nhint: {hint}\n"


@pytest.mark.parametrize("name", ["inputs.txt", "inputs", "inputs.json"])
def test_json_lines_with_another_extension(stepflow: Stepflow, name: str) -> None:
    Path(stepflow.folder / name).write_text(f"{ADA}\n{ADA}\n")
    done = stepflow("batch", "hello.yaml", name)
    assert (done.code, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 2
