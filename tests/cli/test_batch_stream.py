"""Batches that stream: lines in, lines out, a journal beside them, and going on after an end of any kind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests import releases
from tests.cli.command import STEPFLOW, Stepflow
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
    write_inputs(folder / "in.jsonl", 500)
    made = Stepflow(folder, home)
    made.environment["STEPFLOW_URL"] = server.url
    return made


def write_inputs(path: Path, count: int) -> None:
    path.write_text("".join(f'{{"n": {number}, "id": "d{number}"}}\n' for number in range(count)))


def records(command: Stepflow, name: str = "out.jsonl") -> list[dict[str, Any]]:
    lines = (command.folder / name).read_text().splitlines()
    return sorted(map(json.loads, lines), key=lambda record: int(record["index"]))


RUN = ("submit", "flow.yaml", "--inputs", "in.jsonl", "--output", "out.jsonl")


def test_each_input_gets_a_line(command: Stepflow) -> None:
    done = command(*RUN)
    assert done.code == 0, done
    assert "500 inputs done, 0 failed" in done.stderr
    found = records(command)
    assert [(each["index"], each["key"], each["output"]) for each in found] == [(n, f"d{n}", n) for n in range(500)]
    assert all(each["status"] == "completed" and each["run_id"] for each in found)


def test_an_output_that_is_there_is_gone_on_with_or_refused(command: Stepflow) -> None:
    assert command(*RUN).code == 0
    first = records(command)
    refused = command(*RUN)
    assert refused.code == 2
    assert "out.jsonl is there already" in refused.stderr
    assert "--resume" in refused.stderr
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
    assert "are not those of the journal" in done.stderr


def test_a_malformed_line_fails_alone_or_stops(command: Stepflow) -> None:
    (command.folder / "in.jsonl").write_text('{"n": 1}\n\n{"n": oops}\n{"n": NaN}\n{"n": 4}\n')
    done = command(*RUN)
    assert done.code == 1
    assert "2 of 4 inputs did not succeed" in done.stderr
    found = records(command)
    assert [each["status"] for each in found] == ["completed", "failed", "failed", "completed"]
    assert found[1]["error"]["message"] == "line 3 cannot be read: Expecting value (column 7)"
    stopped = command("submit", "flow.yaml", "--inputs", "in.jsonl", "--output", "b.jsonl", "--on-bad-line", "stop")
    assert stopped.code == 2
    assert "in.jsonl, line 3, cannot be read" in stopped.stderr
    assert [each["output"] for each in records(command, "b.jsonl")] == [1]


def test_csv_is_typed_by_the_flow(command: Stepflow) -> None:
    (command.folder / "in.csv").write_text("n,id\n1,é\n2,b\nx,c\n")
    done = command("submit", "flow.yaml", "--inputs", "in.csv", "--output", "out.jsonl")
    assert done.code == 1, done
    found = records(command)
    assert [each.get("output") for each in found] == [1, 2, None]
    assert found[0]["key"] == "é"
    assert found[2]["error"]["message"] == "line 4 cannot be read: field n is no integer: 'x'"


def test_a_part_of_the_inputs_through_pipes(command: Stepflow) -> None:
    done = command.shell("stepflow submit flow.yaml --inputs - --skip 10 --limit 5 < in.jsonl | sort | head -3")
    assert done.code == 0, done
    assert sorted(json.loads(line)["index"] for line in done.stdout.splitlines()) == [10, 11, 12]


def test_a_reader_that_stops_ends_it(command: Stepflow) -> None:
    write_inputs(command.folder / "in.jsonl", 5000)
    done = command.shell("stepflow submit flow.yaml --inputs in.jsonl --limit 5000 | head -5")
    assert len(done.stdout.splitlines()) == 5
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--resume",), "--resume needs --output FILE"),
        (("--limit", "1", "-o", "table"), "--limit writes whole lines"),
        (("--limit", "1", "--output", "out.csv"), "must end in .jsonl"),
    ],
)
def test_what_contradicts_is_refused(command: Stepflow, options: tuple[str, ...], message: str) -> None:
    done = command("submit", "flow.yaml", "--inputs", "in.jsonl", *options)
    assert done.code == 2, done
    assert message in done.stderr


def test_the_options_need_a_batch(command: Stepflow) -> None:
    done = command("submit", "flow.yaml", "--limit", "3")
    assert (done.code, "needs --inputs" in done.stderr) == (2, True)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_it_goes_on_after_it_was_stopped(command: Stepflow, sent: signal.Signals) -> None:
    write_inputs(command.folder / "in.jsonl", 3000)
    line = [str(STEPFLOW), *RUN]
    journal = command.folder / "out.jsonl.journal"
    for turn in range(3):
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
            pass
        os.kill(process.pid, sent)
        _, said = process.communicate()
        if sent == signal.SIGINT:
            assert process.returncode == 130, said
            assert "--resume goes on" in said
    done = command(*RUN, "--resume")
    assert done.code == 0, done
    assert [each["output"] for each in records(command)] == list(range(3000))
