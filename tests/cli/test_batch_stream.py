"""Batches that stream: lines in, lines out, a journal beside them, and going on after an end of any kind."""

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
    made = Stepflow(folder, home)
    made.environment["STEPFLOW_URL"] = server.url
    return made


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
    found = records(command)
    assert [(each["index"], each["key"], each["output"]) for each in found] == [(n, f"d{n}", n) for n in range(200)]
    assert all(each["status"] == "completed" and each["run_id"] for each in found)


def test_an_output_that_is_there_is_gone_on_with_or_refused(command: Stepflow) -> None:
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


def test_changed_inputs_are_refused(command: Stepflow) -> None:
    assert command(*RUN).code == 0
    write_inputs(command.folder / "in.jsonl", 3)
    done = command(*RUN, "--resume")
    assert done.code == 2
    assert "do not match the journal" in done.stderr


def test_an_input_that_is_nested_too_deeply_fails_alone(command: Stepflow) -> None:
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


def test_a_malformed_line_fails_alone_or_stops(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1}\n\n{"n": oops}\n{"n": NaN}\n{"n": 4}\n')
    done = command(*RUN)
    assert done.code == 1
    assert "2 of 4 inputs did not succeed" in done.stderr
    found = records(command)
    assert [each["status"] for each in found] == ["completed", "failed", "failed", "completed"]
    said = "line 3 cannot be read: expecting value (column 7) (write text in double quotes)"
    assert found[1]["error"]["message"] == said
    stopped = command("batch", "flow.yaml", "in.jsonl", "--output", "b.jsonl", "--on-bad-line", "stop")
    assert stopped.code == 2
    assert "in.jsonl, line 3, cannot be read" in stopped.stderr
    assert [each["output"] for each in records(command, "b.jsonl")] == [1]


def test_csv_is_typed_by_the_flow(command: Stepflow) -> None:
    (command.folder / "in.csv").write_text("n,id\n1,é\n2,b\nx,c\n")
    done = command("batch", "flow.yaml", "in.csv", "--output", "out.jsonl")
    assert done.code == 1, done
    found = records(command)
    assert [each.get("output") for each in found] == [1, 2, None]
    assert found[0]["key"] == "é"
    said = "line 4 cannot be read: field n is not of type integer: 'x'"
    assert found[2]["error"]["message"] == f"{said} (correct it, or change the type of n in the flow's input schema)"


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


def test_a_part_of_the_inputs_through_pipes(command: Stepflow) -> None:
    done = command.shell("stepflow batch flow.yaml - --skip 10 --limit 5 < in.jsonl | sort | head -3")
    assert done.code == 0, done
    assert sorted(json.loads(line)["index"] for line in done.stdout.splitlines()) == [10, 11, 12]


def test_a_reader_that_stops_ends_it(command: Stepflow) -> None:
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
def test_what_contradicts_is_refused(command: Stepflow, options: tuple[str, ...], message: str) -> None:
    done = command("batch", "flow.yaml", "in.jsonl", *options)
    assert done.code == 2, done
    assert message in done.stderr


def test_a_run_of_one_input_names_batch(command: Stepflow) -> None:
    for option in ("--limit", "--retry", "--inputs"):
        for name in ("run", "submit"):
            done = command(name, "flow.yaml", option, "3")
            assert (done.code, "for many inputs, use 'stepflow batch FLOW INPUTS'" in done.stderr) == (2, True)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_it_goes_on_after_it_was_stopped(command: Stepflow, sent: signal.Signals) -> None:
    write_inputs(command.folder / "in.jsonl", 1000)
    line = [str(FORKED), *RUN]
    journal = command.folder / "out.jsonl.journal"
    for turn in range(2):
        # It is there again once the batch has begun; the journal alone is what a batch goes on with.
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
        os.kill(process.pid, sent)
        _, said = process.communicate()
        if sent == signal.SIGINT:
            assert process.returncode == 130, said
            assert "run the same command with --resume" in said
    done = command(*RUN, "--resume")
    assert done.code == 0, done
    assert [each["output"] for each in records(command)] == list(range(1000))


def test_an_interrupted_batch_without_a_file_is_watched_as_the_last_run(command: Stepflow) -> None:
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
        _, said = process.communicate()
    assert process.returncode == 130
    message, hint = said.splitlines()[-2:]
    assert message == "stepflow: interrupted after 0 inputs; runs that have begun continue on the server"
    watched = command(*shlex.split(hint.removeprefix("hint: stepflow ")))
    assert watched.code == 0
    assert "item 1, step a: completed" in watched.stdout


def test_timeout_messages_say_whether_the_runs_continue(command: Stepflow) -> None:
    step = {"id": "rest", "component": "/builtin/sleep", "input": {"duration_ms": 3000}}
    flow = {"steps": [step], "output": {"$step": "rest"}}
    (command.folder / "slow.json").write_text(json.dumps(flow))
    words = ("batch", "slow.json", "in.jsonl", "--limit", "1", "--timeout", "1")
    named, embedded = command(*words), command(*words, "--local")
    assert (named.code, embedded.code) == (5, 5)
    assert named.stderr.startswith("stepflow: timed out waiting for the batch; its runs continue\n")
    assert embedded.stderr.splitlines() == [
        "stepflow: timed out waiting for the batch",
        "hint: the embedded server has stopped, and its runs with it",
    ]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "json", "yaml", "parquet"])
def test_failed_inputs_are_run_again(command: Stepflow, ending: str) -> None:
    lines = [f'{{"n": {number}, "id": "d{number}"}}' for number in range(60)]
    bad = [*lines]
    bad[7], bad[50] = '{"n": oops', "[]]"
    (command.folder / "in.jsonl").write_text("\n".join(bad))
    run = ("batch", "flow.yaml", "in.jsonl", "--output", f"out.{ending}")
    first = command(*run)
    assert (first.code, "2 of 60 inputs did not succeed" in first.stderr) == (1, True), first
    before = {each["index"]: each for each in written(command, f"out.{ending}")}
    assert [n for n, each in before.items() if each["status"] != "completed"] == [7, 50]
    (command.folder / "in.jsonl").write_text("\n".join(lines))
    done = command(*run, "--retry-failed")
    assert (done.code, "2 inputs done, 0 failed" in done.stderr) == (0, True), done
    after = {each["index"]: each for each in written(command, f"out.{ending}")}
    assert len(after) == 60
    assert all(after[n] == before[n] for n in range(60) if n not in (7, 50))
    assert [after[n]["output"] for n in (7, 50)] == [7, 50]
    # What went before the retry cannot be gone on with, and no file of it is left.
    assert {path.name for path in command.folder.iterdir()} == {"flow.yaml", "in.jsonl", f"out.{ending}"}
    nothing = command(*run, "--retry-failed")
    assert (nothing.code, f"no input of out.{ending} has failed" in nothing.stderr) == (0, True)


def written(command: Stepflow, name: str) -> list[dict[str, Any]]:
    """Read an output as those who get it would, without the code that wrote it."""
    path = command.folder / name
    text = "" if name.endswith("parquet") else path.read_text()
    if name.endswith("parquet"):
        from pyarrow import parquet

        found = parquet.read_table(path).to_pylist()
        for each in found:
            each["output"] = None if each["output"] is None else json.loads(each["output"])
    elif name.endswith("csv"):
        found = list(csv.DictReader(text.splitlines()))
        for each in found:
            each |= {"index": int(each["index"]), "output": json.loads(each["output"] or "null")}
    elif name.endswith("yaml"):
        found = yaml.safe_load(text)
    else:
        found = json.loads(text) if name.endswith("json") else [json.loads(line) for line in text.splitlines()]
    return sorted(found, key=lambda each: int(each["index"]))


AGAIN = ("--retry", "1", "--retry-on", "expression_failed")


def test_failed_inputs_run_again_within_the_batch(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1, "id": "a"}\n{"id": "b"}\n{"n": 3, "id": "c"}\n')
    first = command(*RUN, *AGAIN)
    assert (first.code, "3 inputs done, 1 failed" in first.stderr) == (1, True), first
    found = records(command)
    assert [each["attempts"] for each in found] == [1, 2, 1]
    # It goes on with neither more nor fewer runs; a retry makes both attempts anew.
    resumed = command(*RUN, *AGAIN, "--resume")
    assert (resumed.code, records(command)) == (1, found), resumed
    retried = command(*RUN, *AGAIN, "--retry-failed")
    assert (retried.code, "1 inputs done, 1 failed" in retried.stderr) == (1, True), retried
    again = records(command)
    assert [each["attempts"] for each in again] == [1, 2, 1]
    assert again[1]["run_id"] != found[1]["run_id"]
    assert [again[0], again[2]] == [found[0], found[2]]
    (command.folder / "in.jsonl").write_text('{"n": 1, "id": "a"}\n{"n": 2, "id": "b"}\n{"n": 3, "id": "c"}\n')
    done = command(*RUN, *AGAIN, "--retry-failed")
    assert (done.code, [each["output"] for each in records(command)]) == (0, [1, 2, 3]), done


def test_inputs_that_the_schema_refuses_fail_on_their_own(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1}\n{"n": "x"}\n{"n": 3}\n')
    done = command(*RUN)
    assert (done.code, "3 inputs done, 1 failed" in done.stderr) == (1, True), done
    found = records(command)
    assert [(each["status"], each["run_id"] is None) for each in found] == [
        ("completed", False),
        ("failed", True),
        ("completed", False),
    ]
    assert found[1]["error"]["code"] == "invalid_input"
    assert "expects integer, not string (at $.n)" in found[1]["error"]["message"]
    assert command(*RUN, "--no-check", "--retry-failed").code == 0
    assert [each["output"] for each in records(command)] == [1, "x", 3]


def test_failed_inputs_of_a_printed_batch_run_again(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1}\n{}\n{"n": [3]}\n')
    batch = ("batch", "flow.yaml", "in.jsonl", "--no-check", *AGAIN)
    done = command(*batch)
    assert (done.code, "1 of 3 inputs did not succeed" in done.stderr) == (1, True), done
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["index"], each["status"], each.get("output")) for each in found] == [
        (0, "completed", 1),
        (1, "failed", None),
        (2, "completed", [3]),
    ]
    # The run of all inputs, and that of the failed one.
    named = command(*batch, "-o", "name")
    assert (named.code, len(set(named.stdout.split()))) == (1, 2), named


def test_a_retry_refuses_what_does_not_fit(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1, "id": "a"}\n{"n": {"x": 1}, "id": "b"}\n{"n": oops}\n')
    assert command(*RUN, "--no-check").code == 1
    (command.folder / "in.jsonl").write_text('{"n": 1, "id": "a"}\n')
    shorter = command(*RUN, "--retry-failed")
    assert (shorter.code, "in.jsonl has changed: there is no input 2" in shorter.stderr) == (2, True), shorter
    found = records(command)
    assert [each["status"] for each in found] == ["completed", "completed", "failed"]
    (command.folder / "out.jsonl").write_text('{"a": 1}\n')
    foreign = command(*RUN, "--retry-failed")
    assert (foreign.code, "it is not a record of a batch" in foreign.stderr) == (2, True), foreign
    assert (command.folder / "out.jsonl").read_text() == '{"a": 1}\n'


def test_an_interrupted_batch_is_not_retried(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1}\n{"n": oops}\n')
    stopped = command(*RUN, "--on-bad-line", "stop")
    assert stopped.code == 2
    refused = command(*RUN, "--retry-failed")
    assert (refused.code, "was interrupted" in refused.stderr, "--resume" in refused.stderr) == (2, True, True)


def test_a_sample_is_the_same_for_the_same_seed(command: Stepflow) -> None:
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


def test_the_summary_has_latencies(command: Stepflow) -> None:
    done = command(*RUN)
    assert re.search(r"latency of runs: p50 \S+s, p95 \S+s, p99 \S+s$", done.stderr, re.MULTILINE), done


ODD = [
    {"n": 1, "text": "naïve ☃ 𝄞", "nothing": None, "deep": {"list": [1, None, {"a": "b"}], "empty": {}}},
    {"n": 2, "text": 'quo"tes, and\nlines', "nothing": None, "deep": {"list": [], "empty": None}},
    {"n": 3, "text": "", "nothing": None, "deep": None},
]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "json", "yaml", "parquet"])
def test_odd_values_are_written_and_read_back(command: Stepflow, ending: str) -> None:
    (command.folder / "flow.yaml").write_text("steps: []\noutput: {$input: $}\n")
    (command.folder / "in.jsonl").write_text("".join(json.dumps(each) + "\n" for each in ODD))
    done = command("batch", "flow.yaml", "in.jsonl", "--output", f"out.{ending}", "--on-bad-line", "fail")
    assert done.code == 0, done
    assert [each["output"] for each in written(command, f"out.{ending}")] == ODD


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
    found = written(command, "out.parquet")
    assert [each["key"] for each in found] == [f"d{number}" for number in range(150)]
    assert found[4]["output"] == {
        "id": "d4",
        "n": 4,
        "text": None,
        "deep": {"list": [4, None], "at": "2026-01-02T03:04:05"},
        "json": {"a": [1]},
    }
    assert found[3]["output"]["text"] == "é☃"
    piped = command.shell("stepflow batch flow.yaml - --input-format parquet --limit 2 < in.parquet")
    assert len(piped.stdout.splitlines()) == 2, piped


def test_what_is_no_parquet_is_refused(command: Stepflow) -> None:
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
    """The command goes on after its server, or its disk, has failed in the midst of a batch."""

    @pytest.fixture
    def own_server(self, tmp_path: Path, command: Stepflow) -> Iterator[DurableServer]:
        """A server of this test's own."""
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
    def test_the_server_is_killed(self, command: Stepflow, own_server: DurableServer) -> None:
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
            while process.poll() is None and not journalled(command, 200 + 1500 * turn):
                time.sleep(0.01)
            own_server.kill()
            if turn == 1:
                # The command is killed as well, before the server is there again.
                process.kill()
            own_server.start()
            own_server.wait_ready()
            _, said = process.communicate(timeout=120)
            assert process.returncode in (0, 1, -9), said
        done = command(*RUN, "--resume")
        assert done.code == 0, done
        assert [each["output"] for each in records(command)] == list(range(6000))
        with SyncStepflowClient(own_server.url) as client:
            runs = client.list_runs().runs
        # Every chunk has had one run.
        assert sum(run.items.total for run in runs) == 6000

    @pytest.mark.parametrize("blocks", [0, 8])
    def test_a_full_disk_is_no_end(self, command: Stepflow, own_server: DurableServer, blocks: int) -> None:
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
    def test_the_disk_is_full(self, command: Stepflow, own_server: DurableServer) -> None:
        write_inputs(command.folder / "in.jsonl", 3000)
        for blocks in (20, 60, 110):
            (command.folder / "out.jsonl").unlink(missing_ok=True)
            more = "--resume" if (command.folder / "out.jsonl.journal").exists() else ""
            # In KiB, of each file; the signal is ignored, so that writing fails as on a full disk. The cache of
            # compiled modules would be cut off too.
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


def journalled(command: Stepflow, count: int) -> bool:
    """Return whether so many inputs have ended, going by the output."""
    try:
        return (command.folder / "out.jsonl").read_bytes().count(b"\n") >= count
    except FileNotFoundError:
        return False
