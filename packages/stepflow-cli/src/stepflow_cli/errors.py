"""Failures of commands, all in one form: a sentence, an exit code and a hint.

A command raises `Problem`; errors of the client, of click and of Python become one here. The kinds are `usage`,
`run_failed`, `run_cancelled`, `interrupted`, `internal`, and for an error of the client the name of its class without
`Error`: `server_connection`, `not_found`, `invalid_flow`, `run_timeout` and so on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from .exit_codes import ExitCode
from .output.safety import printable

if TYPE_CHECKING:
    from stepflow_client import StepflowClientError

__all__ = ["printable"]

_NAMES = {"FlowFileNotFoundError": "FlowFileError", "ServerStartTimeoutError": "ServerStartError"}
"""Errors that are separate classes in Python but share one kind in the printed JSON."""


_TRACING = "the command does no tracing: an application that uses the client traces it with OpenTelemetry"
_ELSEWHERE = {
    "--other-log-level": "there are no logs of other packages; --log-level is that of the client and the server",
    "--log-destination": "logs go to standard error, or into the file that --log-file names",
    "--log-format": "logs are for people; -o json prints results and errors for programs",
    "--trace-enabled": _TRACING,
    "--metrics-enabled": _TRACING,
    "--otlp-endpoint": _TRACING,
    "--env-variables": "--variables-from-env is its name here",
    "--max-concurrency": "--jobs N is how many files run at once; the cases of a file are one batch",
    "--show-step-inputs": "stepflow infer has it; validate --type-check checks the types",
    "--debug": "--log-level debug shows the logs of the client and the server; -vv shows tracebacks too",
    "--trace": "--log-level trace shows the logs of the client and the server; -vv shows tracebacks too",
}
"""Options of other releases of the `stepflow` command, and what to use instead."""
_JUNIT = "--junit FILE writes a JUnit report, besides what is printed"
_TWEAKS = "they are called overrides: --set STEP.input.KEY=VALUE changes one value, --overrides-json several"
_TAGS = "runs have labels: --label NAME=VALUE"
_ELSEWHERE_BY_COMMAND = {
    ("events", "--since"): "--after CURSOR gives what came after an event; 'stepflow runs list' has --since TIME",
    ("test", "--max-concurrent"): _ELSEWHERE["--max-concurrency"],
    ("test", "--parallel"): _ELSEWHERE["--max-concurrency"],
    **dict.fromkeys(
        (
            *(("test", option) for option in ("--output", "-O", "--format junit", "--report", "--xml")),
            *(("test", option) for option in ("--junitxml", "--junit-xml", "--junit-report", "--output-file")),
        ),
        _JUNIT,
    ),
    ("test", "--tags"): "--tag NAME chooses the cases with a tag; repeat it for several",
    ("test", "--tweaks"): "test cases have no overrides; the mocks of a case give outcomes of steps",
    ("test", "--filter"): "-k TEXT chooses cases by a part of their name, --case GLOB by all of it",
    ("test", "--cov"): "--coverage shows which steps and branches no case reaches",
    ("test", "--cov-fail-under"): "--fail-under PERCENT is its name here",
    **{(command, "--tweaks"): _TWEAKS for command in ("run", "submit", "rerun")},
    **{(command, "--tags"): _TAGS for command in ("run", "submit", "rerun")},
    ("run", "--parallel"): "--max-concurrency N limits how many steps run at once",
    ("submit", "--parallel"): "--max-concurrency N limits how many steps run at once",
    ("visualize", "--config"): "no server is asked: the plugin of a step is told by its component's path",
}


class Problem(Exception):
    """A failure of a command.

    Args:
        message: One sentence, without a full stop.
        kind: What failed, as a word for programs.
        exit_code: The command's exit code.
        run_id: The run concerned, if any.
        hint: What to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        exit_code: ExitCode,
        run_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.exit_code = exit_code
        self.run_id = run_id
        self.hint = hint

    def record(self) -> dict[str, Any]:
        """Return the problem as one JSON object."""
        return {
            "kind": self.kind,
            "message": self.message,
            "exit_code": int(self.exit_code),
            "run_id": self.run_id,
            "hint": self.hint,
        }


def usage(message: str, hint: str | None = None) -> Problem:
    """Return a problem for a wrong command line, or a wrong file that it names (exit code 2)."""
    return Problem(message, kind="usage", exit_code=ExitCode.USAGE, hint=hint)


def problem_of(error: BaseException, *, hint: str | None = None) -> Problem:
    """Convert any exception to a problem.

    Args:
        error: The exception.
        hint: What to do about it, instead of the error's own hint.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, click.ClickException):
        return _problem_of_click(error)
    if isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        return Problem("interrupted", kind="interrupted", exit_code=ExitCode.INTERRUPTED)
    from stepflow_client import StepflowClientError

    if isinstance(error, StepflowClientError):
        name = _NAMES.get(type(error).__name__, type(error).__name__)
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", name.removesuffix("Error")).lower()
        return Problem(
            error.message,
            kind=kind,
            exit_code=ExitCode.for_error(error),
            run_id=error.run_id,
            hint=hint or error.hint or _candidates(error),
        )
    if isinstance(error, FileNotFoundError) and not _has_working_folder():
        return usage("the working folder was deleted", "change to another folder")
    words = " ".join(str(error).split())
    return Problem(
        f"an unexpected {type(error).__name__}: {words}" if words else f"an unexpected {type(error).__name__}",
        kind="internal",
        exit_code=ExitCode.FAILED,
        hint="-vv shows the traceback",
    )


def _has_working_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _candidates(error: StepflowClientError) -> str | None:
    runs: Sequence[str] = getattr(error, "candidates", ())
    return f"it may be one of these runs: {', '.join(runs)}" if runs else None


def _problem_of_click(error: click.ClickException) -> Problem:
    # click appends its suggestions to the message; here they become the hint.
    message = error.message if hasattr(error, "possibilities") else error.format_message()
    context = getattr(error, "ctx", None)
    command = (context.command.name or "") if context is not None else ""
    options = [getattr(error, "option_name", None) or "", *_with_value(error)]
    elsewhere = [_ELSEWHERE_BY_COMMAND.get((command, option)) or _ELSEWHERE.get(option) for option in options]
    if isinstance(error, click.NoSuchOption) and context is not None:
        elsewhere.append(_file_instead(error.option_name, context.command))
    hint = next(filter(None, elsewhere), None) or _guess(error, context) or getattr(error, "hint", None)
    if hint is None and context is not None:
        hint = f"'{context.command_path} --help' lists the options"
    message = " ".join(message.split()).rstrip(".")
    return usage(message[:1].lower() + message[1:], hint)


def takes_file(command: click.Command) -> bool:
    """Return whether a command writes its output to the file of -O/--output."""
    return any("-O" in param.opts for param in command.params)


def _file_instead(option: str, command: click.Command) -> str | None:
    """Return where the name of a file belongs, if it was given to -o, -O or --output and the command has no such."""
    if option == "-o" and takes_file(command):
        return "-O FILE names the file"
    if option in ("-O", "--output") and not takes_file(command) and any("-o" in param.opts for param in command.params):
        return "add > FILE to write a file"
    return None


def _with_value(error: click.ClickException) -> list[str]:
    """Return an option and its wrong value as they may be typed, for each spelling of the option."""
    param, value = getattr(error, "param", None), getattr(error, "value", None)
    return [f"{name} {value}" for name in param.opts] if isinstance(param, click.Option) and value else []


def _guess(error: click.ClickException, context: click.Context | None) -> str | None:
    """Return the hint that suggests the most similar name; None if it is an option that changes or deletes things."""
    names: Sequence[str] = getattr(error, "possibilities", None) or ()
    params = context.command.params if context is not None else []
    if not names or any(getattr(param, "is_risky", False) and names[0] in param.opts for param in params):
        return None
    return f"did you mean {names[0]}?"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the hint for a misspelt word: `did you mean ...?`, or None if nothing is near."""
    from stepflow_client._base import text

    found = text.nearest(word, known)
    return f"did you mean {found}?" if found else None


def wants_json(args: Sequence[str]) -> bool:
    """Return whether a command line asks for JSON; it need not be parsed yet, or even valid."""
    for word, after in zip(args, [*args[1:], ""], strict=False):
        if word == "--":
            return False
        name, _, value = word.partition("=")
        if word in ("-o", "--format"):
            value = after
        elif word.startswith("-o"):
            value = word[2:]
        elif name != "--format":
            continue
        if value in ("json", "jsonl"):
            return True
    return False
