"""Command failures (each with a message, exit code and hint) and the session settings that control the output."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from stepflow_client import StepflowClientError


_LOG_LEVELS = ("debug", "info", "warn", "warning", "error", "critical")


@dataclass(eq=False, repr=False)
class Session:
    """The general options of one invocation (given before or after the command's name), along with shared state."""

    verbosity: int = 0
    """How many times -v was passed."""
    log_level: str | None = None
    log_file: str | None = None
    log_variable: str = field(default_factory=partial(os.environ.pop, "STEPFLOW_LOG", ""))
    """The value of STEPFLOW_LOG. It's then unset so that the client (imported later) doesn't log without escaping."""
    color: str = "auto"
    """auto, always or never."""
    json_errors: bool = False
    """Whether to report each failure as a single line of JSON."""
    quiet: bool = False
    """Whether to print only failures."""
    kept: object = None
    """The `Target` for commands that don't specify a server, if one stays open between commands."""
    server: NamedServer | None = None
    """The server in use, if failures should mention it."""
    modules: object = None
    """The `ProjectModules` of flows passed as `module:function`."""
    reporters: list[Callable[[str], None]] = field(default_factory=list)
    """Functions that report outages. Only the last one is called (it may belong to a live display, for example)."""

    @property
    def server_log_level(self) -> str | None:
        """The log level for an embedded server, if it was set on the command line."""
        return self.log_level or ("debug" if self.verbosity > 1 else None)

    def start_logging(self) -> None:
        """Enable logging for the client and an embedded server if the command line asks for it."""
        level = self.log_level or ("debug" if self.verbosity > 1 else "info" if self.verbosity else None)
        level = level or _parse_log_level_variable(self.log_variable)
        if level == "off" or (level is None and self.log_file is None):
            return
        import logging

        from .output.logging_formatter import OneLineFormatter

        try:
            handler = logging.FileHandler(self.log_file, encoding="utf-8") if self.log_file else logging.StreamHandler()
        except OSError as error:
            raise usage(f"the log file {self.log_file} cannot be written: {error.strerror}") from None
        # Don't print a traceback if the log can't be written.
        logging.raiseExceptions = False
        handler.setFormatter(OneLineFormatter())
        names = {"trace": "DEBUG", "warn": "WARNING"}
        # Set the handler's level as well, because another handler may lower the logger's level for server messages.
        handler.setLevel(names.get(level or "info", (level or "info").upper()))
        logger = logging.getLogger("stepflow")
        logger.addHandler(handler)
        logger.setLevel(handler.level)


def _parse_log_level_variable(text: str) -> str | None:
    """Return the log level from STEPFLOW_LOG, or None if it isn't set.

    Raises:
        Problem: If the value isn't a log level. (The client would log everything if it saw an invalid value.)
    """
    word = text.strip().lower()
    if not text or word in ("off", "0", "false", "no"):
        return "off" if text else None
    if word in ("1", "true", "yes"):
        return "debug"
    if word not in _LOG_LEVELS:
        raise usage(f"STEPFLOW_LOG must be {', '.join(_LOG_LEVELS)} or off, not {text!r}", suggest(word, _LOG_LEVELS))
    return word


def current_session() -> Session:
    """Return the session of the running command, or a new session if there is no command (in tests, for example)."""
    context = click.get_current_context(silent=True)
    session = context.find_root().obj if context is not None else None
    return session if isinstance(session, Session) else Session()


# These errors have their own Python classes but share one kind in JSON.
_KIND_BY_CLASS_NAME = {
    "FlowFileNotFoundError": "FlowFileError",
    "NotAFlowError": "FlowFileError",
    "ServerStartTimeoutError": "ServerStartError",
}


# Click's messages about invalid numbers, along with our own wording for them.
_CLICK_REWORDINGS = (
    (r"is not a valid integer( range)?", "is not a whole number"),
    (r"is not a valid float( range)?", "is not a number"),
    (r"is not in the range x>=(\S+)", r"is less than \1"),
    (r"is not in the range (\S+)<=x<=(\S+)", r"is not between \1 and \2"),
)
ARGUMENT_HINTS = {
    "RUN": "RUN is a run ID from 'stepflow runs list' or its first few digits, or @last",
    "BLOB_ID": "to store a blob and get its ID, run 'stepflow blobs put FILE'",
    "KEY": "to see the settings, run 'stepflow config list'",
    "VALUE": "VALUE is the setting's new value; to remove a setting, run 'stepflow config unset KEY'",
    "PATH": "PATH is a component path from 'stepflow components list'",
    "FILE|-": "FILE is a file, or - for standard input",
    "INPUTS": "INPUTS is a .jsonl, .csv or .parquet file, a list in a YAML or JSON file, or - for standard input",
    "FLOW": "FLOW is a YAML or JSON file; to create one, run 'stepflow new FILE'",
}
"""Hints for missing arguments, keyed by the argument's name in the help text."""


SERVER_FAILURE_KINDS = {
    *("server_connection", "request_timeout", "invalid_response", "api", "invalid_request", "authentication"),
    *(
        "not_found",
        "conflict",
        "idempotency_conflict",
        "rate_limit",
        "server_fault",
        "unsupported_by_server",
        "invalid_flow",
    ),
    *("run_failed", "run_cancelled", "run_timeout", "ambiguous_run"),
}
"""The kinds of failures caused by a server's response, or by the lack of one."""


class ExitCode(IntEnum):
    """The exit codes of all commands."""

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
        """Return the exit code for a client error."""
        import stepflow_client as client

        if isinstance(error, client.ServerStartError) and isinstance(error.__cause__, client.FlowFileError):
            # The server rejected its configuration.
            return cls.USAGE
        names = (kind.__name__ for kind in type(error).__mro__)
        return next((_EXIT_CODES[name] for name in names if name in _EXIT_CODES), cls.FAILED)


# Exit codes for client errors, keyed by class name because importing the classes would be slow.
_EXIT_CODES = {
    **dict.fromkeys(("FlowFileError", "InvalidArgumentError", "IdempotencyConflictError"), ExitCode.USAGE),
    **dict.fromkeys(("JournalError", "ServerNotInstalledError", "DrawingUnavailableError"), ExitCode.USAGE),
    **dict.fromkeys(("TransportError", "AuthenticationError", "EmbeddedServerError"), ExitCode.NO_SERVER),
    "InvalidFlowError": ExitCode.INVALID_FLOW,
    "RunTimeoutError": ExitCode.TIMED_OUT,
    "AmbiguousRunError": ExitCode.AMBIGUOUS,
}
EXIT_CODES_HELP = (
    "Exit codes: 0 success; 1 the run failed, or the server refused; 2 usage error, missing extra, missing or "
    "malformed file, input or ID; 3 the flow is invalid; 4 no server, a port in use, or not authorized; 5 timed out (a "
    "run on a server continues); 6 cancelled; 7 a run may or may not have been created; 130 interrupted."
)


class NamedServer(NamedTuple):
    """How messages refer to a server."""

    url: str
    """The URL, without the password."""
    origin: str
    """Where the URL comes from, e.g. `from STEPFLOW_URL`."""


class Problem(Exception):
    """A command failure.

    Args:
        message: One sentence, without a period.
        kind: A machine-readable name for the failure.
        exit_code: The command's exit code. Defaults to 1.
        run_id: The affected run, if any.
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
        """The server that caused the failure, if any."""

    def to_record(self) -> dict[str, Any]:
        """Return the problem as a record for JSON output."""
        return {
            "kind": self.kind,
            "message": self.message,
            "exit_code": int(self.exit_code),
            "run_id": self.run_id,
            "hint": self.hint,
            **({} if self.server is None else {"server": self.server.url}),
        }


def usage(message: str, hint: str | None = None) -> Problem:
    """Return a problem (exit code 2) for an invalid command line or for an invalid file named on it."""
    return Problem(message, kind="usage", exit_code=ExitCode.USAGE, hint=hint)


def interrupted_problem(message: str, hint: str | None = None, *, run_id: str | None = None) -> Problem:
    """Return a problem for a command interrupted by Ctrl-C."""
    return Problem(message, kind="interrupted", exit_code=ExitCode.INTERRUPTED, run_id=run_id, hint=hint)


def require_extra(what: str, extra: str, *packages: str) -> None:
    """Make sure that an extra's packages are installed.

    Args:
        what: The feature that needs the packages.
        extra: The name of the stepflow-cli extra.
        packages: The packages' import names.

    Raises:
        Problem: If a package is missing.
    """
    from importlib.util import find_spec

    if any(find_spec(name) is None for name in packages):
        raise missing_extra_problem(what, extra)


def missing_extra_problem(what: str, extra: str) -> Problem:
    """Return a problem with a hint on how to install the extra."""
    from stepflow_client._command import install_command

    message = f"{what} needs the extra stepflow-cli[{extra}], which is not installed"
    hint = install_command("stepflow-cli", extra)
    return Problem(message, kind="not_installed", exit_code=ExitCode.USAGE, hint=hint)


def convert_to_problem(error: BaseException, *, hint: str | None = None) -> Problem:
    """Convert any exception to a problem.

    Args:
        error: The exception.
        hint: What to do about it. This replaces the error's own hint.
    """
    if isinstance(error, Problem):
        return error
    if isinstance(error, click.ClickException):
        return _convert_click_error(error)
    if isinstance(error, (KeyboardInterrupt, click.exceptions.Abort)):
        return interrupted_problem("interrupted")
    from stepflow_client import StepflowClientError

    if isinstance(error, StepflowClientError):
        name = _KIND_BY_CLASS_NAME.get(type(error).__name__, type(error).__name__)
        kind = re.sub(r"(?<!^)(?=[A-Z])", "_", name.removesuffix("Error")).lower()
        code, hint = ExitCode.for_error(error), hint or _adapt_client_hint(error)
        return Problem(error.message, kind=kind, exit_code=code, run_id=error.run_id, hint=hint)
    if isinstance(error, FileNotFoundError):
        try:
            os.getcwd()
        except OSError:
            return usage("the working folder was deleted", "change to another folder")
    words = " ".join(str(error).split())
    message = f"unexpected {type(error).__name__}" + (f": {words}" if words else "")
    return Problem(message, kind="internal", hint="to see the traceback, use -vv")


# Hints for objects that don't exist on the server, keyed by the kind of object.
_LIST_HINTS = {
    "run": "to list the server's runs, run 'stepflow runs list'; to try a different server, use --url",
    "flow": "to list recent flows, run 'stepflow flows list'; to store one, run 'stepflow flows store FLOW'",
    "blob": "to store a blob and get its ID, run 'stepflow blobs put FILE'; to try a different server, use --url",
}


def _adapt_client_hint(error: StepflowClientError) -> str | None:
    """Return the client's hint, but with command-line options instead of function arguments."""
    hint = re.sub(r"^add (\w+) to the variables\b", r"set it with --var \1=VALUE", error.hint or "")
    hint = re.sub(r"or read (\w+) from the environment$", r"or read \1 with --variables-from-env", hint)
    hint = re.sub(r"\bcheck_input=False\b", "--no-check", hint.replace("timeout= in Python, or ", ""))
    hint = re.sub(r"\btimeout=", "--timeout", hint)
    hint = hint.replace("to keep it anyway, set force;", "to keep it anyway, use --force;")
    see = f", or 'stepflow runs get {error.run_id}' to see the existing run" if error.run_id else ""
    hint = hint.replace(", or find_run() to get the existing run", see)
    candidates: Sequence[str] = getattr(error, "candidates", ())
    if not hint and candidates:
        hint = f"it may be one of these runs: {', '.join(candidates)}"
    if not hint and type(error).__name__ == "NotFoundError":
        missing = re.match(r"(?:the server has no )?(run|flow|blob)\b", error.message, re.IGNORECASE)
        hint = _LIST_HINTS[missing[1].lower()] if missing is not None else ""
    return hint or None


def _convert_click_error(error: click.ClickException) -> Problem:
    # Click appends its suggestions to the message. Move them to the hint.
    message = error.message if hasattr(error, "possibilities") else error.format_message()
    context = getattr(error, "ctx", None)
    hint = _hint_intended_option(error, context) or getattr(error, "hint", None) or _hint_expected_value(error)
    if hint is None and context is not None:
        hint = f"to list the options, run '{context.command_path} --help'"
    message = " ".join(message.split()).rstrip(".")
    for wrong, better in _CLICK_REWORDINGS:
        message = re.sub(wrong, better, message)
    return usage(message[:1].lower() + message[1:], hint)


def _hint_expected_value(error: click.ClickException) -> str | None:
    """Return a hint about the expected value, or None if the message already says what it is."""
    param = getattr(error, "param", None)
    if isinstance(error, click.MissingParameter) and isinstance(param, click.Argument):
        return ARGUMENT_HINTS.get(param.make_metavar(error.ctx).strip("[].") if error.ctx is not None else "")
    if isinstance(error, click.BadOptionUsage) and error.ctx is not None:
        name = error.option_name
        option = next((parameter for parameter in error.ctx.command.params if name in parameter.opts), None)
        if isinstance(option, click.Option):
            return f"use {name} without a value" if option.is_flag else f"use {name} {option.metavar or 'VALUE'}"
    if isinstance(error, click.BadParameter) and isinstance(param, click.Option):
        kind = param.type
        if isinstance(kind, (click.IntRange, click.FloatRange)) and kind.min is not None:
            most = "or more" if kind.max is None else f"to {kind.max}"
            return f"use a number: {kind.min} {most}"
    return None


def has_output_file_option(command: click.Command) -> bool:
    """Return True if a command can write its output to a file with -O/--output."""
    return any("-O" in param.opts for param in command.params)


def _hint_intended_option(error: click.ClickException, context: click.Context | None) -> str | None:
    """Return a hint for an option or value that another command would accept, or else suggest the most similar option.

    Never suggest options that change or delete things.
    """
    from .params.usage_error_hints import find_unknown_option_hint

    if context is None:
        return None
    command, params = context.command, context.command.params
    names = {name: param for param in params for name in param.opts}
    if not isinstance(error, click.NoSuchOption):
        param, value = getattr(error, "param", None), getattr(error, "value", None)
        words = [f"{name} {value}" for name in param.opts] if isinstance(param, click.Option) and value else []
        return find_unknown_option_hint(command.name or "", words, names)
    option = error.option_name
    if hint := find_unknown_option_hint(command.name or "", [option], names):
        return hint
    if option == "-o" and has_output_file_option(command):
        return "for a file, use -O FILE"
    if option in ("-O", "--output") and not has_output_file_option(command) and "-o" in names:
        return "for a file, add > FILE"
    if not option.startswith("--"):
        return None
    typed, long_names = option.lstrip("-"), [name.lstrip("-") for name in names if name.startswith("--")]
    if hint := suggest(typed, long_names):
        name = f"--{hint.removeprefix('did you mean ').removesuffix('?')}"
        return None if getattr(names[name], "is_risky", False) else f"did you mean {name}?"
    if command.name in ("run", "submit") and typed.isidentifier():
        return f"to set an input field, use --input-json '{{\"{typed}\": ...}}'"
    return None


def suggest(word: str, known: Iterable[str]) -> str | None:
    """Return a `did you mean ...?` hint for a misspelled word, or None if no known word is similar."""
    from stepflow_client._command import find_nearest

    name = find_nearest(word, known)
    return f"did you mean {name}?" if name else None


def wants_json(args: Sequence[str]) -> bool:
    """Return True if a command line asks for JSON. It may be invalid, because usage errors are printed as JSON too."""
    return any(
        name == "--json" or (name in ("-o", "--format") and value in ("json", "jsonl"))
        for name, value in _iter_raw_options(args)
    )


def find_color_option(args: Sequence[str]) -> str:
    """Return a command line's `--color` value.

    The command line may be invalid, because usage errors are colored too.
    """
    values = [value for name, value in _iter_raw_options(args) if name == "--color" and value in ("always", "never")]
    return values[-1] if values else "auto"


def _iter_raw_options(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each word before `--` as if it were an option, along with the value it would then have."""
    for word, after in pairwise([*args, ""]):
        if word == "--":
            return
        name, is_joined, value = word.partition("=")
        if word.startswith("-o"):
            yield "-o", word[2:] or after
        else:
            yield name, value if is_joined else after
