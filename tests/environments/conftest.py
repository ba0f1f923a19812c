"""Environments for the frameworks that use the client, each with one framework and the packages of this workspace.

They are cached in `.build/environments` and recreated when their requirements change. The workspace's packages are
installed as editable, so they are always current.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.releases import NEWEST, ROOT
from tests.workers import uv

FOLDER = ROOT / ".build" / "environments"
PROGRAMS = Path(__file__).parent / "programs"
PACKAGES = ("stepflow-api", "stepflow-client")


def environment(name: str, *requirements: str) -> Path:
    """Return the Python of an environment, creating the environment if necessary.

    Raises:
        RuntimeError: If it cannot be created, with the message from uv.
    """
    folder, stamp = FOLDER / name, FOLDER / name / "stamp"
    projects = [ROOT / "packages" / package for package in PACKAGES]
    packages = [*requirements, f"stepflow-orchestrator=={NEWEST}", "psutil~=7.0"]
    description = "\n".join(
        [sys.version, *packages, *((project / "pyproject.toml").read_text("utf-8") for project in projects)]
    )
    digest = hashlib.sha256(f"{description}\n{(ROOT / 'VERSION').read_text('utf-8')}".encode()).hexdigest()
    python = folder / "bin" / "python"
    if stamp.exists() and stamp.read_text() == digest:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    links = [argument for project in projects for argument in ("--editable", str(project))]
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    uv("pip", "install", "--quiet", "--python", str(python), *links, *packages)
    stamp.write_text(digest)
    return python


def clean_environ() -> dict[str, str]:
    """Return this process's environment variables without those that would affect the tests."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("STEPFLOW_", "PYTHON", "VIRTUAL"))
    }


@pytest.fixture
def run_program(tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs a program from `programs` in an empty folder and returns its output.

    Any output on standard error, such as a warning or a traceback from a thread, fails the test.
    """

    def run(python: Path, program: str, *arguments: str) -> str:
        command = [str(python), *arguments, str(PROGRAMS / program)]
        # IPython kernels write a history.
        environ = {**clean_environ(), "IPYTHONDIR": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    return run
