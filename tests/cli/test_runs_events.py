"""`stepflow runs events` prints the events of a run in every format."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal
from tests.cli.test_runs_watch import UNKNOWN, submit

pytestmark = pytest.mark.in_process


@pytest.fixture
def ended(stepflow: Stepflow, server: str) -> str:
    """A run that has ended."""
    run_id = submit(stepflow, "unrouted.yaml", 1)
    stepflow("runs", "watch", "-q", run_id)
    return run_id


@pytest.mark.parametrize("form", [None, "table", "json", "yaml", "name"])
def test_formats(form: str | None, stepflow: Stepflow, ended: str, golden: Golden) -> None:
    golden(stepflow("runs", "events", ended, *(["-o", form] if form else [])))


def test_options(stepflow: Stepflow, ended: str, golden: Golden) -> None:
    completed = ("--type", "step_completed", "--fields", "cursor,step_id,output")
    golden(
        stepflow("runs", "events", ended, *completed),
        stepflow("runs", "events", ended, *completed, "--include-results"),
        stepflow("runs", "events", ended, "--type", "run_completed", "--type", "run_created", "-o", "name"),
        stepflow("runs", "events", ended, "--after", "e5.1", "-o", "name"),
        stepflow("runs", "events", ended, "--after", "5", "-o", "name"),
    )


def test_events_of_sub_runs(stepflow: Stepflow, server: str, golden: Golden) -> None:
    run_id = submit(stepflow, "below.yaml", 1)
    golden(stepflow("runs", "events", run_id, "--include-sub-runs", "-o", "table"))


def test_invalid_arguments(stepflow: Stepflow, ended: str, golden: Golden) -> None:
    golden(
        stepflow("runs", "events", UNKNOWN),
        stepflow("runs", "events", UNKNOWN, "-o", "json"),
        stepflow("runs", "events", ended, "--type", "step_complete"),
        stepflow("runs", "events", ended, "--type", "x"),
        stepflow("runs", "events", ended, "--after", "yesterday"),
        stepflow("runs", "events", ended, "--after", "e1.1", "--include-sub-runs"),
        stepflow("runs", "events", ended, "--fields", "sequence"),
    )


def test_on_a_terminal(terminal: Callable[..., Terminal], ended: str, golden: Golden) -> None:
    golden(terminal("runs", "events", ended, "--type", "step_completed", "--type", "steps_needed"))


def test_after_continues_without_repeated_events(stepflow: Stepflow, ended: str) -> None:
    lines = stepflow("runs", "events", ended).stdout.splitlines()
    for number, line in enumerate(lines[:-1], start=1):
        rest = stepflow("runs", "events", ended, "--after", json.loads(line)["cursor"])
        assert rest.stdout.splitlines() == lines[number:]


def test_events_are_printed_while_the_run_continues(
    terminal: Callable[..., Terminal], stepflow: Stepflow, server: str
) -> None:
    run_id = submit(stepflow, "steps.yaml", 20_000)
    # JSON lines are printed immediately, too.
    for form in ("table", "jsonl"):
        shown = terminal("runs", "events", run_id, "--include-results", "-o", form, "--url", server, width=400)
        shown.wait_for("prepare")
        shown.interrupt()
        assert shown.end() == 130
        assert f"interrupted; run {run_id} continues" in shown.screen
        again = f"stepflow runs events {run_id} --url {server} --include-results --after e2.1"
        assert again in shown.screen


def test_closed_output_pipe(stepflow: Stepflow, ended: str) -> None:
    done = stepflow.shell(f"stepflow runs events {ended} | head -1")
    assert (done.code, done.stderr) == (0, "")
    assert json.loads(done.stdout)["type"] == "run_created"


def test_fields_of_events_in_a_table(stepflow: Stepflow, ada: str) -> None:
    done = stepflow("runs", "events", ada, "-o", "table", "--type", "run_completed", "--fields", "type,status")
    assert (done.code, done.stdout) == (0, "TYPE           STATUS\nrun_completed  completed\n")
    assert stepflow("runs", "events", ada, "-o", "table", "--fields", "nothing").code == 2


def test_heartbeats(stepflow: Stepflow, server: str) -> None:
    run_id = submit(stepflow, "steps.yaml", 1500)
    shown = stepflow("runs", "events", run_id, "--heartbeat", "0.5", "--type", "run_completed")
    assert shown.code == 0, shown
    events = [json.loads(line) for line in shown.stdout.splitlines()]
    beats = [event for event in events if event["type"] == "heartbeat"]
    assert [event["type"] for event in events] == ["heartbeat"] * len(beats) + ["run_completed"]
    assert len(beats) >= 2
    wrong = stepflow("runs", "events", run_id, "--heartbeat", "0")
    assert (wrong.code, wrong.stdout) == (2, "")
    assert "--heartbeat" in wrong.stderr
