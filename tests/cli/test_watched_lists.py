"""`--watch` of lists: drawn anew on a terminal, refused elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.runs import Start
from tests.cli.terminal import Terminal

LISTS = [["runs", "list"], ["flows", "list"]]


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_it_is_drawn_until_ctrl_c(words: list[str], terminal: Callable[..., Terminal], start: Start, ada: str) -> None:
    shown = terminal(*words, "--watch", "-n", "3", width=60, height=20)
    shown.wait_for("every 2 s; Ctrl-C stops")
    start({"name": "later", "steps": [], "output": 1})
    shown.wait_for("later")
    assert max(map(len, shown.screen.splitlines())) <= 60
    shown.interrupt()
    assert shown.end() == 0
    # The table stays, once, and nothing is said of the end.
    assert "later" in shown.screen
    assert shown.screen.count("STATUS") == 1
    assert "Ctrl-C" not in shown.screen
    assert "interrupted" not in shown.screen
    assert shown.raw.rindex(b"\x1b[?25h") > shown.raw.rindex(b"\x1b[?25l")


def test_a_low_terminal(terminal: Callable[..., Terminal], start: Start) -> None:
    for _ in range(12):
        start("hello.yaml", [{"name": "Ada"}])
    shown = terminal("runs", "list", "--watch", "-n", "12", width=100, height=8)
    shown.wait_for("... and 8 more lines")
    shown.interrupt()
    assert shown.end() == 0


@pytest.mark.usefixtures("server")
def test_it_is_refused(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        *(stepflow(*words, "--watch") for words in LISTS),
        stepflow("runs", "list", "--watch", "-o", "jsonl"),
        stepflow("runs", "list", "--watch", "--all"),
    )


def test_no_server(terminal: Callable[..., Terminal]) -> None:
    shown = terminal("runs", "list", "--watch", "--url", "http://127.0.0.1:9", width=60)
    assert shown.end() == 4
    assert "cannot be reached" in " ".join(shown.screen.split())


def test_items_of_a_running_batch_are_counted(terminal: Callable[..., Terminal], start: Start) -> None:
    """The server itself counts them only at the end."""
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
    # The rate is known after three seconds.
    shown.wait_for("/s, ")
    shown.wait_for("left")
    shown.interrupt()
    assert shown.end() == 0


def test_a_frame_is_shown_at_once(terminal: Callable[..., Terminal], ada: str) -> None:
    shown = terminal("runs", "list", "--watch", "-n", "3", width=100)
    shown.wait_for("every 2 s; Ctrl-C stops")
    shown.interrupt()
    assert shown.end() == 0
    frames = re.findall(rb"\x1b\[\?2026h(.*?)\x1b\[\?2026l", shown.raw, re.DOTALL)
    # Each frame is complete: what it erases and what it writes are not apart.
    assert any(b"STATUS" in frame and b"every 2 s" in frame for frame in frames)
    outside = re.sub(rb"\x1b\[\?2026h.*?\x1b\[\?2026l", b"", shown.raw, flags=re.DOTALL)
    assert b"every 2 s" not in outside
