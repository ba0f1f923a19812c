"""The cursor of a terminal is shown again by whatever signal ends the command, and whenever it comes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from stepflow_cli.signals import TERMINATION

KILLED = """
import os, signal, sys
from stepflow_cli.output.live import restoring_cursor

class InTheMiddleOfAWrite:
    def fileno(self):
        return 1

    def write(self, text):
        raise RuntimeError("reentrant call inside")

    flush = write

with restoring_cursor(InTheMiddleOfAWrite()):
    os.kill(os.getpid(), int(sys.argv[1]))
"""


@pytest.mark.parametrize("number", TERMINATION)
def test_it_is_shown_by_a_signal_within_a_write(number: signal.Signals) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(int(number))], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-number, b"\x1b[?25h", b"")
