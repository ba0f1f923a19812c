"""Records from commands, the client, files and agents match docs/reference/schemas.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from stepflow_client import StepflowRuntime
from stepflow_client._records.outcome_files import iter_outcome_records
from stepflow_client.flows import check

from tests.cli.command import CommandResult, Stepflow
from tests.cli.mcp import agents
from tests.cli.runs import SLEEPING, Start

pytestmark = pytest.mark.in_process

SCHEMAS = json.loads((Path(__file__).parents[2] / "docs/reference/schemas.json").read_text())
RUN, ITEM, STEP, RESULT = "RunDetails", "RunItem", "StepDetails", "FlowResult"
MAP: dict[str, Any] = {
    "name": "mapped",
    "steps": [
        {
            "id": "each",
            "component": "/builtin/map",
            "input": {
                "workflow": {"$literal": {"steps": [], "output": {"$input": "$.x"}}},
                "items": [{"x": 1}, {}],
            },
        }
    ],
    "output": {"$step": "each"},
}


def check_shape(name: str, *values: Any) -> None:
    assert values
    validator = Draft202012Validator(
        {**SCHEMAS, "$ref": f"#/$defs/{name}"}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    for value in values:
        wrong = [f"{each.json_path}: {each.message}" for each in validator.iter_errors(value)]
        assert not wrong, (name, wrong, value)


def records(done: CommandResult) -> list[Any]:
    assert done.stdout, done
    lines = done.stdout.splitlines()
    parsed = json.loads(done.stdout) if lines[0] in ("[", "{") else [json.loads(line) for line in lines]
    return parsed if isinstance(parsed, list) else [parsed]


@pytest.fixture(scope="module")
def ids(newest_server: StepflowRuntime) -> dict[str, str]:
    client, flows = newest_server.sync_client, Path(__file__).parent / "flows"
    ended: dict[str, tuple[Any, list[Any]]] = {
        "ada": (flows / "hello.yaml", [{"name": "Ada"}]),
        "failed": (flows / "fails.yaml", [{"nam": "Ada"}]),
        "batch": (flows / "fails.yaml", [{"nam": "Ada"}, {"name": "Ada"}, {"name": None}]),
        "mapped": (MAP, [None]),
    }
    long = {"name": "long", "steps": [SLEEPING], "output": {"$step": "sleeping"}}
    run_ids = {name: client.submit(flow, inputs) for name, (flow, inputs) in ended.items()}
    for run_id in run_ids.values():
        client.wait_run(run_id, timeout=60)
    run_ids |= {name: client.submit(long, [None]) for name in ("running", "cancelled")}
    client.cancel_run(run_ids["cancelled"])
    return run_ids


@pytest.fixture
def runs(ids: dict[str, str], server: str) -> dict[str, str]:
    """The IDs of runs on the server of the commands, by their outcome."""
    return ids


@pytest.mark.parametrize(
    ("shape", "run", "arguments"),
    [
        *((RUN, name, f"runs get {name}") for name in ("ada", "failed", "batch", "running", "cancelled", "mapped")),
        (RUN, "", "runs list"),
        (RUN, "", "runs list --all -o jsonl"),
        *((RUN, name, f"runs watch {name}") for name in ("ada", "failed", "batch")),
        (RUN, "ada", "runs watch -q ada failed"),
        *((ITEM, name, f"runs items {name}") for name in ("ada", "batch", "running")),
        *((STEP, name, f"runs steps {name}") for name in ("ada", "failed", "batch", "mapped", "running")),
        (STEP, "batch", "runs steps batch --include-times"),
        (STEP, "failed", "runs steps failed --step reading"),
        (RESULT, "ada", "runs result ada"),
        (RESULT, "failed", "runs result failed"),
        (RESULT, "batch", "runs result batch --item 1"),
        (RESULT, "ada", "runs rerun ada --input-json {}"),
        ("Outcome", "batch", "runs result batch"),
        ("Outcome", "batch", "runs rerun batch --inputs three.jsonl"),
        (RESULT, "", "run hello.yaml --input-json {}"),
        (RESULT, "", 'run hello.yaml --input-json {"name":"Ada"}'),
        ("Outcome", "", "batch fails.yaml inputs.jsonl"),
        ("Outcome", "", "batch fails.yaml inputs.jsonl --retry 1"),
        ("Diagnostic", "", "validate faulty.yaml"),
        ("Diagnostic", "", "validate faulty.yaml hello.yaml --offline"),
        # This is the last case, because it changes a run.
        (RUN, "running", "runs cancel running --yes"),
    ],
)
def test_output_of_commands(stepflow: Stepflow, runs: dict[str, str], shape: str, run: str, arguments: str) -> None:
    assert run in ("", *runs)
    write_files(stepflow.folder)
    command, *values = arguments.split()
    values = [command, *(runs.get(word, word) for word in values)]
    check_shape(shape, *records(stepflow(*values, *([] if "-o" in values else ["-o", "json"]))))


def write_files(folder: Path) -> None:
    (folder / "inputs.jsonl").write_text('{"name": "Ada", "id": 7}\n{}\n')
    (folder / "three.jsonl").write_text("{}\n" * 3)
    (folder / "faulty.yaml").write_text("steps: []\noutput: {$step: none}\n")


def test_diagnostics_within_other_records(stepflow: Stepflow, server: str) -> None:
    write_files(stepflow.folder)
    for arguments in (["flows", "store", "faulty.yaml"], ["infer", "faulty.yaml", "--offline"], ["run", "faulty.yaml"]):
        done = stepflow(*arguments, "-o", "json")
        text = done.stdout or done.stderr.splitlines()[-1]
        check_shape("Diagnostic", *(each for record in [json.loads(text)] for each in record["diagnostics"]))


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "parquet"])
def test_files_of_outcomes(stepflow: Stepflow, server: str, ending: str) -> None:
    write_files(stepflow.folder)
    path = stepflow.folder / f"out.{ending}"
    stepflow("batch", "fails.yaml", "inputs.jsonl", "-O", str(path))
    outcomes = list(iter_outcome_records(str(path), ending))  # type: ignore[arg-type]
    check_shape("Outcome", *outcomes)
    assert [each["status"] for each in outcomes] == ["completed", "failed"]


def test_values_from_the_client(newest_server: StepflowRuntime, runs: dict[str, str], tmp_path: Path) -> None:
    client = newest_server.sync_client
    flow = Path(__file__).parent / "flows/fails.yaml"
    journal = tmp_path / "journal"
    for run_id in runs.values():
        snapshot = client.snapshot(run_id)
        check_shape(RUN, client.get_run(run_id).to_dict(), snapshot.to_dict()["details"])
        check_shape(ITEM, *client.get_run_items(run_id).to_dicts())
        check_shape(STEP, *client.get_run_steps(run_id).to_dicts(), *(each.to_dict() for each in snapshot.steps or ()))
        check_shape("RunAccount", client.explain_run(run_id).to_dict())
    check_shape(RUN, *client.list_runs().to_dicts())
    check_shape(RESULT, client.get_result(runs["ada"]).to_dict(), client.get_result(runs["failed"]).to_dict())
    for _ in range(2):
        outcomes = list(client.map(flow, [{"name": "Ada", "id": 1}, {}], journal=journal))
        check_shape("Outcome", *(each.to_dict() for each in outcomes))
    faulty = {"steps": [], "output": {"$step": "none"}}
    diagnostics = [*check(faulty).diagnostics, *client.validate(faulty).diagnostics]
    check_shape("Diagnostic", *(each.to_dict() for each in diagnostics))


@pytest.mark.anyio
async def test_tool_results_for_agents(server: str, runs: dict[str, str], tmp_path: Path) -> None:
    folder = agents.write_flows(tmp_path / "tools", agents.GREET)
    async with agents.agent(server, folder, tools=["runs", "diagnose", "author"], all_runs=True) as agent:

        async def call(name: str, **arguments: Any) -> Mapping[str, Any]:
            content: Mapping[str, Any] = (await agent.call_tool(name, arguments)).structured_content
            return content

        check_shape(RUN, *(await call("list_runs"))["runs"])
        for name in ("failed", "batch", "ada"):
            check_shape(RUN, await call("diagnose_run", run_id=runs[name]))
        text = json.dumps({"steps": [], "output": {"$step": "none"}})
        check_shape("Diagnostic", *(await call("validate_flow", flow=text))["diagnostics"])


def test_schemas_reject_other_shapes(start: Start, newest_server: StepflowRuntime) -> None:
    record = newest_server.sync_client.get_run(start("hello.yaml", [{"name": "Ada"}])).to_dict()
    check_shape(RUN, record)
    changes: list[Callable[[], Any]] = [
        lambda: {**record, "more": 1},
        lambda: {key: value for key, value in record.items() if key != "duration"},
        lambda: {**record, "created_at": 3},
        lambda: {**record, "status": "odd"},
    ]
    for change in changes:
        with pytest.raises(AssertionError):
            check_shape(RUN, change())
