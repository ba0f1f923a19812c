"""The history of runs in a file or a database: search, limits, concurrent processes, crashes, secrets."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import random
import resource
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from stepflow_client import (
    ExecutionStatus,
    InvalidArgumentError,
    StepflowClient,
    StepflowClientError,
    SyncStepflowClient,
)
from stepflow_client.history import History, default_path

from tests.postgres import Postgres

SECRET = "hunter2-wolpertinger"
FLOW = {
    "schemas": {
        "properties": {
            "variables": {
                "type": "object",
                "properties": {
                    "key": {"type": "string", "is_secret": True, "default": "default-of-the-key"},
                    "pin": {"type": "integer", "is_secret": True},
                    "login": {"type": "object", "properties": {"password": {"type": "string", "is_secret": True}}},
                    "city": {"type": "string"},
                },
            }
        }
    },
    "steps": [],
    "output": {"$variable": "key"},
}


def _write(location: str, name: int, count: int) -> None:
    history = History(location)
    for number in range(count):
        history.record(f"{name}-{number}", input={"number": number})
        history.update(f"{name}-{number}", status="completed")
    history.close()


def _stored(request: pytest.FixtureRequest, location: str) -> bytes:
    """Return the bytes of the store."""
    if "://" not in location:
        return b"".join(each.read_bytes() for each in Path(location).parent.iterdir())
    server: Postgres = request.getfixturevalue("postgres")
    return server.content(location)


def test_all_parts_of_a_run_are_recorded(location: str, tmp_path: Path) -> None:
    history = History(location)
    run_id = uuid4()
    history.record(
        run_id, server="http://localhost:7837", flow={"steps": []}, flow_id="ab", flow_file=tmp_path / "flow.yaml",
        input=[{"ä": None}], variables={"city": "Rome"}, overrides={"a": {"value": 1}}, labels={"env": "dev"}, note="n",
    )  # fmt: skip
    history.update(run_id, status="failed")
    entry = history.get(run_id)
    assert entry is not None
    assert (entry.run_id, entry.status, entry.server) == (str(run_id), "failed", "http://localhost:7837")
    assert (entry.flow, entry.flow_id, entry.flow_file) == ({"steps": []}, "ab", str(tmp_path / "flow.yaml"))
    assert (entry.input, entry.variables, entry.overrides) == ([{"ä": None}], {"city": "Rome"}, {"a": {"value": 1}})
    assert (entry.labels, entry.note, entry.omitted) == ({"env": "dev"}, "n", ())
    assert history.get("unknown") is None


def test_only_the_owner_reads_the_file(path: Path) -> None:
    History(path).record("1")
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}


def test_search_finds_by_text_label_and_status_newest_first(location: str) -> None:
    history = History(location)
    history.record("1", input={"say": 'a "quoted" 100%'}, labels={"env": "dev"})
    history.record("2", note="about Rome", labels={"env": "prod"})
    history.record("3", flow_file="/flows/rome.yaml", labels={"env": "prod"})
    history.update("2", status="completed")

    def find_ids(*args: str, **criteria: object) -> list[str]:
        return [each.run_id for each in history.search(*args, **criteria)]  # type: ignore[arg-type]

    assert find_ids() == ["3", "2", "1"]
    assert find_ids(limit=1) == ["3"]
    assert find_ids("ROME") == ["3", "2"]
    assert find_ids('"quoted" 100%') == ["1"]
    assert find_ids("1_0%") == []
    assert find_ids("rome prod") == ["3", "2"]
    assert find_ids("rome dev") == []
    assert find_ids("env=prod") == ["3", "2"]
    assert find_ids('env=prod "about Rome"') == ["2"]
    assert find_ids("env=pro") == []
    assert find_ids("env=prod status:completed") == ["2"]
    assert find_ids("until:2001-01-01") == []
    assert find_ids("since:2001-01-01T00:00:00Z env=dev") == ["1"]
    with pytest.raises(InvalidArgumentError, match="since:tuesday is not a time"):
        find_ids("since:tuesday")
    history.record("4", flow={"name": "order", "steps": []})
    assert find_ids("flow:order") == ["4"]
    assert find_ids("flow:orde") == []
    assert find_ids(labels={"env": "prod"}, status="completed") == ["2"]
    assert find_ids(labels={"env": "nowhere"}) == []
    assert find_ids(server=[]) == []


def test_no_secret_is_in_the_store(request: pytest.FixtureRequest, location: str) -> None:
    history = History(location)
    history.record(
        "1", server=f"http://user:{SECRET}@localhost:7837", flow=FLOW, note=f"with {SECRET}", labels={"key": SECRET},
        input={"copy": f"Bearer {SECRET}, default-of-the-key", "url": "https://me:pa55word@example.com/x"},
        overrides={"a": SECRET},
        variables={"key": SECRET, "pin": 7, "login": {"password": "sesame-open"}, "city": "Rome"},
    )  # fmt: skip
    history.record("2", flow_id="ab", variables={"anything": SECRET})
    for secret in (SECRET, "sesame-open", "pa55word", "default-of-the-key"):
        assert secret not in str(history.search()), secret
        assert secret.encode() not in _stored(request, location), secret
    first = history.get("1")
    assert first is not None
    assert first.variables == {"key": "***", "pin": "***", "login": "***", "city": "Rome"}
    assert first.server == "http://localhost:7837"
    # Secrets inside other values are masked too.
    assert first.input == {"copy": "Bearer ***, ***", "url": "https://***@example.com/x"}


def test_cleared_runs_are_overwritten(request: pytest.FixtureRequest, location: str) -> None:
    history = History(location)
    history.record("1", note="remove-me-please")
    history.record("2", note="remove-this-alone")
    history.keep_outputs("2", [{"a": "and-its-output"}])
    assert history.get("1") is not None
    assert b"remove-me-please" in _stored(request, location)
    assert (history.delete("2"), history.delete("2")) == (True, False)
    assert history.kept_outputs("2") is None
    stored = _stored(request, location)
    assert [each in stored for each in (b"remove-this-alone", b"and-its-output", b"remove-me-please")] == [
        False,
        False,
        True,
    ]
    assert history.clear(max_age=3600) == 0
    assert history.clear() == 1
    assert history.search() == []
    assert b"remove-me-please" not in _stored(request, location)


def test_clear_deletes_runs_recorded_before_the_clock_was_set_back(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(location)
    later = time.time() + 3600
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: later)
        history.record("1")
    assert history.clear() == 1
    assert history.search() == []


def test_the_history_is_bounded_by_number_age_and_size(location: str) -> None:
    history = History(location, max_runs=10)
    for number in range(25):
        history.record(str(number), input="x" * (2_000_000 if number == 24 else 1))
    assert [each.run_id for each in history.search(limit=100)] == [str(number) for number in range(24, 14, -1)]
    assert history.search()[0].omitted == ("input",)
    aged = History(location, max_runs=10, max_age=1e-6)
    time.sleep(0.01)
    aged.record("last")
    assert [each.run_id for each in aged.search()] in ([], ["last"])


@pytest.mark.parametrize(
    ("processes", "runs"), [(2, 100), pytest.param(8, 300, marks=pytest.mark.exhaustive)], ids=["few", "many"]
)
def test_concurrent_processes_lose_no_entries(processes: int, runs: int, location: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_write, args=(location, name, runs)) for name in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * processes
    entries = {(each.run_id, each.status) for each in History(location).search(limit=20_000)}
    assert entries == {(f"{name}-{number}", "completed") for name in range(processes) for number in range(runs)}


@pytest.mark.parametrize("kills", [2, pytest.param(8, marks=pytest.mark.exhaustive)])
def test_killed_processes_do_not_corrupt_the_file(kills: int, path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    for name in range(kills):
        worker = spawn.Process(target=_write, args=(path, name, 1_000_000))
        worker.start()
        while not (path.exists() and History(path).search(f"{name}-0")):
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        worker.kill()
        worker.join()
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()
    History(path).record("after")
    assert History(path).get("after") is not None


def test_a_full_disk_causes_one_warning(path: Path) -> None:
    program = f"""if True:
        import logging, resource
        from stepflow_client.history import History
        logging.basicConfig(format="%(levelname)s %(message)s")
        history = History({str(path)!r})
        history.record("before")
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, {resource.RLIM_INFINITY}))
        for number in range(50):
            history.record(str(number), input="x" * 20_000)
        print(history.get("before").run_id, "goes on")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "before goes on\n"
    assert done.stderr.count("WARNING the history cannot record a run") == 1


def test_failures_are_warnings_when_recording_and_errors_when_reading(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all " * 100)
    history = History(path)
    with caplog.at_level(logging.WARNING):
        history.record("1")
        history.update("1", status="failed")
    assert len(caplog.records) == 1
    with pytest.raises(StepflowClientError, match="cannot read the history") as caught:
        history.search()
    assert caught.value.hint == f"to start a new one, move {path}* away"


def test_an_invalid_path_raises_a_client_error() -> None:
    with pytest.raises(StepflowClientError, match=r"cannot read the history .*: .*File name too long"):
        History("a" * 300).search()


def test_values_that_are_not_json_cause_a_warning(location: str, caplog: pytest.LogCaptureFixture) -> None:
    History(location).record("1", input=object())
    assert "not JSON serializable" in caplog.text


def test_a_pickled_history_keeps_its_settings(location: str) -> None:
    history = History(location, max_runs=7)
    history.record("1")
    copy, end = pickle.loads(pickle.dumps(history)), time.monotonic() + 20
    # A thread writes to the database; a search waits for it only for a second.
    while not (entries := copy.search()) and time.monotonic() < end:
        time.sleep(0.05)
    assert [each.run_id for each in entries] == ["1"]


def test_the_default_path_is_in_the_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "stepflow" / "history.db"
    assert History().search() == []
    assert not (tmp_path / "stepflow").exists(), "reading makes no file"


def test_limits_are_positive() -> None:
    with pytest.raises(InvalidArgumentError, match="max_age"):
        History(max_age=0)
    with pytest.raises(InvalidArgumentError, match="max_runs"):
        History(max_runs=0)


@pytest.mark.parametrize("exists", [True, False])
def test_a_locked_file_is_waited_for_only_once(tmp_path: Path, exists: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepflow_client._stores.shared_sqlite_file._LOCK_WAIT_SECONDS", 2.0)
    path, warnings = tmp_path / "history.db", list[str]()
    if exists:
        History(path).record("earlier")
    history = History(path, on_failure=warnings.append)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    waits = []
    for run_id in ("a", "b", "c"):
        began = time.monotonic()
        history.update(run_id, status="failed")
        waits.append(time.monotonic() - began)
    assert waits[0] >= 1.9
    assert max(waits[1:]) < 1.5
    assert warnings == [f"the history cannot update a run in {path}: database is locked"]
    other.close()
    history.record("later")
    assert history.search()[0].run_id == "later"


def test_a_conflict_reported_at_once_does_not_shorten_later_waits(tmp_path: Path) -> None:
    store: Any = History(tmp_path / "history.db")._store
    with pytest.raises(sqlite3.OperationalError), store._choosing_lock_wait():
        raise sqlite3.OperationalError("database is locked")
    with store._choosing_lock_wait() as wait:
        assert wait == 5.0


@pytest.mark.parametrize("client", [StepflowClient, SyncStepflowClient])
def test_clients_reject_a_path_as_history(client: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="history must be a History, not str"):
        client("http://localhost:1", history="history.db")


def test_runs_are_ids_or_objects_with_an_id(tmp_path: Path) -> None:
    history, run_id, later = History(tmp_path / "history.db"), str(uuid4()), uuid4()
    handle = SyncStepflowClient().handle(run_id)
    history.record(handle, flow={"name": "f"})
    history.record(later, rerun_of=handle)
    history.update(handle, status=ExecutionStatus.FAILED)
    history.annotate(handle, "note", labels={"a": "b"})
    history.keep_outputs(handle, [{"a": 1}])
    entry = history.get(handle)
    assert entry is not None
    assert (entry.run_id, entry.status, entry.note, entry.labels) == (run_id, "failed", "note", {"a": "b"})
    assert history.kept_outputs(entry) == [{"a": 1}]
    assert [each.run_id for each in history.search(run_id=entry, status=ExecutionStatus.FAILED)] == [run_id]
    assert [each.run_id for each in history.search(rerun_of=handle)] == [str(later)]
