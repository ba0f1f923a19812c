"""The tree of a run is shortened to the height of the terminal."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from rich.console import Console
from stepflow_cli.runs.follow_run import build_run_tree
from stepflow_client._rules.run_progress import RunProgress
from stepflow_client.events import StepsNeededEvent

from tests.cli.test_run_progress import COMMON, START, ended, started

STEPS = [f"step{index:02}" for index in range(30)]


def progress(done: int, failed: tuple[int, ...] = (), running: tuple[int, ...] = ()) -> RunProgress:
    """Return the progress of a run whose first `done` of 30 steps have ended."""
    run = RunProgress("run", ("tall", dict(enumerate(STEPS))), created_at=START)
    run.apply_event(StepsNeededEvent(run_id="run", step_ids=STEPS, **COMMON))
    for index in (*range(done), *running):
        run.apply_event(started(STEPS[index], index, index))
        if index < done:
            run.apply_event(ended(STEPS[index], index, index, status="failed" if index in failed else "completed"))
    return run


def lines(run: RunProgress, height: int | None) -> list[str]:
    console = Console(file=io.StringIO(), width=80, color_system=None)
    with console.capture() as captured:
        console.print(build_run_tree(run, START + timedelta(seconds=60), height=height))
    return captured.get().splitlines()


def test_all_steps_are_shown_if_there_is_room() -> None:
    for height in (None, 60):
        assert len(lines(progress(5), height)) == len(STEPS) + 2


@pytest.mark.parametrize("height", [8, 11, 20])
def test_running_steps_are_always_shown(height: int) -> None:
    shown = lines(progress(14, failed=(3,), running=(14, 15)), height)
    assert len(shown) <= height
    text = "\n".join(shown)
    assert all(f"step{index:02}" in text for index in (3, 14, 15))
    assert "… and " in shown[-1]
    named = sum("step" in line for line in shown)
    counted = sum(int(word) for word in shown[-1].replace(",", " ").split() if word.isdecimal())
    assert named + counted == len(STEPS)


def test_very_small_terminal() -> None:
    assert len(lines(progress(14, running=(14,)), 2)) == 6


def test_equal_errors_are_shown_once() -> None:
    run = progress(6, failed=(2, 3, 4))
    for step, error in zip(run.steps[2:5], ("no card", "no card", "no money"), strict=True):
        step.error = error
    text = "\n".join(lines(run, None))
    assert text.count("no card") == 1
    assert text.count("no money") == 1
    assert text.count("failed") == 3
