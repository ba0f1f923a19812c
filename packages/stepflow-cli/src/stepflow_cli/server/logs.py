"""What the servers of this machine wrote: kept in files by the commands that start a server, read by `runs logs`.

Each command writes a file of its own, since processes cannot share one that is cut at a size. Kept are lines of level
info and above: debug lines hold inputs and outputs.
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
"""Those that are kept, the least grave first."""

_MAX_FILES = 50
_MAX_BYTES = 10 * 2**20
"""Of a file; at this size it is set aside, and one that had been set aside before is removed."""
_LATE_SECONDS = 1.0
"""Lines of workers come through another pipe than the server's; they may be read so much later."""
_NAMES = {"WARNING": "warn", "CRITICAL": "error"}
_RUN_ID = re.compile(r"run_id=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


@dataclass(frozen=True)
class KeptLine:
    """A line of a server or of one of its workers."""

    time: str
    """When the command read it, as RFC 3339."""
    level: str
    target: str
    """The part of the server that wrote it; empty for a worker's line."""
    message: str
    times: int = 1
    """How often it stands there, one after the other."""

    @property
    def run_ids(self) -> set[str]:
        """The runs it names."""
        return set(_RUN_ID.findall(self.message))


@contextmanager
def keeping_logs() -> Iterator[None]:
    """Keep what embedded servers write in the block, unless the history is off."""
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
    """Return what was written from the first line that names a run to the last one, oldest first.

    Args:
        run_id: The whole id.
        everything: Whether lines that name only other runs are among them.

    Returns:
        The lines, equal ones that follow each other as one; empty if none names the run.
    """
    found: list[KeptLine] = []
    for lines in _logs():
        span = _span(lines, run_id)
        found += span if everything else [line for line in span if not line.run_ids or run_id in line.run_ids]
    return list(_folded(found))


def runs_beginning_with(text: str) -> list[str]:
    """Return the ids of the runs that kept lines name and that begin with a text, newest first."""
    found = {run_id for lines in _logs() for line in lines for run_id in line.run_ids if run_id.startswith(text)}
    # Ids begin with the time of their creation.
    return sorted(found, reverse=True)


def clear_logs(before: datetime | None = None) -> None:
    """Remove kept lines.

    Args:
        before: Only files that were last written to before then.
    """
    for path in _files():
        with suppress(OSError):
            if before is None or path.stat().st_mtime < before.timestamp():
                path.unlink()


class _KeepingHandler(RotatingFileHandler):
    """Writes records as lines of JSON into a new file that only its owner can read."""

    def __init__(self) -> None:
        folder = _folder()
        for each in (folder.parent, folder):
            # Folders above the last one would be made readable for all.
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
            # It was removed: by 'history clear', or as the oldest of too many.
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
        # What could not be written before cannot be written now either.
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:
        # A full disk is no reason to disturb a run; what was written so far can be read.
        logging.getLogger("stepflow.server").removeHandler(self)
        note(f"the server's log is not kept any longer: {self.baseFilename} cannot be written")


def _folder() -> Path:
    return open_history().path.parent / "logs"


def _files() -> list[Path]:
    """Return the files of all logs, those that were last written to last."""
    aged = []
    for path in _folder().glob("*.jsonl*"):
        # A pipe among them would be read for ever.
        with suppress(OSError):
            if path.is_file():
                aged.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(aged)]


def _logs() -> Iterator[list[KeptLine]]:
    """Return the lines of each log, with those that were set aside."""
    files = set(_files())
    for path in sorted(path for path in files if path.suffix == ".jsonl"):
        aside = Path(f"{path}.1")
        yield [*(_read(aside) if aside in files else ()), *_read(path)]


def _read(path: Path) -> Iterator[KeptLine]:
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as file:
        for text in file:
            # The last one may be cut off, and others damaged.
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
