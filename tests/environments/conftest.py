"""Environments for the frameworks that the client runs in, each with the packages of this workspace and one of them.

They are kept in `.build/environments` and made anew when what is installed changes. The workspace's packages are
installed as links to it, so that they are always the current ones.
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
    """Return the Python of an environment, made if need be.

    Raises:
        RuntimeError: If it cannot be made; a test that needs it fails with what uv said.
    """
    folder, stamp = FOLDER / name, FOLDER / name / "stamp"
    projects = [ROOT / "packages" / package for package in PACKAGES]
    wanted = [*requirements, f"stepflow-orchestrator=={NEWEST}", "psutil~=7.0"]
    described = "\n".join(
        [sys.version, *wanted, *((project / "pyproject.toml").read_text("utf-8") for project in projects)]
    )
    digest = hashlib.sha256(f"{described}\n{(ROOT / 'VERSION').read_text('utf-8')}".encode()).hexdigest()
    python = folder / "bin" / "python"
    if stamp.exists() and stamp.read_text() == digest:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    links = [argument for project in projects for argument in ("--editable", str(project))]
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    uv("pip", "install", "--quiet", "--python", str(python), *links, *wanted)
    stamp.write_text(digest)
    return python


def clean_environ() -> dict[str, str]:
    """Return the variables of this process without those that would change what is tested."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("STEPFLOW_", "PYTHON", "VIRTUAL"))
    }


@pytest.fixture
def run_program(tmp_path: Path) -> Callable[..., str]:
    """Run a program of `programs` in an environment, in an empty folder, and return what it prints.

    Nothing may come on standard error: a warning, a traceback of a thread, a log line of a framework that complains.
    """

    def run(python: Path, program: str, *arguments: str) -> str:
        command = [str(python), *arguments, str(PROGRAMS / program)]
        # A kernel keeps a history.
        environ = {**clean_environ(), "IPYTHONDIR": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    return run
