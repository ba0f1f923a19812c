"""A session in a terminal: start a run, watch it, detach, watch it again and cancel it."""

from __future__ import annotations

import re
from collections.abc import Callable
from shlex import split

from tests.cli.terminal import Terminal

START = ("submit", "--detach", "steps.yaml", "--input-json")


def submit(terminal: Callable[..., Terminal], server: str, ms: int) -> str:
    """Start a run and return its ID, which must be the only output."""
    shown = terminal(*START, f'{{"ms": {ms}}}', "--url", server)
    assert shown.end() == 0
    assert re.fullmatch(r"[0-9a-f-]{36}\n", shown.screen)
    return shown.screen.strip()


def hinted_arguments(shown: Terminal) -> tuple[str, ...]:
    """Return the arguments of the command that a detached watch has printed as a hint."""
    match = re.search(r"^hint: stepflow (.*)$", shown.screen, re.MULTILINE)
    assert match is not None, shown.screen
    return tuple(split(match[1]))


def test_watch_detach_and_watch_again(terminal: Callable[..., Terminal], server: str) -> None:
    run_id = submit(terminal, server, 2500)

    watching = terminal("runs", "watch", run_id, "--url", server)
    watching.wait_for("finish   waiting")
    first = watching.screen
    watching.wait_for("finish   running")
    second = watching.screen
    assert "prepare  running" in first
    assert "prepare  completed" in second
    assert first.count(run_id) == second.count(run_id) == 1
    watching.interrupt()
    assert watching.end() == 130
    assert f"interrupted; run {run_id} continues" in watching.screen

    again = terminal(*hinted_arguments(watching))
    again.wait_for("finish   completed")
    assert again.end() == 0
    assert "steps completed" in again.screen


def test_watch_again_and_cancel(terminal: Callable[..., Terminal], server: str) -> None:
    run_id = submit(terminal, server, 20_000)

    watching = terminal("runs", "watch", run_id, "--url", server)
    watching.wait_for("prepare  running")
    watching.interrupt()
    assert watching.end() == 130

    again = terminal(*hinted_arguments(watching), "--on-interrupt", "cancel")
    again.wait_for("prepare  running")
    again.interrupt()
    assert again.end() == 130
    assert f"interrupted; run {run_id} is marked as cancelled" in again.screen

    afterwards = terminal("runs", "watch", run_id, "--url", server)
    assert afterwards.end() == 6
    assert "steps cancelled" in afterwards.screen
    assert f"stepflow: run {run_id} is cancelled" in afterwards.screen


def test_watch_ends_when_another_command_cancels_the_run(terminal: Callable[..., Terminal], server: str) -> None:
    run_id = submit(terminal, server, 20_000)
    watching = terminal("runs", "watch", run_id, "--url", server)
    watching.wait_for("prepare  running")
    cancelling = terminal("runs", "cancel", run_id, "--url", server)
    cancelling.wait_for("[y/N]")
    cancelling.send("y\r")
    assert cancelling.end() == 0
    assert watching.end(10) == 6
    assert "steps cancelled" in watching.screen
