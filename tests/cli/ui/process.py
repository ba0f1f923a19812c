"""`stepflow ui` as a process, and a browser that is only HTTP."""

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
    """The command while it serves pages."""

    process: subprocess.Popen[str]
    link: str
    base: str

    @contextmanager
    def browser(self, link: str | None = None) -> Iterator[httpx.Client]:
        """Return what has opened a link."""
        with httpx.Client(base_url=self.base, timeout=30, trust_env=False, verify=False) as client:
            opened = client.get(link or self.link)
            assert opened.status_code == 200, opened.text
            assert client.cookies
            yield client

    def next_link(self) -> str:
        """Return the link that is printed when one was used."""
        assert self.process.stderr is not None
        return read_link(self.process)


def read_link(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"http\S+token=\S+", line):
            return found[0]
    raise AssertionError(f"it has printed no link, and ended with {process.wait()}")


StartUi = Callable[..., Ui]
"""Starts the command: `start_ui(url)`."""


def form(page: httpx.Response, action: str) -> dict[str, str]:
    """Return the hidden fields of the form that is sent to a path."""
    found = re.search(rf'<form[^>]* action="{re.escape(action)}"[^>]*>(.*?)</form>', page.text, re.DOTALL)
    assert found, f"no form for {action}"
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', found[1]))


def flow_file(name: str) -> Path:
    """Return one of the flows of the command's tests."""
    return Path(__file__).parents[1] / "flows" / name
