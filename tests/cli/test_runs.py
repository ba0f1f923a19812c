"""`stepflow runs list`, `get`, `items`, `steps`, `flow` and `result`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from stepflow_cli.records.runs import STATUSES
from stepflow_client import ExecutionStatus

from tests.cli.command import Stepflow
from tests.cli.gateway import Gateway
from tests.cli.golden import Golden
from tests.cli.runs import FORMS, SLEEPING, UNKNOWN, Start
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process


def echo(name: str) -> dict[str, Any]:
    """Return a flow with a name of its own, because tests share the server and list only their own runs."""
    return {"name": name, "steps": [], "output": {"$input": "$"}}


def test_list(stepflow: Stepflow, start: Start, golden: Golden) -> None:
    flow = echo("listed")
    start(flow)
    start(flow, [1, 2, 3])
    start(flow | {"steps": [SLEEPING], "output": {"$step": "sleeping"}}, wait=False)
    own = ("runs", "list", "--flow-name", "listed")
    golden(
        stepflow(*own),
        *(stepflow(*own, "--limit", "2", "-o", form) for form in FORMS),
        *(stepflow(*own, "--all", "-o", form) for form in ("jsonl", "name", "table")),
        stepflow(*own, "--status", "running", "-o", "name"),
        stepflow(*own, "--status", "failed"),
        stepflow(*own, "--status", "failed", "-o", "json"),
        stepflow(*own, "--status", "failed", "--all", "-o", "jsonl"),
        stepflow(*own, "--roots-only", "-n", "1", "--fields", "flow_name,items.total,duration"),
        stepflow(*own, "--fields", "nosuch"),
    )


def test_format_name_requests_no_item_counts(stepflow: Stepflow, start: Start, server: str) -> None:
    requests: list[str] = []

    def record(path: str, status: int, content: bytes) -> tuple[int, bytes]:
        requests.append(path.partition("?")[0])
        return status, content

    start(echo("named"))
    with Gateway(server, record) as gateway:
        own = ("runs", "list", "--flow-name", "named", "--url", gateway.url)
        assert stepflow(*own, "-o", "name").code == 0
        assert requests.count("/api/v1/runs") == 1
        assert "completed" in stepflow(*own).stdout
        assert requests.count("/api/v1/runs") == 3


def test_a_word_and_an_option_cannot_set_the_same_filter(stepflow: Stepflow) -> None:
    # It's an error, because one would replace the other, although all words of a query must match.
    for word, option in (
        ("flow:a", "--flow-name=b"),
        ("status:failed", "--status=completed"),
        ("since:1h", "--since=2h"),
        ("until:1h", "--until=2h"),
    ):
        done = stepflow("runs", "list", word, option)
        assert (done.code, done.stdout) == (2, "")
        assert f"{word.partition(':')[0]}: is in QUERY, but an option also sets it" in done.stderr


def test_items_of_a_running_batch_are_counted(stepflow: Stepflow, start: Start) -> None:
    flow = {
        "name": "counted",
        "steps": [{"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}}],
        "output": {"$step": "a"},
    }
    run_id = start(flow, [{"ms": 1}, {"ms": 600_000}, {}], wait=False)
    counts = {"total": 3, "completed": 1, "running": 1, "failed": 1, "cancelled": 0}
    for _ in range(50):
        got = json.loads(stepflow("runs", "get", run_id, "-o", "json").stdout)
        if got["items"] == counts:
            break
    assert got["items"] == counts
    # Servers don't say which item failed until the run ends, so there's no item to explain yet.
    assert (got["status"], got["account"]) == ("running", None)
    listed = json.loads(stepflow("runs", "list", "--flow-name", "counted", "-o", "json").stdout)
    assert [run["items"] for run in listed] == [counts]
    report = stepflow("runs", "report", run_id).stdout
    assert "1 completed, 1 running, 1 failed" in report


@pytest.mark.parametrize("width", [60, 120])
def test_list_on_a_terminal(width: int, terminal: Callable[..., Terminal], start: Start, golden: Golden) -> None:
    flow = echo(f"listed at {width}")
    for _ in range(3):
        start(flow)
    own = ("runs", "list", "--flow-name", flow["name"], "--wide")
    golden(
        terminal(*own, "--limit", "2", width=width),
        # Three is the total number of runs, so there is no note.
        terminal(*own, "--limit", "3", width=width),
        terminal(*own, "--limit", "2", "-o", "json", "--fields", "status", width=width),
        terminal(*own, "--all", width=width),
    )


def test_since_and_until(stepflow: Stepflow, start: Start) -> None:
    ids = [start(echo("timed")) for _ in range(3)]
    own = ("runs", "list", "--flow-name", "timed", "-o", "name")
    later = "2100-01-01T00:00:00Z"
    assert stepflow(*own, "--since", "2020-01-01", "--until", later).stdout.split() == ids[::-1]
    assert stepflow(*own, "--until", later, "--all").stdout.split() == ids[::-1]
    assert stepflow(*own, "--since", later).stdout == ""
    assert stepflow(*own, "--until", "2020-01-01").stdout == ""
    assert stepflow(*own, "--since", "yesterday").stdout.split() == ids[::-1]
    wrong = stepflow(*own, "--since", "soon")
    assert (wrong.code, "'soon' is not a time" in wrong.stderr) == (2, True)


def test_root_and_parent(stepflow: Stepflow, ada: str, failed: str) -> None:
    assert stepflow("runs", "list", "--root", ada, "-o", "name").stdout == f"{ada}\n"
    assert stepflow("runs", "list", "--root", failed.upper().replace("-", ""), "-o", "name").stdout == f"{failed}\n"
    assert stepflow("runs", "list", "--parent", ada, "-o", "name").stdout == ""


def test_list_more_than_a_page(stepflow: Stepflow, start: Start) -> None:
    flow = echo("very many")
    ids = [start(flow, wait=False) for _ in range(131)]
    listed = stepflow("runs", "list", "--flow-name", "very many", "-o", "name").stdout.split()
    assert listed == ids[:-31:-1]
    assert stepflow("runs", "list", "--flow-name", "very many", "-o", "name", "--all").stdout.split() == ids[::-1]
    done = stepflow.shell("stepflow runs list --all --flow-name 'very many' -o jsonl | head -1")
    assert (done.code, json.loads(done.stdout)["run_id"], done.stderr) == (0, ids[-1], "")


def test_get(stepflow: Stepflow, ada: str, failed: str, running: str, golden: Golden) -> None:
    golden(
        *(stepflow("runs", "get", ada, "-o", form) for form in FORMS),
        stepflow("runs", "get", failed),
        stepflow("runs", "get", running),
    )


def test_get_on_a_terminal(terminal: Callable[..., Terminal], ada: str, golden: Golden) -> None:
    golden(terminal("runs", "get", ada))


def test_items(stepflow: Stepflow, batch: str, running: str, golden: Golden) -> None:
    golden(
        *(stepflow("runs", "items", batch, "-o", form) for form in FORMS),
        stepflow("runs", "items", batch, "--failed"),
        stepflow("runs", "items", batch, "--status", "completed", "-o", "jsonl", "--fields", "index,output"),
        stepflow("runs", "items", batch, "--status", "cancelled", "-o", "json"),
        stepflow("runs", "items", running),
        stepflow("runs", "items", batch, "--failed", "--status", "failed"),
    )


def test_items_and_steps_on_a_terminal(terminal: Callable[..., Terminal], batch: str, golden: Golden) -> None:
    golden(terminal("runs", "items", batch), terminal("runs", "steps", batch))


def test_many_items(stepflow: Stepflow, start: Start) -> None:
    run_id = start("echo.yaml", range(3000))
    for form in ("jsonl", "table", "json"):
        done = stepflow.shell(f"stepflow runs items {run_id} -o {form} | head -1")
        assert (done.code, done.stderr) == (0, "")
    assert len(stepflow("runs", "items", run_id, "-o", "name").stdout.splitlines()) == 3000


def test_steps(stepflow: Stepflow, batch: str, running: str, golden: Golden) -> None:
    golden(
        *(stepflow("runs", "steps", batch, "-o", form) for form in FORMS),
        stepflow("runs", "steps", batch, "--item", "1"),
        stepflow("runs", "steps", batch, "--item", "7"),
        stepflow("runs", "steps", batch, "--step", "reading"),
        stepflow("runs", "steps", batch, "--step", "reading", "--item", "1", "-o", "json"),
        stepflow("runs", "steps", batch, "--step", "writing"),
        stepflow("runs", "steps", batch, "--step", "reading", "--item", "7"),
        stepflow("runs", "steps", running, "--fields", "step_id,status"),
    )


def test_times_of_steps(stepflow: Stepflow, start: Start, batch: str, running: str, golden: Golden) -> None:
    golden(
        stepflow("runs", "steps", batch, "--include-times", "-o", "json"),
        stepflow("runs", "steps", batch, "--include-times", "--item", "1", "--fields", "step_id,attempts,status"),
        stepflow("runs", "steps", running, "--include-times", "--fields", "step_id,completed_at,duration,attempts"),
        stepflow("runs", "steps", batch, "--include-times", "--step", "reading"),
    )
    step = SLEEPING | {"input": {"duration_ms": 5}}
    slept = start({"name": "slept", "steps": [step], "output": {"$step": "sleeping"}})
    rows = stepflow("runs", "steps", slept, "--include-times", "-o", "table").stdout.splitlines()
    assert rows[0].split()[-5:] == ["STARTED", "DURATION", "ATTEMPTS", "OUTPUT", "ERROR"], rows
    assert re.search(r"sleeping +completed .* \d+(\.\d)?m?s +1 ", rows[1]), rows


def test_flow(stepflow: Stepflow, ada: str, golden: Golden) -> None:
    golden(
        stepflow("runs", "flow", ada),
        *(stepflow("runs", "flow", ada, "-o", form) for form in FORMS),
    )


def test_flow_of_a_run_with_secret_variables(stepflow: Stepflow, start: Start) -> None:
    declared = {
        "key": {"type": "string", "is_secret": True, "default": "s3cr3t-default"},
        "pin": {"type": "integer", "is_secret": True, "default": 48151623},
    }
    schemas = {"type": "object", "properties": {"variables": {"type": "object", "properties": declared}}}
    spare = {"$variable": "key", "default": "s3cr3t-spare"}
    run_id = start({"name": "secret", "schemas": schemas, "steps": [], "output": {"a": spare, "b": "s3cr3t-default"}})
    for form in FORMS:
        done = stepflow("runs", "flow", run_id, "-o", form)
        assert done.code == 0
        assert "s3cr3t" not in done.stdout
        assert "48151623" not in done.stdout
    done = stepflow("runs", "flow", run_id, "-o", "json")
    assert json.loads(done.stdout)["output"] == {"a": {"$variable": "key", "default": "***"}, "b": "***"}
    flow_id = json.loads(stepflow("runs", "get", run_id, "-o", "json").stdout)["flow_id"]
    assert "s3cr3t-default" in stepflow("flows", "get", flow_id).stdout


def test_flow_in_a_file(stepflow: Stepflow, ada: str) -> None:
    for name in ("flow.yaml", "flow.json"):
        done = stepflow("runs", "flow", ada, "--output", name)
        assert (done.code, done.stdout, done.stderr) == (0, "", "")
        assert json.loads(stepflow("run", name, "--input-json", '{"name": 1}').stdout) == {"hello": 1}
    assert json.loads((stepflow.folder / "flow.json").read_text())["name"] == "hello"


def test_result(stepflow: Stepflow, ada: str, failed: str, running: str, golden: Golden) -> None:
    golden(
        stepflow("runs", "result", ada),
        *(stepflow("runs", "result", ada, "-o", form) for form in FORMS),
        stepflow("runs", "result", ada, "--item", "0"),
        stepflow("runs", "result", ada, "--item", "1"),
        stepflow("runs", "result", failed),
        stepflow("runs", "result", failed, "-o", "json"),
        stepflow("runs", "result", running, "--no-wait"),
        stepflow("runs", "result", running, "--timeout", "0.2", "-o", "json"),
        stepflow("runs", "result", ada, "--no-wait", "--timeout", "1"),
        stepflow("runs", "result", ada, "--output", "no/such/folder.json"),
    )


def test_result_of_a_batch(stepflow: Stepflow, batch: str, golden: Golden) -> None:
    golden(
        stepflow("runs", "result", batch),
        *(stepflow("runs", "result", batch, "-o", form) for form in FORMS),
        stepflow("runs", "result", batch, "--item", "1"),
        stepflow("runs", "result", batch, "--item", "0", "-o", "json"),
        stepflow("runs", "result", batch, "--item", "3", "-o", "json"),
    )


def test_result_waits_for_the_run(stepflow: Stepflow, start: Start) -> None:
    run_id = start("slow.yaml", wait=False)
    done = stepflow("runs", "result", run_id, "-o", "jsonl")
    assert (done.code, json.loads(done.stdout)["status"], done.stderr) == (0, "completed", "")


def test_result_on_a_terminal(terminal: Callable[..., Terminal], batch: str, running: str, golden: Golden) -> None:
    interrupted = terminal("runs", "result", running)
    # The progress is shown only after one second.
    interrupted.wait_for("waiting for run")
    interrupted.interrupt()
    golden(interrupted, terminal("runs", "result", batch, "-o", "table"))


def test_no_server(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("runs", "list"),
        stepflow("runs", "list", "--all", "--url", "http://127.0.0.1:9"),
        *(stepflow("runs", verb, UNKNOWN, "-o", "json") for verb in ("get", "items", "steps", "flow", "result")),
    )


@pytest.mark.usefixtures("server")
def test_unknown_run(stepflow: Stepflow, golden: Golden) -> None:
    verbs = ("get", "items", "steps", "flow", "result")
    golden(
        *(stepflow("runs", verb, UNKNOWN) for verb in verbs),
        *(stepflow("runs", verb, UNKNOWN, "-o", "json") for verb in verbs),
        stepflow("runs", "list", "--root", UNKNOWN),
    )


@pytest.mark.usefixtures("server")
def test_invalid_arguments(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("runs", "lst"),
        stepflow("runs", "list", "--status", "finished"),
        stepflow("runs", "list", "--limit", "0"),
        stepflow("runs", "list", "--limit", "5", "--all"),
        stepflow("runs", "list", "--parent", "0197aaaa"),
        stepflow("runs", "get"),
        stepflow("runs", "get", "0197aaaa", "-o", "json"),
        stepflow("runs", "get", "-"),
        stepflow("runs", "items", UNKNOWN, UNKNOWN),
        stepflow("runs", "steps", UNKNOWN, "--item", "-1"),
        stepflow("runs", "result", UNKNOWN, "--timeout", "0"),
    )


def test_statuses() -> None:
    assert list(STATUSES) == [status.value for status in ExecutionStatus]
