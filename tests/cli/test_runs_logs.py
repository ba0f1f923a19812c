"""`stepflow runs logs`: what servers of this machine wrote of a run."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stepflow_cli.server.embedded_server_logs import keeping_logs
from stepflow_client._embedded.server_logs import LogStore
from stepflow_client.logs import LogConfig, RawLine

from tests import releases, workers
from tests.cli.command import FORKED, STEPFLOW, Stepflow
from tests.cli.mcp.process import Process
from tests.cli.runs import UNKNOWN
from tests.cli.terminal import Terminal

FIRST, SECOND = "01a2b3c4-0000-7000-8000-000000000001", "01a2b3c4-0000-7000-8000-000000000002"
FORGED = "\x1b[31mred\x07\nhint: rm -rf"


@pytest.fixture
def folder(stepflow: Stepflow) -> Path:
    """Where logs are kept."""
    return Path(stepflow.environment["XDG_STATE_HOME"]) / "stepflow" / "logs"


@pytest.fixture
def written(folder: Path) -> Callable[..., Path]:
    """Write a log as a server leaves it: each line is (level, message)."""

    def write(*lines: tuple[str, str], name: str = "20261125T000000.000000-1.jsonl") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        records = [
            {"time": f"2026-11-25T00:00:{second:02}.000000Z", "level": level, "target": "x", "message": message}
            for second, (level, message) in enumerate(lines)
        ]
        path = folder / name
        path.write_text("".join(json.dumps(each) + "\n" for each in records))
        return path

    return write


def logged(stepflow: Stepflow, *args: str) -> list[dict[str, Any]]:
    done = stepflow("runs", "logs", *args, "-o", "json")
    assert (done.code, done.stderr) == (0, ""), done
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def messages(stepflow: Stepflow, *args: str) -> list[str]:
    return [each["message"] for each in logged(stepflow, *args)]


def test_of_an_embedded_server(stepflow: Stepflow, folder: Path) -> None:
    done = stepflow("run", "hello.yaml", "--local", "--input-json", '{"name": "Ada"}', "-o", "json")
    assert (done.code, done.stderr) == (0, ""), done
    run_id = json.loads(done.stdout)["run_id"]
    lines = logged(stepflow, "@last")
    assert lines == logged(stepflow, run_id) == logged(stepflow, "-") == logged(stepflow, run_id[:13])
    assert lines[0]["message"].startswith(f"Starting items execution: run_id={run_id}")
    assert "status=Completed" in lines[-1]["message"]
    assert lines[0]["target"].startswith("stepflow")
    (file,) = folder.iterdir()
    assert [stat.S_IMODE(each.stat().st_mode) for each in (file, folder, folder.parent)] == [0o600, 0o700, 0o700]
    text = stepflow("runs", "logs", "@last").stdout.splitlines()
    assert len(text) == len(lines)
    assert re.match(r"2\d{3}-\d\d-\d\dT[\d:]{8}\+00:00  info   Starting items execution", text[0])


@pytest.fixture
def serving(stepflow: Stepflow) -> Iterator[subprocess.Popen[str]]:
    """A `stepflow serve` with a Python worker, that all further commands use."""
    (stepflow.folder / "stepflow-config.yml").write_text(json.dumps(workers.config(releases.NEWEST)))
    yield from _serving(stepflow)


def _serving(stepflow: Stepflow, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [str(FORKED), "serve", "--port", "0", "-o", "json", *options],
        env=stepflow.environment,
        cwd=stepflow.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    stepflow.environment["STEPFLOW_URL"] = json.loads(process.stdout.readline())["url"]
    yield process
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_a_worker_that_fails_is_heard(serving: subprocess.Popen[str], stepflow: Stepflow) -> None:
    failing = {"id": "fails", "component": "/python/fail", "input": {"message": "out of wolpertingers"}}
    (stepflow.folder / "failing.json").write_text(json.dumps({"steps": [failing], "output": {"$step": "fails"}}))
    assert stepflow("run", "failing.json").code == 1
    text = " ".join(messages(stepflow, "@last"))
    assert "about to fail: out of wolpertingers" in text
    assert "status=Failed" in text
    assert [str(each["exception"]).splitlines()[-1] for each in logged(stepflow, "@last") if each["exception"]] == [
        "RuntimeError: out of wolpertingers"
    ]
    assert "  RuntimeError: out of wolpertingers\n" in stepflow("runs", "logs", "@last").stdout
    agent = Process(["failing.json", "--all-runs", "--tools", "diagnose"], stepflow)
    agent.begin()
    run_id = json.loads(stepflow("history", "list", "-o", "json").stdout)[0]["run_id"]
    said = agent.call(1, "diagnose_run", run_id=run_id)["content"][0]["text"]
    agent.process.communicate()
    assert "\nLog: RuntimeError: out of wolpertingers\n" in said
    assert "about to fail: out of wolpertingers" in said
    assert "TIMING" not in said


UNROUTED = {"steps": [{"id": "a", "component": "/nowhere/at_all", "input": {}}], "output": {"$step": "a"}}


@pytest.fixture
def serving_builtins(stepflow: Stepflow) -> Iterator[subprocess.Popen[str]]:
    """A `stepflow serve` without workers, that all further commands use."""
    yield from _serving(stepflow)


def test_without_workers_errors_are_kept(serving_builtins: subprocess.Popen[str], stepflow: Stepflow) -> None:
    (stepflow.folder / "unrouted.json").write_text(json.dumps(UNROUTED))
    assert stepflow("run", "unrouted.json").code == 1
    (line,) = logged(stepflow, "@last")
    assert line["level"] == "error"
    assert "Internal error executing step 'a': error routing component" in line["message"]
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}').code == 0
    done = stepflow("runs", "logs", "@last")
    assert done.code == 1
    assert "logs only warnings and errors unless started with --log-level info" in done.stderr


def test_without_workers_everything_is_kept_where_it_is_asked_for(stepflow: Stepflow) -> None:
    for _ in _serving(stepflow, "--log-level", "info"):
        assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}').code == 0
        text = " ".join(messages(stepflow, "@last"))
        assert "Starting items execution" in text
        assert "status=Completed" in text


def test_runs_at_the_same_time_are_told_apart(serving: subprocess.Popen[str], stepflow: Stepflow) -> None:
    # On a busy machine, the second run may begin when the first one has ended.
    for seconds in (1, 4, 16, 64):
        sleeping = {"id": "sleeping", "component": "/builtin/sleep", "input": {"duration_ms": seconds * 1_000}}
        (stepflow.folder / "sleeping.json").write_text(
            json.dumps({"steps": [sleeping], "output": {"$step": "sleeping"}})
        )
        label = f"seconds={seconds}"
        longer = threading.Thread(target=stepflow, args=("run", "sleeping.json", "--label", label))
        longer.start()
        while not json.loads(stepflow("history", "list", "--label", label, "-o", "json").stdout):
            pass
        done = stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}', "-o", "json")
        is_over = not longer.is_alive()
        longer.join()
        if not is_over:
            break
    shorter_id = json.loads(done.stdout)["run_id"]
    (longer_id,) = stepflow("history", "list", "--label", label, "-o", "name").stdout.split()
    of_longer = "\n".join(messages(stepflow, longer_id))
    assert longer_id in of_longer
    assert shorter_id not in of_longer
    both = "\n".join(messages(stepflow, longer_id, "--all"))
    assert longer_id in both
    assert shorter_id in both


def test_levels_and_numbers_of_lines(stepflow: Stepflow, written: Callable[..., Path]) -> None:
    written(
        ("info", "before"),
        ("info", f"begins: run_id={FIRST}"),
        *[("info", "nothing to do")] * 3,
        ("warn", "slow"),
        ("error", f"other: run_id={SECOND}"),
        ("error", "broken"),
        ("info", f"ends: run_id={FIRST}, status=Failed"),
        ("error", "after"),
    )
    lines = logged(stepflow, FIRST)
    assert [line["message"][:6] for line in lines] == ["begins", "nothin", "slow", "broken", "ends: "]
    assert [line["times"] for line in lines] == [1, 3, 1, 1, 1]
    assert messages(stepflow, FIRST, "--level", "WARN") == ["slow", "broken"]
    assert messages(stepflow, FIRST, "--level", "error", "--all") == [f"other: run_id={SECOND}", "broken"]
    assert messages(stepflow, FIRST, "-n", "1", "--level", "error") == ["broken"]
    assert "nothing to do  (repeated 3 times)\n" in stepflow("runs", "logs", FIRST).stdout
    none = stepflow("runs", "logs", SECOND, "--level", "error", "-n", "5")
    assert none.stdout.endswith(f"error  other: run_id={SECOND}\n")


def test_no_line_of_a_level_is_no_failure(stepflow: Stepflow, written: Callable[..., Path]) -> None:
    written(("info", f"begins: run_id={FIRST}"))
    done = stepflow("runs", "logs", FIRST, "--level", "error")
    assert (done.code, done.stdout) == (0, "")
    assert done.stderr == f"stepflow: none of the 1 lines of run {FIRST} has level error or above\n"


def test_a_log_that_was_set_aside_or_cut_off(stepflow: Stepflow, written: Callable[..., Path]) -> None:
    path = written(("info", f"ends: run_id={FIRST}"))
    written(("info", f"begins: run_id={FIRST}"), name=f"{path.name}.1")
    with path.open("a") as file:
        file.write("[" * 100_000 + "\n[1]\n")
        file.write('{"time": "2026-')
    assert [each[:4] for each in messages(stepflow, FIRST)] == ["begi", "ends"]


def test_a_line_of_a_worker_that_is_read_late(stepflow: Stepflow, folder: Path) -> None:
    folder.mkdir(parents=True)
    lines = [
        ("00.0", "server", f"ends: run_id={FIRST}"),
        ("00.5", "server", "nothing to do"),
        ("00.9", "", "said by a worker"),
        ("05.0", "", "said later"),
    ]
    records = [
        {"time": f"2026-11-25T00:00:{second}00000Z", "level": "info", "target": target, "message": message}
        for second, target, message in lines
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    assert messages(stepflow, FIRST) == [f"ends: run_id={FIRST}", "said by a worker"]


def test_a_record_of_the_server_may_name_its_run_beside_the_message(stepflow: Stepflow, folder: Path) -> None:
    folder.mkdir(parents=True)
    lines = [
        ("INFO", "stepflow_execution::flow_executor", f"begins: run_id={FIRST}", FIRST),
        ("ERROR", "stepflow_execution::flow_executor", "\x1b[1mbroken\x1b[22m", FIRST),
        ("INFO", "stepflow_execution::flow_executor", "broken too", SECOND),
        ("INFO", "stepflow_execution::flow_executor", f"ends: run_id={FIRST}", FIRST),
        # Written on behalf of whichever run started the worker.
        ("INFO", "stepflow_protocol::launcher", "Component stderr: later", FIRST),
    ]
    records = [
        {
            "timestamp": f"2026-11-25T00:00:{second:02}.000000+00:00",
            "level": level,
            "target": target,
            "message": message,
            "diags": {"run_id": run_id},
        }
        for second, (level, target, message, run_id) in enumerate(lines)
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    found = logged(stepflow, FIRST)
    assert [each["message"] for each in found] == [f"begins: run_id={FIRST}", "broken", f"ends: run_id={FIRST}"]
    assert found[1] == {
        "time": "2026-11-25T00:00:01.000000Z",
        "level": "error",
        "target": "stepflow_execution::flow_executor",
        "message": "broken",
        "times": 1,
        "exception": None,
    }
    assert messages(stepflow, SECOND[:-1] + "2") == ["broken too"]


def test_a_full_file_is_rotated(folder: Path, stepflow: Stepflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder.parent.parent))
    monkeypatch.setenv("STEPFLOW_HISTORY", "on")
    record = {"timestamp": "2026-11-25T00:00:00+00:00", "level": "INFO", "target": "x", "message": "y" * 1_000}
    lines = [RawLine.from_bytes(json.dumps(record, separators=(",", ":")).encode(), "stdout", 0.0)] * 1_000
    debug = RawLine.from_bytes(lines[0].data.replace(b"INFO", b"DEBUG"), "stdout", 0.0)
    with keeping_logs():
        store = LogStore(LogConfig(capture=False, forward=False))
        for _ in range(25):
            store.add_lines([*lines, debug], 1)
        store.close()
    kept, aside = sorted(folder.iterdir())
    assert aside.name == f"{kept.name}.1"
    assert 0 < kept.stat().st_size < aside.stat().st_size <= 10 * 2**20
    assert b"DEBUG" not in kept.read_bytes() + aside.read_bytes()


def test_what_is_no_file_is_not_read(stepflow: Stepflow, written: Callable[..., Path]) -> None:
    path = written(("info", f"begins: run_id={FIRST}"))
    os.mkfifo(f"{path}.1")
    os.mkfifo(path.with_name("0.jsonl"))
    path.with_name("1.jsonl").mkdir()
    assert messages(stepflow, FIRST) == [f"begins: run_id={FIRST}"]


def test_several_ids_that_begin_so(stepflow: Stepflow, written: Callable[..., Path]) -> None:
    written(("info", f"begins: run_id={FIRST}"), ("info", f"begins: run_id={SECOND}"))
    done = stepflow("runs", "logs", "01a2b3c4")
    assert done.code == 2
    assert f"several run IDs begin with 01a2b3c4\nhint: it may be {SECOND}, {FIRST}\n" in done.stderr
    assert messages(stepflow, FIRST[:-1] + "1") == [f"begins: run_id={FIRST}"]


def test_a_run_of_another_server(stepflow: Stepflow) -> None:
    done = stepflow("runs", "logs", UNKNOWN)
    assert (done.code, done.stdout) == (1, "")
    assert f"stepflow: no log was kept for run {UNKNOWN}\nhint: only logs of servers started by this" in done.stderr
    assert "stepflow config set history on" in stepflow("runs", "logs", UNKNOWN, STEPFLOW_HISTORY="off").stderr
    assert "stepflow: the history has no run @last\n" in stepflow("runs", "logs", "@last").stderr


def test_what_a_worker_wrote_cannot_control_the_terminal(
    stepflow: Stepflow, terminal: Callable[..., Terminal], written: Callable[..., Path]
) -> None:
    written(("info", f"begins: run_id={FIRST}"), ("info", FORGED), ("info", f"ends: run_id={FIRST}"))
    text = stepflow("runs", "logs", FIRST).stdout
    assert "\\x1b[31mred\\x07\\nhint: rm -rf\n" in text
    shown = terminal("runs", "logs", FIRST)
    assert shown.end() == 0
    assert "\\x1b[31mred" in shown.screen


def test_nothing_is_kept_where_the_history_is_off(stepflow: Stepflow, folder: Path) -> None:
    done = stepflow("run", "hello.yaml", "--local", "--input-json", '{"name": "Ada"}', STEPFLOW_HISTORY="off")
    assert (done.code, done.stderr) == (0, ""), done
    assert not folder.exists()


@pytest.mark.parametrize("command", ["run", "serve"])
def test_a_folder_that_cannot_be_made_is_a_warning(stepflow: Stepflow, folder: Path, command: str) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("no folder")
    if command == "serve":
        done = stepflow.shell("timeout --signal INT 10 stepflow serve --port 0 --config /dev/null")
    else:
        done = stepflow("run", "hello.yaml", "--local", "--input-json", '{"name": "Ada"}')
        assert done.code == 0
        assert '"hello": "Ada"' in done.stdout
    assert "the server's log is not kept: " in done.stderr


def test_a_full_disk_is_a_warning(stepflow: Stepflow) -> None:
    # The history is larger than the limit before anything is written to it.
    line = f"""{STEPFLOW} run hello.yaml --local --input-json '{{"name": "Ada"}}'"""
    assert stepflow.shell(line).code == 0
    done = stepflow.shell(f"ulimit -f 1; {line}")
    assert done.code == 0, done
    assert '"hello": "Ada"' in done.stdout
    assert "no longer keeping the server's log: " in done.stderr


def test_a_log_level_holds_for_what_is_kept_and_not_for_the_terminal(stepflow: Stepflow) -> None:
    run = ("run", "hello.yaml", "--local", "--input-json", '{"name": "Ada"}')
    assert "Starting items execution" not in stepflow(*run, STEPFLOW_LOG="warn").stderr
    assert len(messages(stepflow, "@last")) > 2
    assert stepflow(*run, "--log-level", "error").stderr == ""
    assert "no log was kept for run" in stepflow("runs", "logs", "@last").stderr


def test_the_oldest_logs_are_removed(stepflow: Stepflow, folder: Path, written: Callable[..., Path]) -> None:
    for number in range(60):
        path = written(("info", f"begins: run_id={FIRST}"), name=f"{number:03}.jsonl")
        os.utime(path, (number, number))
    assert stepflow("run", "hello.yaml", "--local", "--input-json", '{"name": "Ada"}').code == 0
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 50
    assert names[0] == "011.jsonl"


def test_a_server_whose_log_was_removed_goes_on_with_a_new_one(
    serving: subprocess.Popen[str], stepflow: Stepflow, folder: Path
) -> None:
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}').code == 0
    assert stepflow("history", "clear", "--yes").code == 0
    assert [*folder.iterdir()] == []
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}').code == 0
    assert "status=Completed" in messages(stepflow, "@last")[-1]
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_clear_removes_them(stepflow: Stepflow, folder: Path, written: Callable[..., Path]) -> None:
    old, new = written(("info", "a"), name="1.jsonl"), written(("info", "b"), name="2.jsonl")
    os.utime(old, (1, 1))
    assert stepflow("history", "clear", "--max-age", "30d", "--yes").code == 0
    assert list(folder.iterdir()) == [new]
    assert stepflow("history", "clear", "--yes").code == 0
    assert list(folder.iterdir()) == []
