"""`stepflow run --cache` reuses results, with servers and embedded servers, also in concurrent processes."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.command import Stepflow

SECRET = "hunter2-wolpertinger"
ADA = ("--input-json", '{"name": "Ada"}')


def cache_file(stepflow: Stepflow) -> Path:
    return Path(stepflow.environment["XDG_CACHE_HOME"]) / "stepflow" / "results.db"


def count_runs(stepflow: Stepflow) -> int:
    return len(json.loads(stepflow("runs", "list", "--all", "-o", "json").stdout))


def test_cached_result_is_printed(stepflow: Stepflow, server: str) -> None:
    first = stepflow("run", "hello.yaml", *ADA, "--cache")
    assert (first.code, first.stderr) == (0, "")
    before = count_runs(stepflow)
    again = stepflow("run", "hello.yaml", *ADA, "--cache")
    assert (again.code, again.stdout, count_runs(stepflow)) == (0, first.stdout, before)
    record = json.loads(stepflow("run", "hello.yaml", *ADA, "--cache", "-o", "json").stdout)
    assert (record["status"], record["output"]) == ("completed", json.loads(first.stdout))
    assert datetime.fromisoformat(record["cached_at"]) <= datetime.now(UTC)
    run_id = record["run_id"]
    note = f"stepflow: this is the result of run {run_id}, from the cache; to run the flow again, use --refresh\n"
    assert again.stderr == note
    newest = json.loads(stepflow("history", "show", "@last", "-o", "json").stdout)
    assert newest["run_id"] == run_id, "nothing is recorded of a hit"
    assert stat.S_IMODE(cache_file(stepflow).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "more",
    [
        ["--input-json", '{"name": "Eve"}'],
        [*ADA, "--set", "greeting.input.more=1"],
        [*ADA, "--refresh"],
        [*ADA, "--max-age", "0.001s"],
    ],
)
def test_changes_that_miss_the_cache(stepflow: Stepflow, server: str, more: list[str]) -> None:
    stepflow("run", "hello.yaml", *ADA, "--cache")
    before = count_runs(stepflow)
    assert stepflow("run", "hello.yaml", *more, "--cache").code == 0
    assert count_runs(stepflow) == before + 1


def test_changed_test_case_still_hits_the_cache(stepflow: Stepflow, server: str) -> None:
    stepflow("run", "hello.yaml", *ADA, "--cache")
    before, flow = count_runs(stepflow), stepflow.folder / "hello.yaml"
    flow.write_text(flow.read_text().replace("name: grace", "name: hopper"))
    assert stepflow("run", "hello.yaml", *ADA, "--cache").code == 0
    assert count_runs(stepflow) == before


def test_dry_run_shows_whether_a_result_is_cached(stepflow: Stepflow, server: str) -> None:
    def cache_entry(*more: str) -> object:
        done = stepflow("run", "hello.yaml", *ADA, "--cache", "--dry-run", "-o", "json", *more)
        assert done.code == 0, done
        return json.loads(done.stdout)["cache"]

    assert cache_entry() == {"hit": False, "run_id": None}
    run_id = json.loads(stepflow("run", "hello.yaml", *ADA, "--cache", "-o", "json").stdout)["run_id"]
    assert cache_entry() == {"hit": True, "run_id": run_id}
    assert cache_entry("--refresh") == {"hit": False, "run_id": None}


def test_results_of_embedded_servers_depend_on_the_configuration(stepflow: Stepflow) -> None:
    stepflow.environment.pop("STEPFLOW_URL", None)
    first = stepflow("run", "hello.yaml", *ADA, "--cache")
    assert first.code == 0, first
    again = stepflow("run", "hello.yaml", *ADA, "--cache")
    assert (again.stdout, "from the cache" in again.stderr) == (first.stdout, True)
    (stepflow.folder / "stepflow-config.yml").write_text(
        "plugins:\n  builtin:\n    type: builtin\nroutes:\n  /builtin:\n    - plugin: builtin\n"
    )
    other = stepflow("run", "hello.yaml", *ADA, "--cache")
    assert (other.stdout, other.stderr) == (first.stdout, "")
    nowhere = stepflow("run", "hello.yaml", *ADA, "--cache", "--url", "http://127.0.0.1:9")
    assert nowhere.code != 0


def test_stored_flows_and_up_to_are_cached(stepflow: Stepflow, server: str) -> None:
    flow_id = stepflow("flows", "store", "hello.yaml", "-o", "name").stdout.strip()
    for arguments in ((flow_id,), ("hello.yaml", "--up-to", "greeting")):
        first = stepflow("run", *arguments, *ADA, "--cache")
        assert (first.code, first.stderr) == (0, ""), first
        again = stepflow("run", *arguments, *ADA, "--cache")
        assert (again.stdout, "from the cache" in again.stderr) == (first.stdout, True)


def test_failures_are_not_cached(stepflow: Stepflow, server: str) -> None:
    runs = count_runs(stepflow)
    for number in (1, 2):
        failed = stepflow("run", "fails.yaml", "--cache", "--input-json", "null")
        assert (failed.code, count_runs(stepflow)) == (1, runs + number), failed


def test_concurrent_commands_share_the_cache(stepflow: Stepflow, server: str) -> None:
    one = 'stepflow run hello.yaml --input-json \'{"name": "Ada"}\' --cache -o jsonl'
    done = stepflow.shell(f"for each in 1 2 3 4; do {one} | tr -d '\\n' | sed 's/$/\\n/' & done; wait")
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["output"] for each in results] == [results[0]["output"]] * 4, done
    runs = count_runs(stepflow)
    later = json.loads(stepflow("run", "hello.yaml", *ADA, "--cache", "-o", "json").stdout)
    assert later["run_id"] in {each["run_id"] for each in results}
    assert count_runs(stepflow) == runs


def test_secrets_are_not_cached(stepflow: Stepflow, server: str) -> None:
    properties = {"key": {"type": "string", "is_secret": True, "env_var": "THE_KEY"}}
    flow = {
        "schemas": {"properties": {"variables": {"properties": properties}}},
        "steps": [],
        "output": {"$input": "$"},
    }
    (stepflow.folder / "secretive.json").write_text(json.dumps(flow))
    (stepflow.folder / "telling.json").write_text(json.dumps(flow | {"output": {"key": {"$variable": "key"}}}))
    stepflow.environment["THE_KEY"] = SECRET
    for name, is_cached in (("secretive.json", True), ("telling.json", False)):
        for number in range(2):
            done = stepflow("run", name, *ADA, "--variables-from-env", "--cache")
            assert (done.code, "from the cache" in done.stderr) == (0, is_cached and number == 1), done
    assert SECRET.encode() not in b"".join(each.read_bytes() for each in cache_file(stepflow).parent.iterdir())


def test_damaged_cache_is_a_warning(stepflow: Stepflow, server: str) -> None:
    cache_file(stepflow).parent.mkdir(parents=True)
    cache_file(stepflow).write_bytes(b"no database at all " * 100)
    done = stepflow("run", "hello.yaml", *ADA, "--cache")
    assert (done.code, json.loads(done.stdout) is not None) == (0, True)
    assert done.stderr.startswith(f"stepflow: the result cache cannot read a result in {cache_file(stepflow)}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--refresh"], "--refresh needs --cache"),
        (["--max-age", "1h"], "--max-age needs --cache"),
        (["--cache", "--max-age", "soon"], "--max-age must be a time such as 90s"),
        (["--cache", "--max-age", "0s"], "--max-age must be a time such as 90s"),
        (["--cache", "--idempotency-key", "k"], "--cache and --idempotency-key cannot be used together"),
    ],
)
def test_conflicting_options_are_refused(stepflow: Stepflow, options: list[str], message: str) -> None:
    done = stepflow("run", "hello.yaml", *ADA, *options)
    assert (done.code, message in done.stderr) == (2, True), done
