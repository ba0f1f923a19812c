"""`stepflow run --cache`: on a server, on embedded ones, in several processes at once."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.command import Stepflow

SECRET = "hunter2-wolpertinger"
ADA = ("--input-json", '{"name": "Ada"}')


def file_of(stepflow: Stepflow) -> Path:
    return Path(stepflow.environment["XDG_CACHE_HOME"]) / "stepflow" / "results.db"


def count(stepflow: Stepflow) -> int:
    return len(json.loads(stepflow("runs", "list", "--all", "-o", "json").stdout))


def test_a_result_is_printed_again(stepflow: Stepflow, server: str) -> None:
    first = stepflow("run", "hello.yaml", *ADA, "--cache")
    assert (first.code, first.stderr) == (0, "")
    before = count(stepflow)
    again = stepflow("run", "hello.yaml", *ADA, "--cache")
    assert (again.code, again.stdout, count(stepflow)) == (0, first.stdout, before)
    whole = json.loads(stepflow("run", "hello.yaml", *ADA, "--cache", "-o", "json").stdout)
    assert (whole["status"], whole["output"]) == ("completed", json.loads(first.stdout))
    assert datetime.fromisoformat(whole["cached_at"]) <= datetime.now(UTC)
    told = (
        f"stepflow: this is the result of run {whole['run_id']}, from the cache; to run the flow again, use --refresh\n"
    )
    assert again.stderr == told
    newest = json.loads(stepflow("history", "show", "@last", "-o", "json").stdout)
    assert newest["run_id"] == whole["run_id"], "nothing is recorded of a hit"
    assert stat.S_IMODE(file_of(stepflow).stat().st_mode) == 0o600


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
    before = count(stepflow)
    assert stepflow("run", "hello.yaml", *more, "--cache").code == 0
    assert count(stepflow) == before + 1


def test_a_changed_test_case_still_hits_the_cache(stepflow: Stepflow, server: str) -> None:
    stepflow("run", "hello.yaml", *ADA, "--cache")
    before, flow = count(stepflow), stepflow.folder / "hello.yaml"
    flow.write_text(flow.read_text().replace("name: grace", "name: hopper"))
    assert stepflow("run", "hello.yaml", *ADA, "--cache").code == 0
    assert count(stepflow) == before


def test_a_dry_run_says_whether_there_is_a_result(stepflow: Stepflow, server: str) -> None:
    def said(*more: str) -> object:
        done = stepflow("run", "hello.yaml", *ADA, "--cache", "--dry-run", "-o", "json", *more)
        assert done.code == 0, done
        return json.loads(done.stdout)["cache"]

    assert said() == {"hit": False, "run_id": None}
    run_id = json.loads(stepflow("run", "hello.yaml", *ADA, "--cache", "-o", "json").stdout)["run_id"]
    assert said() == {"hit": True, "run_id": run_id}
    assert said("--refresh") == {"hit": False, "run_id": None}


def test_a_result_of_an_embedded_server_is_of_its_configuration(stepflow: Stepflow) -> None:
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


def test_a_stored_flow_and_a_part_of_one(stepflow: Stepflow, server: str) -> None:
    flow_id = stepflow("flows", "store", "hello.yaml", "-o", "name").stdout.strip()
    for words in ((flow_id,), ("hello.yaml", "--up-to", "greeting")):
        first = stepflow("run", *words, *ADA, "--cache")
        assert (first.code, first.stderr) == (0, ""), first
        again = stepflow("run", *words, *ADA, "--cache")
        assert (again.stdout, "from the cache" in again.stderr) == (first.stdout, True)


def test_a_failure_is_not_kept(stepflow: Stepflow, server: str) -> None:
    runs = count(stepflow)
    for number in (1, 2):
        failed = stepflow("run", "fails.yaml", "--cache", "--input-json", "null")
        assert (failed.code, count(stepflow)) == (1, runs + number), failed


def test_commands_that_are_started_at_once_share_the_file(stepflow: Stepflow, server: str) -> None:
    one = 'stepflow run hello.yaml --input-json \'{"name": "Ada"}\' --cache -o jsonl'
    done = stepflow.shell(f"for each in 1 2 3 4; do {one} | tr -d '\\n' | sed 's/$/\\n/' & done; wait")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["output"] for each in found] == [found[0]["output"]] * 4, done
    runs = count(stepflow)
    later = json.loads(stepflow("run", "hello.yaml", *ADA, "--cache", "-o", "json").stdout)
    assert later["run_id"] in {each["run_id"] for each in found}
    assert count(stepflow) == runs


def test_no_secret_is_in_the_file(stepflow: Stepflow, server: str) -> None:
    properties = {"key": {"type": "string", "is_secret": True, "env_var": "THE_KEY"}}
    flow = {
        "schemas": {"properties": {"variables": {"properties": properties}}},
        "steps": [],
        "output": {"$input": "$"},
    }
    (stepflow.folder / "secretive.json").write_text(json.dumps(flow))
    (stepflow.folder / "telling.json").write_text(json.dumps(flow | {"output": {"key": {"$variable": "key"}}}))
    stepflow.environment["THE_KEY"] = SECRET
    for name, is_kept in (("secretive.json", True), ("telling.json", False)):
        for number in range(2):
            done = stepflow("run", name, *ADA, "--variables-from-env", "--cache")
            assert (done.code, "from the cache" in done.stderr) == (0, is_kept and number == 1), done
    assert SECRET.encode() not in b"".join(each.read_bytes() for each in file_of(stepflow).parent.iterdir())


def test_a_cache_that_cannot_be_used_is_a_warning(stepflow: Stepflow, server: str) -> None:
    file_of(stepflow).parent.mkdir(parents=True)
    file_of(stepflow).write_bytes(b"no database at all " * 100)
    done = stepflow("run", "hello.yaml", *ADA, "--cache")
    assert (done.code, json.loads(done.stdout) is not None) == (0, True)
    assert done.stderr.startswith(f"stepflow: the result cache cannot read a result in {file_of(stepflow)}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--refresh"], "--refresh needs --cache"),
        (["--max-age", "1h"], "--max-age needs --cache"),
        (["--cache", "--max-age", "soon"], "--max-age must be a time such as 90s"),
        (["--cache", "--max-age", "0s"], "--max-age must be a time such as 90s"),
        (["--cache", "--idempotency-key", "k"], "--cache and --idempotency-key cannot be used together"),
    ],
)
def test_what_contradicts_itself(stepflow: Stepflow, words: list[str], said: str) -> None:
    done = stepflow("run", "hello.yaml", *ADA, *words)
    assert (done.code, said in done.stderr) == (2, True), done
