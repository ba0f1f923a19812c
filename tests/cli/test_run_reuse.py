"""`run --reuse`, `--from` and `--step` reuse unchanged steps of an earlier run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import releases
from tests.cli.command import CommandResult, Stepflow

pytestmark = pytest.mark.in_process

CREATE_MESSAGES = "/builtin/create_messages"
ADA = '{"name": "Ada"}'


def flow(x: Any = 1, **more: Any) -> dict[str, Any]:
    """Return a flow with a chain of three steps. The input of the last one contains `x`."""
    steps = [
        {"id": "a", "component": CREATE_MESSAGES, "input": {"user_prompt": {"$input": "name"}}},
        {
            "id": "b",
            "component": CREATE_MESSAGES,
            "input": {"user_prompt": {"$step": "a", "path": "$.messages[0].content"}},
        },
        {"id": "c", "component": "/builtin/noop", "input": {"b": {"$step": "b", "path": "$.messages"}, "x": x}},
    ]
    return {"name": "three", "steps": steps, "output": {"$step": "c"}, **more}


def plan_of(done: CommandResult) -> str:
    """Return the note about kept and executed steps."""
    assert done.code == 0, done
    return next((line for line in done.stderr.splitlines() if "; executes " in line), done.stderr)


@pytest.fixture
def three(stepflow: Stepflow) -> Stepflow:
    """The command, in a folder with the flow."""
    write(stepflow, flow())
    return stepflow


def write(stepflow: Stepflow, content: dict[str, Any]) -> None:
    (stepflow.folder / "three.json").write_text(json.dumps(content))


@pytest.fixture
def embedded(three: Stepflow) -> Stepflow:
    """The same command with embedded servers, which stop when the command exits."""
    three.environment.pop("STEPFLOW_URL", None)
    return three


def test_unchanged_steps_of_an_edited_flow_are_reused(three: Stepflow, server: str) -> None:
    first = three("run", "three.json", "--input-json", ADA, "--reuse", "@last")
    assert "no earlier run of the flow" in plan_of(first)
    # `@last` means the last run of this flow.
    three("run", "echo.yaml", "--input-json", "1")
    write(three, flow(x=2))
    edited = three("run", "three.json", "--reuse", "@last", "--label", "try=2")
    assert plan_of(edited) == "stepflow: keeps a, b; executes c"
    full = three("run", "three.json", "--input-json", ADA)
    assert (edited.stdout, json.loads(edited.stdout)["x"]) == (full.stdout, 2)
    assert three("history", "list", "--label", "try=2", "-o", "name").stdout.count("\n") == 1
    assert plan_of(three("run", "three.json", "--from", "b")) == "stepflow: keeps a; executes b, c"
    other = three("run", "three.json", "--reuse", "@last", "--input-json", '{"name": "Bob"}')
    assert plan_of(other) == "stepflow: keeps no step; executes a, b, c"
    changed = three("run", "three.json", "--reuse", "@last", "--set", "c.input.x=3")
    assert plan_of(changed) == "stepflow: keeps a, b; executes c"
    assert json.loads(changed.stdout)["x"] == 3
    detached = three("submit", "three.json", "--from", "c", "--detach", "-o", "name")
    assert three("runs", "result", detached.stdout.strip()).code == 0


def test_runs_of_the_name_are_reused_if_the_file_has_none_on_the_server(three: Stepflow, server: str) -> None:
    assert three("run", "three.json", "--input-json", ADA, "--local").code == 0
    (three.folder / "three.json").rename(three.folder / "renamed.json")
    assert three("run", "renamed.json", "--input-json", ADA).code == 0
    (three.folder / "renamed.json").rename(three.folder / "three.json")
    assert plan_of(three("run", "three.json", "--reuse", "@last")) == "stepflow: keeps a, b, c; executes no step"


def test_batches_of_unrecorded_inputs_are_not_reused(three: Stepflow, server: str) -> None:
    assert three("run", "three.json", "--input-json", ADA).code == 0
    (three.folder / "cases.jsonl").write_text(f"{ADA}\n{ADA}\n")
    assert three("eval", "three.json", "--cases", "cases.jsonl", "--score", "latency").code == 0
    assert plan_of(three("run", "three.json", "--reuse", "@last")) == "stepflow: keeps a, b, c; executes no step"


def test_arguments_are_reused_only_without_an_input(three: Stepflow, server: str) -> None:
    three("run", "three.json", "--input-json", ADA, "--set", "c.input.x=7")
    again = three("run", "three.json", "--reuse", "@last")
    assert (json.loads(again.stdout)["x"], plan_of(again)) == (7, "stepflow: keeps a, b, c; executes no step")
    full = three("run", "three.json", "--input-json", ADA, "--reuse", "@last")
    assert (json.loads(full.stdout)["x"], plan_of(full)) == (1, "stepflow: keeps a, b; executes c")


def test_reuse_with_embedded_servers(embedded: Stepflow) -> None:
    first = embedded("run", "three.json", "--input-json", ADA, "-o", "name").stdout.strip()
    write(embedded, flow(x=2))
    edited = embedded("run", "three.json", "--reuse", "@last")
    assert plan_of(edited) == "stepflow: keeps a, b; executes c"
    assert json.loads(edited.stdout)["x"] == 2
    # Kept steps can be kept again, even if no executed step has read them.
    assert plan_of(embedded("run", "three.json", "--reuse", "@last")) == "stepflow: keeps a, b, c; executes no step"
    again = embedded("run", "three.json", "--reuse", first[:13], "--from", "b", "--dry-run")
    assert json.loads(again.stdout) == {"index": 0, "kept": ["a"], "executed": ["b", "c"]}
    # Runs with another configuration are not reused, because its components may differ.
    config = embedded.folder / "other.json"
    config.write_text(json.dumps({**releases.builtin_config(releases.NEWEST), "retry": {"transportMaxRetries": 0}}))
    assert "no earlier run" in embedded("run", "three.json", "--from", "c", "--config", "other.json").stderr
    off = embedded("run", "three.json", "--input-json", ADA, "-o", "name", STEPFLOW_HISTORY="off").stdout.strip()
    unknown = embedded("run", "three.json", "--reuse", off)
    assert unknown.code == 1
    assert off in unknown.stderr
    assert embedded("history", "clear", "--yes").code == 0
    assert embedded("run", "three.json", "--reuse", first).code == 1


def test_outputs_with_secrets_are_not_stored(embedded: Stepflow) -> None:
    key = {"type": "string", "is_secret": True, "env_var": "THE_KEY"}
    schemas = {"type": "object", "properties": {"variables": {"type": "object", "properties": {"key": key}}}}
    content = flow(x={"$variable": "key"}, schemas=schemas)
    write(embedded, content)
    embedded("run", "three.json", "--input-json", ADA, "--variables-from-env", THE_KEY="ABC-secret-XYZ")
    for file in embedded.home.rglob("*"):
        assert not file.is_file() or b"ABC-secret-XYZ" not in file.read_bytes(), file
    again = embedded("run", "three.json", "--reuse", "@last", "--variables-from-env", THE_KEY="ABC-secret-XYZ")
    assert plan_of(again) == "stepflow: keeps a, b; executes c"
    assert json.loads(again.stdout)["x"] == "ABC-secret-XYZ"
    missing = embedded("run", "three.json", "--reuse", "@last")
    assert (missing.code, "'key'" in missing.stderr) == (2, True), missing


def test_run_a_single_step(three: Stepflow, server: str) -> None:
    unknown = three("run", "three.json", "--step", "c")
    assert unknown.code == 1
    assert "pass the step's input" in unknown.stderr
    with_input = three("run", "three.json", "--step", "c", "--input-json", '{"mine": [1, {"$step": "a"}]}')
    assert (with_input.code, json.loads(with_input.stdout)) == (0, {"mine": [1, {"$step": "a"}]}), with_input
    three("run", "three.json", "--input-json", ADA)
    write(three, flow(x=5))
    single = three("run", "three.json", "--step", "c")
    assert json.loads(single.stdout)["x"] == 5
    assert plan_of(single) == "stepflow: keeps b; executes c"
    listed = json.loads(three("runs", "steps", "@last", "-o", "json").stdout)
    assert {each["step_id"] for each in listed if not each.get("is_kept")} == {"c"}
    # `@last` ignores runs of a single step.
    assert plan_of(three("run", "three.json", "--reuse", "@last")) == "stepflow: keeps a, b; executes c"


def test_single_step_with_unknown_inputs(three: Stepflow, server: str) -> None:
    broken = flow()
    broken["steps"][1]["input"] = {"user_prompt": {"$step": "a", "path": "$.gone"}}
    write(three, broken)
    assert three("run", "three.json", "--input-json", ADA, "--no-check").code == 1
    done = three("run", "three.json", "--step", "c", "--no-check")
    assert done.code == 2
    assert "step 'c' reads step 'b', for which run" in done.stderr
    assert "an input for the step" in done.stderr
    # The completed steps of a failed run are reused.
    write(three, flow())
    assert plan_of(three("run", "three.json", "--reuse", "@last")) == "stepflow: keeps a; executes b, c"


def test_batch_reuses_steps_per_item(three: Stepflow, server: str) -> None:
    inputs = three.folder / "inputs.jsonl"
    inputs.write_text('{"name": "Ada"}\n{"name": "Bob"}\n')
    assert three("batch", "three.json", "inputs.jsonl").code == 0
    batch = three("history", "list", "-o", "name").stdout.splitlines()[0]
    inputs.write_text('{"name": "Ada"}\n{"name": "Cid"}\n')
    write(three, flow(x=2))
    rerun = ("runs", "rerun", batch, "--only-changed", "--flow", "three.json", "--inputs", "inputs.jsonl")
    again = three(*rerun)
    outputs = [json.loads(line)["output"] for line in again.stdout.splitlines()]
    assert [(each["b"][0]["content"], each["x"]) for each in outputs] == [("Ada", 2), ("Cid", 2)]
    plan = three(*rerun, "--dry-run")
    assert [json.loads(line)["kept"] for line in plan.stdout.splitlines()] == [["a", "b"], []], plan
    one = three("run", "three.json", "--reuse", batch)
    assert (one.code, "is a batch of 2 items" in one.stderr) == (2, True), one


@pytest.mark.parametrize(
    "options",
    [
        ("--from", "b", "--step", "c"),
        ("--reuse", "@last", "--cache"),
        ("--from", "b", "--idempotency-key", "k"),
        ("--step", "c", "--up-to", "c"),
        ("--step", "c", "--example", "ada"),
        ("--reuse", "@last", "--wait-for-components"),
        ("--step", "c", "--reuse", "@last", "--input-json", "1"),
        ("--step", "c", "--input-json", "1", "--set", "c.input.x=2"),
        ("--step", "d", "--input-json", "1"),
        ("--reuse", "nonsense"),
    ],
)
def test_conflicting_options_are_refused(options: tuple[str, ...], three: Stepflow) -> None:
    (three.folder / "in.jsonl").write_text('{"name": "Ada"}\n')
    done = three("run", "three.json", *options)
    assert (done.code, done.stdout) == (2, ""), done
    assert len([line for line in done.stderr.splitlines() if line.startswith("stepflow: ")]) == 1


def test_rerun_only_changed_steps(three: Stepflow, server: str) -> None:
    run_id = three("run", "three.json", "--input-json", ADA, "-o", "name").stdout.strip()
    write(three, flow(x=2))
    again = three("runs", "rerun", run_id, "--only-changed", "--flow", "three.json")
    assert plan_of(again) == "stepflow: keeps a, b; executes c"
    single = three("runs", "rerun", run_id, "--step", "b")
    assert plan_of(single) == "stepflow: keeps a; executes b"
    both = three("runs", "rerun", run_id, "--step", "b", "--failed")
    assert (both.code, "--step and --failed cannot be used together" in both.stderr) == (2, True), both
