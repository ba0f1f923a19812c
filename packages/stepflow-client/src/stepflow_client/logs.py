"""The log of an embedded server: settings, entries, and the parser of its lines."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeVar, cast, get_args

from ._data.arguments import check_choice, check_flag, check_integer
from .errors import InvalidArgumentError
from .types.models import Record

__all__ = ["LogConfig", "LogEntry", "LogLevel"]

LogLevel = Literal["trace", "debug", "info", "warn", "error"]
LevelFilter = Literal["trace", "debug", "info", "warn", "error", "off"]
Stream = Literal["stdout", "stderr"]

_RUN_ID = re.compile(r"run_id=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
# The part of the server whose records belong to the run in their diagnostics. Records of other parts keep the run for
# which the part was started.
_EXECUTOR = "stepflow_execution"
# Lines from workers come through a different pipe than the server's; they may be read later by up to this time.
_MAX_WORKER_DELAY = 1.0
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BACKTRACE_RULE = "━━━"  # the server draws it between an error report and its backtraces
_WORKER_LINE = "Component stderr: "
_BRANCHES = "│├╰─▶╴ "
# How every release begins a line of its own.
_RECORD = re.compile(rb'\{"timestamp":"[^"]*","level":"(TRACE|DEBUG|INFO|WARN|ERROR)"')
_OWN_KEYS = frozenset({"timestamp", "level", "target", "file", "line", "message"})


@dataclass(frozen=True, slots=True)
class LogConfig:
    """How much an embedded server logs, and where its lines go.

    The runtime always reads the server's output, whatever the settings: otherwise the server would block once the pipe
    is full.

    Raises:
        InvalidArgumentError: If a level is unknown, or if a number is not positive.
    """

    level: LevelFilter | None = None
    """The level of the server's own log lines. `"off"` also hides the reason for a failed start.

    None, the default, is `"info"` if somebody reads these lines: if the logger that receives them is enabled for INFO
    when the server is started, or if the server starts workers, whose output they put into context. Otherwise it is
    `"warn"`: at level info a server needs a third more CPU for a small run.
    """

    other_level: LevelFilter | None = None
    """The level of log lines from the libraries inside the server; None, the default, uses `level`."""

    capture: bool = True
    """Whether to keep lines for `StepflowRuntime.get_recent_logs`. Default True."""

    buffer_lines: int = 1000
    """Maximum number of lines to keep; the oldest are dropped first. Default 1000."""

    forward: bool = True
    """Whether to pass lines to the Python logger `stepflow.server`, or to `python_logger`. Default True.

    Each record has the level of the line and the attributes `target` (the part of the server), `stream`, `server_pid`,
    `run_id` and `trace_id` (of the run that the line is about, or None). A handler that raises an exception or is slow
    never blocks the server: lines that it cannot process in time are dropped and counted.
    """

    max_line_length: int = 65_536
    """Maximum length of a line in bytes; longer lines are cut. Default 65,536."""

    python_logger: logging.Logger | str | None = None
    """A logger, or its name, to pass lines to instead of `stepflow.server`."""

    def __post_init__(self) -> None:
        """Refuse invalid settings before a server is started."""
        levels = get_args(LevelFilter)
        for name in ("level", "other_level"):
            value = getattr(self, name)
            if value is not None:
                check_choice(value, name, levels)
        if self.python_logger is not None and not isinstance(self.python_logger, logging.Logger | str):
            raise InvalidArgumentError(
                f"python_logger is a logging.Logger or its name, not {type(self.python_logger).__name__}"
            )
        for name in ("buffer_lines", "max_line_length"):
            check_integer(getattr(self, name), name, least=1)
        for name in ("capture", "forward"):
            check_flag(getattr(self, name), name)

    def arguments(self, default: LevelFilter = "warn") -> list[str]:
        """Return the server's command-line arguments for these settings.

        Args:
            default: The level if `level` is None.
        """
        arguments = ["--log-destination", "stdout", "--log-format", "json", "--log-level", self.level or default]
        if self.other_level is not None:
            arguments += ["--other-log-level", self.other_level]
        return arguments


@dataclass(frozen=True, slots=True)
class LogEntry(Record):
    """One line in the log of an embedded server or of one of its workers."""

    timestamp: datetime
    """When the line was written, with a timezone. If the line has no time, when it was read."""

    level: LogLevel
    """The severity; guessed if the line has none."""

    message: str
    """The text, without terminal colours."""

    target: str = ""
    """The part of the server that wrote the line, such as `stepflow_server::startup`; empty if unknown."""

    stream: Stream = "stdout"
    """The stream that the line was written to. Workers write to stderr."""

    file: str | None = None
    """The server's source file, if the line has it."""

    line: int | None = None
    """The line in that file, if the log line has it."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of the line."""

    @property
    def run_ids(self) -> frozenset[str]:
        """The ids of the runs that the line names."""
        named = frozenset(_RUN_ID.findall(self.message))
        beside = self.fields.get("run_id")
        if not named and beside is None and self.target.startswith(_EXECUTOR):
            beside = self._diagnostics.get("run_id")
        return named if named or beside is None else frozenset((str(beside),))

    @property
    def run_id(self) -> str | None:
        """The id of the run that the line is about; None if it names none, or several."""
        run_ids = self.run_ids
        return next(iter(run_ids)) if len(run_ids) == 1 else None

    @property
    def trace_id(self) -> str | None:
        """The id of the server's trace in which the line was written, as 32 hexadecimal digits; None without one.

        A server starts a trace for each run.
        """
        trace_id = self._diagnostics.get("trace_id")
        if not isinstance(trace_id, str) or not trace_id.isalnum():
            return None
        # Older servers write it as a decimal number.
        return f"{int(trace_id):032x}" if len(trace_id) != 32 and trace_id.isdecimal() else trace_id

    @property
    def _diagnostics(self) -> Mapping[str, Any]:
        diagnostics = self.fields.get("diags")
        return diagnostics if isinstance(diagnostics, Mapping) else {}

    def __str__(self) -> str:
        """Return the entry as readable text, without backtraces."""
        text = self.message.partition(_BACKTRACE_RULE)[0].rstrip()
        return f"{self.level.upper()} {self.target}: {text}" if self.target else text


class RunLine(Protocol):
    """What `find_run_lines` needs of a log line."""

    @property
    def message(self) -> str:
        """The text."""
        ...

    @property
    def target(self) -> str:
        """The part of the server that wrote it; empty for a worker's line."""
        ...

    @property
    def run_ids(self) -> frozenset[str]:
        """The ids of the runs that the line names."""
        ...


Line = TypeVar("Line", bound=RunLine)


def find_run_lines(
    lines: Sequence[Line], run_id: str, seconds: Callable[[Line], float], *, others: bool = False
) -> list[Line]:
    """Return the lines from the first one that names a run to the last, in their order.

    Args:
        lines: The lines of a server and its workers, oldest first.
        run_id: The complete id.
        seconds: Returns the time of a line, in seconds.
        others: Whether to include lines that name only other runs. Default False.
    """
    places = [place for place, line in enumerate(lines) if run_id in line.run_ids or run_id in line.message]
    if not places:
        return []
    first, last = places[0], places[-1]
    until = seconds(lines[last]) + _MAX_WORKER_DELAY
    late = [line for line in lines[last + 1 :] if not line.target and seconds(line) <= until]
    span = [*lines[first : last + 1], *late]
    return span if others else [line for line in span if not line.run_ids or run_id in line.run_ids]


class RawLine(NamedTuple):
    """A line as it was written. It is parsed only when it is read, because parsing costs more than many small runs."""

    data: bytes
    """The line without its end."""

    stream: Stream
    read_at: float
    """When it was read, in seconds since the epoch."""

    level: LogLevel
    is_record: bool
    """Whether it is a record of the server's own log, in JSON."""

    @classmethod
    def of(cls, data: bytes, stream: Stream, read_at: float) -> Self:
        """Return a line with its level, which is found without parsing in the server's own records."""
        if stream == "stdout" and (match := _RECORD.match(data)) and data.endswith(b"}"):
            return cls(data, stream, read_at, _WORDS[match[1]], True)
        return cls(data, stream, read_at, parse_line(data, stream).level, False)

    def entry(self) -> LogEntry:
        """Parse the line."""
        return parse_line(self.data, self.stream, self.read_at)


_WORDS: dict[bytes, LogLevel] = {level.upper().encode(): level for level in get_args(LogLevel)}


class LineSplitter:
    """Splits a stream of bytes into lines, keeping at most `max_length` bytes of an unfinished one."""

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, without their line ends."""
        first, *others = data.split(b"\n")
        self._hold(first)
        if not others:
            return []
        *finished, rest = others
        lines = [self.flush(), *(piece[: self._max_length].removesuffix(b"\r") for piece in finished)]
        self._hold(rest)
        return lines

    def flush(self) -> bytes:
        """Return the buffered bytes as a line, finished or not, and clear the buffer."""
        line = bytes(self._held)
        self._held.clear()
        return line.removesuffix(b"\r")

    def _hold(self, piece: bytes) -> None:
        self._held += piece[: self._max_length - len(self._held)]


def parse_port(line: bytes) -> int | None:
    """Return the port if this is the line with which the server reports it, else None."""
    if not line.startswith(b'{"port"'):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    port = value.get("port")
    return port if len(value) == 1 and isinstance(port, int) else None


def parse_line(line: bytes, stream: Stream, read_at: float | None = None) -> LogEntry:
    """Parse one line; a line that is not a JSON log line becomes an entry with its raw text.

    Args:
        line: The line without its end.
        stream: The stream that it was written to.
        read_at: When it was read, in seconds since the epoch, for lines without a time; None for now.
    """
    read = datetime.fromtimestamp(time.time() if read_at is None else read_at, UTC)
    text = line.decode("utf-8", "replace")
    try:
        record = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        record = None
    if not (isinstance(record, dict) and isinstance(record.get("message"), str) and "level" in record):
        plain = _strip_ansi(text)
        return LogEntry(read, _guess_level(plain), plain, stream=stream)
    level, number = str(record["level"]).lower(), record.get("line")
    try:
        timestamp = datetime.fromisoformat(str(record.get("timestamp")))
    except ValueError:
        timestamp = read
    return LogEntry(
        timestamp=timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC),
        level=cast(LogLevel, level) if level in get_args(LogLevel) else "info",
        message=_strip_ansi(record["message"]),
        target=str(record.get("target") or ""),
        stream=stream,
        file=None if record.get("file") is None else str(record["file"]),
        line=number if isinstance(number, int) else None,
        fields={key: value for key, value in record.items() if key not in _OWN_KEYS},
    )


def _strip_ansi(text: str) -> str:
    return _ANSI.sub("", text) if "\x1b" in text else text


def _guess_level(text: str) -> LogLevel:
    start = text[:200].lower()
    if "panicked at" in start or "error" in start or start.startswith("traceback") or "critical" in start:
        return "error"
    if "warn" in start:
        return "warn"
    return "debug" if "debug" in start else "info"


def find_failure_reason(entries: Iterable[LogEntry]) -> str | None:
    """Return the reason why the server ended, in one line; None if its last lines do not contain one.

    The server's own error report takes precedence over errors of workers and of the command line.
    """
    errors = [entry for entry in entries if entry.level == "error"]
    reports = [entry for entry in errors if entry.target] or errors
    if not reports:
        return None
    causes: list[str] = []
    for line in reports[-1].message.partition(_BACKTRACE_RULE)[0].splitlines():
        cause = line.strip(_BRANCHES).removeprefix("Server error: ")
        if cause and not cause.startswith(("at ", "backtrace (")) and cause not in causes:
            causes.append(cause)
    return ": ".join(causes)[:1000] or None


def find_worker_message(entries: Sequence[LogEntry]) -> str | None:
    """Return the last line that a worker wrote, which is the exception if it wrote a traceback."""
    for entry in reversed(entries):
        if entry.fields and entry.level not in ("warn", "error"):
            # A log record of a working worker does not explain why one ended, and may be from another worker.
            continue
        # Older servers pass the lines of their workers on.
        if entry.stream == "stderr" or entry.message.startswith(_WORKER_LINE):
            return entry.message.removeprefix(_WORKER_LINE).strip()[:1000] or None
    return None
