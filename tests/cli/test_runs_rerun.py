"""`stepflow runs rerun`."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.command import Stepflow
from tests.cli.runs import UNKNOWN, Start

FLOW: dict[str, Any] = {
    "name": "again",
    "steps": [
        {"id": "first", "component": "/builtin/noop", "input": {"n": {"$input": "$.n"}, "none": None}},
        {"id": "second", "component": "/builtin/noop", "input": {"a": 1, "first": {"$step": "first"}}},
    ],
    "output": {"$step": "second"},
}


def test_rerun_from_a_step(stepflow: Stepflow, start: Start) -> None:
    run_id = start(FLOW, [{"n": 1}])
    done = stepflow("runs", "rerun", run_id, "--from", "second", "--set", "second.input.a=2")
    assert (done.code, json.loads(done.stdout)) == (0, {"a": 2, "first": {"n": 1, "none": None}})
    assert "keeps first; executes second" in done.stderr
    whole = stepflow("runs", "rerun", run_id, "--from", "second", "-o", "json")
    assert json.loads(whole.stdout)["run_id"] != run_id
    name = stepflow("runs", "rerun", run_id, "--input-json", '{"n": 2}', "-o", "name")
    assert stepflow("runs", "result", name.stdout.strip()).stdout.count('"n": 2') == 1


def test_rerun_plans(stepflow: Stepflow, start: Start) -> None:
    run_id = start(FLOW, [{"n": 1}])
    before = stepflow("runs", "list", "--flow-name", "again", "-o", "name").stdout
    done = stepflow("runs", "rerun", run_id, "--from", "second", "--dry-run")
    assert json.loads(done.stdout) == {"index": 0, "kept": ["first"], "executed": ["second"]}
    table = stepflow("runs", "rerun", run_id, "--from", "second", "--dry-run", "-o", "table")
    assert table.code == 0
    assert "KEPT" in table.stdout
    assert stepflow("runs", "list", "--flow-name", "again", "-o", "name").stdout == before


def test_rerun_of_failed_items(stepflow: Stepflow, start: Start) -> None:
    run_id = start(FLOW, [{"n": 1}, {}, {"n": 3}])
    (stepflow.folder / "inputs.jsonl").write_text('{"n": 1}\n{"n": 2}\n{"n": 3}\n')
    done = stepflow("runs", "rerun", run_id, "--failed", "--inputs", "inputs.jsonl")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.code, [line["output"]["first"]["n"] for line in lines]) == (0, [1, 2, 3])
    assert "runs 1 of 3 items again" in done.stderr


def test_rerun_refuses(stepflow: Stepflow, start: Start) -> None:
    run_id = start(FLOW, [{"n": 1}])
    misspelt = stepflow("runs", "rerun", run_id, "--from", "secnd")
    assert (misspelt.code, "'second'" in misspelt.stderr) == (2, True)
    assert stepflow("runs", "rerun", run_id).code == 2
    overridden = stepflow("runs", "rerun", run_id, "--from", "second", "--set", "first.input.n=5")
    assert (overridden.code, "is kept" in overridden.stderr) == (2, True)
    assert stepflow("runs", "rerun", UNKNOWN, "--failed").code == 1
