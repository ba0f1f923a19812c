"""The arguments of a server's start, and the policy for its restarts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from .._data.arguments import check_function
from ..errors import InvalidArgumentError
from ..logs import LogConfig
from .config import ServerConfig

CrashCallback = Callable[[int, list[str]], object] | Callable[[int], object]


class RestartPolicy(Enum):
    """Whether to restart a server that ended by itself, on the same port."""

    NEVER = "never"
    """Do not restart it."""

    ON_FAILURE = "on_failure"
    """Restart it after an exit code other than 0, or a signal."""

    ALWAYS = "always"
    """Restart it after exit code 0 too."""

    def covers(self, exit_code: int) -> bool:
        """Return whether a server that ended with this exit code is restarted."""
        return self is RestartPolicy.ALWAYS or (self is RestartPolicy.ON_FAILURE and exit_code != 0)


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """The checked arguments with which a server is started and restarted."""

    binary: Path
    config: ServerConfig
    port: int | None
    env: Mapping[str, str] = field(repr=False)
    inherit_env: bool
    log_config: LogConfig
    restart_policy: RestartPolicy
    max_restarts: int
    startup_timeout: float
    worker_timeout: float | None
    all_interfaces: bool
    on_crash: Callable[[int, list[str]], object] | None


def adapt_crash_callback(callback: CrashCallback | None) -> Callable[[int, list[str]], object] | None:
    """Return the callback as a function of the exit code and the last lines of the log."""
    function = check_function(callback, "on_crash")
    if function is None:
        return None
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        # Some functions written in C have no signature.
        return function
    for count in (2, 1):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return function if count == 2 else lambda exit_code, log_tail: function(exit_code)
    raise InvalidArgumentError("on_crash takes the exit code, or the exit code and the last lines of the log")
