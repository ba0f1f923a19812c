"""Reading commands and running them one after the other, on one server."""

from __future__ import annotations

import dataclasses
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import click

from ..completion.candidates import complete_flow_files
from ..context import Session
from ..errors import nearest, problem_of, usage, wants_json
from ..exit_codes import ExitCode
from ..inputs.flow import load_flow_or_id
from ..main import call, cli
from ..output.messages import show
from ..output.view import Column, Output, View
from ..params.options import output_options
from ..params.parsing import Command, LazyGroup, session_options
from ..runs.execute import Job
from ..server.connect import Target, connect, keep
from ..settings.server_choice import ServerOptions


class KeptServer:
    """A server for all commands that name none. An embedded server that has ended is restarted."""

    def __init__(self, options: ServerOptions) -> None:
        """Store the options; no server is started yet."""
        self._options = options
        self._stack = ExitStack()
        self.target: Target
        """The server; set when the context is entered."""

    def __enter__(self) -> Self:
        """Start the server or connect to it."""
        self.target = self._stack.enter_context(connect(self._options))
        self._stack.enter_context(keep(self.target))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the server if it is an embedded one."""
        self._stack.close()

    def renew(self) -> None:
        """Restart an embedded server that has ended."""
        runtime = self.target.runtime
        if runtime is None or runtime.is_alive:
            return
        self._stack.close()
        self.__enter__()
        print("the embedded server had ended; a new one was started, without its flows and runs", file=sys.stderr)

    def __str__(self) -> str:
        """Return the server's address and release."""
        info = self.target.client.server_info()
        kind = "embedded" if self.target.runtime else self.target.settings.url.origin
        return f"{info.url} ({kind}, release {info.release or info.dialect})"


class Shell:
    """All commands, on one server."""

    def __init__(self, server: KeptServer, session: Session) -> None:
        self.server = server
        self.session = session
        self.group = ReplGroup(cli, self)
        self.job: Job | None = None
        """The last job that was run."""
        self.last: list[str] | None = None
        """The words of the command that ran it."""

    def line(self, text: str) -> int:
        """Run a line and return its exit code. An empty line or a comment does nothing.

        Raises:
            Leave: If the line asks to exit.
        """
        if not text.strip() or text.lstrip().startswith("#"):
            return ExitCode.OK
        try:
            args = _words(text)
        except ValueError as error:
            show(problem_of(usage(f"the line cannot be read: {str(error).lower()}")), as_json=False)
            return ExitCode.USAGE
        try:
            self.server.renew()
        except Exception as error:
            # The next line retries to start the server.
            show(problem_of(error), as_json=False)
            return problem_of(error).exit_code
        return self.call(args[1:] if args[0] == "stepflow" else args)

    def call(self, args: list[str]) -> int:
        """Run the words of a line and return the exit code."""
        if not args:
            return ExitCode.OK
        session = dataclasses.replace(self.session, json_errors=wants_json(args), job=None)
        with _own_logging():
            code = call(args, session, self.group, "")
        self.session.modules = session.modules
        if isinstance(session.job, Job):
            self.job, self.last = session.job, args
            self.session.flow = session.job.about.get("flow_file") or session.job.flow_id or self.session.flow
        return code

    def read_terminal(self) -> None:
        """Prompt for lines until the user exits."""
        from .prompt import make_prompt

        ask = make_prompt(self.group, self.session)
        while True:
            try:
                self.line(ask())
            except KeyboardInterrupt:
                continue
            except (EOFError, Leave):
                return

    def read_stdin(self) -> int:
        """Run the lines on standard input. Return the exit code of the last one that failed, or 0."""
        lines, failed = sys.stdin, 0
        # Commands must not read the following lines as their input.
        with open(os.devnull, encoding="utf-8") as nothing:
            sys.stdin = nothing
            try:
                for text in lines:
                    code = self.line(text)
                    failed = code or failed
                    if code == ExitCode.INTERRUPTED:
                        break
            except Leave:
                pass
            finally:
                sys.stdin = lines
        return failed


def _words(text: str) -> list[str]:
    """Return the words of a line. An expression and a component stand for the commands that take them.

    Raises:
        ValueError: If a quote is not closed.
    """
    if text.lstrip().startswith("{"):
        return ["eval-expr", text.strip()]
    words = shlex.split(text)
    return ["components", "call", *words] if words[0].startswith("/") else words


@contextmanager
def _own_logging() -> Iterator[None]:
    """Remove the log handlers that a command adds, so that the next command does not log twice."""
    logger = logging.getLogger("stepflow")
    handlers, level = list(logger.handlers), logger.level
    logger.handlers = [each for each in handlers if isinstance(each, logging.NullHandler)]
    try:
        yield
    finally:
        for each in logger.handlers:
            if each not in handlers:
                each.close()
        logger.handlers = handlers
        logger.setLevel(level)


_INPUTS = ("--input", "--input-json", "--input-yaml", "--example", "--inputs", "--stdin-format")
_REUSE = ("--reuse", "--from", "--step")
"""Options of which one that rerun is called with replaces all those of its group in the last run."""
_STATUS = View(columns=tuple(map(Column, ("server", "url", "flow", "file", "last"))), name="url")


class Leave(BaseException):
    """Raised to exit the repl."""


class ReplGroup(LazyGroup):
    """All commands of `stepflow` and the words of the repl."""

    def __init__(self, commands: LazyGroup, shell: Shell) -> None:
        own = [make(shell) for make in (_flow, _rerun, _status, _workflow, _input, _help, _leave)]
        hidden = ("repl", *(each.name for each in own))
        help = "Commands are written as in a shell, without the word stepflow before them; it may be there."
        super().__init__(
            "",
            summaries={name: text for name, text in commands.summaries.items() if name not in hidden},
            groups=commands.groups,
            aliases=commands.aliases,
            help=help,
            params=session_options(),
        )
        self._others = commands
        for each in own:
            self.add_command(each)
        self.add_command(own[-1], "quit")

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
        if cmd_name in self.commands or not (cmd_name in self.summaries or cmd_name in self.aliases):
            return self.commands.get(cmd_name)
        return self._others.get_command(ctx, cmd_name)

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


def _flow(shell: Shell) -> click.Command:
    @click.command("flow", cls=Command)
    @click.argument("flow", required=False, metavar="[FLOW]", shell_complete=complete_flow_files)
    def command(flow: str | None) -> None:
        """Choose the flow of all commands that name none; without FLOW, print it.

        It is that of the last run, unless another one is chosen: 'flow hello.yaml', then 'validate', 'run', 'test'.
        """
        if flow is not None:
            load_flow_or_id(flow)
            shell.session.flow = flow
        elif shell.session.flow is None:
            raise usage("there is no current flow", "flow FILE chooses one, and run FILE does too")
        else:
            click.echo(shell.session.flow)

    return command


def _rerun(shell: Shell) -> click.Command:
    # It accepts all options of the command that it calls again.
    @click.command("rerun", context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
    @click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS]")
    def command(options: tuple[str, ...]) -> int:
        """Repeat the last run, with further options.

        The options are those of run; an input that is given takes the place of the one before, and so does what is
        reused. 'rerun --from STEP' executes this step and those that depend on it, 'rerun --reuse @last' what has
        changed.
        """
        if shell.last is None:
            raise _nothing_yet()
        before = list(shell.last)
        given = {word.partition("=")[0] for word in options}
        for group in (_INPUTS, _REUSE):
            before = _without(before, group) if given & set(group) else before
        return shell.call([*before, *options])

    return command


def _without(args: list[str], options: tuple[str, ...]) -> list[str]:
    kept = []
    words = iter(args)
    for word in words:
        name, is_whole, _ = word.partition("=")
        if name not in options:
            kept.append(word)
        elif not is_whole:
            next(words, None)
    return kept


def _status(shell: Shell) -> click.Command:
    @click.command("status", cls=Command)
    @output_options
    def command(output: Output) -> None:
        """Show the server and the last run."""
        target = shell.server.target
        record = {
            "server": "embedded" if target.runtime else target.settings.url.origin,
            "url": target.client.url,
            "flow": None if shell.job is None else shell.job.flow.get("name"),
            "file": shell.session.flow,
            "last": None if shell.last is None else shlex.join(shell.last),
        }
        output.record(record, _STATUS)

    return command


def _workflow(shell: Shell) -> click.Command:
    @click.command("workflow", cls=Command)
    @output_options
    def command(output: Output) -> None:
        """Print the flow of the last run."""
        output.value(_job(shell).flow)

    return command


def _input(shell: Shell) -> click.Command:
    @click.command("input", cls=Command)
    @output_options
    def command(output: Output) -> None:
        """Print the input of the last run."""
        job = _job(shell)
        if not job.has_input:
            raise usage(f"the input was that of run {job.reuse.run}", f"'history show {job.reuse.run}' has it")
        output.value(job.input)

    return command


def _help(shell: Shell) -> click.Command:
    @click.command("help", cls=Command)
    @click.argument("words", nargs=-1, metavar="[COMMAND]")
    def command(words: tuple[str, ...]) -> int:
        """Show the commands, or what one of them takes."""
        return shell.call([*words, "--help"])

    return command


def _leave(shell: Shell) -> click.Command:
    @click.command("exit", cls=Command)
    def command(**_: Any) -> None:
        """Exit, like Ctrl-D."""
        raise Leave

    return command


def _job(shell: Shell) -> Job:
    if shell.job is None:
        raise _nothing_yet()
    return shell.job


def _nothing_yet() -> Exception:
    return usage("nothing has been run yet", "run FLOW comes first")
