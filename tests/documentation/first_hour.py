"""Follow docs/tutorial.md like a newcomer, in a clone of this checkout: make first-hour

Prints the duration of each command and stops at the first command whose output differs from the page. With
`--with-tests`, also runs `make test` in the clone. Requires only git, make and Python.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from tests.documentation.blocks import LASTING, ROOT, Block, blocks, expected_lines, in_one_terminal, session

_PAGE = "docs/tutorial.md"
_URL = "http://localhost:7837"
_LIMIT = 600
"""Timeout of each command in seconds."""


class StuckError(Exception):
    """A command did something else than the page shows."""


class Newcomer:
    """A user with a terminal, and more terminals for commands that keep running.

    Args:
        home: An empty folder for the clone and the commands' files.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "clone"
        self._variables = home / "variables"
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("STEPFLOW_", "MAKE", "MFLAGS"))
        }
        self._environment = {
            **environment,
            "XDG_STATE_HOME": str(home / "state"),
            "XDG_CONFIG_HOME": str(home / "config"),
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._url = f"http://localhost:{free.getsockname()[1]}"
        self._lasting = contextlib.ExitStack()
        self.clone = f"git clone --quiet {shlex.quote(str(ROOT))} {shlex.quote(str(self.folder))}"

    def type(self, commands: str, *, folder: Path | None = None, is_strict: bool = True) -> str:
        """Run commands in the terminal and return their output."""
        began = time.monotonic()
        text = in_one_terminal(commands.replace(_URL, self._url), self._variables)
        done = subprocess.run(
            ["bash", "-c", f"set -e; exec 2>&1; {text}"],
            cwd=folder or self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_LIMIT,
        )
        self._print_duration(commands, began)
        if is_strict and done.returncode:
            raise StuckError(f"exit code {done.returncode}:\n{done.stdout}")
        return done.stdout.replace(self._url, _URL)

    def open_terminal(self, command: str) -> None:
        """Run a command that keeps running in another terminal, and wait for the link that it prints."""
        began = time.monotonic()
        port = f" --port {self._url.rpartition(':')[2]}" if command == "stepflow serve" else " --no-open"
        text = in_one_terminal(f"exec {command}{port} 2>&1", self._variables)
        process = subprocess.Popen(
            ["bash", "-c", text], cwd=self.folder, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        self._lasting.callback(process.communicate)
        self._lasting.callback(process.send_signal, signal.SIGTERM)
        assert process.stdout is not None
        links = (found[0] for line in process.stdout if (found := re.search(r"http://\S+(:\d+$|token=\S+)", line)))
        link = next(links, None)
        if link is None:
            raise StuckError(f"{command} ends without a link")
        if "token" in link:
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            # The link redirects to the list of runs through HTML.
            browser.open(link, timeout=_LIMIT).close()
            page = browser.open(link.partition("?")[0] + "runs", timeout=_LIMIT).read().decode()
            if "receipt" not in page:
                raise StuckError(f"the page shows no runs:\n{page}")
        self._print_duration(command, began)

    def follow(self, block: Block) -> None:
        """Carry out a block of the page."""
        command = block.text.strip()
        if block.file_name is not None:
            (self.folder / block.file_name).write_text(block.text)
        elif command in LASTING:
            self.open_terminal(command)
        elif block.language == "bash" and not command.startswith("pip install"):
            self.type(block.text)
        elif block.language == "console":
            for shown in session(block):
                printed = self.type(shown.command, is_strict=False)
                if not shown.is_printed(printed):
                    raise StuckError(f"it prints:\n{printed}")
        elif block.language == "python":
            printed = self.type(f"python - <<'END'\n{block.text}END")
            if printed.splitlines() != expected_lines(block.text):
                raise StuckError(f"it prints:\n{printed}")

    def close_terminals(self) -> None:
        """Close the other terminals."""
        self._lasting.close()

    def _print_duration(self, commands: str, began: float) -> None:
        first = next(line for line in commands.splitlines() if line.strip())
        print(f"{time.monotonic() - began:6.1f} s  {first.replace(str(self.folder), 'clone')}", flush=True)


def main() -> None:
    """Follow the page and print the durations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--with-tests", action="store_true", help="run `make test` in the clone, which takes minutes")
    with_tests: bool = parser.parse_args().with_tests
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        newcomer = Newcomer(Path(home))
        try:
            newcomer.type(newcomer.clone, folder=Path(home))
            for block in blocks(_PAGE):
                try:
                    newcomer.follow(block)
                except StuckError as stuck:
                    raise SystemExit(f"first-hour: stuck at {_PAGE}:{block.line}: {stuck}") from None
            if with_tests:
                newcomer.type("make test")
        finally:
            newcomer.close_terminals()
    print(f"{time.monotonic() - began:6.1f} s  in all")


if __name__ == "__main__":
    main()
