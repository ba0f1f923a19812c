"""What holds for all commands: help, quick starts, options that are shared."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from stepflow_cli import entry
from stepflow_cli.main import cli
from stepflow_cli.parsing import Command, LazyGroup
from stepflow_cli.values import read_scalar

from tests.cli.command import Stepflow


def all_commands(group: LazyGroup = cli, words: str = "stepflow") -> list[tuple[str, str, click.Command]]:
    """Give each command with its words and the sentence its group says about it."""
    found: list[tuple[str, str, click.Command]] = []
    for name, sentence in group.commands_of.items():
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append((f"{words} {name}", sentence, command))
        if isinstance(command, LazyGroup):
            found += all_commands(command, f"{words} {name}")
    return found


def test_groups_say_what_commands_say_themselves() -> None:
    for words, sentence, command in all_commands():
        assert (command.help or "").split("\n\n")[0].replace("\n", " ").strip() == sentence, words
        assert isinstance(command, (Command, LazyGroup)), words


def test_every_option_is_explained_and_every_help_works(stepflow: Stepflow) -> None:
    for words, _, command in all_commands():
        for param in command.params:
            assert not isinstance(param, click.Option) or param.hidden or param.help, (words, param.name)
        done = stepflow(*words.split()[1:], "--help")
        assert (done.code, done.stderr) == (0, "")
        assert done.stdout.startswith(f"Usage: {words}")
        assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_imports_nothing_heavy() -> None:
    heavy = ("stepflow_client", "httpx", "rich", "pydantic", "yaml", "logging", "asyncio", "platformdirs")
    for args in (["--help"], ["--version"]):
        program = (
            "import sys; sys.argv[1:] = " + repr(args) + "\nfrom stepflow_cli.entry import main\n"
            "try: main()\nexcept SystemExit: pass\n"
            f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert done.stderr.strip() == "[]"


def test_ctrl_c_before_a_command_has_begun(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stepflow_cli.main.main", interrupted)
    with pytest.raises(SystemExit) as end:
        entry.main()
    assert (end.value.code, capsys.readouterr().err) == (130, "stepflow: interrupted\n")


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "stepflow_cli", "--help"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("Usage: stepflow ")


def test_without_a_command_the_help_is_an_error(stepflow: Stepflow) -> None:
    done = stepflow()
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == stepflow("--help").stdout


@pytest.mark.usefixtures("nobody_at_default_url")
def test_options_before_the_command_and_after_it(stepflow: Stepflow) -> None:
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
    ],
)
def test_the_value_of_one_option(text: str, value: object) -> None:
    assert read_scalar(text) == value
    assert type(read_scalar(text)) is type(value)


@pytest.mark.parametrize("more", [["--input-json", "1"], ["--inputs", "ms.jsonl"]])
def test_a_misspelt_field_costs_no_run(stepflow: Stepflow, server: str, more: list[str]) -> None:
    def runs() -> str:
        return stepflow("runs", "list", "--all", "-o", "name").stdout

    before = runs()
    done = stepflow("submit", "echo.yaml", *more, "--fields", "status,outptu.x")
    assert (done.code, done.stdout, done.stderr.splitlines()[0]) == (2, "", "stepflow: there is no field outptu.x")
    assert runs() == before
