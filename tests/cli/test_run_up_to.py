"""`run --up-to` and `submit --up-to` execute a flow up to a step."""

from __future__ import annotations

import json

from tests.cli.command import Stepflow

FLOW = {
    "name": "until",
    "steps": [
        {"id": "first", "component": "/builtin/noop", "input": {"n": {"$input": "$.n"}}},
        {"id": "second", "component": "/elsewhere/missing", "input": {"first": {"$step": "first"}}},
    ],
    "output": {"$step": "second"},
}


def test_later_steps_are_not_executed(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "until.json").write_text(json.dumps(FLOW))
    arguments = ("--up-to", "first", "--input-json", '{"n": 1}')
    for command in ("run", "submit"):
        done = stepflow(command, "until.json", *arguments)
        assert (done.code, json.loads(done.stdout)) == (0, {"n": 1}), done
    changed = stepflow("run", "until.json", *arguments, "--set", "first.input.n=2", "--set", "second.input.x=1")
    assert json.loads(changed.stdout) == {"n": 2}, changed
    flow_id = stepflow("flows", "store", "until.json", "-o", "name").stdout.strip()
    stored = stepflow("run", flow_id, *arguments)
    assert json.loads(stored.stdout) == {"n": 1}, stored
    (stepflow.folder / "inputs.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    batch = stepflow("batch", "until.json", "inputs.jsonl", "--up-to", "first")
    assert [json.loads(line)["output"]["n"] for line in batch.stdout.splitlines()] == [1, 2]
    steps = json.loads(stepflow("runs", "steps", "@last", "-o", "json").stdout)
    assert {each["step_id"] for each in steps} == {"first"}


def test_unknown_step_gets_a_suggestion(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "until.json").write_text(json.dumps(FLOW))
    done = stepflow("run", "until.json", "--up-to", "frist")
    assert (done.code, "'first'" in done.stderr) == (2, True), done
