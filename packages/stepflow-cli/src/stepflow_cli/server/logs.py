"""Logs of the embedded servers on this machine: written by the commands that start a server, read by `runs logs`.

Each command writes its own file, because processes cannot share a file that is rotated by size. Only lines of level
info and above are kept: debug lines contain inputs and outputs.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from ..errors import Problem
from ..output.messages import note
from ..output.view import rfc3339
from ..settings.history import history_setting, open_history

__all__ = ["LEVELS", "KeptLine", "clear_logs", "keeping_logs", "lines_of_run", "runs_beginning_with"]

LEVELS = ("info", "warn", "error")
"""The kept levels, in increasing severity."""

_MAX_FILES = 50
_MAX_BYTES = 10 * 2**20
"""Maximum size of a file in bytes. A full file is rotated, replacing the previously rotated one."""
_LATE_SECONDS = 1.0
"""Lines from workers come through a different pipe than the server's; they may be read later by up to this time."""
_NAMES = {"WARNING": "warn", "CRITICAL": "error"}
_RUN_ID = re.compile(r"run_id=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@dataclass(frozen=True)
class KeptLine:
    """A line from a server or one of its workers."""

    time: str
    """When the command read the line, in RFC 3339."""
    level: str
    target: str
    """The part of the server that wrote the line; empty for a worker's line."""
    message: str
    times: int = 1
    """How often the line is repeated in succession."""

    @property
    def run_ids(self) -> set[str]:
        """The ids of the runs that the line names."""
        return set(_RUN_ID.findall(self.message))


@contextmanager
def keeping_logs() -> Iterator[None]:
    """Keep the log of embedded servers in the block, unless the history is off."""
    from stepflow_client import StepflowClientError

    logger = logging.getLogger("stepflow.server")
    try:
        handler = _KeepingHandler() if history_setting().value == "on" else None
    except (OSError, Problem, StepflowClientError) as error:
        note(f"the server's log is not kept: {getattr(error, 'strerror', None) or error}")
        handler = None
    if handler is None:
        yield
        return
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()


def lines_of_run(run_id: str, *, everything: bool = False) -> list[KeptLine]:
    """Return the lines from the first one that names a run to the last, oldest first.

    Args:
        run_id: The complete id.
        everything: Whether to include lines that name only other runs.

    Returns:
        The lines, with repeated lines merged into one; empty if none names the run.
    """
    found: list[KeptLine] = []
    for lines in _logs():
        span = _span(lines, run_id)
        found += span if everything else [line for line in span if not line.run_ids or run_id in line.run_ids]
    return list(_folded(found))


def runs_beginning_with(text: str) -> list[str]:
    """Return the ids of runs in the kept lines that begin with a text, newest first."""
    found = {run_id for lines in _logs() for line in lines for run_id in line.run_ids if run_id.startswith(text)}
    # Ids begin with their creation time.
    return sorted(found, reverse=True)


def clear_logs(before: datetime | None = None) -> None:
    """Remove kept log files.

    Args:
        before: Only remove files last written before this time; None removes all.
    """
    for path in _files():
        with suppress(OSError):
            if before is None or path.stat().st_mtime < before.timestamp():
                path.unlink()


class _KeepingHandler(RotatingFileHandler):
    """Writes records as JSON lines into a new file that only its owner can read."""

    def __init__(self) -> None:
        folder = _folder()
        for each in (folder.parent, folder):
            # `parents=True` creates missing upper folders with default permissions, so each folder is created by its
            # own call.
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in _files()[: 1 - _MAX_FILES]:
            with suppress(OSError):
                path.unlink()
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}.jsonl"
        super().__init__(folder / name, maxBytes=_MAX_BYTES, backupCount=1, encoding="utf-8", delay=True)

    def _open(self) -> Any:
        return open(
            self.baseFilename,
            self.mode,
            encoding=self.encoding,
            errors="replace",
            opener=lambda path, flags: os.open(path, flags, 0o600),
        )

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is not None and not os.path.exists(self.baseFilename):
            # The file was removed: by 'history clear', or as the oldest of too many files.
            with suppress(OSError):
                self.stream.close()
            self.stream = None
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        time = rfc3339(datetime.fromtimestamp(record.created, UTC))
        level = _NAMES.get(record.levelname, record.levelname.lower())
        target = getattr(record, "target", "")
        return json.dumps({"time": time, "level": level, "target": target, "message": record.getMessage()})

    def close(self) -> None:
        # Data that could not be written before cannot be written now either.
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        # A full disk must not disturb a run; what was written so far stays readable.
        logging.getLogger("stepflow.server").removeHandler(self)
        note(f"the server's log is not kept any longer: {self.baseFilename} cannot be written")


def _folder() -> Path:
    return open_history().path.parent / "logs"


def _files() -> list[Path]:
    """Return all log files, ordered by their last write, the latest last."""
    aged = []
    for path in _folder().glob("*.jsonl*"):
        # Reading a pipe would never end.
        with suppress(OSError):
            if path.is_file():
                aged.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(aged)]


def _logs() -> Iterator[list[KeptLine]]:
    """Yield the lines of each log, including those of its rotated file."""
    files = set(_files())
    for path in sorted(path for path in files if path.suffix == ".jsonl"):
        aside = Path(f"{path}.1")
        yield [*(_read(aside) if aside in files else ()), *_read(path)]


def _read(path: Path) -> Iterator[KeptLine]:
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for text in file:
            # The last line may be cut off, and others may be damaged.
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                yield _kept_line(json.loads(text))


def _kept_line(record: Mapping[str, Any]) -> KeptLine:
    datetime.fromisoformat(record["time"])
    time, level, target, message = (str(record[name]) for name in ("time", "level", "target", "message"))
    return KeptLine(time, level, target, message)


def _span(lines: list[KeptLine], run_id: str) -> list[KeptLine]:
    places = [place for place, line in enumerate(lines) if run_id in line.message]
    if not places:
        return []
    first, last = places[0], places[-1]
    until = _seconds(lines[last]) + _LATE_SECONDS
    late = [line for line in lines[last + 1 :] if not line.target and _seconds(line) <= until]
    return lines[first : last + 1] + late


def _seconds(line: KeptLine) -> float:
    return datetime.fromisoformat(line.time).timestamp()


def _folded(lines: Iterable[KeptLine]) -> Iterator[KeptLine]:
    last: KeptLine | None = None
    for line in lines:
        if last is not None and (last.level, last.target, last.message) == (line.level, line.target, line.message):
            last = KeptLine(last.time, last.level, last.target, last.message, last.times + 1)
            continue
        if last is not None:
            yield last
        last = line
    if last is not None:
        yield last
