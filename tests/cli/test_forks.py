"""A forked command (see `forks.py`) behaves like a new process."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.command import FORKED, IS_MEASURED, Stepflow

pytestmark = pytest.mark.skipif(IS_MEASURED, reason="no command is a fork if coverage is measured")


@pytest.fixture
def serving(stepflow: Stepflow) -> Iterator[subprocess.Popen[str]]:
    """A command that has printed a line and keeps running."""
    command = [str(FORKED), "serve", "--port", "0", "-o", "name"]
    with subprocess.Popen(
        command,
        cwd=stepflow.folder,
        env=stepflow.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://")
        yield process
        process.kill()


def test_signals_are_forwarded(serving: subprocess.Popen[str]) -> None:
    serving.send_signal(signal.SIGTERM)
    _, stderr = serving.communicate(timeout=60)
    assert (serving.returncode, "Traceback" in stderr) == (0, False)


def test_command_is_killed_with_its_caller(serving: subprocess.Popen[str]) -> None:
    serving.kill()
    # The pipe is closed only when the command exits.
    assert serving.communicate(timeout=60)[0] == ""


def test_new_process_where_a_fork_would_differ(stepflow: Stepflow) -> None:
    for before, after in (("trap '' INT; ", ""), ("", "<&-"), ("", "2>&-")):
        done = stepflow.shell(f"{before}stepflow version {after}")
        assert (done.code, done.stdout) == (0, stepflow("version").stdout), done
    assert stepflow.shell("stepflow version", PYTHONVERBOSE="1").stderr.startswith("import ")
    assert stepflow.shell("stepflow run no-such.yaml; exit $?").code == 2


def test_commands_in_shells_are_forks_if_possible(stepflow: Stepflow) -> None:
    path = stepflow.folder / "is_fork"
    # A new process runs this code before it imports the command.
    stepflow.at_start(f"with open({str(path)!r}, 'w') as f: f.write(str('stepflow_cli.main' in sys.modules))")
    for line, is_fork in (("stepflow version", True), ("stepflow version <&-", False)):
        assert stepflow.shell(line).code == 0
        assert path.read_text() == str(is_fork)
