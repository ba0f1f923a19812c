"""Log files of embedded servers on this machine. Commands that start a server write them, and `runs logs` reads them.

Each command writes to its own file, because processes can't share a file that is rotated by size. The server's records
are written unchanged and are only parsed when they are read. Only lines at level info and above are kept, because debug
lines contain inputs and outputs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from stepflow_client import StepflowClientError
from stepflow_client._base.text_formatting import format_rfc3339
from stepflow_client._command import get_stepflow_user_folder

from ..errors import Problem
from ..output.messages import note
from ..settings.run_history import get_history_setting

if TYPE_CHECKING:
    from stepflow_client.logs import RawLine

KEPT_LEVELS = ("info", "warn", "error")
"""The levels of the lines to keep, from least to most severe."""

_MAX_LOG_FILES = 50
# Maximum size of a file in bytes. A full file is rotated, replacing the previously rotated one.
_MAX_FILE_BYTES = 10 * 2**20


@dataclass(frozen=True)
class KeptLogLine:
    """A log line from a server or one of its workers."""

    time: str
    """The RFC 3339 time at which the server wrote the line or, for a worker, at which the command read it."""
    level: str
    target: str
    """The part of the server that wrote the line. Empty if a worker wrote it."""
    message: str
    times: int = 1
    """How many times in a row the line occurs."""
    run_ids: frozenset[str] = frozenset()
    """The IDs of the runs that the line mentions."""
    exception: str | None = None
    """The traceback that a worker logged along with the line."""


@contextmanager
def keeping_logs() -> Iterator[None]:
    """Write the logs of embedded servers to a file while the block is running, unless the history is off."""
    from stepflow_client._command import listening_to_server_logs

    with ExitStack() as stack:
        try:
            if get_history_setting().value != "off":
                stack.enter_context(listening_to_server_logs(_LogWriter().append_lines))
        except (OSError, Problem, StepflowClientError) as error:
            note(f"the server's log is not kept: {getattr(error, 'strerror', None) or error}")
        yield


def read_run_log_lines(run_id: str, *, include_other_runs: bool = False) -> list[KeptLogLine]:
    """Return the log lines from the first to the last mention of a run, oldest first.

    Args:
        run_id: The complete ID.
        include_other_runs: Whether to include lines that mention other runs but not this one.

    Returns:
        The lines, with repeated ones merged. Empty if no line mentions the run.
    """
    from stepflow_client import logs

    def get_timestamp(line: KeptLogLine) -> float:
        return datetime.fromisoformat(line.time).timestamp()

    lines: list[KeptLogLine] = []
    for log in _parse_log_files_containing(run_id):
        lines += logs.find_run_lines(log, run_id, get_timestamp, include_other_runs=include_other_runs)
    merged = []
    for _, repeated in groupby(lines, key=lambda line: (line.level, line.target, line.message, line.exception)):
        first, *more = repeated
        merged.append(replace(first, times=1 + len(more)))
    return merged


def find_logged_run_ids_with_prefix(text: str) -> list[str]:
    """Return the IDs of logged runs with a given prefix, newest first."""
    ids = {run_id for lines in _parse_log_files_containing(text) for line in lines for run_id in line.run_ids}
    # A run ID starts with the time at which the run was created.
    return sorted((run_id for run_id in ids if run_id.startswith(text)), reverse=True)


def delete_old_logs(max_age: float = 0.0) -> None:
    """Delete log files.

    Args:
        max_age: Only delete files that were last written more than this many seconds ago. By default, delete all files.
    """
    begin = time.time() - max_age
    for path in _list_log_files():
        with suppress(OSError):
            if not max_age or path.stat().st_mtime < begin:
                path.unlink()


class _LogWriter:
    """Writes lines to a new file that only its owner can read."""

    def __init__(self) -> None:
        folder = _get_log_folder()
        for path in (folder.parent, folder):
            # `parents=True` would create missing parents with default permissions, so create each folder separately.
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in _list_log_files()[: 1 - _MAX_LOG_FILES]:
            with suppress(OSError):
                path.unlink()
        self._path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}.jsonl"
        self._failed = False

    def append_lines(self, lines: Sequence[RawLine]) -> None:
        """Append lines to the file. If this fails, print a note and stop writing."""
        data = b"".join(_encode_log_line(line) for line in lines if line.level in KEPT_LEVELS)
        if self._failed or not data:
            return
        try:
            # Reopen the file every time, because 'history clear' or another command may have deleted it.
            with suppress(FileNotFoundError):
                if self._path.stat().st_size + len(data) > _MAX_FILE_BYTES:
                    self._path.replace(f"{self._path}.1")
            with open(self._path, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(data)
        except OSError:
            # If the log can't be written, for example because the disk is full, stop writing it. The run should
            # continue.
            self._failed = True
            note(f"no longer keeping the server's log: {self._path} cannot be written")


def _encode_log_line(line: RawLine) -> bytes:
    if line.is_record:
        return line.data + b"\n"
    # A line from a worker has either no timestamp or one in the worker's own format.
    entry, time = line.parse_entry(), format_rfc3339(datetime.fromtimestamp(line.read_at, UTC))
    record = {"time": time, "level": entry.level, "target": entry.target, "message": entry.message}
    record |= {key: str(entry.fields[key]) for key in ("run_id", "exception") if key in entry.fields}
    return json.dumps(record).encode() + b"\n"


def _get_log_folder() -> Path:
    return get_stepflow_user_folder("state") / "logs"


def _list_log_files() -> list[Path]:
    """Return the log files, with the most recently written one last."""
    aged = []
    for path in _get_log_folder().glob("*.jsonl*"):
        # Skip anything that isn't a regular file. Reading a pipe, for example, might never end.
        with suppress(OSError):
            if path.is_file():
                aged.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(aged)]


def _parse_log_files_containing(text: str) -> Iterator[list[KeptLogLine]]:
    """Yield the lines of each log that contains a string, including the lines of its rotated file."""
    files = set(_list_log_files())
    for path in sorted(path for path in files if path.suffix == ".jsonl"):
        data = b""
        for part in (Path(f"{path}.1"), path):
            if part in files:
                with suppress(OSError):
                    data += part.read_bytes()
        if text.encode() in data:
            lines = []
            for line in data.split(b"\n"):
                # Skip invalid lines, such as an incomplete last line.
                with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    lines.append(_parse_log_line(line))
            yield lines


def _parse_log_line(line: bytes) -> KeptLogLine:
    from stepflow_client.logs import LogEntry, parse_line

    record = json.loads(line.decode("utf-8", "replace"))
    if "timestamp" in record:
        entry = parse_line(line, "stdout")
    else:
        # The line is from a worker, so its timestamp is the time at which the command read it.
        level, message, target = (str(record[name]) for name in ("level", "message", "target"))
        entry = LogEntry(datetime.fromisoformat(record["time"]), level, message, target, fields=record)  # type: ignore[arg-type]
    time, exception = format_rfc3339(entry.timestamp), entry.fields.get("exception")
    exception = exception if isinstance(exception, str) else None
    return KeptLogLine(time, entry.level, entry.target, entry.message, run_ids=entry.run_ids, exception=exception)
