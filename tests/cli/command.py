"""Runs the real command as a subprocess, with a folder and an environment for each test."""

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
"""The command for shells and processes of tests; it needs the environment of `fork_environment()`."""
_PATH = f"{STEPFLOW.parent}:{os.environ['PATH']}"
_NO_DEFAULT_SERVER = """
import sys

def _refuse(event, arguments):
    if event == "socket.connect" and arguments[1][1:2] == (7837,):
        raise ConnectionRefusedError(111, "Connection refused")

sys.addaudithook(_refuse)
"""
"""Code that makes connections to the default URL fail, because a server may run there on this machine."""
IS_MEASURED = any(name.startswith("COV") for name in os.environ)
"""Whether coverage is measured. It is set up when a process starts, so forks are not possible."""


@dataclass
class CommandResult:
    """The exit code and output of a command."""

    line: str
    code: int
    stdout: str
    stderr: str

    def __str__(self) -> str:
        return f"$ {self.line}\nexit code {self.code}\n----- stdout\n{self.stdout}----- stderr\n{self.stderr}"


def _library_path() -> dict[str, str]:
    """Return PYTHONPATH for the commands, with absolute folders, if the environment sets it."""
    folders = [str(Path(each).absolute()) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return {"PYTHONPATH": os.pathsep.join(folders)} if folders else {}


@cache
def _refuse_default_server() -> None:
    exec(_NO_DEFAULT_SERVER, {})


_SESSION = f"stepflow-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"


@cache
def forks() -> Forks:
    """Return the process that is forked for each command, started on first use."""
    started = Forks(STEPFLOW, {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **_library_path()}, _SESSION)
    atexit.register(started.close)
    return started


def fork_environment() -> dict[str, str]:
    """Return the variables that `FORKED` needs in order to fork, with a PATH on which shells find it."""
    forks()
    return {"PATH": f"{FORKED.parent}:{_PATH}", "LANG": "C.UTF-8", "TESTS_FORKS": _SESSION}


def new_process_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which a new interpreter runs the file in `SITE` at startup."""
    if SITE not in environment:
        return {**environment}
    folders = [str(Path(environment[SITE]).parent), *filter(None, [environment.get("PYTHONPATH")])]
    return {**environment, "PYTHONPATH": os.pathsep.join(folders)}


def _decode(data: bytes) -> str:
    """Decode text and normalize line breaks, like subprocess in text mode."""
    return data.decode().replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def _restore_loggers() -> Iterator[None]:
    """Restore the packages' loggers after a command has changed them."""
    before = {name: (list(logger.handlers), logger.level, logger.propagate) for name, logger in _loggers()}
    yield
    for name, logger in _loggers():
        logger.handlers[:], level, logger.propagate = before.get(name, ([], logging.NOTSET, True))
        logger.setLevel(level)


def _loggers() -> list[tuple[str, logging.Logger]]:
    loggers = [(name, each) for name, each in logging.root.manager.loggerDict.items() if name.startswith("stepflow")]
    return [(name, each) for name, each in loggers if isinstance(each, logging.Logger)]


class Stepflow:
    """Runs the command in a folder.

    Args:
        folder: The working folder.
        home: The user's home folder.
        fresh: Whether each call starts a new Python process. Otherwise the command is a fork of a process that has
            already imported it, also in shell lines, unless coverage is measured or a variable differs that Python
            reads at startup.
        in_process: Whether calls run the command in the test process itself if that makes no difference.
    """

    def __init__(self, folder: Path, home: Path, *, fresh: bool = False, in_process: bool = False) -> None:
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
        self.in_process = in_process
        self._has_startup_code = False
        self._forks = None
        if not fresh and not IS_MEASURED:
            self._forks = forks()
            # `stepflow doctor` inspects PATH, so only shells get the one with the forking script.
            self.environment |= {**fork_environment(), "PATH": _PATH}
        self.at_start("")

    def at_start(self, code: str) -> None:
        """Make each command run Python code when it starts, either before or after its imports."""
        self._has_startup_code = bool(code)
        path = self.home / "sitecustomize.py"
        path.write_text(_NO_DEFAULT_SERVER + code)
        self.environment[SITE] = str(path)

    def __call__(self, *args: str, stdin: str | None = None, **environment: str) -> CommandResult:
        """Run `stepflow ARGS` without a terminal, as in a script."""
        line = shlex.join(["stepflow", *args])
        full_environment = {**self.environment, **environment}
        if self._forks is None or not self._forks.can_fork(args, full_environment):
            return self._run([str(STEPFLOW), *args], line, stdin, new_process_environment(full_environment))
        if self.in_process and stdin is None and not self._has_startup_code:
            return self._run_here(args, full_environment)
        code, out, err = self._forks.run(args, full_environment, self.folder, (stdin or "").encode(), 60)
        return CommandResult(line, code, _decode(out), _decode(err))

    def _run_here(self, args: tuple[str, ...], environment: Mapping[str, str]) -> CommandResult:
        """Run the command in this process, like a line in the prompt. A fork takes several times as long."""
        from stepflow_cli.main import run_command_line_and_exit

        _refuse_default_server()
        code = 0
        with ExitStack() as files, _restore_loggers():
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
        return CommandResult(shlex.join(["stepflow", *args]), code, out, err)

    def shell(self, line: str, **environment: str) -> CommandResult:
        """Run a line in bash with pipefail: the exit code is that of the last failed command, or 0."""
        full_environment = {**self.environment, **environment}
        # The script on that PATH forks if possible, and sets up a new process otherwise.
        full_environment = (
            new_process_environment(full_environment)
            if self._forks is None
            else {**full_environment, "PATH": fork_environment()["PATH"], **environment}
        )
        return self._run(["bash", "-o", "pipefail", "-c", line], line, None, full_environment)

    def _run(self, command: list[str], line: str, stdin: str | None, environment: Mapping[str, str]) -> CommandResult:
        done = subprocess.run(
            command,
            input=stdin or "",
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return CommandResult(line, done.returncode, done.stdout, done.stderr)
