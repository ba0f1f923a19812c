"""Detects workers of a server that have ended without being restarted."""

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

# A check of a server's workers takes about 3 ms.
_CHECK_SECONDS = 2.0


class EndedWorker(NamedTuple):
    """A worker that has ended and was not restarted."""

    pid: int
    exit_code: int | None
    """Negative for a signal; None if the system does not provide it (macOS)."""

    @property
    def how(self) -> str:
        """The way it ended, as a phrase."""
        return "by itself" if self.exit_code is None else f"with exit code {self.exit_code}"


def find_ended_workers(server: psutil.Process) -> list[EndedWorker]:
    """Return the workers of a server that have ended and were not restarted.

    A worker whose process group still exists has moved to the background and does not count.
    """
    import psutil

    ended = []
    with suppress(psutil.Error, OSError):
        for child in server.children():
            if child.status() != psutil.STATUS_ZOMBIE or _is_group_alive(child.pid, server.pid):
                continue
            exit_code = None
            with suppress(OSError, ValueError), open(f"/proc/{child.pid}/stat", "rb") as file:
                exit_code = os.waitstatus_to_exitcode(int(file.read().rpartition(b" ")[2]))
            ended.append(EndedWorker(child.pid, exit_code))
    return ended


def watch_workers(process: ServerProcess, stopping: threading.Event, report: Callable[[EndedWorker], object]) -> None:
    """Report each worker of a server that ends, until the server ends or is stopped."""
    reported: set[int] = set()
    while not stopping.wait(_CHECK_SECONDS):
        ended = find_ended_workers(process.leader)
        if process.poll() is not None:
            # Its workers end with it.
            return
        for worker in ended:
            if worker.pid not in reported:
                report(worker)
        reported = {worker.pid for worker in ended}


def find_worker_name(pid: int, logs: LogStore, workers: Workers) -> str:
    """Return the name of a worker in messages: with its plugin if the server has logged its start.

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


def _is_group_alive(pid: int, leader: int) -> bool:
    """Return whether another process of an ended process's group is running.

    Args:
        pid: The process that has ended and has not been reaped yet.
        leader: The id of the server; its own group does not count.
    """
    import psutil

    group = os.getpgid(pid)
    if group == leader:
        return False
    for process in psutil.process_iter(["status"]):
        with suppress(OSError):
            if process.info["status"] != psutil.STATUS_ZOMBIE and os.getpgid(process.pid) == group:
                return True
    return False
