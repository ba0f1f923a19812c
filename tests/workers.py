"""A Python worker for every release: a cached environment, and the configuration that starts it.

Its components are `/python/echo`, `/python/sleep`, `/python/fail`, `/python/count` and
`/python/present` (see worker_program.py).
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests import releases

PROGRAM = Path(__file__).with_name("worker_program.py")
UV = releases.ROOT / ".build" / "hatch" / "bin" / "uv"
INSTALL_TIMEOUT = 180
"""Seconds."""


def uv(*arguments: str) -> None:
    """Run uv, which `make env` installs: it takes two seconds where pip takes half a minute.

    Raises:
        RuntimeError: If it fails, with its message.
    """
    command = [str(UV if UV.exists() else shutil.which("uv") or "uv"), *arguments]
    # uv bundles certificate authorities, but behind a TLS proxy it needs the system's.
    environment = {**os.environ, "UV_SYSTEM_CERTS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=INSTALL_TIMEOUT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}")


def python(release: str) -> Path:
    """Return the Python of an environment with the worker library of a release.

    Raises:
        RuntimeError: If it cannot be created, with the installer's message.
    """
    folder = releases.CACHE / release / "worker"
    interpreter, marker = folder / "bin" / "python", folder / "made"
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Two concurrent test sessions must not install into the same folder.
    with (folder.parent / "worker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            shutil.rmtree(folder, ignore_errors=True)
            uv("venv", "--quiet", "--python", sys.executable, str(folder))
            uv("pip", "install", "--quiet", "--python", str(interpreter), *_requirements(release))
            marker.touch()
    return interpreter


def _requirements(release: str) -> list[str]:
    if releases.number(release) >= (0, 12):
        return [f"stepflow-py=={release}"]
    return [f"stepflow-py[http]=={release}"]


def config(release: str, program: Path = PROGRAM) -> dict[str, Any]:
    """Return a configuration with the builtin components and a worker's components.

    Args:
        release: The release of the server and of the worker's library.
        program: The worker.
    """
    before = releases.number(release) < (0, 12)
    kind = {"type": "stepflow"} if before else {"type": "grpc", "queueName": "python"}
    command = {"command": str(python(release)), "args": [str(program), "http" if before else "grpc"]}
    route = "/python" if releases.number(release) >= (0, 13) else "/python/{*component}"
    builtin: Any = releases.builtin_config(release)
    return {
        "plugins": {**builtin["plugins"], "python": {**kind, **command}},
        "routes": {**builtin["routes"], route: [{"plugin": "python"}]},
    }
