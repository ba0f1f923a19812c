"""The terminal's cursor is restored whichever signal stops the command, even in the middle of a write."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from stepflow_cli.signals import TERMINATION_SIGNALS

KILLED = """
import os, signal, sys
from stepflow_cli.output.live import restoring_cursor_on_signal

class InTheMiddleOfAWrite:
    def fileno(self):
        return 1

    def write(self, text):
        raise RuntimeError("reentrant call inside")

    flush = write

with restoring_cursor_on_signal(InTheMiddleOfAWrite()):
    os.kill(os.getpid(), int(sys.argv[1]))
"""


@pytest.mark.parametrize("signal_number", TERMINATION_SIGNALS)
def test_signal_during_a_write_restores_the_cursor(signal_number: signal.Signals) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(int(signal_number))], capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal_number, b"\x1b[?25h", b"")
