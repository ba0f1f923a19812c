"""Finds the server's binary and its release."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from .._base.installing import install_command
from ..errors import ServerNotInstalledError

BINARY_VARIABLE = "STEPFLOW_SERVER_BINARY"
_NOT_INSTALLED = "the embedded server is not installed: it needs the extra stepflow-client[runtime]"


@dataclass(frozen=True, slots=True)
class ServerBinary:
    """A server binary, and its release if it is known."""

    path: Path
    release: tuple[int, int] | None
    """Major and minor number; None for a binary set by the environment variable, which cannot report its release."""


def find_binary() -> ServerBinary:
    """Return the binary set in `STEPFLOW_SERVER_BINARY`, or the one in the package `stepflow-orchestrator`.

    Raises:
        ServerNotInstalledError: If there is none, if it cannot be executed, if psutil is missing, or on Windows.
    """
    if sys.platform == "win32":
        raise ServerNotInstalledError(
            "the embedded server runs on Linux and macOS only",
            hint="start a server elsewhere and use StepflowClient with its URL",
        )
    if importlib.util.find_spec("psutil") is None:
        raise ServerNotInstalledError(_NOT_INSTALLED, hint=install_command("stepflow-client", "runtime"))
    setting = os.environ.get(BINARY_VARIABLE)
    if setting:
        path = Path(setting).expanduser().absolute()
        hint = f"unset {BINARY_VARIABLE} to use the binary of the package stepflow-orchestrator"
        _check_executable(path, f"{BINARY_VARIABLE} names", hint)
        return ServerBinary(path, None)
    # find_spec locates the package without running its code.
    spec = importlib.util.find_spec("stepflow_orchestrator")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
        raise ServerNotInstalledError(_NOT_INSTALLED, hint=install_command("stepflow-client", "runtime"))
    path = Path(folders[0]) / "bin" / "stepflow-server"
    _check_executable(path, "stepflow-orchestrator should hold", "install the package stepflow-orchestrator again")
    try:
        numbers = re.match(r"(\d+)\.(\d+)", importlib.metadata.version("stepflow-orchestrator"))
    except importlib.metadata.PackageNotFoundError:
        numbers = None
    return ServerBinary(path, (int(numbers[1]), int(numbers[2])) if numbers else None)


def _check_executable(path: Path, source: str, hint: str) -> None:
    if not path.exists():
        raise ServerNotInstalledError(f"{source} {path}, but there is no such file", hint=hint)
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ServerNotInstalledError(f"{source} {path}, but that is not an executable file", hint=hint)
