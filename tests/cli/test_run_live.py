"""`run` and `submit` show live progress, and failures get hints with the cause."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
import pytest
from stepflow_cli.errors import Session
from stepflow_cli.main import cli
from stepflow_cli.runs.single_run import showing_progress
from stepflow_client._base.text_formatting import format_progress
from stepflow_client._rules.run_progress import RunProgress
from stepflow_client.events import StepCompletedEvent

from tests.cli.command import Stepflow
from tests.cli.terminal import Terminal


def _sleeping(stepflow: Stepflow, name: str, count: int, milliseconds: int) -> str:
    steps = [
        {
            "id": f"step_{number}",
            "component": "/builtin/sleep",
            "input": {"duration_ms": milliseconds} | ({"after": {"$step": f"step_{number - 1}"}} if number else {}),
        }
        for number in range(count)
    ]
    flow = {"name": name, "steps": steps, "output": {"$step": f"step_{count - 1}"}}
    (stepflow.folder / f"{name}.json").write_text(json.dumps(flow))
    return f"{name}.json"


@pytest.mark.parametrize("command", ["run", "submit"])
def test_steps_are_shown_live_and_removed(
    command: str, stepflow: Stepflow, terminal: Callable[..., Terminal], server: str
) -> None:
    flow = _sleeping(stepflow, "six", 6, 600)
    shown = terminal(command, flow, "--url", server, width=60, height=24)
    shown.wait_for("step_5  waiting")
    assert "step_0  completed" in shown.screen
    lines = [line for line in shown.screen.splitlines() if line]
    assert len(lines) == 8, shown.screen
    assert max(map(len, lines)) <= 60
    assert shown.end() == 0
    # The live display is removed completely, so only the output is on the screen.
    assert shown.screen == '{\n  "duration_ms": 600\n}\n'


def test_batch_shows_items_rate_and_time_left(
    stepflow: Stepflow, terminal: Callable[..., Terminal], server: str
) -> None:
    flow = _sleeping(stepflow, "many", 1, 60)
    (stepflow.folder / "inputs.jsonl").write_text("{}\n" * 2000)
    options = ("inputs.jsonl", "--url", server, "--max-concurrency", "20", "--output", "out.jsonl")
    shown = terminal("batch", flow, *options, width=60, height=24)
    shown.wait_for(" done, ")
    shown.wait_for("s left")
    assert max(map(len, shown.screen.splitlines())) <= 60
    assert shown.end() == 0
    assert "2000 inputs done, 0 failed" in shown.screen


@pytest.mark.exhaustive
def test_line_every_ten_seconds_without_a_terminal(stepflow: Stepflow, server: str) -> None:
    flow = _sleeping(stepflow, "long", 3, 4500)
    done = stepflow("run", flow, "--url", server)
    assert done.code == 0
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("stepflow: run ")
    assert ": running for 1" in lines[0]
    assert not stepflow("run", _sleeping(stepflow, "quick", 1, 10), "--url", server).stderr


@pytest.mark.parametrize("session", [Session(quiet=True), Session(json_errors=True)])
def test_progress_is_not_shown_with_quiet_or_json_errors(session: Session) -> None:
    target: Any = None
    with click.Context(cli, obj=session).scope(), showing_progress(target, "run"):
        assert "stepflow-live" not in {thread.name for thread in threading.enumerate()}


def test_progress_text() -> None:
    assert format_progress(2000, 1200, 3, 12.0) == "1,203/2,000 done, 3 failed, 12s, 100/s, 8.0s left"
    assert format_progress(2000, 0, 0, 12.0) == "0/2,000 done, 12s"
    assert format_progress(10, 4, 0, 8.0) == "4/10 done, 8s, 0.5/s, 12s left"
    assert format_progress(1, 0, 0, 12.0) == "running for 12s"


def test_items_are_counted_from_step_events() -> None:
    run = RunProgress("run", ("flow", {0: "a", 1: "b"}), total=3)

    def end(step: int, item: int, status: str = "completed") -> None:
        common = {"run_id": "run", "sequence_number": 0, "cursor": "e0.1", "timestamp": datetime.now(UTC)}
        name = "ab"[step]
        run.apply_event(StepCompletedEvent(**common, step_id=name, step_index=step, item_index=item, status=status))

    for item in range(3):
        end(0, item)
    assert run.count_completed_and_failed() == (0, 0)
    end(1, 0)
    end(1, 1, "failed")
    assert run.count_completed_and_failed() == (1, 1)
    assert run.infer_item_states() == ({0}, {1}, {2})


@pytest.mark.parametrize(
    ("component", "hint"),
    [
        ("/builtin/nop", "unknown component /builtin/nop; did you mean /builtin/noop?"),
        ("/nowhere/xyz", "unknown component '/nowhere/xyz'; components are: /builtin/"),
        ("noop", "component 'noop' does not begin with /: it has no route; known: /builtin/noop"),
    ],
)
def test_hint_for_unknown_components(component: str, hint: str, stepflow: Stepflow, server: str) -> None:
    flow = {"steps": [{"id": "a", "component": component, "input": {"path": "x"}}], "output": {"$step": "a"}}
    (stepflow.folder / "wrong.json").write_text(json.dumps(flow))
    done = stepflow("run", "wrong.json", "--url", server, "--no-check")
    assert (done.code, done.stderr.splitlines()[-1].startswith(f"hint: {hint}")) == (1, True), done


def test_denied_component_has_the_same_message_as_in_validate(stepflow: Stepflow) -> None:
    step = {"id": "a", "component": "/builtin/load_file", "input": {"path": "x"}}
    (stepflow.folder / "denied.json").write_text(json.dumps({"steps": [step], "output": {"$step": "a"}}))
    done, checked = stepflow("run", "denied.json", "--local"), stepflow("validate", "denied.json", "--local")
    message = "the server has no route to '/builtin/load_file'"
    assert done.stderr.endswith(f"hint: {message}; its configuration denies it, or does not allow it\n"), done
    assert (done.code, message in checked.stdout) == (1, True), checked


def test_rejected_input_gets_a_hint(stepflow: Stepflow, server: str) -> None:
    steps = [{"id": "a", "component": "/builtin/create_messages", "input": {"x": 1}}]
    (stepflow.folder / "wrong.json").write_text(json.dumps({"steps": steps, "output": {"$step": "a"}}))
    done = stepflow("run", "wrong.json", "--url", server)
    assert done.code == 3
    assert "the required field 'user_prompt' is missing" in done.stderr
    done = stepflow("run", "wrong.json", "--url", server, "--no-check")
    assert done.code == 1
    assert done.stderr.splitlines()[-1].startswith("hint: component /builtin/create_messages rejects its input:")


def test_cycle_is_reported(stepflow: Stepflow, server: str) -> None:
    needs = {"a": "c", "b": "a", "c": "b", "d": "a"}
    steps = [
        {"id": name, "component": "/builtin/noop", "input": {"x": [{"$step": other}]}} for name, other in needs.items()
    ]
    flow = {"steps": steps, "output": {"$step": "d"}}
    (stepflow.folder / "cycle.json").write_text(json.dumps(flow))
    done = stepflow("run", "cycle.json", "--url", server)
    assert done.code == 3, done
    assert "steps wait for each other: a -> c -> b -> a" in done.stderr
    done = stepflow("run", "cycle.json", "--url", server, "--no-check")
    assert done.code == 3, done
    assert done.stderr.endswith("hint: the steps form a cycle: a -> c -> b -> a\n"), done


def test_hint_for_nested_paths_without_dollar(stepflow: Stepflow, server: str) -> None:
    step = {"id": "a", "component": "/builtin/noop", "input": {"x": {"$input": "numbers.a"}}}
    (stepflow.folder / "path.json").write_text(json.dumps({"steps": [step], "output": {"$step": "a"}}))
    done = stepflow("run", "path.json", "--no-check", "--url", server, "--input-json", '{"numbers": {"a": 1}}')
    assert done.stderr.endswith(
        "hint: without $, a path is one field name: numbers.a is a single key, but $.numbers.a is a nested field\n"
    )
