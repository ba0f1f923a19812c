"""Failures of commands, all in one form: a sentence, an exit code and a hint; and how much a command prints."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from stepflow_client import StepflowClientError


_LEVELS = ("debug", "info", "warn", "warning", "error", "critical")


@dataclass
class Session:
    """The options of one call, given before or after the command's name, and state that its parts share."""

    verbosity: int = 0
    """How often -v was given."""
    log_level: str | None = None
    log_file: str | None = None
    log_variable: str = field(default_factory=partial(os.environ.pop, "STEPFLOW_LOG", ""))
    """STEPFLOW_LOG, which is removed: the client, which is imported later, would log too, without escaping anything."""
    color: str = "auto"
    """auto, always or never."""
    json_errors: bool = False
    """Whether failures are reported as a line of JSON."""
    quiet: bool = False
    """Whether only failures are printed."""
    kept: object = None
    """The `Target` of commands that name no server, if it outlives the command; otherwise None."""
    server: NamedServer | None = None
    """The server that the command uses, if its failures name it."""
    modules: object = None
    """The `ProjectModules` of the flows that were given as `module:function`; None if there were none."""
    reporters: list[Callable[[str], None]] = field(default_factory=list)
    """The last one prints lines while something draws on the terminal."""

    @property
    def server_log_level(self) -> str | None:
        """The log level of an embedded server, if the command line sets one."""
        return self.log_level or ("debug" if self.verbosity > 1 else None)

    def start_logging(self) -> None:
        """Enable the loggers of the client and of an embedded server, if the command line asks for it."""
        level = self.log_level or ("debug" if self.verbosity > 1 else "info" if self.verbosity else None)
        level = level or _parse_log_variable(self.log_variable)
        if level == "off" or (level is None and self.log_file is None):
            return
        import logging

        from .output.log import LineFormatter

        try:
            handler = logging.FileHandler(self.log_file, encoding="utf-8") if self.log_file else logging.StreamHandler()
        except OSError as error:
            raise usage(f"the log file {self.log_file} cannot be written: {error.strerror}") from None
        # A failure to write the log must not print a traceback.
        logging.raiseExceptions = False
        handler.setFormatter(LineFormatter())
        names = {"trace": "DEBUG", "warn": "WARNING"}
        # The handler also needs the level: another handler may make the logger pass on more of a server's messages.
        handler.setLevel(names.get(level or "info", (level or "info").upper()))
        logger = logging.getLogger("stepflow")
        logger.addHandler(handler)
        logger.setLevel(handler.level)


def _parse_log_variable(text: str) -> str | None:
    """Return the log level that STEPFLOW_LOG sets; None if it is not set.

    Raises:
        Problem: If it is not a level. The client would log everything.
    """
    word = text.strip().lower()
    if not text or word in ("off", "0", "false", "no"):
        return "off" if text else None
    if word in ("1", "true", "yes"):
        return "debug"
    if word not in _LEVELS:
        raise usage(f"STEPFLOW_LOG is {', '.join(_LEVELS)} or off, not {text!r}", suggest(word, _LEVELS))
    return word


def current_session() -> Session:
    """Return the session of the running command, or a new session if no command is running."""
    context = click.get_current_context(silent=True)
    session = context.find_root().obj if context is not None else None
    return session if isinstance(session, Session) else Session()


# Errors that are separate classes in Python but share one kind in the printed JSON.
_NAMES = {
    "FlowFileNotFoundError": "FlowFileError",
    "NotAFlowError": "FlowFileError",
    "ServerStartTimeoutError": "ServerStartError",
}


# Click's wording for a wrong number, and ours.
_PLAINER = (
    (r"is not a valid integer( range)?", "is not a whole number"),
    (r"is not a valid float( range)?", "is not a number"),
    (r"is not in the range x>=(\S+)", r"is less than \1"),
    (r"is not in the range (\S+)<=x<=(\S+)", r"is not between \1 and \2"),
)
ARGUMENTS = {
    "RUN": "RUN is an id of 'stepflow runs list' or its beginning, or @last",
    "BLOB_ID": "'stepflow blobs put FILE' stores a blob and prints its id",
    "KEY": "'stepflow config list' shows the settings",
    "VALUE": "VALUE is the new value of the setting; 'stepflow config unset KEY' removes one",
    "PATH": "PATH is a component, as 'stepflow components list' names them",
    "FILE|-": "FILE is a file, - is standard input",
    "INPUTS": "INPUTS is a .jsonl, .csv or .parquet file, a list in a YAML or JSON file, or - for standard input",
    "FLOW": "FLOW is a YAML or JSON file; 'stepflow new FILE' writes one",
}
"""The hint for a missing argument, by its name in the help."""


SERVER_FAILURES = {
    *("server_connection", "request_timeout", "invalid_response", "api", "invalid_request", "authentication"),
    *("not_found", "conflict", "rate_limit", "server_fault", "unsupported_by_server", "invalid_flow"),
    *("run_failed", "run_cancelled", "run_timeout", "ambiguous_run"),
}
"""The kinds of failures that a server's response causes, or a missing response."""


class ExitCode(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    INVALID_FLOW = 3
    NO_SERVER = 4
    TIMED_OUT = 5
    CANCELLED = 6
    AMBIGUOUS = 7
    INTERRUPTED = 130

    @classmethod
    def for_error(cls, error: StepflowClientError) -> ExitCode:
        """Return the exit code for an error from the client."""
        import stepflow_client as client

        if isinstance(error, client.ServerStartError) and isinstance(error.__cause__, client.FlowFileError):
            # The server refuses its configuration.
            return cls.USAGE
        names = (kind.__name__ for kind in type(error).__mro__)
        return next((_EXIT_CODES[name] for name in names if name in _EXIT_CODES), cls.FAILED)


# The exit codes of the client's errors, by the names of their classes: importing all of these takes long.
_EXIT_CODES = {
    **dict.fromkeys(("FlowFileError", "InvalidArgumentError", "IdempotencyConflictError"), ExitCode.USAGE),
    **dict.fromkeys(("JournalError", "ServerNotInstalledError", "DrawingUnavailableError"), ExitCode.USAGE),
    **dict.fromkeys(("TransportError", "AuthenticationError", "EmbeddedServerError"), ExitCode.NO_SERVER),
    "InvalidFlowError": ExitCode.INVALID_FLOW,
    "RunTimeoutError": ExitCode.TIMED_OUT,
    "AmbiguousRunError": ExitCode.AMBIGUOUS,
}
EXIT_CODES_HELP = (
    "Exit codes: 0 success; 1 the run failed, or the server refused; 2 usage error, missing file or extra, malformed "
    "input, id or configuration; 3 the flow is invalid; 4 no server, a port in use, or not authorised; 5 timed out (a "
    "run on a server continues); 6 cancelled; 7 a run may or may not have been created; 130 interrupted."
)


class NamedServer(NamedTuple):
    """A server in messages."""

    url: str
    """The URL, without its password."""
    origin: str
    """The origin of the URL: `from STEPFLOW_URL`."""


class Problem(Exception):
    """A failure of a command.

    Args:
        message: One sentence, without a full stop.
        kind: What failed, as a word for programs.
        exit_code: The command's exit code. Default: 1.
        run_id: The run concerned, if any.
        hint: What to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        exit_code: ExitCode = ExitCode.FAILED,
        run_id: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.exit_code = exit_code
        self.run_id = run_id
        self.hint = hint
        self.server: NamedServer | None = None
        """The server whose response, or missing response, is the cause."""

    def record(self) -> dict[str, Any]:
        """Return the problem as one JSON object."""
        return {
            "kind": self.kind,
            "message": self.message,
            "exit_code": int(self.exit_code),
            "run_id": self.run_id,
            "hint": self.hint,
            **({} if self.server is None else {"server": self.server.url}),
        }


def usage(message: str, hint: str | None = None) -> Problem:
    """Return a problem for a wrong command line, or a wrong file that it names (exit code 2)."""
    return Problem(message, kind="usage", exit_code=ExitCode.USAGE, hint=hint)


def require_extra(what: str, extra: str, *packages: str) -> None:
    """Check that the packages of an extra are installed.

    Args:
        what: What needs them.
        extra: The extra of stepflow-cli.
        packages: The names under which they are imported.

    Raises:
        Problem: If one is not.
    """
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in packages):
        raise missing_extra_problem(what, extra)


def missing_extra_problem(what: str, extra: str) -> Problem:
    """Return the problem of a command that needs an extra of stepflow-cli."""
    from stepflow_client._command import install_command

    message = f"{what} needs the extra stepflow-cli[{extra}], which is not installed"
    hint = install_command("stepflow-cli", extra)
    return Problem(message, kind="not_installed", exit_code=ExitCode.USAGE, hint=hint)


def to_problem(error: BaseException, *, hint: str | None = None) -> Problem:
    """Convert any exception to a problem.

    Args:
        error: The exception.
        hint: What to do about it, instead of the error's own hint.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, click.ClickException):
        return _convert_click_error(error)
    if isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        return Problem("interrupted", kind="interrupted", exit_code=ExitCode.INTERRUPTED)
    from stepflow_client import StepflowClientError

    if isinstance(error, StepflowClientError):
        name = _NAMES.get(type(error).__name__, type(error).__name__)
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", name.removesuffix("Error")).lower()
        code, hint = ExitCode.for_error(error), hint or _get_client_hint(error)
        return Problem(error.message, kind=kind, exit_code=code, run_id=error.run_id, hint=hint)
    if isinstance(error, FileNotFoundError):
        try:
            os.getcwd()
        except OSError:
            return usage("the working folder was deleted", "change to another folder")
    words = " ".join(str(error).split())
    message = f"an unexpected {type(error).__name__}" + (f": {words}" if words else "")
    return Problem(message, kind="internal", hint="-vv shows the traceback")


# Where to look for what a server does not have, by the first word of the message.
_LISTS = {
    "run": "'stepflow runs list' lists the runs of the server; another server may have it: --url",
    "flow": "'stepflow flows list' lists the flows of recent runs, 'stepflow flows store FLOW' stores one",
    "blob": "'stepflow blobs put FILE' stores a blob and prints its id; another server may have it: --url",
}


def _get_client_hint(error: StepflowClientError) -> str | None:
    """Return the hint of a client's error, with the command's options in place of the client's arguments."""
    hint = re.sub(r"^add (\w+) to the variables$", r"--var \1=VALUE sets it", error.hint or "")
    hint = re.sub(r"^the environment, which has (\w+), .*", r"--variables-from-env takes it from \1", hint)
    candidates: Sequence[str] = getattr(error, "candidates", ())
    if not hint and candidates:
        hint = f"it may be one of these runs: {', '.join(candidates)}"
    if not hint and type(error).__name__ == "NotFoundError":
        missing = re.match(r"(?:the server has no )?(run|flow|blob)\b", error.message, re.IGNORECASE)
        hint = _LISTS[missing[1].lower()] if missing is not None else ""
    return hint or None


def _convert_click_error(error: click.ClickException) -> Problem:
    # click appends its suggestions to the message; here they become the hint.
    message = error.message if hasattr(error, "possibilities") else error.format_message()
    context = getattr(error, "ctx", None)
    hint = _hint_for_option(error, context) or getattr(error, "hint", None) or _hint_for_value(error)
    if hint is None and context is not None:
        hint = f"'{context.command_path} --help' lists the options"
    message = " ".join(message.split()).rstrip(".")
    for wrong, better in _PLAINER:
        message = re.sub(wrong, better, message)
    return usage(message[:1].lower() + message[1:], hint)


def _hint_for_value(error: click.ClickException) -> str | None:
    """Return a hint with the values that a parameter takes; None if the message has them."""
    param = getattr(error, "param", None)
    if isinstance(error, click.MissingParameter) and isinstance(param, click.Argument):
        return ARGUMENTS.get(param.make_metavar(error.ctx).strip("[].") if error.ctx is not None else "")
    if isinstance(error, click.BadOptionUsage) and error.ctx is not None:
        name = error.option_name
        option = next((parameter for parameter in error.ctx.command.params if name in parameter.opts), None)
        if isinstance(option, click.Option):
            return f"write {name} alone" if option.is_flag else f"write {name} {option.metavar or 'VALUE'}"
    if isinstance(error, click.BadParameter) and isinstance(param, click.Option):
        kind = param.type
        if isinstance(kind, (click.IntRange, click.FloatRange)) and kind.min is not None:
            most = "or more" if kind.max is None else f"to {kind.max}"
            return f"give a number: {kind.min} {most}"
    return None


def has_file_option(command: click.Command) -> bool:
    """Return whether a command writes its output to the file of -O/--output."""
    return any("-O" in param.opts for param in command.params)


def _hint_for_option(error: click.ClickException, context: click.Context | None) -> str | None:
    """Return the hint for an option, or a value of one, of other commands; otherwise the most similar option.

    An option that changes or deletes things is not suggested.
    """
    from .params.foreign_words import option_hint

    if context is None:
        return None
    command, params = context.command, context.command.params
    names = {name: param for param in params for name in param.opts}
    if not isinstance(error, click.NoSuchOption):
        param, value = getattr(error, "param", None), getattr(error, "value", None)
        words = [f"{name} {value}" for name in param.opts] if isinstance(param, click.Option) and value else []
        return option_hint(command.name or "", words, names)
    option = error.option_name
    if hint := option_hint(command.name or "", [option], names):
        return hint
    if option == "-o" and has_file_option(command):
        return "-O FILE names the file"
    if option in ("-O", "--output") and not has_file_option(command) and "-o" in names:
        return "add > FILE to write a file"
    if not option.startswith("--"):
        return None
    typed, long_names = option.lstrip("-"), [name.lstrip("-") for name in names if name.startswith("--")]
    if hint := suggest(typed, long_names):
        name = f"--{hint.removeprefix('did you mean ').removesuffix('?')}"
        return None if getattr(names[name], "is_risky", False) else f"did you mean {name}?"
    if command.name in ("run", "submit") and typed.isidentifier():
        return f"a field of the input is given as --input-json '{{\"{typed}\": ...}}'"
    return None


def suggest(word: str, known: Iterable[str]) -> str | None:
    """Return the hint for a misspelt word: `did you mean ...?`, or None if nothing is near."""
    from stepflow_client._base.text import nearest

    name = nearest(word, known)
    return f"did you mean {name}?" if name else None


def wants_json(args: Sequence[str]) -> bool:
    """Return whether a command line asks for JSON; it need not be parsed yet, or even valid."""
    for word, after in zip(args, [*args[1:], ""], strict=False):
        if word == "--":
            return False
        name, _, value = word.partition("=")
        if name == "--json":
            return True
        if word in ("-o", "--format"):
            value = after
        elif word.startswith("-o"):
            value = word[2:]
        elif name != "--format":
            continue
        if value in ("json", "jsonl"):
            return True
    return False
