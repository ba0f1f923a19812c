"""An embedded server's log: settings, entries, and a parser for log lines."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeVar, cast, get_args

from ._data.arguments import check_choice, check_flags, check_integer
from .errors import InvalidArgumentError
from .types.model_base import Record

__all__ = ["LogConfig", "LogEntry", "LogLevel"]

LogLevel = Literal["trace", "debug", "info", "warn", "error"]
LevelFilter = Literal["trace", "debug", "info", "warn", "error", "off"]
Stream = Literal["stdout", "stderr"]

_RUN_ID_FIELD = re.compile(r"run_id=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
# In log records from this part of the server, the diagnostics include the current run's ID. In records from other
# parts, they keep the ID of the run that the part was started for.
_EXECUTOR_TARGET = "stepflow_execution"
# Worker output arrives through a separate pipe, so it may be read up to this many seconds after the server's output.
_MAX_WORKER_DELAY_SECONDS = 1.0
_ANSI_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BACKTRACE_RULE = "━━━"  # The server prints this line between an error report and its backtraces.
_WORKER_LINE_PREFIX = "Component stderr: "
_TREE_CHARACTERS = "│├╰─▶╴ "
# How server log lines start in every release.
_RECORD_START = re.compile(rb'\{"timestamp":"[^"]*","level":"(TRACE|DEBUG|INFO|WARN|ERROR)"')
_STANDARD_KEYS = frozenset({"timestamp", "level", "target", "file", "line", "message"})


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Controls how much an embedded server logs, and where its log lines go.

    The runtime always reads the output, whatever the settings, because the server would otherwise block on a full pipe.

    Raises:
        InvalidArgumentError: If a level is unknown, or a number is not positive.
    """

    level: LevelFilter | None = None
    """The level of the server's own log lines. With `"off"`, you won't see the reason for a failed start either.

    Defaults to None, which means `"info"` if someone is likely to read the lines: if the logger that receives them is
    enabled for INFO when the server starts, or if the server starts workers (whose lines need the server's for
    context). Otherwise it means `"warn"`, because a server at level info uses a third more CPU for a small run.
    """

    other_level: LevelFilter | None = None
    """The level for libraries inside the server. Defaults to None, which uses `level`."""

    capture: bool = True
    """Whether to keep lines for `StepflowRuntime.get_recent_logs`. Defaults to True."""

    buffer_lines: int = 1000
    """Maximum number of lines to keep. The oldest are dropped first. Defaults to 1000."""

    forward: bool = True
    """Whether to pass lines to the Python logger `stepflow.server`, or to `python_logger`. Defaults to True.

    Each record has the line's level, and the attributes `target` (the part of the server), `stream`, `server_pid`,
    `run_id` and `trace_id` (of the line's run, or None). A slow or failing handler never blocks the server: any lines
    it can't process in time are dropped and counted.
    """

    max_line_length: int = 65_536
    """Maximum line length in bytes. Longer lines are truncated. Defaults to 65,536."""

    python_logger: logging.Logger | str | None = None
    """A logger or logger name to use instead of `stepflow.server`."""

    def __post_init__(self) -> None:
        """Reject invalid settings before a server starts."""
        levels = get_args(LevelFilter)
        for name in ("level", "other_level"):
            value = getattr(self, name)
            if value is not None:
                check_choice(value, name, levels)
        if self.python_logger is not None and not isinstance(self.python_logger, logging.Logger | str):
            kind = type(self.python_logger).__name__
            raise InvalidArgumentError(f"python_logger must be a logging.Logger or its name, not {kind}")
        for name in ("buffer_lines", "max_line_length"):
            check_integer(getattr(self, name), name, least=1)
        check_flags(capture=self.capture, forward=self.forward)

    def arguments(self, default: LevelFilter = "warn") -> list[str]:
        """Return the server's command-line arguments for these settings.

        Args:
            default: The level to use if `level` is None.
        """
        arguments = ["--log-destination", "stdout", "--log-format", "json", "--log-level", self.level or default]
        if self.other_level is not None:
            arguments += ["--other-log-level", self.other_level]
        return arguments


@dataclass(frozen=True, slots=True)
class LogEntry(Record):
    """One log line from an embedded server or one of its workers."""

    timestamp: datetime
    """When the line was logged (or when it was read, if it has no timestamp), with a timezone."""

    level: LogLevel
    """The severity, or a guess if the line doesn't include one."""

    message: str
    """The text, without terminal color codes."""

    target: str = ""
    """The part of the server that logged the line, e.g. `stepflow_server::startup`. Empty if unknown."""

    stream: Stream = "stdout"
    """The stream that the line was written to. Workers write to stderr."""

    file: str | None = None
    """The source file of the server code that logged the line, if the line includes it."""

    line: int | None = None
    """The line number in that file, if the log line includes it."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """The line's other fields."""

    @property
    def run_ids(self) -> frozenset[str]:
        """The IDs of the runs the line mentions."""
        named = frozenset(_RUN_ID_FIELD.findall(self.message))
        beside = self.fields.get("run_id")
        if not named and beside is None and self.target.startswith(_EXECUTOR_TARGET):
            beside = self._diagnostic_fields.get("run_id")
        return named if named or beside is None else frozenset((str(beside),))

    @property
    def run_id(self) -> str | None:
        """The ID of the run that the line mentions, or None if it mentions none or more than one."""
        run_ids = self.run_ids
        return next(iter(run_ids)) if len(run_ids) == 1 else None

    @property
    def trace_id(self) -> str | None:
        """The ID of the line's server trace (32 hexadecimal digits), or None.

        The server starts a new trace for each run.
        """
        trace_id = self._diagnostic_fields.get("trace_id")
        if not isinstance(trace_id, str) or not trace_id.isalnum():
            return None
        # Older servers log it as a decimal number.
        return f"{int(trace_id):032x}" if len(trace_id) != 32 and trace_id.isdecimal() else trace_id

    @property
    def _diagnostic_fields(self) -> Mapping[str, Any]:
        diagnostics = self.fields.get("diags")
        return diagnostics if isinstance(diagnostics, Mapping) else {}

    def __str__(self) -> str:
        """Return the entry as readable text, without backtraces."""
        text = self.message.partition(_BACKTRACE_RULE)[0].rstrip()
        return f"{self.level.upper()} {self.target}: {text}" if self.target else text


class HasRunIds(Protocol):
    """The parts of a log line that `find_run_lines` needs."""

    @property
    def message(self) -> str:
        """The text."""
        ...

    @property
    def target(self) -> str:
        """The part of the server that logged it. Empty for worker lines."""
        ...

    @property
    def run_ids(self) -> frozenset[str]:
        """The IDs of the runs the line mentions."""
        ...


Line = TypeVar("Line", bound=HasRunIds)


def find_run_lines(
    lines: Sequence[Line], run_id: str, seconds: Callable[[Line], float], *, include_other_runs: bool = False
) -> list[Line]:
    """Return all lines from the first one that mentions a run to the last one that does, in order.

    Worker lines read up to a second after that are included too, because worker output may arrive late.

    Args:
        lines: Lines of a server and its workers, oldest first.
        run_id: The full run ID.
        seconds: A function that returns a line's time in seconds.
        include_other_runs: Whether to include lines that mention only other runs. Defaults to False.
    """
    places = [place for place, line in enumerate(lines) if run_id in line.run_ids or run_id in line.message]
    if not places:
        return []
    first, last = places[0], places[-1]
    until = seconds(lines[last]) + _MAX_WORKER_DELAY_SECONDS
    late = [line for line in lines[last + 1 :] if not line.target and seconds(line) <= until]
    span = [*lines[first : last + 1], *late]
    return span if include_other_runs else [line for line in span if not line.run_ids or run_id in line.run_ids]


class RawLine(NamedTuple):
    """An unparsed line. It's parsed only if needed, because parsing lines can cost more than a small run."""

    data: bytes
    """The line without its line ending."""

    stream: Stream
    read_at: float
    """When the line was read, in seconds since the epoch."""

    level: LogLevel
    is_record: bool
    """Whether the line is a JSON log record written by the server itself."""

    @classmethod
    def from_bytes(cls, data: bytes, stream: Stream, read_at: float) -> Self:
        """Create a raw line with its level. For a server log record, the level can be read without parsing the line."""
        if stream == "stdout" and (match := _RECORD_START.match(data)) and data.endswith(b"}"):
            return cls(data, stream, read_at, _LEVELS_BY_WORD[match[1]], True)
        return cls(data, stream, read_at, parse_line(data, stream).level, False)

    def parse_entry(self) -> LogEntry:
        """Parse the line."""
        return parse_line(self.data, self.stream, self.read_at)


_LEVELS_BY_WORD: dict[bytes, LogLevel] = {level.upper().encode(): level for level in get_args(LogLevel)}


class LineSplitter:
    """Splits a byte stream into lines, truncating each to `max_length` bytes."""

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._partial_line = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines completed by `data`, without line endings."""
        first, *others = data.split(b"\n")
        self._append_to_unfinished_line(first)
        if not others:
            return []
        *finished, rest = others
        lines = [self.flush(), *(piece[: self._max_length].removesuffix(b"\r") for piece in finished)]
        self._append_to_unfinished_line(rest)
        return lines

    def flush(self) -> bytes:
        """Clear the buffer and return its contents as a line, even if unfinished."""
        line = bytes(self._partial_line)
        self._partial_line.clear()
        return line.removesuffix(b"\r")

    def _append_to_unfinished_line(self, piece: bytes) -> None:
        # Don't build a new string for every piece: a long line arrives in many pieces.
        self._partial_line += piece[: self._max_length - len(self._partial_line)]


def parse_port(line: bytes) -> int | None:
    """Return the port if this is the line in which the server reports it, or None otherwise."""
    if not line.startswith(b'{"port"'):
        return None
    try:
        value = json.loads(line)
    except ValueError:
        return None
    port = value.get("port")
    return port if len(value) == 1 and isinstance(port, int) else None


def parse_line(line: bytes, stream: Stream, read_at: float | None = None) -> LogEntry:
    """Parse one line. A line that isn't a JSON log record becomes an entry with the raw text as its message.

    Args:
        line: The line without its line ending.
        stream: The stream that the line was written to.
        read_at: When the line was read, in seconds since the epoch. Used for lines without a timestamp. Defaults to
            now.
    """
    read = datetime.fromtimestamp(time.time() if read_at is None else read_at, UTC)
    text = line.decode("utf-8", "replace")
    try:
        record = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        record = None
    if not (isinstance(record, dict) and isinstance(record.get("message"), str) and "level" in record):
        plain = _ANSI_ESCAPE.sub("", text)
        return LogEntry(read, _guess_level(plain), plain, stream=stream)
    level, number = str(record["level"]).lower(), record.get("line")
    try:
        timestamp = datetime.fromisoformat(str(record.get("timestamp")))
    except ValueError:
        timestamp = read
    return LogEntry(
        timestamp=timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC),
        level=cast(LogLevel, level) if level in get_args(LogLevel) else "info",
        message=_ANSI_ESCAPE.sub("", record["message"]),
        target=str(record.get("target") or ""),
        stream=stream,
        file=None if record.get("file") is None else str(record["file"]),
        line=number if isinstance(number, int) else None,
        fields={key: value for key, value in record.items() if key not in _STANDARD_KEYS},
    )


def _guess_level(text: str) -> LogLevel:
    start = text[:200].lower()
    if "panicked at" in start or "error" in start or start.startswith("traceback") or "critical" in start:
        return "error"
    if "warn" in start:
        return "warn"
    return "debug" if "debug" in start else "info"


def find_failure_reason(entries: Iterable[LogEntry]) -> str | None:
    """Return the reason for the server's exit as a single line, or None if the entries don't contain it.

    The server's own error report takes precedence over errors from workers and the command line.
    """
    errors = [entry for entry in entries if entry.level == "error"]
    reports = [entry for entry in errors if entry.target] or errors
    if not reports:
        return None
    causes: list[str] = []
    for line in reports[-1].message.partition(_BACKTRACE_RULE)[0].splitlines():
        cause = line.strip(_TREE_CHARACTERS).removeprefix("Server error: ")
        if cause and not cause.startswith(("at ", "backtrace (")) and cause not in causes:
            causes.append(cause)
    return ": ".join(causes)[:1000] or None


def find_last_worker_message(entries: Sequence[LogEntry]) -> str | None:
    """Return the last line written by a worker. If the worker printed a traceback, this is the exception."""
    for entry in reversed(entries):
        if entry.fields and entry.level not in ("warn", "error"):
            # Skip other log records: they don't explain why a worker exited, and they may come from a different worker.
            continue
        # Older servers relay their workers' output.
        if entry.stream == "stderr" or entry.message.startswith(_WORKER_LINE_PREFIX):
            return entry.message.removeprefix(_WORKER_LINE_PREFIX).strip()[:1000] or None
    return None
