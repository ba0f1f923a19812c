"""The additional words of the repl: rerun, status, workflow, input, help, exit and quit."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from ..errors import nearest, usage
from ..output.view import Column, Output, View
from ..params.options import output_options
from ..params.parsing import Command, LazyGroup, session_options

if TYPE_CHECKING:
    from ..runs.execute import Job
    from .caller import Caller

__all__ = ["Leave", "ReplGroup"]

_WORDS = {
    "rerun": "Repeat the last run, with further options.",
    "status": "Show the server and the last run.",
    "workflow": "Print the flow of the last run.",
    "input": "Print the input of the last run.",
    "help": "Show the commands, or what one of them takes.",
    "exit": "Exit, like Ctrl-D.",
    "quit": "Exit, like Ctrl-D.",
}
_INPUTS = ("--input", "--input-json", "--input-yaml", "--example", "--inputs", "--stdin-format")
"""Input options. If rerun is called with one of them, it replaces all those of the last run."""
_STATUS = View(columns=(Column("server"), Column("url"), Column("flow"), Column("last")), name="url")


class Leave(BaseException):
    """Raised to exit the repl."""


class ReplGroup(LazyGroup):
    """All commands of `stepflow` and the words of the repl.

    Args:
        commands: The commands of `stepflow`.
        shell: The repl.
    """

    def __init__(self, commands: LazyGroup, shell: Caller) -> None:
        """Combine the commands and the words."""
        others = {name: text for name, text in commands.summaries.items() if name != "repl"}
        help = "Commands are written as in a shell, without the word stepflow before them; it may be there."
        super().__init__(
            "",
            summaries={**others, **_WORDS},
            groups=commands.groups,
            aliases=commands.aliases,
            help=help,
            params=session_options(),
        )
        self._others = commands
        self._shell = shell

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Omit the usage, because a line in the repl does not begin with a program name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments before the command."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise usage(f"there is no option {error.option_name} before a command", "help lists the commands") from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a word of the repl, or a command of `stepflow`."""
        if cmd_name not in _WORDS:
            is_known = cmd_name in self.summaries or cmd_name in self.aliases
            return self._others.get_command(ctx, cmd_name) if is_known else None
        make = {"rerun": _rerun, "status": _status, "workflow": _workflow, "input": _input, "help": _help}
        return make.get(cmd_name, _leave)(self._shell)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command with the given name."""
        name = args[0]
        if name == "repl" and not ctx.resilient_parsing:
            raise usage("this is already the repl")
        if name not in self.summaries and name not in self.aliases and not ctx.resilient_parsing:
            raise usage(f"there is no command {name}", nearest(name, self.summaries) or "help lists the commands")
        return super().resolve_command(ctx, args)


def _rerun(shell: Caller) -> click.Command:
    # It accepts all options of the command that it calls again.
    @click.command("rerun", context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
    @click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS]")
    def command(options: tuple[str, ...]) -> int:
        """Repeat the last run, with further options.

        The options are those of run; an input that is given takes the place of the one before.
        """
        if shell.last is None:
            raise _nothing_yet()
        before = list(shell.last)
        if any(word.partition("=")[0] in _INPUTS for word in options):
            before = _without_inputs(before)
        return shell.call([*before, *options])

    return command


def _without_inputs(args: list[str]) -> list[str]:
    kept = []
    words = iter(args)
    for word in words:
        name, is_whole, _ = word.partition("=")
        if name not in _INPUTS:
            kept.append(word)
        elif not is_whole:
            next(words, None)
    return kept


def _status(shell: Caller) -> click.Command:
    @click.command("status", cls=Command)
    @output_options
    def command(output: Output) -> None:
        """Show the server and the last run."""
        target = shell.server.target
        record = {
            "server": "embedded" if target.runtime else target.settings.url.origin,
            "url": target.client.url,
            "flow": None if shell.job is None else shell.job.flow.get("name"),
            "last": None if shell.last is None else shlex.join(shell.last),
        }
        output.record(record, _STATUS)

    return command


def _workflow(shell: Caller) -> click.Command:
    @click.command("workflow", cls=Command)
    @output_options
    def command(output: Output) -> None:
        """Print the flow of the last run."""
        output.value(_job(shell).flow)

    return command


def _input(shell: Caller) -> click.Command:
    @click.command("input", cls=Command)
    @output_options
    def command(output: Output) -> None:
        """Print the input of the last run."""
        output.value(_job(shell).input)

    return command


def _help(shell: Caller) -> click.Command:
    @click.command("help", cls=Command)
    @click.argument("words", nargs=-1, metavar="[COMMAND]")
    def command(words: tuple[str, ...]) -> int:
        """Show the commands, or what one of them takes."""
        return shell.call([*words, "--help"])

    return command


def _leave(shell: Caller) -> click.Command:
    @click.command("exit", cls=Command)
    def command(**_: Any) -> None:
        """Exit, like Ctrl-D."""
        raise Leave

    return command


def _job(shell: Caller) -> Job:
    if shell.job is None:
        raise _nothing_yet()
    return shell.job


def _nothing_yet() -> Exception:
    return usage("nothing has been run yet", "run FLOW comes first")
