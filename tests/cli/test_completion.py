"""Completions are correct, and work at a bash prompt (and in zsh and fish if they are installed)."""

from __future__ import annotations

import difflib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from stepflow_cli.shell_completion import SHELLS

from tests.cli.command import CommandResult, Stepflow
from tests.cli.golden import Golden


def complete(stepflow: Stepflow, line: str, **environment: str) -> list[str]:
    """Return the completions of a line's last word, which may be empty."""
    words = shlex.split(line) + [""] * line.endswith(" ")
    done: CommandResult = stepflow(
        COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), _STEPFLOW_COMPLETE="bash_complete", **environment
    )
    assert (done.code, done.stderr) == (0, "")
    return [each.partition(",")[2] for each in done.stdout.splitlines() if each]


@pytest.fixture
def profiles(stepflow: Stepflow) -> Path:
    """A file with two profiles."""
    path = stepflow.home / ".config" / "stepflow" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text('[profiles.prod]\nurl = "http://prod"\n[profiles.dev]\nurl = "http://dev"\n')
    return path


@pytest.mark.parametrize(
    ("line", "items"),
    [
        ("stepflow val", ["validate"]),
        ("stepflow list-c", []),
        ("stepflow flows ", ["list", "store", "get", "delete"]),
        ("stepflow run hel", ["hello.yaml"]),
        ("stepflow run sub/", ["sub/a\\ b.yml", "sub/deeper/"]),
        ("stepflow run ./ec", ["./echo.yaml"]),
        ("stepflow run none/", []),
        ("stepflow validate hello.yaml ec", ["echo.yaml"]),
        ("stepflow flows store --flow cl", ["clean.yaml"]),
        ("stepflow run hello.yaml --example ", ["ada", "grace"]),
        ("stepflow run --flow hello.yaml --example g", ["grace"]),
        ("stepflow submit hello.yaml --set ", ["greeting.input."]),
        ("stepflow run hello.yaml --set greeting.input.", ["greeting.input.text="]),
        ("stepflow run hello.yaml --set greeting.input.text=", []),
        ("stepflow run odd.yaml --set a", ["a\\\\.b.input."]),
        ("stepflow run clean.yaml --var ", ["version=", "count=", "api_key=", "region="]),
        ("stepflow run broken.yaml --set ", []),
        ("stepflow run --set ", []),
        ("stepflow run - --example ", []),
        ("stepflow run hello.yaml --input he", ["he"]),
        ("stepflow health --profile ", ["prod", "dev"]),
        ("stepflow config use p", ["prod"]),
        ("stepflow config get t", ["token", "timeout", "target"]),
        ("stepflow config set token_", ["token_env", "token_file", "token_command"]),
        ("stepflow config set profiles.dev.ti", ["profiles.dev.timeout"]),
        ("stepflow config unset profiles.p", None),
        ("stepflow components ", ["list", "lock", "stubs", "call"]),
        ("stepflow components call /builtin/cr", ["/builtin/create_messages"]),
        ("stepflow flows get hel", ["hello.yaml"]),
        ("stepflow run hello.yaml -o js", ["json", "jsonl"]),
        ("stepflow visualize hello.yaml -o s", ["svg"]),
        ("stepflow codegen hello.yaml -O fl", ["fl"]),
        ("stepflow infer hello.yaml -O ty", ["ty"]),
        ("stepflow run hello.yaml --up-to gr", ["greeting"]),
        ("stepflow completion ", ["bash", "zsh", "fish"]),
        ("stepflow health --col", ["--color"]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("profiles")
def test_completions_of_a_line(line: str, items: list[str] | None, stepflow: Stepflow) -> None:
    sub = stepflow.folder / "sub"
    (sub / "deeper").mkdir(parents=True)
    for name in ("a b.yml", "notes.txt", ".hidden.yaml"):
        (sub / name).write_text("")
    (stepflow.folder / "broken.yaml").write_text("steps: [")
    (stepflow.folder / "odd.yaml").write_text("steps: [{id: a.b, component: /builtin/noop}]")
    completions = complete(stepflow, line)
    assert completions == items if items is not None else completions[0] == "profiles.prod"


def test_steps_of_a_run_are_completed(stepflow: Stepflow, server: str) -> None:
    run_id = stepflow("submit", "hello.yaml", "--input-json", "{}", "--detach").stdout.strip()
    assert complete(stepflow, f"stepflow runs steps {run_id} --step ") == ["greeting"]
    assert run_id in complete(stepflow, f"stepflow runs get {run_id[:8]}")
    # With an unreachable server, there are no completions and no messages.
    unreachable = {"STEPFLOW_URL": "http://127.0.0.1:9"}
    assert complete(stepflow, f"stepflow runs steps {run_id} --step ", **unreachable) == []
    assert complete(stepflow, "stepflow runs get ", **unreachable) == []


def test_no_completions_from_a_broken_profile_file(stepflow: Stepflow, profiles: Path) -> None:
    profiles.write_text("current = [")
    assert complete(stepflow, "stepflow health --profile ") == []


def test_completion_imports_nothing_heavy(stepflow: Stepflow) -> None:
    heavy = ("stepflow_client", "httpx", "rich", "pydantic", "yaml", "logging", "asyncio", "tomlkit")
    for line in ("stepflow ru", "stepflow run --inp", "stepflow run hel", "stepflow config "):
        program = (
            "import os, sys; sys.argv[1:] = []\n"
            f"os.environ.update(COMP_WORDS={line!r}, COMP_CWORD={str(len(line.split()) - 1)!r})\n"
            "os.environ['_STEPFLOW_COMPLETE'] = 'bash_complete'\n"
            "from stepflow_cli.entry import main\n"
            "try: main()\nexcept SystemExit: pass\n"
            f"print([name for name in {heavy!r} if name in sys.modules], file=sys.__stderr__)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.stderr.strip() == "[]", line


@pytest.mark.parametrize(("name", "shell"), SHELLS.items())
def test_scripts_are_those_of_click_with_our_changes(name: str, shell: Any, stepflow: Stepflow) -> None:
    own, base = shell.source_template, shell.__mro__[1].source_template
    added = [line for line in difflib.ndiff(base.splitlines(), own.splitlines()) if line.startswith("+ ")]
    assert len(added) == {"bash": 5, "zsh": 2, "fish": 2}[name], added
    assert "_STEPFLOW_COMPLETE" in stepflow("completion", name).stdout


def test_missing_and_unknown_shell(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("completion"),
        stepflow("completion", "bsh"),
        stepflow("completion", "powershell"),
    )


class Prompt:
    """An interactive shell with the completion script loaded."""

    def __init__(self, stepflow: Stepflow, command: list[str], setup: str) -> None:
        environment = {**stepflow.environment, "TERM": "dumb", "PS1": "$ ", "COLUMNS": "200"}
        self._shell = pexpect.spawn(
            command[0],
            command[1:],
            cwd=str(stepflow.folder),
            env=environment,
            dimensions=(50, 200),
            timeout=20,
            encoding="utf-8",
        )
        self._shell.sendline(setup)
        self._shell.sendline("echo rea''dy")
        self._shell.expect("\nready")

    def complete(self, typed: str) -> str:
        """Type a text and press Tab. Return the resulting line, with `|` at the cursor."""
        # Ctrl-A and Ctrl-E turn the line into an argument of `show`, which prints it instead of running it.
        self._shell.send(f"{typed}\t")
        self._shell.send("|\x01show '\x05'\r")
        self._shell.expect(r"<<(.*?)>>")
        match = self._shell.match
        assert isinstance(match, re.Match)
        return str(match[1])

    def close(self) -> None:
        self._shell.close(force=True)


@pytest.fixture
def prompt(stepflow: Stepflow) -> Iterator[Callable[[list[str], str], Prompt]]:
    """Start an interactive shell."""
    started: list[Prompt] = []

    def start(command: list[str], setup: str) -> Prompt:
        shell = Prompt(stepflow, command, setup)
        started.append(shell)
        return shell

    yield start
    for each in started:
        each.close()


TYPED = [
    ("stepflow vali", "stepflow validate |"),
    ("stepflow run hel", "stepflow run hello.yaml |"),
    ("stepflow run su", "stepflow run sub/|"),
    ("stepflow run hello.yaml --set gr", "stepflow run hello.yaml --set greeting.input.|"),
    ("stepflow run hello.yaml --set greeting.input.t", "stepflow run hello.yaml --set greeting.input.text=|"),
    ("stepflow run hello.yaml --example gr", "stepflow run hello.yaml --example grace |"),
    ("stepflow run hello.yaml --input note", "stepflow run hello.yaml --input notes.txt |"),
]


def skip_without(shell: str) -> None:
    """Skip a test if its shell is not installed."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here; bash is the shell that is always tested")


def test_completion_in_bash(stepflow: Stepflow, prompt: Callable[[list[str], str], Prompt]) -> None:
    (stepflow.folder / "sub").mkdir()
    (stepflow.folder / "sub" / "a b.yaml").write_text("")
    (stepflow.folder / "notes.txt").write_text("")
    shell = prompt(
        ["bash", "--norc", "--noprofile", "-i"],
        "show() { printf '<%s>>\\n' \"<$1\"; }; "
        "eval \"$(stepflow completion bash)\"; bind 'set enable-bracketed-paste off'",
    )
    for typed, line in [*TYPED, ("stepflow run sub/a", "stepflow run sub/a\\ b.yaml |")]:
        assert shell.complete(typed) == line


def test_completion_in_fish(stepflow: Stepflow) -> None:
    skip_without("fish")
    (stepflow.folder / "sub").mkdir()
    (stepflow.folder / "notes.txt").write_text("")
    for typed, line in TYPED:
        script = f"stepflow completion fish | source; complete -C '{typed}'"
        done = subprocess.run(
            ["fish", "-N", "-c", script], cwd=stepflow.folder, env=stepflow.environment, capture_output=True, timeout=60
        )
        assert done.stdout.decode().split()[0] == line.removesuffix("|").split()[-1], done


def test_completion_in_zsh(stepflow: Stepflow, prompt: Callable[[list[str], str], Prompt]) -> None:
    skip_without("zsh")
    (stepflow.folder / "sub").mkdir()
    (stepflow.folder / "notes.txt").write_text("")
    shell = prompt(
        ["zsh", "-f", "-i"],
        "show() { printf '<%s>>\\n' \"<$1\" }; bindkey -e; unset zle_bracketed_paste; "
        'autoload -Uz compinit && compinit -u -D; eval "$(stepflow completion zsh)"',
    )
    for typed, line in TYPED:
        # zsh removes the space after a word if the next character does not start a word.
        assert shell.complete(typed).replace(" |", "|") == line.replace(" |", "|")
