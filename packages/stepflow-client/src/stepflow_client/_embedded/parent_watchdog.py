"""Kills a server when the Python process that started it has exited, for whatever reason.

This file also runs as a small program alongside the server. It waits on a pipe that closes when the parent exits, even
after `kill -9`. To find the server, it then looks for the runtime's token in each process's environment. Finally, it
kills the server and all of the server's processes. It only uses the standard library and psutil, and doesn't import
anything from this package.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable

    import psutil

TOKEN_VARIABLE = "STEPFLOW_RUNTIME_TOKEN"

_PARENT_CHECK_SECONDS = 1.0
_SWEEP_INTERVAL_SECONDS = 0.3
_MAX_SWEEPS = 10
_FIRST_PAUSE_SECONDS = 0.1
_MAX_PAUSE_SECONDS = 30.0


class WatchdogKeeper:
    """Keeps a watchdog running for a runtime's token, replacing it if it gets killed."""

    def __init__(self, token: str) -> None:
        """Start the first watchdog.

        Raises:
            OSError: If the watchdog can't be executed.
        """
        self._token = token
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._process = launch_watchdog(token)
        self._thread = threading.Thread(target=self._restart_when_ended, name="stepflow-runtime-watchdog", daemon=True)
        if self._process is not None:
            self._thread.start()

    @property
    def supports_watchdog(self) -> bool:
        """Whether the Python that runs this process can also run a watchdog."""
        return self._process is not None

    def close(self) -> None:
        """Stop the watchdog."""
        with self._lock:
            self._closed.set()
            process = self._process
            if process is None:
                return
            # SIGKILL takes effect right away, even while the watchdog is still starting.
            process.kill()
        self._thread.join()
        _reap_watchdog(process)

    def _restart_when_ended(self) -> None:
        import logging

        pause = _FIRST_PAUSE_SECONDS
        while True:
            process, started = self._process, time.monotonic()
            assert process is not None
            process.wait()
            if self._closed.is_set():
                return
            logging.getLogger("stepflow.runtime").warning("The Stepflow server's watchdog ended; starting a new one")
            with self._lock:
                if self._closed.is_set():
                    return
                with contextlib.suppress(OSError):
                    self._process = launch_watchdog(self._token) or process
            _reap_watchdog(process)
            # Back off, so that the machine isn't kept busy if watchdogs keep exiting.
            pause = _FIRST_PAUSE_SECONDS if time.monotonic() - started > _MAX_PAUSE_SECONDS else pause * 2
            self._closed.wait(min(pause, _MAX_PAUSE_SECONDS) - _FIRST_PAUSE_SECONDS)


def _reap_watchdog(process: subprocess.Popen[bytes]) -> None:
    process.wait()
    assert process.stdin is not None
    process.stdin.close()


def launch_watchdog(token: str) -> subprocess.Popen[bytes] | None:
    """Start a watchdog for a token, without waiting for it. Return None if there is no Python that could run one."""
    import importlib.util
    from subprocess import DEVNULL, PIPE, Popen

    spec = importlib.util.find_spec("psutil")
    # Don't run sys.executable if it's a frozen program or a server that embeds Python, rather than Python itself.
    name = os.path.basename(sys.executable or "").lower()
    if spec is None or spec.origin is None or not name.startswith(("python", "pypy")) or hasattr(sys, "frozen"):
        return None
    folder = os.path.dirname(os.path.dirname(spec.origin))
    # -I and -S make Python ignore the user's settings and site packages. They also make it start faster.
    command = [sys.executable, "-I", "-S", os.path.abspath(__file__), token, str(os.getpid()), folder]
    # The watchdog itself must not have a token, not even one from a runtime that started this process.
    env = {key: value for key, value in os.environ.items() if key != TOKEN_VARIABLE}
    return Popen(command, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL, env=env, cwd="/", start_new_session=True)


def kill_runtime_processes(token: str, leaders: set[psutil.Process]) -> bool:
    """Kill all other processes that belong to a runtime and return whether any were running.

    A process belongs to the runtime if it has the token in its environment, is in a server's session, or descends from
    such a process. The token alone isn't enough, because older servers start their workers with an empty environment.

    Args:
        token: The runtime's token.
        leaders: The servers found so far. Newly found servers are added, so that we still know their sessions after
            they have exited.
    """
    import psutil

    family = _get_process_objects(pid for pid in psutil.pids() if _has_token_in_environment(pid, token))
    leaders.update(process for process in family.values() if _get_session_id(process.pid) == process.pid)
    for leader in leaders:
        family.update(find_session_processes(leader))
    for process in list(family.values()):
        family.update(_find_descendants(process))
    family.pop(os.getpid(), None)
    running = []
    for process in family.values():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE:
                running.append(process)
    kill_processes(running)
    return bool(running)


def find_session_processes(leader: psutil.Process) -> dict[int, psutil.Process]:
    """Return the server's descendants and all processes in its session, by ID. Works even if the server has exited."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        if psutil.Process(leader.pid) != leader:
            # The ID has been reused. The system only does that once a session has no processes left.
            return {}
    members = _get_process_objects(pid for pid in psutil.pids() if _get_session_id(pid) == leader.pid)
    return {**members, **_find_descendants(leader)}


def _get_process_objects(pids: Iterable[int]) -> dict[int, psutil.Process]:
    import psutil

    processes = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error, OSError):
            processes[pid] = psutil.Process(pid)
    return processes


def _has_token_in_environment(pid: int, token: str) -> bool:
    import psutil

    # An error means that the process has exited in the meantime, or belongs to another user.
    if sys.platform == "linux":
        # Read /proc directly, because this checks every process and psutil is about five times slower.
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            return f"{TOKEN_VARIABLE}={token}".encode() in file.read().split(b"\0")
        return False
    with contextlib.suppress(psutil.Error, OSError):
        return bool(psutil.Process(pid).environ().get(TOKEN_VARIABLE) == token)
    return False


def _get_session_id(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        return os.getsid(pid)
    return None


def _find_descendants(process: psutil.Process) -> dict[int, psutil.Process]:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        return {child.pid: child for child in process.children(recursive=True)}
    return {}


def kill_processes(processes: list[psutil.Process]) -> None:
    """Kill the processes right away. If an ID has been reused, psutil leaves the new process alone."""
    import psutil

    for process in processes:
        with contextlib.suppress(psutil.Error, OSError):
            process.kill()


def _watch_parent(token: str, parent: int, packages: str) -> None:
    sys.path.append(packages)
    # The pipe closes when the parent exits, unless a fork of the parent keeps it open.
    while os.getppid() == parent:
        if select.select([0], [], [], _PARENT_CHECK_SECONDS)[0] and not os.read(0, 1):
            break
        # Many servers only run for a moment, so psutil isn't imported before now. But don't wait until the parent has
        # exited, because the environment that psutil is installed in may be gone by then.
        import psutil  # noqa: F401
    leaders: set[psutil.Process] = set()
    for sweep in range(_MAX_SWEEPS):
        # Sweep at least twice, because the first sweep may have missed processes that were just starting.
        if not kill_runtime_processes(token, leaders) and sweep > 0:
            return
        time.sleep(_SWEEP_INTERVAL_SECONDS)


if __name__ == "__main__":
    _watch_parent(sys.argv[1], int(sys.argv[2]), sys.argv[3])
