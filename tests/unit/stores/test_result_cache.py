"""The file of the result cache: limits, concurrent processes, forks, locks and full disks."""

from __future__ import annotations

import fcntl
import gc
import logging
import math
import multiprocessing
import pickle
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from stepflow_cli.errors import Problem
from stepflow_cli.server.server_log_files import keeping_logs
from stepflow_cli.settings.profiles import get_config_path
from stepflow_client import InvalidArgumentError, ResultCache, StepflowClientError
from stepflow_client.result_cache import default_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "results.db"


def _write(path: Path, name: int, count: int) -> None:
    cache = ResultCache(path)
    for number in range(count):
        cache._store_result(f"{name}-{number}", "run", {"number": number})
        cached = cache._find_result(f"{name}-{number}")
        assert cached is not None
        assert cached.output == {"number": number}


def test_a_result_is_stored_unchanged_and_private(path: Path) -> None:
    cache = ResultCache(path)
    assert cache._find_result("a") is None
    assert not path.exists(), "reading makes no file"
    output = {"ä": [None, 1.0, 2**53, "\u2028"], "b": {}, "a": 1}
    cache._store_result("a", "run", output)
    cached = cache._find_result("a")
    assert cached is not None
    assert (cached.run_id, cached.output, list(cached.output)) == ("run", output, ["ä", "b", "a"])
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    cache._store_result("a", "later", 2)
    assert (cache._find_result("a") or cached).run_id == "later"


def test_the_cache_is_bounded_by_age(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    ResultCache(path, max_age=10)._store_result("short", "run", 1)
    ResultCache(path, max_age=math.inf)._store_result("ever", "run", 1)
    now += 9
    assert ResultCache(path)._find_result("short") is not None
    assert ResultCache(path, max_age=5)._find_result("short") is None, "the reader's limit holds too"
    now += 1
    assert ResultCache(path, max_age=math.inf)._find_result("short") is None
    now += 1e9
    assert ResultCache(path, max_age=math.inf)._find_result("ever") is not None


def test_the_cache_is_bounded_by_size(path: Path) -> None:
    cache = ResultCache(path, max_bytes=100_000)
    for number in range(200):
        cache._store_result(str(number), "run", "x" * 5_000)
    remaining = [number for number in range(200) if cache._find_result(str(number))]
    assert remaining == list(range(200 - len(remaining), 200)), "the oldest are removed first"
    assert 15 <= len(remaining) <= 20
    assert path.stat().st_size < 400_000
    cache._store_result("large", "run", "x" * 30_000)
    assert cache._find_result("large") is None, "one result may take a quarter at most"
    assert cache._find_result("199") is not None


def test_cleared_results_are_overwritten(path: Path) -> None:
    cache = ResultCache(path)
    assert cache.clear() == 0
    cache._store_result("a", "run", "remove-me-please")
    assert cache.clear(max_age=3600) == 0
    assert cache.clear() == 1
    assert cache._find_result("a") is None
    assert b"remove-me-please" not in b"".join(each.read_bytes() for each in path.parent.iterdir())


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.exhaustive)])
def test_concurrent_processes_lose_no_results(path: Path, count: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_write, args=(path, name, 200)) for name in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * count
    cache = ResultCache(path)
    assert all(cache._find_result(f"{name}-{number}") for name in range(count) for number in range(200))


def test_a_full_disk_causes_one_warning(path: Path) -> None:
    program = f"""if True:
        import logging, resource
        from stepflow_client import ResultCache
        logging.basicConfig(format="%(levelname)s %(message)s")
        cache = ResultCache({str(path)!r})
        cache._store_result("before", "run", 1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))
        for number in range(50):
            cache._store_result(str(number), "run", "x" * 20_000)
        print(cache._find_result("before").run_id, "goes on")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "run goes on\n"
    assert done.stderr.count("WARNING the result cache cannot keep a result") == 1


def test_a_file_of_another_program_is_left_alone(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE results (number INTEGER, size INTEGER)")
    other.close()
    cache = ResultCache(path)
    cache._store_result("a", "run", 1)
    assert cache._find_result("a") is None
    assert caplog.text.count("the result cache cannot") == 1
    with pytest.raises(StepflowClientError, match="cannot change the result cache"):
        cache.clear()


@pytest.mark.parametrize("is_chosen", [True, False])
def test_only_an_explicit_path_is_logged(
    path: Path, is_chosen: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.touch()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(path.parent))
    cache = ResultCache(path if is_chosen else None)
    cache._store_result("a", "run", 1)
    (message,) = caplog.messages
    assert message.startswith(
        "the result cache cannot keep a result in " + (f"{path}: " if is_chosen else "the cache ")
    )
    assert (str(path.parent) in message) is is_chosen


def test_an_invalid_path_raises_a_client_error() -> None:
    with pytest.raises(StepflowClientError, match=r"cannot change the result cache .*: .*File name too long"):
        ResultCache("a" * 300).clear()


def _is_locked(path: Path) -> bool:
    """Return whether another process has the lock that SQLite takes for as long as a file is open."""
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
        except BlockingIOError:
            return True
    return False


@pytest.fixture
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Lock a new database file that isn't in WAL mode yet."""
    path.parent.mkdir()
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    yield connection
    connection.close()


def test_a_briefly_locked_file_is_waited_for(path: Path, locked: sqlite3.Connection) -> None:
    warnings: list[str] = []
    cache = ResultCache(path, on_failure=warnings.append)
    threading.Timer(0.05, lambda: locked.execute("COMMIT")).start()
    cache._store_result("a", "run", 1)
    assert (cache._find_result("a") is not None, warnings) == (True, [])


def test_a_locked_file_causes_one_warning(
    path: Path, locked: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stepflow_client._stores.shared_sqlite_file._LOCK_WAIT_SECONDS", 0.02)
    warnings: list[str] = []
    cache = ResultCache(path, on_failure=warnings.append)
    cache._store_result("a", "run", 1)
    cache._store_result("b", "run", 1)
    (warning,) = warnings
    assert warning.endswith(f" in {path}: database is locked")


def test_reopening_the_file_releases_no_lock(path: Path) -> None:
    first = ResultCache(path)
    first._store_result("a", "run", 1)
    ResultCache(path)._store_result("b", "run", 2)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_is_locked, (path,))
        first.close()
        gc.collect()
        assert not pool.apply(_is_locked, (path,))


def test_a_removed_or_replaced_file_is_recreated(path: Path) -> None:
    cache = ResultCache(path)
    cache._store_result("a", "run", 1)
    for each in [*path.parent.iterdir()]:
        each.unlink()
    assert cache._find_result("a") is None
    cache._store_result("b", "run", 2)
    other = ResultCache(path)
    assert (other._find_result("b") or 0, cache._find_result("b")) == (cache._find_result("b"), other._find_result("b"))
    other.close()
    cache.close()
    moved = path.with_name("moved.db")
    path.rename(moved)
    cache._store_result("c", "run", 3)
    moved.replace(path)
    for each in path.parent.glob("results.db-*"):
        each.unlink()
    cached = cache._find_result("b")
    assert cached is not None
    assert cached.output == 2
    assert cache._find_result("c") is None


def test_a_result_stored_before_the_clock_was_set_back_is_ignored(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 2_000_000.0
    monkeypatch.setattr("time.time", lambda: now)
    cache = ResultCache(path, max_age=10)
    cache._store_result("a", "run", 1)
    now -= 1_000_000
    assert cache._find_result("a") is None, "its age is unknown"
    assert cache.clear(max_age=5) == 0
    assert cache.clear() == 1


_FORKS = """
import os, signal, sys, threading
from stepflow_client import ResultCache

cache, is_over = ResultCache(sys.argv[1]), threading.Event()


def write():
    number = 0
    while not is_over.is_set():
        cache._store_result(str(number := number + 1), "run", number)


threads = [threading.Thread(target=write) for _ in range(3)]
[each.start() for each in threads]
codes = []
for number in range(10):
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        cache._store_result(f"child {number}", "run", number)
        os._exit(0 if cache._find_result(f"child {number}") else 1)
    codes.append(os.waitpid(child, 0)[1])
is_over.set()
[each.join() for each in threads]
outputs = [cache._find_result(f"child {number}").output for number in range(10)]
print(codes == [0] * 10, outputs == [*range(10)])
"""


def test_forks_while_threads_use_the_cache(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _FORKS, path], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True True\n", "")


def test_a_pickled_cache_keeps_its_settings(path: Path) -> None:
    cache = ResultCache(path, max_age=7, refresh=True, namespace="prod")
    cache._store_result("a", "run", 1)
    copy = pickle.loads(pickle.dumps(cache))
    assert copy._find_result("a") is not None
    assert (copy.refresh, repr(copy), copy.clear()) == (True, repr(cache), 1)


def test_the_default_path_is_in_the_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_path() == ResultCache().path == tmp_path / "stepflow" / "results.db"


def test_a_user_without_a_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown(user: int) -> object:
        raise KeyError(user)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "STEPFLOW_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StepflowClientError, match="no home folder"):
        ResultCache().clear()
    with pytest.raises(Problem, match="no home folder"):
        get_config_path()
    monkeypatch.setenv("STEPFLOW_CONFIG_FILE", str(tmp_path / "config.toml"))
    with keeping_logs():
        assert logging.getLogger("stepflow.server").handlers == [], "a note, and the run goes on"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert ResultCache().clear() == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_age", 0),
        ("max_age", math.nan),
        ("max_age", "1h"),
        ("max_bytes", 0),
        ("max_bytes", True),
        ("namespace", None),
    ],
)
def test_invalid_settings_are_rejected(name: str, value: object) -> None:
    with pytest.raises(InvalidArgumentError, match=name):
        ResultCache(**{name: value})  # type: ignore[arg-type]
