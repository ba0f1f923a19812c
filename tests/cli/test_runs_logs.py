"""`stepflow runs logs` prints a run's lines from the kept logs of servers on this machine."""

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
from stepflow_cli.server.server_log_files import keeping_logs
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
    """The folder of kept logs."""
    return Path(stepflow.environment["XDG_STATE_HOME"]) / "stepflow" / "logs"


@pytest.fixture
def write_log(folder: Path) -> Callable[..., Path]:
    """Write a log as a server does; each line is (level, message)."""

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


def read_log(stepflow: Stepflow, *args: str) -> list[dict[str, Any]]:
    done = stepflow("runs", "logs", *args, "-o", "json")
    assert (done.code, done.stderr) == (0, ""), done
    lines: list[dict[str, Any]] = json.loads(done.stdout)
    return lines


def messages(stepflow: Stepflow, *args: str) -> list[str]:
    return [each["message"] for each in read_log(stepflow, *args)]


def test_log_of_an_embedded_server(stepflow: Stepflow, folder: Path) -> None:
    done = stepflow("run", "hello.yaml", "--local", "--input-json", '{"name": "Ada"}', "-o", "json")
    assert (done.code, done.stderr) == (0, ""), done
    run_id = json.loads(done.stdout)["run_id"]
    lines = read_log(stepflow, "@last")
    assert lines == read_log(stepflow, run_id) == read_log(stepflow, "-") == read_log(stepflow, run_id[:13])
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
    """A `stepflow serve` with a Python worker, used by all later commands."""
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


def test_log_has_lines_and_exceptions_of_workers(serving: subprocess.Popen[str], stepflow: Stepflow) -> None:
    failing = {"id": "fails", "component": "/python/fail", "input": {"message": "out of wolpertingers"}}
    (stepflow.folder / "failing.json").write_text(json.dumps({"steps": [failing], "output": {"$step": "fails"}}))
    assert stepflow("run", "failing.json").code == 1
    text = " ".join(messages(stepflow, "@last"))
    assert "about to fail: out of wolpertingers" in text
    assert "status=Failed" in text
    assert [str(each["exception"]).splitlines()[-1] for each in read_log(stepflow, "@last") if each["exception"]] == [
        "RuntimeError: out of wolpertingers"
    ]
    assert "  RuntimeError: out of wolpertingers\n" in stepflow("runs", "logs", "@last").stdout
    agent = Process(["failing.json", "--all-runs", "--tools", "diagnose"], stepflow)
    agent.begin()
    run_id = json.loads(stepflow("history", "list", "-o", "json").stdout)[0]["run_id"]
    diagnosis = agent.call(1, "diagnose_run", run_id=run_id)["content"][0]["text"]
    agent.process.communicate()
    assert "\nLog: RuntimeError: out of wolpertingers\n" in diagnosis
    assert "about to fail: out of wolpertingers" in diagnosis
    assert "TIMING" not in diagnosis


UNROUTED = {"steps": [{"id": "a", "component": "/nowhere/at_all", "input": {}}], "output": {"$step": "a"}}


@pytest.fixture
def serving_builtins(stepflow: Stepflow) -> Iterator[subprocess.Popen[str]]:
    """A `stepflow serve` without workers, used by all later commands."""
    yield from _serving(stepflow)


def test_without_workers_errors_are_kept(serving_builtins: subprocess.Popen[str], stepflow: Stepflow) -> None:
    (stepflow.folder / "unrouted.json").write_text(json.dumps(UNROUTED))
    assert stepflow("run", "unrouted.json").code == 1
    (line,) = read_log(stepflow, "@last")
    assert line["level"] == "error"
    assert "Internal error executing step 'a': error routing component" in line["message"]
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}').code == 0
    done = stepflow("runs", "logs", "@last")
    assert done.code == 1
    assert "logs only warnings and errors unless started with --log-level info" in done.stderr


def test_without_workers_log_level_info_keeps_all_lines(stepflow: Stepflow) -> None:
    for _ in _serving(stepflow, "--log-level", "info"):
        assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}').code == 0
        text = " ".join(messages(stepflow, "@last"))
        assert "Starting items execution" in text
        assert "status=Completed" in text


def test_lines_of_concurrent_runs_are_separated(serving: subprocess.Popen[str], stepflow: Stepflow) -> None:
    # On a busy machine, the second run may start after the first one has ended.
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
    longer_log = "\n".join(messages(stepflow, longer_id))
    assert longer_id in longer_log
    assert shorter_id not in longer_log
    both = "\n".join(messages(stepflow, longer_id, "--all"))
    assert longer_id in both
    assert shorter_id in both


def test_levels_and_line_counts(stepflow: Stepflow, write_log: Callable[..., Path]) -> None:
    write_log(
        ("info", "before"),
        ("info", f"begins: run_id={FIRST}"),
        *[("info", "nothing to do")] * 3,
        ("warn", "slow"),
        ("error", f"other: run_id={SECOND}"),
        ("error", "broken"),
        ("info", f"ends: run_id={FIRST}, status=Failed"),
        ("error", "after"),
    )
    lines = read_log(stepflow, FIRST)
    assert [line["message"][:6] for line in lines] == ["begins", "nothin", "slow", "broken", "ends: "]
    assert [line["times"] for line in lines] == [1, 3, 1, 1, 1]
    assert messages(stepflow, FIRST, "--level", "WARN") == ["slow", "broken"]
    assert messages(stepflow, FIRST, "--level", "error", "--all") == [f"other: run_id={SECOND}", "broken"]
    assert messages(stepflow, FIRST, "-n", "1", "--level", "error") == ["broken"]
    assert "nothing to do  (repeated 3 times)\n" in stepflow("runs", "logs", FIRST).stdout
    none = stepflow("runs", "logs", SECOND, "--level", "error", "-n", "5")
    assert none.stdout.endswith(f"error  other: run_id={SECOND}\n")


def test_no_line_of_a_level_is_not_an_error(stepflow: Stepflow, write_log: Callable[..., Path]) -> None:
    write_log(("info", f"begins: run_id={FIRST}"))
    done = stepflow("runs", "logs", FIRST, "--level", "error")
    assert (done.code, done.stdout) == (0, "")
    assert done.stderr == f"stepflow: none of the 1 lines of run {FIRST} has level error or above\n"


def test_rotated_and_truncated_logs(stepflow: Stepflow, write_log: Callable[..., Path]) -> None:
    path = write_log(("info", f"ends: run_id={FIRST}"))
    write_log(("info", f"begins: run_id={FIRST}"), name=f"{path.name}.1")
    with path.open("a") as file:
        file.write("[" * 100_000 + "\n[1]\n")
        file.write('{"time": "2026-')
    assert [each[:4] for each in messages(stepflow, FIRST)] == ["begi", "ends"]


def test_late_line_of_a_worker(stepflow: Stepflow, folder: Path) -> None:
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


def test_run_id_outside_the_message(stepflow: Stepflow, folder: Path) -> None:
    folder.mkdir(parents=True)
    lines = [
        ("INFO", "stepflow_execution::flow_executor", f"begins: run_id={FIRST}", FIRST),
        ("ERROR", "stepflow_execution::flow_executor", "\x1b[1mbroken\x1b[22m", FIRST),
        ("INFO", "stepflow_execution::flow_executor", "broken too", SECOND),
        ("INFO", "stepflow_execution::flow_executor", f"ends: run_id={FIRST}", FIRST),
        # This line has the ID of the run that started the worker, whatever it is about.
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
    log_lines = read_log(stepflow, FIRST)
    assert [each["message"] for each in log_lines] == [f"begins: run_id={FIRST}", "broken", f"ends: run_id={FIRST}"]
    assert log_lines[1] == {
        "time": "2026-11-25T00:00:01.000000Z",
        "level": "error",
        "target": "stepflow_execution::flow_executor",
        "message": "broken",
        "times": 1,
        "exception": None,
    }
    assert messages(stepflow, SECOND[:-1] + "2") == ["broken too"]


def test_full_file_is_rotated(folder: Path, stepflow: Stepflow, monkeypatch: pytest.MonkeyPatch) -> None:
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
    current, rotated = sorted(folder.iterdir())
    assert rotated.name == f"{current.name}.1"
    assert 0 < current.stat().st_size < rotated.stat().st_size <= 10 * 2**20
    assert b"DEBUG" not in current.read_bytes() + rotated.read_bytes()


def test_only_regular_files_are_read(stepflow: Stepflow, write_log: Callable[..., Path]) -> None:
    path = write_log(("info", f"begins: run_id={FIRST}"))
    os.mkfifo(f"{path}.1")
    os.mkfifo(path.with_name("0.jsonl"))
    path.with_name("1.jsonl").mkdir()
    assert messages(stepflow, FIRST) == [f"begins: run_id={FIRST}"]


def test_ambiguous_prefix(stepflow: Stepflow, write_log: Callable[..., Path]) -> None:
    write_log(("info", f"begins: run_id={FIRST}"), ("info", f"begins: run_id={SECOND}"))
    done = stepflow("runs", "logs", "01a2b3c4")
    assert done.code == 2
    assert f"several run IDs begin with 01a2b3c4\nhint: use one of these: {SECOND}, {FIRST}\n" in done.stderr
    assert messages(stepflow, FIRST[:-1] + "1") == [f"begins: run_id={FIRST}"]


def test_run_without_a_log(stepflow: Stepflow) -> None:
    done = stepflow("runs", "logs", UNKNOWN)
    assert (done.code, done.stdout) == (1, "")
    assert f"stepflow: no log was kept for run {UNKNOWN}\nhint: only logs of servers started by this" in done.stderr
    assert "stepflow config set history on" in stepflow("runs", "logs", UNKNOWN, STEPFLOW_HISTORY="off").stderr
    assert "stepflow: the history has no run @last\n" in stepflow("runs", "logs", "@last").stderr


def test_control_characters_in_logs_are_escaped(
    stepflow: Stepflow, terminal: Callable[..., Terminal], write_log: Callable[..., Path]
) -> None:
    write_log(("info", f"begins: run_id={FIRST}"), ("info", FORGED), ("info", f"ends: run_id={FIRST}"))
    text = stepflow("runs", "logs", FIRST).stdout
    assert "\\x1b[31mred\\x07\\nhint: rm -rf\n" in text
    shown = terminal("runs", "logs", FIRST)
    assert shown.end() == 0
    assert "\\x1b[31mred" in shown.screen


def test_no_logs_if_the_history_is_off(stepflow: Stepflow, folder: Path) -> None:
    done = stepflow("run", "hello.yaml", "--local", "--input-json", '{"name": "Ada"}', STEPFLOW_HISTORY="off")
    assert (done.code, done.stderr) == (0, ""), done
    assert not folder.exists()


@pytest.mark.parametrize("command", ["run", "serve"])
def test_unusable_log_folder_is_a_warning(stepflow: Stepflow, folder: Path, command: str) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("no folder")
    if command == "serve":
        done = stepflow.shell("timeout --signal INT 10 stepflow serve --port 0 --config /dev/null")
    else:
        done = stepflow("run", "hello.yaml", "--local", "--input-json", '{"name": "Ada"}')
        assert done.code == 0
        assert '"hello": "Ada"' in done.stdout
    assert "the server's log is not kept: " in done.stderr


def test_full_disk_is_a_warning(stepflow: Stepflow) -> None:
    # The first run makes the history larger than the file size limit.
    line = f"""{STEPFLOW} run hello.yaml --local --input-json '{{"name": "Ada"}}'"""
    assert stepflow.shell(line).code == 0
    done = stepflow.shell(f"ulimit -f 1; {line}")
    assert done.code == 0, done
    assert '"hello": "Ada"' in done.stdout
    assert "no longer keeping the server's log: " in done.stderr


def test_log_level_applies_to_kept_logs(stepflow: Stepflow) -> None:
    run = ("run", "hello.yaml", "--local", "--input-json", '{"name": "Ada"}')
    assert "Starting items execution" not in stepflow(*run, STEPFLOW_LOG="warn").stderr
    assert len(messages(stepflow, "@last")) > 2
    assert stepflow(*run, "--log-level", "error").stderr == ""
    assert "no log was kept for run" in stepflow("runs", "logs", "@last").stderr


def test_oldest_logs_are_removed(stepflow: Stepflow, folder: Path, write_log: Callable[..., Path]) -> None:
    for number in range(60):
        path = write_log(("info", f"begins: run_id={FIRST}"), name=f"{number:03}.jsonl")
        os.utime(path, (number, number))
    assert stepflow("run", "hello.yaml", "--local", "--input-json", '{"name": "Ada"}').code == 0
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 50
    assert names[0] == "011.jsonl"


def test_server_creates_a_new_log_after_removal(
    serving: subprocess.Popen[str], stepflow: Stepflow, folder: Path
) -> None:
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}').code == 0
    assert stepflow("history", "clear", "--yes").code == 0
    assert [*folder.iterdir()] == []
    assert stepflow("run", "hello.yaml", "--input-json", '{"name": "Ada"}').code == 0
    assert "status=Completed" in messages(stepflow, "@last")[-1]
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_history_clear_removes_logs(stepflow: Stepflow, folder: Path, write_log: Callable[..., Path]) -> None:
    old, new = write_log(("info", "a"), name="1.jsonl"), write_log(("info", "b"), name="2.jsonl")
    os.utime(old, (1, 1))
    assert stepflow("history", "clear", "--max-age", "30d", "--yes").code == 0
    assert list(folder.iterdir()) == [new]
    assert stepflow("history", "clear", "--yes").code == 0
    assert list(folder.iterdir()) == []
