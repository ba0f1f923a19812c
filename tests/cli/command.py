"""The real command, run as a subprocess in a folder and an environment of the test."""

from __future__ import annotations

import atexit
import logging
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.cli.forks import SITE, Forks

STEPFLOW = Path(sys.executable).with_name("stepflow")
FORKED = Path(__file__).parent / "bin" / "stepflow"
"""The command for shells and processes of tests, with the environment of `forked()`."""
_PATH = f"{STEPFLOW.parent}:{os.environ['PATH']}"
_NO_DEFAULT_SERVER = """
import sys

def _refuse(event, arguments):
    if event == "socket.connect" and arguments[1][1:2] == (7837,):
        raise ConnectionRefusedError(111, "Connection refused")

sys.addaudithook(_refuse)
"""
"""Code that makes each command find nothing at the default URL: this machine may run a server there."""
IS_MEASURED = any(name.startswith("COV") for name in os.environ)
"""Whether coverage is measured, which is set up when a process starts."""


@dataclass
class Done:
    """A command that has ended."""

    line: str
    code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        return f"$ {self.line}\nexit code {self.code}\n----- stdout\n{self.stdout}----- stderr\n{self.stderr}"


def _library_path() -> dict[str, str]:
    """Return the path of the packages that these tests import, if the environment sets it, for the commands."""
    folders = [str(Path(each).absolute()) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return {"PYTHONPATH": os.pathsep.join(folders)} if folders else {}


@cache
def _refuse_default_server() -> None:
    exec(_NO_DEFAULT_SERVER, {})


_SESSION = f"stepflow-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"


@cache
def forks() -> Forks:
    """Return the process whose forks are the commands of these tests."""
    started = Forks(STEPFLOW, {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **_library_path()}, _SESSION)
    atexit.register(started.close)
    return started


def forked() -> dict[str, str]:
    """Return the variables with which `FORKED` is a fork if it can be one, and with which shells find it."""
    forks()
    return {"PATH": f"{FORKED.parent}:{_PATH}", "LANG": "C.UTF-8", "TESTS_FORKS": _SESSION}


def of_new_process(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with which a new process runs the file that `SITE` names."""
    if SITE not in environment:
        return {**environment}
    folders = [str(Path(environment[SITE]).parent), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(folders)}


def _text(data: bytes) -> str:
    """Return decoded text, like subprocess."""
    return data.decode().replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def _same_logging() -> Iterator[None]:
    """Undo what a command changes in the loggers of the packages."""
    before = {name: (list(logger.handlers), logger.level, logger.propagate) for name, logger in _loggers()}
    yield
    for name, logger in _loggers():
        logger.handlers[:], level, logger.propagate = before.get(name, ([], logging.NOTSET, True))
        logger.setLevel(level)


def _loggers() -> list[tuple[str, logging.Logger]]:
    named = [(name, each) for name, each in logging.root.manager.loggerDict.items() if name.startswith("stepflow")]
    return [(name, each) for name, each in named if isinstance(each, logging.Logger)]


class Stepflow:
    """Calls the command in a folder.

    Args:
        folder: The working folder.
        home: The user's home folder.
        fresh: Whether each call starts a new Python process. This is always so if coverage is measured, and if a
            variable differs that Python reads at startup; otherwise the command is a fork of a process that has already
            imported it, also in shell lines.
        is_here: Whether calls run the command in the process of the tests, where that makes no difference to them.
    """

    def __init__(self, folder: Path, home: Path, *, fresh: bool = False, is_here: bool = False) -> None:
        self.folder = folder
        self.home = home
        self.environment = {
            "PATH": _PATH,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_DATA_HOME": str(home / ".data"),
            "XDG_STATE_HOME": str(home / ".state"),
            "XDG_CACHE_HOME": str(home / ".cache"),
            "TZ": "UTC",
            "LANG": "C.UTF-8",
            "COLUMNS": "80",
            # Variables that enable coverage in subprocesses.
            **{key: value for key, value in os.environ.items() if key.startswith(("COV", "COVERAGE"))},
            **_library_path(),
        }
        self.is_here = is_here
        self._is_changed = False
        self._forks = None
        if not fresh and not IS_MEASURED:
            self._forks = forks()
            # Only shells find the fork on the path, which `stepflow doctor` looks at.
            self.environment |= {**forked(), "PATH": _PATH}
        self.at_start("")

    def at_start(self, code: str) -> None:
        """Let each command run Python code when it starts; imports come before or after it."""
        self._is_changed = bool(code)
        path = self.home / "sitecustomize.py"
        path.write_text(_NO_DEFAULT_SERVER + code)
        self.environment[SITE] = str(path)

    def __call__(self, *args: str, stdin: str | None = None, **environment: str) -> Done:
        """Run `stepflow ARGS` without a terminal, as in a script."""
        line = shlex.join(["stepflow", *args])
        whole = {**self.environment, **environment}
        if self._forks is None or not self._forks.can(args, whole):
            return self._run([str(STEPFLOW), *args], line, stdin, of_new_process(whole))
        if self.is_here and stdin is None and not self._is_changed:
            return self._run_here(args, whole)
        code, out, err = self._forks.run(args, whole, self.folder, (stdin or "").encode(), 60)
        return Done(line, code, _text(out), _text(err))

    def _run_here(self, args: tuple[str, ...], environment: Mapping[str, str]) -> Done:
        """Run the command in this process, as its prompt runs a line. A fork takes several times as long."""
        from stepflow_cli.main import run_command_line_and_exit

        _refuse_default_server()
        code = 0
        with ExitStack() as files, _same_logging():
            streams = [files.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in range(3)]
            with pytest.MonkeyPatch.context() as patch, redirect_stdout(streams[1]), redirect_stderr(streams[2]):
                patch.setattr(sys, "stdin", streams[0])
                patch.chdir(self.folder)
                for name in os.environ.keys() - environment.keys():
                    patch.delenv(name)
                for name, value in environment.items():
                    patch.setenv(name, value)
                time.tzset()
                try:
                    run_command_line_and_exit(args)
                except SystemExit as end:
                    code = int(end.code or 0)
            time.tzset()
            for each in streams:
                each.seek(0)
            _, out, err = (each.read() for each in streams)
        return Done(shlex.join(["stepflow", *args]), code, out, err)

    def shell(self, line: str, **environment: str) -> Done:
        """Run a line in bash. The exit code is that of the last command that failed, or 0."""
        whole = {**self.environment, **environment}
        # The command on that path is a fork if it can be one, and sets up a new process itself if not.
        whole = of_new_process(whole) if self._forks is None else {**whole, "PATH": forked()["PATH"], **environment}
        return self._run(["bash", "-o", "pipefail", "-c", line], line, None, whole)

    def _run(self, command: list[str], line: str, stdin: str | None, environment: Mapping[str, str]) -> Done:
        done = subprocess.run(
            command,
            input=stdin or "",
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Done(line, done.returncode, done.stdout, done.stderr)
