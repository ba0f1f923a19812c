"""Lists with `--watch` are redrawn on a terminal and refused elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.runs import Start
from tests.cli.terminal import Terminal

LISTS = [["runs", "list"], ["flows", "list"]]


@pytest.mark.parametrize("command", LISTS, ids=" ".join)
def test_list_is_redrawn_until_ctrl_c(
    command: list[str], terminal: Callable[..., Terminal], start: Start, ada: str
) -> None:
    shown = terminal(*command, "--watch", "-n", "3", width=60, height=20)
    shown.wait_for("every 2 s; Ctrl-C stops")
    start({"name": "later", "steps": [], "output": 1})
    shown.wait_for("later")
    assert max(map(len, shown.screen.splitlines())) <= 60
    shown.interrupt()
    assert shown.end() == 0
    # The table remains once, without any message about the end.
    assert "later" in shown.screen
    assert shown.screen.count("STATUS") == 1
    assert "Ctrl-C" not in shown.screen
    assert "interrupted" not in shown.screen
    assert shown.raw.rindex(b"\x1b[?25h") > shown.raw.rindex(b"\x1b[?25l")


def test_terminal_with_few_lines(terminal: Callable[..., Terminal], start: Start) -> None:
    for _ in range(12):
        start("hello.yaml", [{"name": "Ada"}])
    shown = terminal("runs", "list", "--watch", "-n", "12", width=100, height=8)
    shown.wait_for("... and 8 more lines")
    shown.interrupt()
    assert shown.end() == 0


@pytest.mark.usefixtures("server")
def test_watch_is_refused_without_a_terminal(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        *(stepflow(*command, "--watch") for command in LISTS),
        stepflow("runs", "list", "--watch", "-o", "jsonl"),
        stepflow("runs", "list", "--watch", "--all"),
    )


def test_no_server(terminal: Callable[..., Terminal]) -> None:
    shown = terminal("runs", "list", "--watch", "--url", "http://127.0.0.1:9", width=60)
    assert shown.end() == 4
    assert "cannot be reached" in " ".join(shown.screen.split())


def test_items_of_a_running_batch_are_counted(terminal: Callable[..., Terminal], start: Start) -> None:
    """The server counts the items only when the run has ended."""
    nap = {"id": "nap", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}}
    flow = {"name": "naps", "steps": [nap], "output": {"$step": "nap"}}
    for _ in range(2):
        start(flow, [{"ms": 1}] * 30 + [{"ms": 600_000}] * 10, wait=False)
    shown = terminal("runs", "list", "--watch", "-n", "2", width=100)
    shown.wait_for("30/40", times=2)
    shown.interrupt()
    assert shown.end() == 0


def test_progress_of_all_running_runs(terminal: Callable[..., Terminal], start: Start) -> None:
    nap = {"id": "nap", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}}
    after = {"id": "after", "component": "/builtin/noop", "input": {"$step": "nap"}}
    flow = {"name": "naps", "steps": [nap, after], "output": {"$step": "after"}}
    start(flow, [{"ms": 1}] * 30 + [{"ms": "x"}] + [{"ms": 600_000}] * 9, wait=False)
    start(flow, [{"ms": 600_000}], wait=False)
    shown = terminal("runs", "list", "--watch", "-n", "2", width=120)
    shown.wait_for("0/2 steps, at nap")
    shown.wait_for("31/40 done, 1 failed")
    # The rate is known after 3 s.
    shown.wait_for("/s, ")
    shown.wait_for("left")
    shown.interrupt()
    assert shown.end() == 0


def test_frames_are_drawn_atomically(terminal: Callable[..., Terminal], ada: str) -> None:
    shown = terminal("runs", "list", "--watch", "-n", "3", width=100)
    shown.wait_for("every 2 s; Ctrl-C stops")
    shown.interrupt()
    assert shown.end() == 0
    frames = re.findall(rb"\x1b\[\?2026h(.*?)\x1b\[\?2026l", shown.raw, re.DOTALL)
    # Each frame erases and writes within one synchronized update.
    assert any(b"STATUS" in frame and b"every 2 s" in frame for frame in frames)
    outside = re.sub(rb"\x1b\[\?2026h.*?\x1b\[\?2026l", b"", shown.raw, flags=re.DOTALL)
    assert b"every 2 s" not in outside
