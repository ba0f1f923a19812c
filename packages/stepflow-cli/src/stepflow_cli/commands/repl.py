"""`stepflow repl`."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from glob import glob

import click
from click.shell_completion import ShellComplete

from .._version import VERSION
from ..errors import ExitCode, convert_to_problem, current_session, usage, wants_json
from ..output.messages import print_problem
from ..params.click_commands import Command
from ..params.options import server_options
from ..server.connect import connect
from ..settings.server_choice import ServerOptions


@click.command("repl", cls=Command)
@server_options(default="embedded")
def command(server: ServerOptions) -> int:
    """You can omit the word stepflow. --url, --profile and --local apply only to the line they're on. An embedded
    server keeps its flows and runs until you leave the prompt. Press Tab for completion, or Ctrl-C to discard the line
    or interrupt the running command. To leave, press Ctrl-D or type exit or quit.

    Without a terminal, the command runs all lines of standard input, even after failures. The exit code is that of the
    last line that failed, or 0.
    """
    session = current_session()
    if session.kept is not None:
        raise usage("already in the repl")
    with connect(server) as target:
        session.kept = target._replace(is_kept=True)
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            with open(os.devnull, encoding="utf-8") as empty:
                # Keep a command from reading the remaining lines as its input.
                lines, sys.stdin = sys.stdin, empty
                return _run_command_lines(lines, is_script=True)
        info = target.client.server_info()
        kind = "embedded" if target.runtime else target.choice.url.origin
        where = f"{info.url} ({kind}, release {info.release or info.dialect})"
        print(f"stepflow {VERSION} at {where}. help lists the commands, Ctrl-D exits.", file=sys.stderr)
        _run_command_lines(_prompt_lines(), is_script=False)
    return 0


def _run_command_lines(lines: Iterator[str], *, is_script: bool) -> int:
    """Run lines until `exit` or `quit`. Return the exit code of the last line that failed, or 0."""
    from ..main import run_command_line

    session, logger, failed = current_session(), logging.getLogger("stepflow"), 0
    for line in lines:
        try:
            args = [] if line.lstrip().startswith("#") else shlex.split(line)
        except ValueError as error:
            print_problem(convert_to_problem(usage(f"cannot parse the line: {str(error).lower()}")))
            failed = ExitCode.USAGE
            continue
        args = args[1:] if args[:1] == ["stepflow"] else args
        if args in (["exit"], ["quit"]):
            break
        if args:
            # Set up logging again for each line, because the line can have its own options in addition to the repl's.
            for handler in [handler for handler in logger.handlers if not isinstance(handler, logging.NullHandler)]:
                logger.removeHandler(handler)
                handler.close()
            own = replace(session, json_errors=wants_json(args))
            code = run_command_line(args, own)
            session.modules, failed = own.modules, code or failed
            if is_script and code == ExitCode.INTERRUPTED:
                break
    return failed


def _prompt_lines() -> Iterator[str]:
    save_history = _set_up_readline()
    while True:
        try:
            line = input("stepflow> ")
        except KeyboardInterrupt:
            print()
            continue
        except EOFError:
            print()
            return
        with suppress(OSError):
            save_history()
        yield line


def _set_up_readline() -> Callable[[], None]:
    """Set up line history and completion for `input` and return a function that saves the history."""
    try:
        import readline
    except ImportError:  # Windows
        return lambda: None
    from stepflow_client._command import get_stepflow_user_folder

    path, context = get_stepflow_user_folder("state") / "repl_history", click.get_current_context().find_root()

    def complete_word(text: str, state: int) -> str | None:
        words = shlex.split(readline.get_line_buffer()[: readline.get_begidx()])
        words = words[1:] if words[:1] == ["stepflow"] else words
        # Use a copy, because parsing the line's options would change the session.
        items = ShellComplete(context.command, {"obj": replace(context.obj)}, "", "").get_completions(words, text)
        if any(item.type in ("file", "dir") for item in items):
            return dict(enumerate(glob(f"{text}*"))).get(state)
        return dict(enumerate(f"{item.value} " for item in items)).get(state)

    readline.set_completer(complete_word)
    readline.set_completer_delims(" ")
    readline.parse_and_bind("bind ^I rl_complete" if "libedit" in (readline.__doc__ or "") else "tab: complete")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Make the file private, because lines can contain secrets.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        readline.read_history_file(path)
    return partial(readline.write_history_file, path)
