"""What is answered without click is what click would answer."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest
from stepflow_cli import front, front_page
from stepflow_cli.completion.shells import SHELLS
from stepflow_cli.main import _COMMANDS, _SECTIONS, cli

from scripts import write_front_page

from .command import Stepflow


def test_every_command_is_under_a_heading_of_the_help() -> None:
    listed = [name for names in _SECTIONS.values() for name in names]
    assert sorted(listed) == sorted(_COMMANDS), "name each command once in _SECTIONS of main.py"


def test_the_page_is_written_from_the_commands() -> None:
    known: dict[str, Any] = {}
    exec(write_front_page.text(), known)
    assert known["PAGE"] == front_page.PAGE, "run `make generate`"
    assert known["COMMANDS"] == front_page.COMMANDS, "run `make generate`"


@pytest.mark.parametrize("columns", range(1, 130))
def test_the_help_is_laid_out_as_click_does(columns: int) -> None:
    width = max(min(columns, 100) - 2, 50)
    with click.Context(cli, info_name="stepflow", terminal_width=width, **cli.context_settings) as context:
        assert front.page(columns) == cli.get_help(context) + "\n"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize("line", ["stepflow", "stepflow ", "stepflow r", "stepflow ru", "stepflow list-", "stepflow x"])
def test_names_of_commands_are_completed_as_click_does(shell: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", "1")
    by_click = SHELLS[shell](cli, {}, "stepflow", "_STEPFLOW_COMPLETE").complete()
    assert front.completions(f"{shell}_complete", line, "1") == by_click


@pytest.mark.parametrize(
    ("shell", "line", "place"),
    [
        ("bash_complete", "stepflow -", "1"),
        ("bash_complete", "stepflow runs ", "2"),
        ("bash_complete", "stepflow 'ru", "1"),
        ("bash_complete", "stepflow run flow", "1"),
        ("bash_complete", "", ""),
        ("bash_source", "stepflow", "1"),
        ("fish_complete", "stepflow ru", "ru"),
    ],
)
def test_what_is_not_plain_is_left_to_click(shell: str, line: str, place: str) -> None:
    assert front.completions(shell, line, place) is None


def test_help_and_names_of_commands_need_no_click() -> None:
    code = "import sys; from stepflow_cli import entry; entry.main(); print('click' in sys.modules)"
    for words, environ in (
        (["--help"], {}),
        ([], {}),
        (["--version"], {}),
        ([], {"_STEPFLOW_COMPLETE": "bash_complete", "COMP_WORDS": "stepflow ru", "COMP_CWORD": "1"}),
    ):
        done = subprocess.run(
            [sys.executable, "-c", f"import os; os.environ.update({environ}); {code}", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.endswith("\nFalse\n"), done.stdout


def test_the_width_is_that_of_the_terminal(stepflow: Stepflow) -> None:
    assert stepflow("--help", COLUMNS="100").stdout == front.page(100)
    assert stepflow(COLUMNS="nothing").stdout == front.page(80)


def test_help_that_cannot_be_written_is_an_error(stepflow: Stepflow) -> None:
    assert stepflow.shell("stepflow --help > /dev/full").code == 2
    assert stepflow.shell("stepflow --help >&-").code == 2
    assert stepflow.shell("stepflow --help | true").code == 0
