"""Commands and options that users know from other tools work, or the error suggests the right ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from stepflow_cli._version import VERSION
from stepflow_cli.main import cli
from stepflow_cli.params.click_commands import LazyGroup
from stepflow_cli.params.help_examples import EXAMPLES
from stepflow_cli.params.options import SectionedOption

from tests.cli.command import Stepflow
from tests.cli.command_tree import commands
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process


@pytest.mark.parametrize("arguments", [["version"], ["-V"], ["--version"], ["version", "-v"]])
def test_version(stepflow: Stepflow, arguments: list[str]) -> None:
    done = stepflow(*arguments)
    assert (done.code, done.stdout, done.stderr) == (0, f"stepflow {VERSION}\n", "")


@pytest.mark.parametrize("arguments", [[], ["run"], ["runs"], ["runs", "list"], ["runs", "ls"], ["components"]])
def test_help_of_a_command(stepflow: Stepflow, arguments: list[str]) -> None:
    done = stepflow("help", *arguments)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == stepflow(*arguments, "--help").stdout


def test_help_of_an_unknown_command(stepflow: Stepflow) -> None:
    assert "did you mean list?" in stepflow("help", "runs", "lst").stderr
    assert "stepflow run has no command list" in stepflow("help", "run", "list").stderr


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("runs ls", "runs list"),
        ("runs rm", "runs delete"),
        ("runs show", "runs get"),
        ("runs describe", "runs get"),
        ("flows rm", "flows delete"),
        ("flows show", "flows get"),
        ("blobs show", "blobs get"),
        ("config ls", "config list"),
        ("config show", "config list"),
        ("config rm", "config unset"),
        ("components ls", "components list"),
    ],
)
def test_alias_is_the_same_as_the_command(stepflow: Stepflow, typed: str, canonical: str) -> None:
    helped = stepflow(*typed.split(), "--help").stdout
    assert helped == stepflow(*canonical.split(), "--help").stdout
    assert helped.startswith(f"Usage: stepflow {canonical}")


WRONG = [
    ("vlaidate", "did you mean validate?"),
    ("cancel", "did you mean stepflow runs cancel?"),
    ("ls", "use 'stepflow runs list', 'stepflow flows list' or 'stepflow components list'"),
    ("component", "did you mean components?"),
    ("runs submit", "did you mean stepflow submit?"),
    ("runs lst", "did you mean list?"),
    ("history search", "to search the recorded runs, use 'stepflow history list TEXT'"),
    ("runs wait", "to wait for runs to end, use 'stepflow runs watch -q RUN...'"),
    ("eval-expr", "to evaluate an expression with a run's outputs, use 'stepflow runs eval RUN EXPRESSION'"),
    ("flows variables", "to list variables, use 'stepflow flows get FLOW --variables'"),
    ("xyzzy", "to list the commands, run 'stepflow --help'"),
]


@pytest.mark.parametrize(("typed", "hint"), WRONG)
def test_unknown_command(stepflow: Stepflow, typed: str, hint: str) -> None:
    done = stepflow(*typed.split())
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == f"stepflow: unknown command stepflow {typed}\nhint: {hint}\n"


def test_unknown_command_on_a_terminal(terminal: Callable[..., Terminal]) -> None:
    ran = terminal("ls", width=60)
    assert ran.end() == 2
    assert ran.screen.splitlines()[0] == "stepflow: unknown command stepflow ls"
    # Lines break between words.
    assert " ".join(ran.screen.split()).endswith(f"hint: {dict(WRONG)['ls']}")
    assert max(map(len, ran.screen.splitlines())) <= 60
    assert b"\x1b[1;31mstepflow:\x1b[0m" in ran.raw


def test_help_on_a_terminal(terminal: Callable[..., Terminal]) -> None:
    ran = terminal("help", "runs", width=60)
    assert ran.end() == 0
    assert ran.screen.startswith("Usage: stepflow runs")
    assert max(map(len, ran.screen.splitlines())) <= 60


def test_number_of_options_is_limited_and_those_of_run_are_documented() -> None:
    listed = {name: command for name, command in commands() if _is_listed(name)}
    options = {name: [each for each in command.params if _is_visible(each)] for name, command in listed.items()}
    assert len(listed) <= 52
    assert sum(map(len, options.values())) <= 500
    assert len(options["run"]) <= 40
    root = Path(__file__).parents[2]
    pages = [*(root / "docs").rglob("*.md"), *(root / "packages").glob("*/README.md"), root / "README.md"]
    notes = (root / "scripts" / "pages" / "cli.md").read_text()
    lines = [line for lines in EXAMPLES.values() for line in lines]
    # The reference lists all options, so only its notes count as documentation.
    text = "\n".join([notes, *lines, *(page.read_text() for page in pages if page.name != "cli.md")])
    used = {*re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text)}
    assert [each.opts for each in options["run"] if used.isdisjoint(each.opts)] == []


def _is_listed(name: str) -> bool:
    group, command = cli, name
    if " " in name:
        group_name, _, command = name.partition(" ")
        subgroup = cli.get_command(click.Context(cli), group_name)
        assert isinstance(subgroup, LazyGroup)
        group = subgroup
    return command in group.shown_commands


def _is_visible(param: click.Parameter) -> bool:
    return (
        isinstance(param, SectionedOption)
        and not param.hidden
        and param.section != "Messages"
        and "--help-all" not in param.opts
    )


def test_hidden_commands(stepflow: Stepflow) -> None:
    assert {*cli.summaries} - {*cli.shown_commands} == {"help", "list-components", "lsp", "repl", "submit", "version"}
    helped = stepflow("--help").stdout
    assert [name for name in cli.summaries if f"\n  {name} " in helped] == cli.shown_commands


TRACING = "the command is not traced; for traces of the server and its workers, use stepflow serve --otlp-endpoint URL"
OPTIONS = [
    ("--log-destination stderr run hello.yaml", "logs go to standard error, or to the file that --log-file names"),
    ("run hello.yaml --otlp-endpoint=x", TRACING),
    (
        "run hello.yaml --log-format json",
        "logs are for people; for results and errors that programs can read, use -o json",
    ),
    ("run hello.yaml --trace-enabled", TRACING),
    ("serve --metrics-enabled", "there is no equivalent: the command exports no metrics"),
    ("test hello.yaml --exclude-tags slow", "use --tag TAG to select cases; there is no option to exclude cases"),
    ("run hello.yaml --environment prod", "there are no environments: use --config FILE for a configuration"),
    ("run hello.yaml --save-intermediate", "to see step outputs, use 'stepflow runs steps RUN'"),
    ("test hello.yaml --max-concurrency 4", "use --jobs N to set how many files run at once"),
    ("validate hello.yaml --show-step-inputs", "use it with stepflow infer"),
    ("visualize hello.yaml --config x.yml", "no server is used: the path of a component names its plugin"),
    ("codegen --components", "to write functions for components, use 'stepflow components stubs --from FILE'"),
    ("components stubs --components a.json", "use --from FILE to name the file that 'components lock' wrote"),
    ("run-batch --flow hello.yaml", "to run a batch, use 'stepflow batch FLOW INPUTS'"),
    ("submit-batch --flow hello.yaml", "to run a batch, use 'stepflow batch FLOW INPUTS --url URL'"),
    ("run hello.yaml --other-log-level warn", "did you mean --log-level?"),
    ("test hello.yaml -o JUnit", "use --junit FILE to write a JUnit report in addition to the output"),
    ("test hello.yaml --debug", "use --log-level debug to see the logs of the client and the server"),
    ("--omit-stack-trace run hello.yaml", "leave it out: only -vv prints tracebacks"),
    ("runs get @last --fields status", "use -o json to print the whole record, and jq to select fields"),
    ("runs list --local", "an embedded server would be empty here"),
    ("submit hello.yaml --config x.yml", "to start an embedded server, use 'stepflow run'"),
    ("test hello.yaml --dif", "did you mean --diff?"),
    # Options that change or delete something are not suggested.
    ("test hello.yaml --updat", "to list the options, run 'stepflow test --help'"),
    ("validate hello.yaml --fx", "to list the options, run 'stepflow validate --help'"),
    ("runs delete @last --yse", "to list the options, run 'stepflow runs delete --help'"),
]


@pytest.mark.parametrize(("typed", "hint"), OPTIONS)
def test_unknown_option(stepflow: Stepflow, typed: str, hint: str) -> None:
    done = stepflow(*typed.split())
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith(f"hint: {hint}"), done.stderr
