"""`stepflow runs rerun` reruns runs and items, and keeps the outputs of steps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stepflow_client import SyncStepflowClient

from tests.cli.command import Stepflow
from tests.cli.runs import FORMS, UNKNOWN, Start

pytestmark = pytest.mark.in_process

FLOW: dict[str, Any] = {
    "name": "again",
    "steps": [
        {"id": "first", "component": "/builtin/noop", "input": {"n": {"$input": "$.n"}, "none": None}},
        {"id": "second", "component": "/builtin/noop", "input": {"a": 1, "first": {"$step": "first"}}},
    ],
    "output": {"$step": "second"},
}


SHORT_PATHS: dict[str, Any] = {
    "name": "short",
    "schemas": {"properties": {"variables": {"properties": {"tone": {"default": "plain"}}}}},
    "steps": [
        {
            "id": "first",
            "component": "/builtin/noop",
            "input": {"n": [{"$input": "n"}], "tone": {"$variable": "tone"}},
        },
        {"id": "second", "component": "/builtin/noop", "input": {"n": {"$step": "first", "path": "n"}}},
    ],
    "output": {"$step": "second", "path": "n"},
}


def test_rerun_from_a_step(stepflow: Stepflow, start: Start) -> None:
    run_id = start(FLOW, [{"n": 1}])
    done = stepflow("runs", "rerun", run_id, "--from", "second", "--set", "second.input.a=2")
    assert (done.code, json.loads(done.stdout)) == (0, {"a": 2, "first": {"n": 1, "none": None}})
    assert "keeps first; executes second" in done.stderr
    full = stepflow("runs", "rerun", run_id, "--from", "second", "-o", "json")
    assert json.loads(full.stdout)["run_id"] != run_id
    name = stepflow("runs", "rerun", run_id, "--input-json", '{"n": 2}', "-o", "name")
    assert stepflow("runs", "result", name.stdout.strip()).stdout.count('"n": 2') == 1
    again = ("runs", "rerun", run_id, "--input-json", '{"n": 3}', "--idempotency-key", "k", "-o", "name")
    keyed = [stepflow(*again).stdout, stepflow(*again, "--label", "again=yes", "--note", "seen").stdout]
    assert keyed[0] == keyed[1] not in ("", name.stdout)
    recorded = json.loads(stepflow("history", "show", keyed[0].strip(), "-o", "json").stdout)
    assert (recorded["labels"], recorded["note"]) == ({"again": "yes"}, "seen")


def test_timeout_and_interrupt_name_the_new_run(
    stepflow: Stepflow, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = {"id": "rest", "component": "/builtin/sleep", "input": {"duration_ms": 1}}
    run_id = start({"name": "resting", "steps": [rest], "output": {"$step": "rest"}}, [None])
    command = ("runs", "rerun", run_id, "--set", "rest.input.duration_ms=600000", "--timeout", "2", "-o", "json")
    late = stepflow(*command)
    error = json.loads(late.stderr.splitlines()[-1])
    assert (late.code, error["kind"]) == (5, "run_timeout"), late
    assert error["run_id"] != run_id
    assert f"stepflow runs watch {error['run_id']}" in error["hint"]

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SyncStepflowClient, "rerun", interrupt)
    interrupted = stepflow(*command)
    error = json.loads(interrupted.stderr.splitlines()[-1])
    assert (interrupted.code, error["run_id"]) == (130, None), interrupted
    assert (run_id in error["message"], "runs list" in error["hint"]) == (False, True)


def test_dry_run_prints_the_plan(stepflow: Stepflow, start: Start) -> None:
    run_id = start(FLOW, [{"n": 1}])
    before = stepflow("runs", "list", "--flow-name", "again", "-o", "name").stdout
    done = stepflow("runs", "rerun", run_id, "--from", "second", "--dry-run")
    assert json.loads(done.stdout) == {"index": 0, "kept": ["first"], "executed": ["second"]}
    table = stepflow("runs", "rerun", run_id, "--from", "second", "--dry-run", "-o", "table")
    assert table.code == 0
    assert "KEPT" in table.stdout
    assert stepflow("runs", "list", "--flow-name", "again", "-o", "name").stdout == before


def test_unchanged_steps_of_a_stored_flow_are_kept(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "variables.json").write_text(json.dumps(SHORT_PATHS))
    run_id = stepflow("run", "variables.json", "--input-json", '{"n": 1}', "-o", "name").stdout.strip()
    flow_id = stepflow("flows", "store", "variables.json", "-o", "name").stdout.strip()
    changed = json.loads(json.dumps(SHORT_PATHS).replace('"$input": "n"', '"$input": "m"'))
    (stepflow.folder / "variables.json").write_text(json.dumps(changed))
    # Servers return a stored flow with `$.n` in place of `n`.
    for flow, kept in ((flow_id, ["first", "second"]), ("variables.json", [])):
        arguments = ("--flow", flow, "--only-changed", "--dry-run", "--input-json", '{"n": 1, "m": 1}')
        done = stepflow("runs", "rerun", run_id, *arguments)
        assert json.loads(done.stdout or "{}").get("kept") == kept, done


def test_rerun_selected_items(stepflow: Stepflow, start: Start) -> None:
    run_id = start(FLOW, [{"n": 1}, {"n": 2}, {"n": 3}])
    plan = stepflow("runs", "rerun", run_id, "--item", "2", "--item", "0", "--dry-run")
    assert [json.loads(line)["index"] for line in plan.stdout.splitlines()] == [0, 2]
    assert "runs 2 of 3 items again\n" in plan.stderr
    kept = stepflow("runs", "rerun", run_id, "--from", "second", "--item", "2", "--item", "0", "--dry-run")
    assert "runs 2 of 3 items again, in 2 runs\n" in kept.stderr
    refused = stepflow("runs", "rerun", run_id, "--item", "3", "--dry-run")
    assert refused.code != 0
    assert "no item 3" in refused.stderr


def test_one_item_has_its_own_input_output_and_exit_code(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "again.json").write_text(json.dumps(FLOW))
    (stepflow.folder / "inputs.jsonl").write_text('{"n": 1}\n{"n": 2}\n{}\n')
    batch = stepflow("batch", "again.json", "inputs.jsonl", "--no-check", "-o", "name").stdout.split()[0]
    done = stepflow("runs", "rerun", "@last", "--item", "1", "--input-json", '{"n": 7}')
    assert (done.code, json.loads(done.stdout)["first"]["n"]) == (0, 7), done
    assert "attempt 2: 1 of 3 items\n" in done.stderr
    again = json.loads(stepflow("runs", "get", "@last", "-o", "json").stdout)
    assert (again["rerun_of"], again["rerun_items"]) == (batch, [1])
    assert json.loads(stepflow("runs", "get", batch, "-o", "json").stdout)["reruns"] == [again["run_id"]]
    shown = stepflow("runs", "get", "@last", "-o", "table").stdout
    assert f"{batch}, items 1" in " ".join(shown.split())
    third = stepflow("runs", "rerun", "@last")
    assert (third.code, json.loads(third.stdout)["first"]["n"]) == (0, 7), third
    failed = stepflow("runs", "rerun", batch, "--item", "2")
    assert (failed.code, failed.stdout) == (1, ""), failed
    two = stepflow("runs", "rerun", batch, "--item", "2", "--item", "0", "--inputs", "inputs.jsonl", "--dry-run")
    assert [json.loads(line)["index"] for line in two.stdout.splitlines()] == [0, 2]


def test_rerun_failed_items(stepflow: Stepflow, start: Start) -> None:
    run_id = start(FLOW, [{"n": 1}, {}, {"n": 3}])
    (stepflow.folder / "inputs.jsonl").write_text('{"n": 1}\n{"n": 2}\n{"n": 3}\n')
    done = stepflow("runs", "rerun", run_id, "--failed", "--inputs", "inputs.jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.code, [line["output"]["first"]["n"] for line in lines]) == (0, [1, 2, 3])
    assert "runs 1 of 3 items again" in done.stderr


def test_invalid_reruns_are_refused(stepflow: Stepflow, start: Start) -> None:
    run_id = start(FLOW, [{"n": 1}])
    misspelt = stepflow("runs", "rerun", run_id, "--from", "secnd")
    assert (misspelt.code, "'second'" in misspelt.stderr) == (2, True)
    assert stepflow("runs", "rerun", run_id).code == 2
    overridden = stepflow("runs", "rerun", run_id, "--from", "second", "--set", "first.input.n=5")
    assert (overridden.code, "is kept" in overridden.stderr) == (2, True)
    assert stepflow("runs", "rerun", UNKNOWN, "--failed").code == 1
    (stepflow.folder / "two.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    two = stepflow("runs", "rerun", run_id, "--inputs", "two.jsonl")
    assert (two.code, "has 1 item\n" in two.stderr, "run()" in two.stderr) == (2, True, False), two
    for flow, message in (
        ("name: other\nsteps: []\n", "is flow other, but run"),
        ("steps: [{id: x}]\n", "has no step of"),
    ):
        (stepflow.folder / "other.yaml").write_text(f"{flow}output: 1\n")
        other = stepflow("runs", "rerun", run_id, "--flow", "other.yaml")
        assert (other.code, message in other.stderr, other.stdout) == (2, True, ""), other


CHAIN: dict[str, Any] = {
    "name": "chain",
    "steps": [
        {"id": "a", "component": "/builtin/noop", "input": {"$input": "x"}},
        {"id": "b", "component": "/builtin/noop", "input": {"$step": "a"}},
        {"id": "c", "component": "/builtin/noop", "input": {"$step": "b"}},
    ],
    "output": [{"$step": step} for step in "abc"],
}
FAILING: dict[str, Any] = {
    "name": "failing",
    "steps": [
        {"id": "a", "component": "/builtin/noop", "input": {"$input": "x"}},
        {"id": "b", "component": "/nowhere/b", "input": {"$step": "a"}},
    ],
    "output": {"$step": "b"},
}


def test_rerun_of_a_rerun(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "chain.json").write_text(json.dumps(CHAIN))
    assert stepflow("submit", "chain.json", "--input-json", '{"x": "OLD"}').code == 0
    first = stepflow("runs", "rerun", "@last", "--from", "c")
    assert (first.code, json.loads(first.stdout)) == (0, ["OLD"] * 3)
    second = stepflow("runs", "rerun", "@last", "--from", "b")
    assert json.loads(second.stdout) == ["OLD"] * 3
    assert "keeps a; executes b, c" in second.stderr
    # Without the history, as on another machine.
    elsewhere = stepflow("runs", "rerun", _last(stepflow), "--from", "b", STEPFLOW_HISTORY="off")
    assert (elsewhere.code, "keeps a; executes b, c" in elsewhere.stderr) == (0, True)
    last = stepflow("runs", "rerun", "@last", "--input-json", '{"x": "NEW"}')
    assert json.loads(last.stdout) == ["NEW"] * 3
    assert "keeps no step; executes a, b, c" in last.stderr
    assert "from the history" not in last.stderr
    assert json.loads(stepflow("history", "show", "@2", "-o", "json").stdout)["overrides"] is None
    assert stepflow("runs", "flow", "@2", "-o", "json").stdout.count("/builtin/noop") == 3
    assert "no differences" in stepflow("runs", "diff", "@2", "@3").stderr


def test_kept_steps_are_shown_as_kept(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "chain.json").write_text(json.dumps(CHAIN))
    assert stepflow("submit", "chain.json", "--input-json", '{"x": "OLD"}').code == 0
    assert stepflow("runs", "rerun", "@last", "--from", "c").code == 0
    table = [line.split()[1:4] for line in stepflow("runs", "steps", "@last").stdout.splitlines()[1:]]
    states = {"a": "kept", "b": "kept", "c": "completed"}
    assert table == [[step, state, "/builtin/noop"] for step, state in states.items()]
    lines = stepflow("runs", "watch", "@last").stdout.splitlines()
    assert [
        line.partition(" in ")[0] for line in lines if line.startswith("step") and not line.endswith("running")
    ] == [f"step {step}: {state}" for step, state in states.items()]
    listed = json.loads(stepflow("runs", "steps", "@last", "-o", "json").stdout)
    assert [step["is_kept"] for step in listed] == [True, True, False]
    assert stepflow("runs", "report", "@last", "-O", "report.html").code == 0
    assert (stepflow.folder / "report.html").read_text().count(">kept</b>") == 2


def test_warning_about_outputs_of_a_different_input(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "chain.json").write_text(json.dumps(CHAIN))
    assert stepflow("submit", "chain.json", "--input-json", '{"x": "OLD"}').code == 0
    kept = stepflow("runs", "rerun", "@last", "--from", "c", "--input-json", '{"x": "NEW"}')
    assert "warning: keeps outputs of a different definition, input or variables: a, b" in kept.stderr
    same = stepflow("runs", "rerun", "@2", "--from", "c", "--input-json", '{"x": "OLD"}')
    assert "warning" not in same.stderr


def test_history_shows_the_kept_steps(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "chain.json").write_text(json.dumps(CHAIN))
    change = ("--set", 'a.input="changed"')
    first = stepflow("submit", "chain.json", "--input-json", '{"x": 1}', *change, "-o", "name").stdout.strip()
    again = stepflow("runs", "rerun", "@last", "--from", "b", "--label", "again=1", "--note", "why", "-o", "name")
    shown = json.loads(stepflow("history", "show", "@last", "-o", "json").stdout)
    assert (shown["run_id"], shown["rerun_of"], shown["kept"]) == (again.stdout.strip(), first, ["a"])
    assert (shown["input"], shown["flow"]) == ({"x": 1}, CHAIN)
    assert shown["overrides"] == {"a": {"value": {"input": "changed"}}}, "given by the caller; a is kept"
    assert stepflow("runs", "list", "--label", "again=1", "-o", "name").stdout == again.stdout
    everything = stepflow("runs", "rerun", "@last")
    assert (everything.code, json.loads(everything.stdout)) == (0, ["changed"] * 3)


@pytest.mark.parametrize("form", FORMS)
def test_rerun_that_fails_again(stepflow: Stepflow, server: str, form: str) -> None:
    (stepflow.folder / "failing.json").write_text(json.dumps(FAILING))
    first = stepflow("submit", "failing.json", "--input-json", '{"x": 1}', "--no-check", "-o", form)
    assert first.code == 1, first
    again = stepflow("runs", "rerun", "@last", "--failed", "-o", form)
    assert again.code == 1
    assert "error: " in again.stderr or "failed at step" in again.stderr
    if form == "name":
        assert again.stdout.strip() == _last(stepflow)
    (stepflow.folder / "inputs.jsonl").write_text('{"x": 1}\n{"x": 2}\n')
    batch = stepflow("batch", "failing.json", "inputs.jsonl", "--no-check", "-o", form)
    assert batch.code == 1
    both = stepflow("runs", "rerun", "@last", "--failed", "-o", form)
    assert (both.code, "did not succeed" in both.stderr) == (1, True)
    if form == "name":
        # The items keep different outputs, so each one gets its own run.
        assert len(set(both.stdout.split())) == 2
        one = stepflow("runs", "rerun", both.stdout.split()[0], "-o", form)
        assert one.code == 1
        assert first.stdout.strip() not in one.stderr
    stepflow("batch", "failing.json", "inputs.jsonl", "--no-check")
    part = stepflow("runs", "rerun", "@last", "--item", "1")
    # The item is printed like a single run, and the other item does not count.
    assert (part.code, part.stdout) == (1, "")
    assert "failed at step" in part.stderr
    assert "did not succeed" not in part.stderr


def _last(stepflow: Stepflow) -> str:
    return stepflow("history", "list", "-o", "name").stdout.split()[0]
