"""The workers that a server has started: which of them have ended, and how."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from .config import Workers
from .log_pump import LogStore

if TYPE_CHECKING:
    import psutil

    from .process import ServerProcess

_LOOK_SECONDS = 2.0
"""A look at the workers of a server takes about 3 ms."""


class EndedWorker(NamedTuple):
    """A worker that has ended and was not started again."""

    pid: int
    exit_code: int | None
    """Negative for a signal; None if the system does not provide it (macOS)."""

    @property
    def how(self) -> str:
        """How it has ended, as a phrase."""
        return "by itself" if self.exit_code is None else f"with exit code {self.exit_code}"


def ended_workers(server: psutil.Process) -> list[EndedWorker]:
    """Return the workers of a server that have ended and were not started again.

    A worker whose process group still exists has moved to the background and does not count.
    """
    import psutil

    found = []
    with suppress(psutil.Error, OSError):
        for child in server.children():
            if child.status() == psutil.STATUS_ZOMBIE and not _group_lives(child.pid, server.pid):
                found.append(EndedWorker(child.pid, _exit_code_of(child.pid)))
    return found


def watch_workers(process: ServerProcess, stopping: threading.Event, report: Callable[[EndedWorker], object]) -> None:
    """Report each worker of a server that ends, until the server ends or is stopped."""
    reported: set[int] = set()
    while not stopping.wait(_LOOK_SECONDS):
        ended = ended_workers(process.leader)
        if process.poll() is not None:
            # Its workers end with it.
            return
        for each in ended:
            if each.pid not in reported:
                report(each)
        reported = {each.pid for each in ended}


def worker_name(pid: int, logs: LogStore, workers: Workers) -> str:
    """Return what a message calls a worker: by its plugin if the server has logged that it started it.

    Args:
        pid: The worker's process.
        logs: The log of the server.
        workers: The plugins that have workers.
    """
    line = logs.find(b"subprocess spawned (pid=Some(%d), queue=" % pid)
    if line is None:
        # Servers log the start only of workers that have a queue, and only at level info.
        is_logged = not workers.started or logs.find(b"subprocess spawned (pid=Some(") is not None
        return f"The worker of {workers.others[0]}" if is_logged and len(workers.others) == 1 else "A worker"
    queue = line.partition(b", queue=")[2].partition(b")")[0].decode("utf-8", "replace")
    return f"The worker of {workers.queues.get(queue, queue)}"


def _group_lives(pid: int, leader: int) -> bool:
    """Return whether a process group still has a running process, after one of its processes has ended.

    Args:
        pid: The process that has ended and has not been reaped yet.
        leader: The id of the server; its own group does not count.
    """
    import psutil

    group = os.getpgid(pid)
    if group == leader:
        return False
    for each in psutil.process_iter(["status"]):
        with suppress(OSError):
            if each.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(each.pid) == group:
                return True
    return False


def _exit_code_of(pid: int) -> int | None:
    """Return the exit code of a process that has ended and has not been reaped yet; None if it is not known."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            status = int(file.read().rpartition(b" ")[2])
    except (OSError, ValueError):
        return None
    return os.waitstatus_to_exitcode(status)
