"""Streaming batches read and write lines, keep a journal, and resume after any kind of interruption."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from stepflow_client import SyncStepflowClient

from tests import releases
from tests.cli.command import FORKED, STEPFLOW, Stepflow
from tests.durable import DurableServer

FLOW = "schemas: {properties: {input: {properties: {n: {type: integer}}}}}\nsteps: []\noutput: {$input: n}\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    started = DurableServer(tmp_path_factory.mktemp("server"), releases.NEWEST)
    started.start()
    try:
        started.wait_ready()
        yield started
    finally:
        started.kill()


@pytest.fixture
def command(tmp_path: Path, server: DurableServer) -> Stepflow:
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (folder / "flow.yaml").write_text(FLOW)
    write_inputs(folder / "in.jsonl", 200)
    stepflow = Stepflow(folder, home)
    stepflow.environment["STEPFLOW_URL"] = server.url
    return stepflow


def write_inputs(path: Path, count: int) -> None:
    path.write_text("".join(f'{{"n": {number}, "id": "d{number}"}}\n' for number in range(count)))


def records(command: Stepflow, name: str = "out.jsonl") -> list[dict[str, Any]]:
    lines = (command.folder / name).read_text().splitlines()
    return sorted(map(json.loads, lines), key=lambda record: int(record["index"]))


RUN = ("batch", "flow.yaml", "in.jsonl", "--output", "out.jsonl")


def test_each_input_gets_a_line(command: Stepflow) -> None:
    done = command(*RUN)
    assert done.code == 0, done
    assert "200 inputs done, 0 failed" in done.stderr
    results = records(command)
    assert [(each["index"], each["key"], each["output"]) for each in results] == [(n, f"d{n}", n) for n in range(200)]
    assert all(each["status"] == "completed" and each["run_id"] for each in results)


def test_existing_output_is_refused_or_resumed(command: Stepflow) -> None:
    assert command(*RUN).code == 0
    first = records(command)
    refused = command(*RUN)
    assert refused.code == 2
    assert "out.jsonl already exists" in refused.stderr
    assert "--resume" in refused.stderr
    assert "--retry-failed" in refused.stderr
    assert command(*RUN, "--resume").code == 0
    assert records(command) == first
    (command.folder / "out.jsonl.journal").unlink()
    missing = command(*RUN, "--resume")
    assert (missing.code, "out.jsonl.journal is missing" in missing.stderr) == (2, True)
    assert "hint: use --retry-failed" in missing.stderr


def test_changed_inputs_are_refused(command: Stepflow) -> None:
    assert command(*RUN).code == 0
    results = records(command)
    write_inputs(command.folder / "in.jsonl", 3)
    done = command(*RUN, "--resume")
    assert done.code == 2
    assert "do not match the journal" in done.stderr
    assert records(command) == results


def test_too_deeply_nested_input_fails_alone(command: Stepflow) -> None:
    deep = "".join(f'{{"n": {each}}}\n' for each in ("[" * 150 + "]" * 150, 1, "[" * 1000 + "]" * 1000, 2))
    (command.folder / "in.jsonl").write_text(deep)
    for more in ((), ("--resume",)):
        done = command(*RUN, "--no-check", *more)
        assert done.code == 1
        assert [each["status"] for each in records(command)] == ["failed", "completed"] * 2
    (command.folder / "in.jsonl").write_text(deep.splitlines()[0] + '\n{"n": 1}\n')
    done = command("batch", "flow.yaml", "in.jsonl", "--retry", "1", "--no-check")
    assert done.code == 1
    assert "1 of 2 inputs did not succeed\n" in done.stderr


def test_malformed_line_fails_alone_or_stops_the_batch(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1}\n\n{"n": oops}\n{"n": NaN}\n{"n": 4}\n')
    done = command(*RUN)
    assert done.code == 1
    assert "2 of 4 inputs did not succeed" in done.stderr
    results = records(command)
    assert [each["status"] for each in results] == ["completed", "failed", "failed", "completed"]
    message = "line 3 cannot be read: expecting value (column 7) (write text in double quotes)"
    assert results[1]["error"]["message"] == message
    stopped = command("batch", "flow.yaml", "in.jsonl", "--output", "b.jsonl", "--on-bad-line", "stop")
    assert stopped.code == 2
    assert "in.jsonl, line 3, cannot be read" in stopped.stderr
    assert [each["output"] for each in records(command, "b.jsonl")] == [1]


def test_csv_is_typed_by_the_flow(command: Stepflow) -> None:
    (command.folder / "in.csv").write_text("n,id\n1,é\n2,b\nx,c\n")
    done = command("batch", "flow.yaml", "in.csv", "--output", "out.jsonl")
    assert done.code == 1, done
    results = records(command)
    assert [each.get("output") for each in results] == [1, 2, None]
    assert results[0]["key"] == "é"
    message = "line 4 cannot be read: field n is not of type integer: 'x'"
    assert (
        results[2]["error"]["message"] == f"{message} (correct it, or change the type of n in the flow's input schema)"
    )


def test_csv_needs_no_output_file(command: Stepflow) -> None:
    (command.folder / "in.csv").write_text("n,id\n1,é\n2,b\n")
    done = command("batch", "flow.yaml", "in.csv")
    assert done.code == 0, done
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["output"] for each in printed] == [1, 2]
    (command.folder / "in.csv").write_text("n,id\nx,é\n")
    wrong = command("batch", "flow.yaml", "in.csv")
    assert (wrong.code, "in.csv, line 2, cannot be read: field n is not of type integer" in wrong.stderr) == (
        2,
        True,
    ), wrong


def test_skip_and_limit_with_pipes(command: Stepflow) -> None:
    done = command.shell("stepflow batch flow.yaml - --skip 10 --limit 5 < in.jsonl | sort | head -3")
    assert done.code == 0, done
    assert sorted(json.loads(line)["index"] for line in done.stdout.splitlines()) == [10, 11, 12]


def test_closed_output_pipe_stops_the_batch(command: Stepflow) -> None:
    write_inputs(command.folder / "in.jsonl", 5000)
    done = command.shell("stepflow batch flow.yaml in.jsonl --limit 5000 | head -5")
    assert len(done.stdout.splitlines()) == 5
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resume",), "--resume needs --output FILE"),
        (("-o", "table", "--output", "out.txt"), "-o table is printed, not written to a file"),
        (("--output", "out.txt"), "has none of the extensions .jsonl"),
        (("--retry-failed",), "--retry-failed needs --output FILE"),
        (("--retry-failed", "--output", "none.jsonl"), "none.jsonl does not exist"),
        (("--retry-failed", "--resume", "--output", "o.jsonl"), "--resume and --retry-failed cannot be used together"),
        (
            ("--retry-failed", "--limit", "1", "--output", "in.jsonl"),
            "--retry-failed and --limit cannot be used together",
        ),
        (("--seed", "1", "--output", "o.jsonl"), "--seed needs --sample"),
        (("--sample", "0"), "--sample"),
        (("-o", "parquet"), "Parquet needs --output FILE"),
        (("--retry-on", "lost"), "--retry-on needs --retry N"),
        (("--retry", "1", "--retry-on", "lots"), "'lots' is not one of"),
        (("--retry", "1", "--detach"), "--detach and --retry cannot be used together"),
        (("--limit", "1", "--detach"), "--detach and --limit cannot be used together"),
        (("--limit", "1", "--dry-run"), "--dry-run and --limit cannot be used together"),
    ],
)
@pytest.mark.in_process
def test_conflicting_options_are_refused(command: Stepflow, options: tuple[str, ...], message: str) -> None:
    done = command("batch", "flow.yaml", "in.jsonl", *options)
    assert done.code == 2, done
    assert message in done.stderr


def test_batch_options_of_run_get_a_hint(command: Stepflow) -> None:
    for option in ("--limit", "--retry", "--inputs"):
        for name in ("run", "submit"):
            done = command(name, "flow.yaml", option, "3")
            assert (done.code, "for many inputs, use 'stepflow batch FLOW INPUTS'" in done.stderr) == (2, True)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_batch_is_resumed(command: Stepflow, signal_number: signal.Signals) -> None:
    write_inputs(command.folder / "in.jsonl", 1000)
    line = [str(FORKED), *RUN]
    journal = command.folder / "out.jsonl.journal"
    for turn in range(2):
        # A batch resumes from the journal alone; the output exists again once the batch has started.
        (command.folder / "out.jsonl").unlink(missing_ok=True)
        process = subprocess.Popen(
            line + ["--resume"] * (turn > 0),
            cwd=command.folder,
            env=command.environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        while process.poll() is None and not (journal.exists() and (command.folder / "out.jsonl").exists()):
            time.sleep(0.005)
        os.kill(process.pid, signal_number)
        _, errors = process.communicate()
        if signal_number == signal.SIGINT:
            assert process.returncode == 130, errors
            assert "run the same command with --resume" in errors
    done = command(*RUN, "--resume")
    assert done.code == 0, done
    assert [each["output"] for each in records(command)] == list(range(1000))


def test_interrupted_batch_without_a_file_can_be_watched(command: Stepflow) -> None:
    (command.folder / "slow.yaml").write_text(
        "steps: [{id: a, component: /builtin/sleep, input: {duration_ms: {$input: ms}}}]\noutput: {$step: a}\n"
    )
    (command.folder / "ms.jsonl").write_text('{"ms": 3000}\n{"ms": 4000}\n')
    line = [str(FORKED), "batch", "slow.yaml", "ms.jsonl"]
    with subprocess.Popen(
        line, cwd=command.folder, env=command.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        while command("runs", "get", "@last", "-o", "name").code:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    message, hint = errors.splitlines()[-2:]
    assert message == "stepflow: interrupted after 0 inputs; runs that have begun continue on the server"
    watched = command(*shlex.split(hint.removeprefix("hint: stepflow ")))
    assert watched.code == 0
    assert "item 1, step a: completed" in watched.stdout


def test_timeout_messages_say_whether_the_runs_continue(command: Stepflow) -> None:
    step = {"id": "rest", "component": "/builtin/sleep", "input": {"duration_ms": 3000}}
    flow = {"steps": [step], "output": {"$step": "rest"}}
    (command.folder / "slow.json").write_text(json.dumps(flow))
    batch = ("batch", "slow.json", "in.jsonl", "--limit", "1", "--timeout", "1")
    named, embedded = command(*batch), command(*batch, "--local")
    assert (named.code, embedded.code) == (5, 5)
    assert named.stderr.startswith("stepflow: timed out waiting for the batch; its runs continue\n")
    assert embedded.stderr.splitlines() == [
        "stepflow: timed out waiting for the batch",
        "hint: the embedded server has stopped, and its runs with it",
    ]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "json", "yaml", "parquet"])
def test_retry_failed_reruns_failed_inputs(command: Stepflow, ending: str) -> None:
    lines = [f'{{"n": {number}, "id": "d{number}"}}' for number in range(60)]
    bad = [*lines]
    bad[7], bad[50] = '{"n": oops', "[]]"
    (command.folder / "in.jsonl").write_text("\n".join(bad))
    run = ("batch", "flow.yaml", "in.jsonl", "--output", f"out.{ending}")
    first = command(*run)
    assert (first.code, "2 of 60 inputs did not succeed" in first.stderr) == (1, True), first
    before = {each["index"]: each for each in read_output(command, f"out.{ending}")}
    assert [n for n, each in before.items() if each["status"] != "completed"] == [7, 50]
    (command.folder / "in.jsonl").write_text("\n".join(lines))
    done = command(*run, "--retry-failed")
    assert (done.code, "2 inputs done, 0 failed" in done.stderr) == (0, True), done
    after = {each["index"]: each for each in read_output(command, f"out.{ending}")}
    assert len(after) == 60
    assert all(after[n] == before[n] for n in range(60) if n not in (7, 50))
    assert [after[n]["output"] for n in (7, 50)] == [7, 50]
    # The retried batch cannot be resumed, and none of its temporary files are left.
    assert {path.name for path in command.folder.iterdir()} == {"flow.yaml", "in.jsonl", f"out.{ending}"}
    nothing = command(*run, "--retry-failed")
    assert (nothing.code, f"no input of out.{ending} has failed" in nothing.stderr) == (0, True)


def read_output(command: Stepflow, name: str) -> list[dict[str, Any]]:
    """Read an output file independently of the code that wrote it."""
    path = command.folder / name
    text = "" if name.endswith("parquet") else path.read_text()
    if name.endswith("parquet"):
        from pyarrow import parquet

        results = parquet.read_table(path).to_pylist()
        for each in results:
            each["output"] = None if each["output"] is None else json.loads(each["output"])
    elif name.endswith("csv"):
        results = list(csv.DictReader(text.splitlines()))
        for each in results:
            each |= {"index": int(each["index"]), "output": json.loads(each["output"] or "null")}
    elif name.endswith("yaml"):
        results = yaml.safe_load(text)
    else:
        results = json.loads(text) if name.endswith("json") else [json.loads(line) for line in text.splitlines()]
    return sorted(results, key=lambda each: int(each["index"]))


AGAIN = ("--retry", "1", "--retry-on", "expression_failed")


def test_retry_reruns_failed_inputs_within_the_batch(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1, "id": "a"}\n{"id": "b"}\n{"n": 3, "id": "c"}\n')
    first = command(*RUN, *AGAIN)
    assert (first.code, "3 inputs done, 1 failed" in first.stderr) == (1, True), first
    results = records(command)
    assert [each["attempts"] for each in results] == [1, 2, 1]
    # Resuming starts no further runs, but --retry-failed makes both attempts again.
    resumed = command(*RUN, *AGAIN, "--resume")
    assert (resumed.code, records(command)) == (1, results), resumed
    retried = command(*RUN, *AGAIN, "--retry-failed")
    assert (retried.code, "1 inputs done, 1 failed" in retried.stderr) == (1, True), retried
    again = records(command)
    assert [each["attempts"] for each in again] == [1, 2, 1]
    assert again[1]["run_id"] != results[1]["run_id"]
    assert [again[0], again[2]] == [results[0], results[2]]
    (command.folder / "in.jsonl").write_text('{"n": 1, "id": "a"}\n{"n": 2, "id": "b"}\n{"n": 3, "id": "c"}\n')
    done = command(*RUN, *AGAIN, "--retry-failed")
    assert (done.code, [each["output"] for each in records(command)]) == (0, [1, 2, 3]), done


def test_inputs_that_violate_the_schema_fail_alone(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1}\n{"n": "x"}\n{"n": 3}\n')
    done = command(*RUN)
    assert (done.code, "3 inputs done, 1 failed" in done.stderr) == (1, True), done
    results = records(command)
    assert [(each["status"], each["run_id"] is None) for each in results] == [
        ("completed", False),
        ("failed", True),
        ("completed", False),
    ]
    assert results[1]["error"]["code"] == "invalid_input"
    assert "expects integer, not string (at $.n)" in results[1]["error"]["message"]
    assert command(*RUN, "--no-check", "--retry-failed").code == 0
    assert [each["output"] for each in records(command)] == [1, "x", 3]


def test_retry_without_an_output_file(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1}\n{}\n{"n": [3]}\n')
    batch = ("batch", "flow.yaml", "in.jsonl", "--no-check", *AGAIN)
    done = command(*batch)
    assert (done.code, "1 of 3 inputs did not succeed" in done.stderr) == (1, True), done
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["index"], each["status"], each.get("output")) for each in results] == [
        (0, "completed", 1),
        (1, "failed", None),
        (2, "completed", [3]),
    ]
    # One run of all inputs, and one of the failed input.
    named = command(*batch, "-o", "name")
    assert (named.code, len(set(named.stdout.split()))) == (1, 2), named


def test_retry_failed_refuses_changed_inputs_and_other_files(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1, "id": "a"}\n{"n": {"x": 1}, "id": "b"}\n{"n": oops}\n')
    assert command(*RUN, "--no-check").code == 1
    (command.folder / "in.jsonl").write_text('{"n": 1, "id": "a"}\n')
    shorter = command(*RUN, "--retry-failed")
    assert (shorter.code, "in.jsonl has changed: there is no input 2" in shorter.stderr) == (2, True), shorter
    results = records(command)
    assert [each["status"] for each in results] == ["completed", "completed", "failed"]
    (command.folder / "out.jsonl").write_text('{"a": 1}\n')
    foreign = command(*RUN, "--retry-failed")
    assert (foreign.code, "it is not a record of a batch" in foreign.stderr) == (2, True), foreign
    assert (command.folder / "out.jsonl").read_text() == '{"a": 1}\n'


def test_retry_failed_refuses_an_interrupted_batch(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1}\n{"n": oops}\n')
    stopped = command(*RUN, "--on-bad-line", "stop")
    assert stopped.code == 2
    refused = command(*RUN, "--retry-failed")
    assert (refused.code, "was interrupted" in refused.stderr, "--resume" in refused.stderr) == (2, True, True)


def test_sample_depends_on_the_seed_only(command: Stepflow) -> None:
    run = ("batch", "flow.yaml", "in.jsonl", "--sample", "20", "--output")
    assert command(*run, "a.jsonl").code == 0
    assert command(*run, "b.jsonl").code == 0
    assert command(*run, "c.jsonl", "--seed", "7").code == 0
    a, b, c = ([each["index"] for each in records(command, f"{name}.jsonl")] for name in "abc")
    assert a == b != c
    assert len(set(a)) == len(set(c)) == 20
    assert [each["output"] for each in records(command, "a.jsonl")] == a
    again = command(*run, "a.jsonl", "--resume")
    assert again.code == 0, again
    assert [each["index"] for each in records(command, "a.jsonl")] == a


def test_summary_has_latencies(command: Stepflow) -> None:
    done = command(*RUN)
    assert re.search(r"latency of runs: p50 \S+s, p95 \S+s, p99 \S+s$", done.stderr, re.MULTILINE), done


SPECIAL = [
    {"n": 1, "text": "naïve ☃ 𝄞", "nothing": None, "deep": {"list": [1, None, {"a": "b"}], "empty": {}}},
    {"n": 2, "text": 'quo"tes, and\nlines', "nothing": None, "deep": {"list": [], "empty": None}},
    {"n": 3, "text": "", "nothing": None, "deep": None},
]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "json", "yaml", "parquet"])
def test_special_values_survive_every_output_format(command: Stepflow, ending: str) -> None:
    (command.folder / "flow.yaml").write_text("steps: []\noutput: {$input: $}\n")
    (command.folder / "in.jsonl").write_text("".join(json.dumps(each) + "\n" for each in SPECIAL))
    done = command("batch", "flow.yaml", "in.jsonl", "--output", f"out.{ending}", "--on-bad-line", "fail")
    assert done.code == 0, done
    assert [each["output"] for each in read_output(command, f"out.{ending}")] == SPECIAL


def test_parquet_in_and_out(command: Stepflow) -> None:
    rows = [
        {
            "id": f"d{number}",
            "n": number,
            "text": None if number % 3 else "é☃",
            "deep": {"list": [number, None], "at": datetime(2026, 1, 2, 3, 4, 5)},
            "json": '{"a": [1]}',
        }
        for number in range(150)
    ]
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pylist(rows), command.folder / "in.parquet", row_group_size=50)
    (command.folder / "flow.yaml").write_text(
        "schemas: {properties: {input: {properties: {json: {type: object}}}}}\nsteps: []\noutput: {$input: $}\n"
    )
    done = command("batch", "flow.yaml", "in.parquet", "--output", "out.parquet")
    assert done.code == 0, done
    results = read_output(command, "out.parquet")
    assert [each["key"] for each in results] == [f"d{number}" for number in range(150)]
    assert results[4]["output"] == {
        "id": "d4",
        "n": 4,
        "text": None,
        "deep": {"list": [4, None], "at": "2026-01-02T03:04:05"},
        "json": {"a": [1]},
    }
    assert results[3]["output"]["text"] == "é☃"
    piped = command.shell("stepflow batch flow.yaml - --input-format parquet --limit 2 < in.parquet")
    assert len(piped.stdout.splitlines()) == 2, piped


def test_invalid_parquet_file_is_refused(command: Stepflow) -> None:
    (command.folder / "in.parquet").write_text("n\n1\n")
    done = command("batch", "flow.yaml", "in.parquet", "--output", "out.jsonl")
    assert (done.code, "in.parquet cannot be read" in done.stderr) == (2, True), done


def test_parquet_without_pyarrow_says_what_to_install(command: Stepflow) -> None:
    (command.home / "pyarrow.py").write_text("raise ImportError('no')\n")
    command.environment["PYTHONPATH"] = os.pathsep.join([str(command.home), os.environ.get("PYTHONPATH", "")])
    (command.folder / "in.parquet").write_text("")
    done = command("batch", "flow.yaml", "in.parquet", "--output", "out.jsonl")
    assert (done.code, "stepflow-client[parquet]'" in done.stderr) == (2, True), done


class TestCrashes:
    """A batch can be resumed after its server or its disk has failed in the middle."""

    @pytest.fixture
    def own_server(self, tmp_path: Path, command: Stepflow) -> Iterator[DurableServer]:
        """A server for this test only."""
        (tmp_path / "store").mkdir()
        started = DurableServer(tmp_path / "store", releases.NEWEST)
        started.start()
        try:
            started.wait_ready()
            command.environment["STEPFLOW_URL"] = started.url
            yield started
        finally:
            started.kill()

    @pytest.mark.exhaustive
    def test_server_is_killed(self, command: Stepflow, own_server: DurableServer) -> None:
        write_inputs(command.folder / "in.jsonl", 6000)
        for turn in range(3):
            (command.folder / "out.jsonl").unlink(missing_ok=True)
            process = subprocess.Popen(
                [str(FORKED), *RUN, *["--resume"] * (turn > 0)],
                cwd=command.folder,
                env=command.environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            while process.poll() is None and not has_results(command, 200 + 1500 * turn):
                time.sleep(0.01)
            own_server.kill()
            if turn == 1:
                # The command is killed as well, before the server restarts.
                process.kill()
            own_server.start()
            own_server.wait_ready()
            _, errors = process.communicate(timeout=120)
            assert process.returncode in (0, 1, -9), errors
        done = command(*RUN, "--resume")
        assert done.code == 0, done
        assert [each["output"] for each in records(command)] == list(range(6000))
        with SyncStepflowClient(own_server.url) as client:
            runs = client.list_runs().runs
        # Every chunk was run once.
        assert sum(run.items.total for run in runs) == 6000

    @pytest.mark.parametrize("blocks", [0, 8])
    def test_batch_resumes_after_a_full_disk(self, command: Stepflow, own_server: DurableServer, blocks: int) -> None:
        """The journal can't be created, or the output can't be finished."""
        write_inputs(command.folder / "in.jsonl", 300)
        line = f"trap '' XFSZ; ulimit -f {blocks}; {STEPFLOW} {shlex.join(RUN)}"
        full = command.shell(line, PYTHONDONTWRITEBYTECODE="1")
        assert full.code == 2, full
        assert full.stderr.endswith("hint: to continue, run the same command with --resume\n")
        done = command(*RUN, "--resume")
        assert done.code == 0, done
        assert [each["output"] for each in records(command)] == list(range(300))

    @pytest.mark.exhaustive
    def test_disk_is_full_repeatedly(self, command: Stepflow, own_server: DurableServer) -> None:
        write_inputs(command.folder / "in.jsonl", 3000)
        for blocks in (20, 60, 110):
            (command.folder / "out.jsonl").unlink(missing_ok=True)
            more = "--resume" if (command.folder / "out.jsonl.journal").exists() else ""
            # The limit is in KiB per file. The signal is ignored, so writing fails as on a full disk. No bytecode
            # is written, because the limit would truncate it, too.
            line = f"trap '' XFSZ; ulimit -f {blocks}; {STEPFLOW} {shlex.join(RUN)} {more}"
            full = command.shell(line, PYTHONDONTWRITEBYTECODE="1")
            assert full.code == 2, full
            assert "cannot be written" in full.stderr
            assert "Traceback" not in full.stderr
            assert full.stderr.endswith("hint: to continue, run the same command with --resume\n")
        done = command(*RUN, *["--resume"] * (command.folder / "out.jsonl.journal").exists())
        assert done.code == 0, done
        assert [each["output"] for each in records(command)] == list(range(3000))
        with SyncStepflowClient(own_server.url) as client:
            assert sum(run.items.total for run in client.list_runs().runs) == 3000


def has_results(command: Stepflow, count: int) -> bool:
    """Return whether the output has at least `count` results."""
    try:
        return (command.folder / "out.jsonl").read_bytes().count(b"\n") >= count
    except FileNotFoundError:
        return False
