"""The command records its runs in the history, and accepts history positions such as @last instead of run IDs."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from stepflow_client.history import History

from tests.cli.command import STEPFLOW, Stepflow
from tests.cli.golden import Golden
from tests.cli.runs import UNKNOWN
from tests.cli.terminal import Terminal
from tests.postgres import Postgres

pytestmark = pytest.mark.in_process

SECRET = "hunter2-wolpertinger"
SECRETIVE = {
    "name": "secretive",
    "schemas": {
        "properties": {
            "variables": {
                "properties": {
                    "key": {"type": "string", "is_secret": True, "env_var": "THE_KEY"},
                    "city": {"type": "string"},
                }
            }
        }
    },
    "steps": [{"id": "echo", "component": "/builtin/noop", "input": {"n": {"$input": "$.n"}}}],
    "output": {"n": {"$step": "echo", "path": "$.n"}, "city": {"$variable": "city"}},
}


def state_folder(stepflow: Stepflow) -> Path:
    return Path(stepflow.environment["XDG_STATE_HOME"]) / "stepflow"


def list_history(stepflow: Stepflow, *args: str) -> list[dict[str, Any]]:
    done = stepflow("history", "list", "-o", "json", *args)
    assert done.code == 0, done
    entries: list[dict[str, Any]] = json.loads(done.stdout)
    return entries


def test_run_is_recorded(stepflow: Stepflow, server: str) -> None:
    done = stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', "--label", "env=dev", "--note", "first")
    assert (done.code, done.stderr) == (0, "")
    (entry,) = list_history(stepflow)
    assert (entry["status"], entry["labels"], entry["note"]) == ("completed", {"env": "dev"}, "first")
    assert (entry["server"], entry["flow_file"]) == (server, str(stepflow.folder / "hello.yaml"))
    shown = json.loads(stepflow("history", "show", "@last", "-o", "json").stdout)
    assert (shown["input"], shown["flow"]["name"]) == ({"name": "Ada"}, entry["flow_name"])
    (file,) = [each for each in state_folder(stepflow).iterdir() if each.name == "history.db"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_runs_of_an_embedded_server_and_failures_are_recorded(stepflow: Stepflow) -> None:
    assert stepflow("run", "fails.yaml", "--input-json", '{"nam": "Ada"}', "--no-check", "--local").code == 1
    assert [entry["status"] for entry in list_history(stepflow)] == ["failed"]


def test_status_is_updated_by_later_commands(stepflow: Stepflow, server: str) -> None:
    run_id = stepflow("submit", "hello.yaml", "--detach", "--input-json", '{"name": "Ada"}').stdout.strip()
    assert [(entry["run_id"], entry["status"]) for entry in list_history(stepflow)] == [(run_id, None)]
    assert stepflow("runs", "watch", "-q", run_id).code == 0
    assert [entry["status"] for entry in list_history(stepflow)] == ["completed"]


@pytest.mark.parametrize("source", ["variable", "file"])
def test_history_can_be_turned_off(stepflow: Stepflow, server: str, source: str) -> None:
    environment = {"STEPFLOW_HISTORY": "off"} if source == "variable" else {}
    if source == "file":
        assert stepflow("config", "set", "history", "off").code == 0
        assert stepflow("config", "get", "history").stdout == "off\n"
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', **environment).code == 0
    assert not state_folder(stepflow).exists()
    labelled = stepflow("run", "hello.yaml", "--input-json", "{}", "--label", "a=b", **environment)
    assert (labelled.code, "history, which is off" in labelled.stderr) == (2, True)
    last = stepflow("runs", "get", "@last", **environment)
    hint = "unset STEPFLOW_HISTORY" if source == "variable" else "stepflow config set history on"
    assert (last.code, f"recording is off: {hint}" in last.stderr, hint in labelled.stderr) == (1, True, True)
    if source == "file":
        assert stepflow("config", "unset", "history").code == 0
        assert stepflow("config", "get", "history").stdout == "on\n"


@pytest.mark.parametrize("source", ["variable", "file"])
def test_runs_are_recorded_in_a_database(stepflow: Stepflow, server: str, postgres: Postgres, source: str) -> None:
    stepflow.in_process = False
    url = postgres.database()
    shown = f"postgresql://{url.rpartition('@')[2]}"
    environment = {"STEPFLOW_HISTORY": url}
    if source == "file":
        refused = stepflow("config", "set", "history", url)
        assert (refused.code, "use ~/.pgpass" in refused.stderr) == (2, True)
        assert stepflow("config", "set", "history", url.replace(f":{postgres.password}", "")).code == 0
        environment = {"PGPASSWORD": postgres.password}
    assert stepflow("config", "get", "history", **environment).stdout == f"{shown}\n"
    done = stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', "--label", "env=dev", **environment)
    assert (done.code, done.stderr) == (0, "")
    assert not (state_folder(stepflow) / "history.db").exists()
    (entry,) = json.loads(stepflow("history", "list", "--label", "env=dev", "-o", "json", **environment).stdout)
    assert (entry["status"], entry["labels"]) == ("completed", {"env": "dev"})
    assert stepflow("runs", "rerun", "@last", **environment).code == 0
    cleared = stepflow("history", "clear", "--yes", "-o", "json", **environment)
    assert json.loads(cleared.stdout) == {"removed": 2, "file": shown}


def test_unreachable_database_is_a_warning_for_runs(stepflow: Stepflow, server: str) -> None:
    stepflow.in_process = False
    url = {"STEPFLOW_HISTORY": "postgresql://me:hunter2@127.0.0.1:1/runs"}
    done = stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', **url)
    assert (done.code, "cannot record 1 run in postgresql://127.0.0.1:1/runs" in done.stderr) == (0, True), done
    listed = stepflow("history", "list", **url)
    assert (listed.code, "cannot read the history postgresql://127.0.0.1:1/runs" in listed.stderr) == (1, True), listed
    assert "hunter2" not in done.stderr + listed.stderr


def test_unconfirmed_run_is_listed(stepflow: Stepflow) -> None:
    entry_id = History(state_folder(stepflow) / "history.db").record(None, input={"n": 1}, labels={"env": "dev"})
    (entry,) = list_history(stepflow, "--label", "env=dev")
    assert (entry["run_id"], entry["status"]) == (entry_id, "unconfirmed")
    assert json.loads(stepflow("history", "show", entry_id, "-o", "json").stdout)["input"] == {"n": 1}
    assert stepflow("history", "show", "@last").code == 1


def test_invalid_setting_is_refused_before_a_run(stepflow: Stepflow, server: str) -> None:
    done = stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', STEPFLOW_HISTORY="perhaps")
    assert (done.code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "STEPFLOW_HISTORY must be on, off or postgresql://HOST/DATABASE, not 'perhaps'" in done.stderr
    assert not state_folder(stepflow).exists()
    assert stepflow("config", "set", "history", "perhaps").code == 2


@pytest.mark.parametrize("fault", ["folder", "full", "broken"])
def test_broken_history_does_not_affect_runs(stepflow: Stepflow, server: str, fault: str) -> None:
    line = 'stepflow run hello.yaml --input-json \'{"name": "Ada"}\''
    if fault == "folder":
        state_folder(stepflow).parent.mkdir(parents=True)
        state_folder(stepflow).write_text("no folder")
    elif fault == "broken":
        state_folder(stepflow).mkdir(parents=True)
        (state_folder(stepflow) / "history.db").write_text("no database " * 1_000)
    else:
        # Limit the file size to 0, as on a full disk; standard output is a pipe.
        line = f"trap '' XFSZ; ulimit -f 0; {STEPFLOW.parent}/{line}"
    done = stepflow.shell(line)
    assert done.code == 0, done
    assert json.loads(done.stdout)
    assert (done.stderr.count("\n"), "the history cannot record a run" in done.stderr) == (1, True), done


def test_secret_variables_are_not_recorded(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "secretive.yaml").write_text(yaml.safe_dump(SECRETIVE))
    arguments = ("--input-json", json.dumps({"n": SECRET}), "--var", "city=Oslo", "--note", f"with {SECRET}")
    by_flag = stepflow("run", "secretive.yaml", *arguments, "--var", f"key={SECRET}")
    assert by_flag.code == 0, by_flag
    by_environment = stepflow("run", "secretive.yaml", *arguments, "--variables-from-env", THE_KEY=SECRET)
    assert by_environment.code == 0, by_environment
    flow_id = stepflow("flows", "store", "secretive.yaml", "-o", "name").stdout.strip()
    by_id = stepflow("run", flow_id, *arguments, "--var", f"key={SECRET}", "--label", f"key={SECRET}")
    assert by_id.code == 0, by_id
    assert len(list_history(stepflow)) == 3
    files = [each for each in state_folder(stepflow).iterdir() if each.is_file()]
    assert not any(SECRET.encode() in each.read_bytes() for each in files)
    for position in ("@1", "@2", "@3"):
        shown = stepflow("history", "show", position, "-o", "json")
        assert SECRET not in shown.stdout
        assert json.loads(shown.stdout)["variables"] == {"city": "Oslo", "key": "***"}
    assert SECRET not in stepflow("history", "list", "-o", "json").stdout


def test_runs_are_referred_to_by_position(stepflow: Stepflow, server: str) -> None:
    ids = [
        stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', "-o", "name").stdout.strip() for _ in range(2)
    ]
    for command in ("get", "result", "steps", "items", "flow", "watch", "events"):
        for run_id, positions in ((ids[1], ["@last", "@1", *([] if command == "watch" else ["-"])]), (ids[0], ["@2"])):
            by_id = stepflow("runs", command, run_id, "-o", "json")
            for position in positions:
                by_position = stepflow("runs", command, position, "-o", "json")
                assert (by_position.code, by_position.stdout, by_position.stderr) == (
                    by_id.code,
                    by_id.stdout,
                    by_id.stderr,
                )
        absent = stepflow("runs", command, "@3")
        assert (absent.code, "the history has no run @3\n" in absent.stderr) == (1, True)
        assert stepflow("runs", command, "@0").code == 2


def test_positions_in_diff_and_root_options(stepflow: Stepflow, server: str) -> None:
    for name in ("Ada", "Bob"):
        assert stepflow("run", "hello.yaml", "--input-json", json.dumps({"name": name})).code == 0
    compared = stepflow("runs", "diff", "@2", "-", "-o", "json")
    assert (compared.code, '"Ada"' in compared.stdout, '"Bob"' in compared.stdout) == (1, True, True)
    rooted = stepflow("runs", "list", "--root", "@last", "-o", "name").stdout
    assert rooted.strip() == list_history(stepflow)[0]["run_id"]


def test_runs_are_found_by_label_text_and_status(stepflow: Stepflow, server: str) -> None:
    for name, label in (("Ada", "env=dev"), ("Bob", "env=prod"), ("Cleo", "env=dev")):
        run = ("run", "hello.yaml", "--input-json", json.dumps({"name": name}), "--label", label)
        assert stepflow(*run).code == 0
    third, second, first = (entry["run_id"] for entry in list_history(stepflow))
    assert [entry["run_id"] for entry in list_history(stepflow, "--label", "env=dev")] == [third, first]
    assert list_history(stepflow, "--status", "failed") == []
    assert stepflow("run", "fails.yaml", "--input-json", '{"nam": "Ada"}').code == 1
    (failed,) = (entry["run_id"] for entry in list_history(stepflow, "--status", "failed"))
    either = ("--status", "completed,failed")
    assert [entry["run_id"] for entry in list_history(stepflow, *either)] == [failed, third, second, first]
    assert [entry["run_id"] for entry in list_history(stepflow, *either, "-n", "2")] == [failed, third]
    assert stepflow("history", "list", "bob", "-o", "name").stdout.split() == [second]
    assert list_history(stepflow, "zorro") == []
    # The history and the list of runs accept the same queries.
    for query, expected in (
        (["env=dev"], [third, first]),
        (["bob", "flow:hello"], [second]),
        (["bob", "env=dev"], []),
        (["status:failed", "since:1h"], [failed]),
        (["until:yesterday"], []),
    ):
        assert [entry["run_id"] for entry in list_history(stepflow, *query)] == expected
        for all_option in ((), ("--all",)):
            listed = stepflow("runs", "list", *query, *all_option, "-o", "name").stdout.split()
            # The server has runs of other tests, too.
            assert listed[: len(expected)] == expected
            assert listed == expected or "status:failed" in query
    for query_text in ("status:nonsense", "since:never", "include:all"):
        refused = stepflow("history", "list", query_text)
        assert (refused.code, query_text.partition(":")[2] in refused.stderr) == (2, True)
    listed = ("runs", "list", "--label", "env=dev", "-o", "name")
    assert stepflow(*listed).stdout.split() == [third, first]
    assert stepflow(*listed, "-n", "1").stdout.split() == [third]
    assert stepflow(*listed, "--since", "1h", "--all").stdout.split() == [third, first]
    assert stepflow(*listed, "--label", "a=b").stdout == ""
    assert stepflow("runs", "list", "--label", "env").code == 2


def test_clear_needs_confirmation_and_removes_entries(stepflow: Stepflow, server: str) -> None:
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}').code == 0
    assert stepflow("history", "clear").code == 2
    assert stepflow("history", "clear", "--max-age", "yesterdayish", "-y").code == 2
    kept = stepflow("history", "clear", "--max-age", "1h", "-y", "-o", "json")
    assert json.loads(kept.stdout)["removed"] == 0
    assert stepflow("history", "clear", UNKNOWN, "-y").code == 1
    assert stepflow("history", "clear", "@1").code == 2
    assert stepflow("history", "clear", "@1", "--max-age", "1h", "-y").code == 2
    removed = stepflow("history", "clear", "@1", "-y", "-o", "json")
    assert json.loads(removed.stdout)["removed"] == 1
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}').code == 0
    removed = stepflow("history", "prune", "-y", "-o", "json")
    assert json.loads(removed.stdout)["removed"] == 1
    assert list_history(stepflow) == []
    assert b"Ada" not in (state_folder(stepflow) / "history.db").read_bytes()


def test_reading_commands_write_nothing(stepflow: Stepflow, server: str, ada: str) -> None:
    assert list_history(stepflow) == []
    assert stepflow("history", "show", UNKNOWN).code == 1
    assert stepflow("runs", "watch", "-q", ada).code == 0
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', "--dry-run").code == 0
    assert stepflow("test", "hello.yaml").code in (0, 2, 5)
    assert not state_folder(stepflow).exists()


def test_streaming_batch_is_recorded(stepflow: Stepflow, server: str) -> None:
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "precious"}').code == 0
    (stepflow.folder / "inputs.jsonl").write_text('{"name": "Ada"}\n{"name": "Grace"}\n')
    batch = ("batch", "hello.yaml", "inputs.jsonl", "--output")
    assert stepflow(*batch, "out.jsonl", "--label", "a=b").code == 0
    (run_id,) = {json.loads(line)["run_id"] for line in (stepflow.folder / "out.jsonl").read_text().splitlines()}
    (entry,) = list_history(stepflow, "--label", "a=b")
    assert (entry["run_id"], entry["flow_name"], entry["status"]) == (run_id, "hello", "completed")
    shown = json.loads(stepflow("history", "show", "@last", "-o", "json").stdout)
    assert (shown["input"], shown["omitted"]) == ([{"name": "Ada"}, {"name": "Grace"}], [])
    assert shown["has_more_runs"] is False
    assert json.loads(stepflow("runs", "get", "@last", "-o", "json").stdout)["run_id"] == run_id


def test_resumed_batch_has_one_entry(stepflow: Stepflow, server: str) -> None:
    inputs = stepflow.folder / "inputs.jsonl"
    inputs.write_text('{"name": "Ada"}\n')
    batch = ("batch", "hello.yaml", "inputs.jsonl", "--output", "out.jsonl")
    assert stepflow(*batch, "--label", "a=b", "--note", "first").code == 0
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "other"}').code == 0
    inputs.write_text('{"name": "Ada"}\n{"name": "Grace"}\n')
    for labels in ({"c": "d"}, {}):
        label_options = [f"--label={name}={value}" for name, value in labels.items()]
        assert stepflow(*batch, "--resume", *label_options).code == 0
        entry, other = list_history(stepflow)
        assert other["labels"] == {}
        shown = json.loads(stepflow("history", "show", "@last", "-o", "json").stdout)
        assert (entry["labels"], shown["note"], shown["has_more_runs"]) == ({"a": "b", "c": "d"}, "first", True)
        assert (entry["status"], shown["flow_file"]) == ("completed", str(stepflow.folder / "hello.yaml"))
    first = json.loads((stepflow.folder / "out.jsonl").read_text().splitlines()[0])
    assert entry["run_id"] == first["run_id"]


def test_resumed_batch_keeps_its_recorded_inputs(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "inputs.jsonl").write_text('{"name": "Ada"}\n{"name": "Grace"}\n')
    batch = ("batch", "hello.yaml", "inputs.jsonl", "--output", "out.jsonl")
    assert stepflow(*batch).code == 0
    assert stepflow(*batch, "--resume").code == 0
    shown = json.loads(stepflow("history", "show", "@last", "-o", "json").stdout)
    assert (shown["input"], shown["omitted"]) == ([{"name": "Ada"}, {"name": "Grace"}], [])
    assert stepflow("runs", "rerun", "@last", "-q").code == 0


def test_position_of_a_batch_of_several_runs_is_refused(stepflow: Stepflow, server: str) -> None:
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "precious"}').code == 0
    (stepflow.folder / "inputs.jsonl").write_text('{"name": "Ada"}\n' * 99 + "{}\n")
    assert stepflow("batch", "hello.yaml", "inputs.jsonl", "--output", "out.jsonl").code == 1
    runs = {json.loads(line)["run_id"] for line in (stepflow.folder / "out.jsonl").read_text().splitlines()}
    assert len(runs) > 1
    for arguments in (["cancel", "@last", "-y"], ["delete", "@last", "-y"], ["get", "@last"], ["rerun", "@1"]):
        refused = stepflow("runs", *arguments)
        assert (refused.code, "is a batch of several runs" in refused.stderr) == (2, True), refused
    shown = json.loads(stepflow("history", "show", "@last", "-o", "json").stdout)
    assert (shown["input"], shown["omitted"], shown["has_more_runs"]) == (None, ["input"], True)
    (batch, _) = list_history(stepflow)  # one entry for all runs of the batch
    assert batch["status"] == "failed"


@pytest.mark.parametrize("action", ["cancel", "delete"])
def test_cancel_and_delete_print_the_run_at_a_position(stepflow: Stepflow, server: str, action: str) -> None:
    run_id = stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', "-o", "name").stdout.strip()
    done = stepflow("runs", action, "@last", "-y")
    assert f"@last is run {run_id} of flow hello on server" in done.stderr


def test_damaged_entry_does_not_affect_others(stepflow: Stepflow, server: str) -> None:
    first, second, third = (
        stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', "-o", "name").stdout.strip() for _ in range(3)
    )
    with closing(sqlite3.connect(state_folder(stepflow) / "history.db", isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET input = '{broken' WHERE run_id = ?", [second])
    listed = stepflow("history", "list", "-o", "name")
    assert (listed.code, listed.stdout.split()) == (0, [third, first])
    assert listed.stderr.count("its record is damaged") == 1
    assert stepflow("runs", "get", "@3", "-o", "name").stdout.strip() == first
    for arguments in (
        ["history", "show", "@2"],
        ["runs", "get", "@2"],
        ["runs", "diff", "@2", "@1"],
        ["runs", "rerun", "@2"],
    ):
        done = stepflow(*arguments)
        assert (done.code, "unexpected" in done.stderr, "has no run @2" in done.stderr) == (1, False, True), done
    again = stepflow("runs", "rerun", second, "--input-json", '{"name": "Ada"}')
    assert again.code == 0


def test_completion_offers_positions(stepflow: Stepflow, server: str) -> None:
    stepflow.in_process = False
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', "--note", "first").code == 0

    def complete(command_line: str) -> list[str]:
        count = str(len(command_line.split(" ")) - 1)
        done = stepflow(_STEPFLOW_COMPLETE="bash_complete", COMP_WORDS=command_line, COMP_CWORD=count)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("stepflow runs get @") == ["@last"]
    # Bash splits words at @ and replaces only the part after it.
    assert complete("stepflow runs get @ la") == ["last"]
    assert "@last" not in complete("stepflow runs get ")
    assert complete("stepflow runs steps @last --step ") != []
    assert complete("stepflow history show ")[0] == "@last"


def test_history_is_shown(golden: Golden, terminal: Callable[..., Terminal], stepflow: Stepflow, server: str) -> None:
    nothing = stepflow("history", "list"), stepflow("history", "show", "@last")
    ran = stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', "--label", "env=dev", "--note", "first")
    assert ran.code == 0
    shown = [stepflow("history", *words) for words in (["list"], ["show", "@last"], ["--help"])]
    golden(*nothing, *shown)
    screen = terminal("history", "list", width=60)
    assert screen.end() == 0
    assert "env=dev" in screen.screen


def test_rerun_uses_recorded_values(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "secretive.yaml").write_text(yaml.safe_dump(SECRETIVE))
    arguments = ("--input-json", '{"n": 1}', "--var", "city=Oslo", "--set", 'echo.input.n="changed"')
    assert stepflow("run", "secretive.yaml", *arguments, "--var", f"key={SECRET}", "--url", server).code == 0
    again = stepflow("runs", "rerun", "@last", "--label", "again=1")
    assert (again.code, json.loads(again.stdout)) == (0, {"n": "changed", "city": "Oslo"}), again
    # The override replaces the step's reference to the input.
    assert "using variables, overrides from the history" in again.stderr
    (entry,) = list_history(stepflow, "--label", "again=1")
    assert entry["flow_name"] == "secretive"
    other = stepflow("runs", "rerun", "@2", "--var", "city=Rome", "--set", "echo.input.n=5")
    assert json.loads(other.stdout) == {"n": 5, "city": "Rome"}, other
    off = stepflow("runs", "rerun", "@last", STEPFLOW_HISTORY="off")
    assert "takes" not in off.stderr
