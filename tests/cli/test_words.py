"""Option names, short forms and values have the same meaning in all commands."""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from stepflow_cli.main import cli
from stepflow_cli.params.click_commands import Command
from stepflow_cli.params.options import Conflict

from scripts.write_cli_page import walk
from tests.cli.command import Stepflow
from tests.cli.command_tree import commands

OTHER_VALUES = {
    "--flow": "several where a command takes several",
    "--format": "the formats of the command",
    "--from": "the first step to run again, or a file of components",
    "--ignore": "rules, or paths",
    "--json": "a flag where there are no fields",
    "--item": "several where several can be run again",
    "--open": "a run, where there are pages",
    "--output": "infer has a file of its own, eval several",
    "--step": "several to list the events of, one to execute",
    "--type": "the types of blobs, or those of events",
    "--variables": "a flag where those of a flow are listed",
}
"""Options that accept different values in some commands, and the reason."""


def options() -> Iterator[tuple[str, click.Option]]:
    """Yield the name of each command with each of its options."""
    yield from (("stepflow", each) for each in cli.params if isinstance(each, click.Option))
    for name, command in commands():
        yield from ((name, each) for each in command.params if isinstance(each, click.Option))


def long_names(option: click.Option) -> tuple[str, ...]:
    return tuple(each for each in (*option.opts, *option.secondary_opts) if each.startswith("--"))


def short_names(option: click.Option) -> tuple[str, ...]:
    return tuple(each for each in option.opts if not each.startswith("--"))


def value_signature(option: click.Option) -> tuple[object, ...]:
    """Return the type, the name in the help, and the number of an option's values."""
    kind = tuple(option.type.choices) if isinstance(option.type, click.Choice) else repr(option.type)
    return kind, option.metavar, option.is_flag, option.multiple, option.count


def test_each_letter_is_one_option() -> None:
    meanings: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for _, option in options():
        for letter in short_names(option):
            meanings[letter].add(long_names(option))
    assert {letter: names for letter, names in meanings.items() if len(names) > 1} == {}


def test_options_have_the_same_letters_everywhere() -> None:
    letters: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for _, option in options():
        for name in long_names(option):
            letters[name].add(short_names(option))
    assert {name: letter_sets for name, letter_sets in letters.items() if len(letter_sets) > 1} == {}


def test_options_accept_the_same_values_everywhere() -> None:
    values: dict[str, set[object]] = defaultdict(set)
    for _, option in options():
        for name in long_names(option):
            values[name].add(value_signature(option))
    assert {name for name, signatures in values.items() if len(signatures) > 1} == set(OTHER_VALUES)


def test_table_in_contributing_has_every_letter() -> None:
    table = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text().split("| option | meaning |")[1]
    rows = [line.partition("|")[2].partition(" | ")[0] for line in table.split("\n\n")[0].splitlines()[2:]]
    documented = {name for row in rows for name in re.findall(r"`(--?[\w.-]+)", row)}
    option_names = {name for _, each in options() for name in (*each.opts, *each.secondary_opts)} | {"-h", "--help"}
    letters = {name for name in option_names if not name.startswith("--")}
    placeholders = {"--x", "--no-x", "--include-..."}
    assert (documented - option_names, letters - documented) == (placeholders, set())


def test_booleans_are_flags() -> None:
    assert [(name, each.opts) for name, each in options() if each.type is click.BOOL and not each.is_flag] == []


def test_o_is_the_format_and_capital_o_the_file() -> None:
    by_letter = {letter: long_names(each) for _, each in options() for letter in short_names(each)}
    assert (by_letter["-o"], by_letter["-O"]) == (("--format",), ("--output",))
    assert all(short_names(each) == ("-O",) for _, each in options() if "--output" in each.opts)


def test_h_is_help_for_every_command() -> None:
    for path, context in walk("stepflow", cli):
        assert {*context.command.get_help_option_names(context)} == {"-h", "--help"}, path


@pytest.mark.parametrize("name", ["", "run", "runs", "runs list"])
def test_h_is_help(name: str, stepflow: Stepflow) -> None:
    arguments = name.split()
    done = stepflow(*arguments, "-h")
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == stepflow(*arguments, "--help").stdout


FILES = [
    ("run hello.yaml -o out.json", "-o is the format; for a file, use -O out.json"),
    ("visualize hello.yaml -o out.svg", "-o is the format; for a file, use -O out.svg"),
    ("infer hello.yaml -o out/typed", "-o is the format; for a file, use -O out/typed"),
    ("runs list -o 'my runs.json'", "-o is the format; for a file, add > 'my runs.json'"),
    ("runs list -O runs.json", "for a file, add > FILE"),
    ("runs list --output runs.json", "for a file, add > FILE"),
    ("codegen hello.yaml -o flows.py", "for a file, use -O FILE"),
    ("schema -o flow.json", "for a file, use -O FILE"),
    ("runs report 01a2b3c4 -o report.html", "for a file, use -O FILE"),
    # A misspelt format is not treated as a file.
    ("run hello.yaml -o jsn", "did you mean json?"),
]


@pytest.mark.parametrize(("typed", "hint"), FILES)
def test_hint_for_a_file_given_as_a_format(typed: str, hint: str, stepflow: Stepflow) -> None:
    done = stepflow(*shlex.split(typed))
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"hint: {hint}"


@pytest.mark.parametrize("flag", ["-O", "--output"])
def test_output_option_has_a_short_and_a_long_form(flag: str, stepflow: Stepflow) -> None:
    done = stepflow("run", "hello.yaml", "--example", "ada", flag, "out.json")
    assert (done.code, done.stdout) == (0, "")
    assert "Ada" in (stepflow.folder / "out.json").read_text()
    drawn = stepflow("visualize", "hello.yaml", "-o", "mermaid", flag, "graph.txt")
    assert (drawn.code, drawn.stdout) == (0, "")
    assert (stepflow.folder / "graph.txt").read_text().startswith("flowchart")


@pytest.mark.parametrize(
    ("typed", "message", "hint"),
    [
        ("run hello.yaml --env-variables", "no such option '--env-variables'", "use --variables-from-env"),
        (
            "list-components --schemas=true",
            "--schemas does not accept a value",
            "use --schemas or --no-schemas",
        ),
        (
            "components list --hide-unreachable=false",
            "--hide-unreachable does not accept a value",
            "use --hide-unreachable or --no-hide-unreachable",
        ),
    ],
)
def test_options_of_other_commands_get_a_hint(typed: str, message: str, hint: str, stepflow: Stepflow) -> None:
    done = stepflow(*typed.split())
    assert (done.code, done.stderr) == (2, f"stepflow: {message}\nhint: {hint}\n")


def test_conflicts_refer_to_existing_options() -> None:
    missing: dict[Conflict, set[str]] = {}
    for name, command in commands():
        assert isinstance(command, Command), name
        for conflict in command.conflicts:
            names = {*conflict.options.split(), *conflict.others.split()}
            absent = names - {each for param in command.params for each in param.opts}
            missing[conflict] = missing.get(conflict, absent) & absent
    assert {conflict: names for conflict, names in missing.items() if names} == {}
    assert len(missing) > 30
