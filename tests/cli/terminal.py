"""Runs the real command on a pseudo-terminal, with the screen that a user would see."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import termios
import time
from collections.abc import Mapping
from pathlib import Path

import pexpect
import pyte
from pexpect.fdpexpect import fdspawn

from tests.cli.command import IS_MEASURED, STEPFLOW, forks, new_process_environment


class _Fork(fdspawn):
    """A forked command with the interface of `pexpect.spawn`."""

    def __init__(
        self, args: tuple[str, ...], folder: Path, environment: Mapping[str, str], width: int, height: int
    ) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        super().__init__(ours, timeout=30)
        self.pid, self._status = forks().run_on_terminal(args, environment, folder, theirs)

    def send(self, text: str | bytes) -> int:
        # Pause like `pexpect.spawn`, since users do not type before the program is ready.
        time.sleep(0.05)
        sent: int = super().send(text)
        return sent

    def sendintr(self) -> None:
        self.send("\x03")

    def kill(self, signal_number: int) -> None:
        os.kill(self.pid, signal_number)

    def close(self, force: bool = False) -> None:
        if self.closed:
            return
        # Closing the terminal sends SIGHUP to the command.
        super().close()
        if not select.select([self._status], [], [], 30)[0]:
            os.kill(self.pid, signal.SIGKILL)
        code = int(os.read(self._status, 64))
        os.close(self._status)
        self.exitstatus, self.signalstatus = (code, None) if code >= 0 else (None, -code)


class Terminal:
    """A command on a pseudo-terminal.

    Args:
        args: The arguments of `stepflow`.
        folder: The working folder.
        environment: The complete environment.
        width: Columns of the screen.
        height: Lines of the screen; lines that scroll off are lost.
    """

    def __init__(
        self, args: tuple[str, ...], folder: Path, environment: Mapping[str, str], width: int, height: int
    ) -> None:
        self.line = shlex.join(["stepflow", *args])
        self.width = width
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        """The complete output, including escape sequences."""
        if IS_MEASURED or not forks().can_fork(args, environment):
            size = (height, width)
            new_environment = new_process_environment(environment)
            self.child = pexpect.spawn(
                str(STEPFLOW), list(args), cwd=str(folder), env=new_environment, dimensions=size, timeout=30
            )
        else:
            self.child = _Fork(args, folder, environment, width, height)
        # A program may query the cursor position.
        self._screen.write_process_input = self.child.send

    @property
    def screen(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip() + "\n"

    def wait_for(self, text: str, seconds: float = 60, *, times: int = 1) -> None:
        """Wait until a text is on the screen, at least `times` times."""
        end = time.monotonic() + seconds
        while self.screen.count(text) < times:
            assert time.monotonic() < end, f"no {text!r} within {seconds:g} s on the screen:\n{self.screen}"
            is_there = self._read() or self.screen.count(text) >= times
            assert is_there, f"it ended without {text!r} on the screen:\n{self.screen}"

    def send(self, text: str) -> None:
        """Type a text."""
        self.child.send(text)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.child.sendintr()

    def end(self, seconds: float = 60) -> int:
        """Wait for the command to end and return its exit code."""
        end = time.monotonic() + seconds
        while self._read():
            assert time.monotonic() < end, f"it did not end within {seconds:g} s:\n{self.screen}"
        self.child.close()
        return self.child.exitstatus if self.child.exitstatus is not None else -(self.child.signalstatus or 0)

    def close(self) -> None:
        """Stop the command if it is still running."""
        self.child.close(force=True)

    def _read(self) -> bool:
        """Read the available output; return False at the end."""
        try:
            data = self.child.read_nonblocking(65_536, timeout=0.2)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += data
        self._stream.feed(data)
        return True

    def __str__(self) -> str:
        return f"$ {self.line}\nexit code {self.end()}\n----- screen of {self.width} columns\n{self.screen}"
