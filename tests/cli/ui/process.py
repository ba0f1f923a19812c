"""`stepflow ui` as a process, and an HTTP client in place of a browser."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass
class Ui:
    """A running `stepflow ui` process."""

    process: subprocess.Popen[str]
    link: str
    base: str

    @contextmanager
    def browser(self, link: str | None = None) -> Iterator[httpx.Client]:
        """Return an HTTP client that has opened a link, by default the first one printed."""
        with httpx.Client(base_url=self.base, timeout=30, trust_env=False, verify=False) as client:
            opened = client.get(link or self.link)
            assert opened.status_code == 200, opened.text
            assert client.cookies
            yield client

    def next_link(self) -> str:
        """Return the new link that is printed after the previous one was used."""
        assert self.process.stderr is not None
        return read_link(self.process)


def read_link(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(r"http\S+token=\S+", line):
            return match[0]
    raise AssertionError(f"it has printed no link, and ended with {process.wait()}")


StartUi = Callable[..., Ui]
"""Starts the command: `start_ui(url)`."""


def form(page: httpx.Response, action: str) -> dict[str, str]:
    """Return the hidden fields of the form whose action is a path."""
    match = re.search(rf'<form[^>]* action="{re.escape(action)}"[^>]*>(.*?)</form>', page.text, re.DOTALL)
    assert match, f"no form for {action}"
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', match[1]))


def flow_file(name: str) -> Path:
    """Return the path of a file in `tests/cli/flows`."""
    return Path(__file__).parents[1] / "flows" / name
