"""The queue of writes to a PostgreSQL history, tested with fake connections."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, StepflowClientError
from stepflow_client._stores import postgres_history as module
from stepflow_client._stores.postgres_history import (
    SharedDatabase,
    _Connection,
    _Job,
    _split_url_secrets,
    translate_statement,
)

psycopg = pytest.importorskip("psycopg")

URL = "postgresql://me:hunter2@127.0.0.1:1/db?connect_timeout=3"
DOWN = psycopg.OperationalError("it is down")


class FakeConnection:
    """A fake psycopg connection that records its statements."""

    def __init__(self, tables: tuple[str, ...] = ("runs", "outputs")) -> None:
        self.statements: list[Any] = []
        self.tables = tables
        self.closed = False
        self.descriptor = -1

    def execute(self, statement: str, values: Any = None) -> Any:
        self.statements.append(statement if values is None else (statement, values))
        return self

    def fetchall(self) -> list[tuple[str]]:
        return [(name,) for name in self.tables]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.statements.append("BEGIN")
        try:
            yield
        except Exception:
            self.statements.append("ROLLBACK")
            raise
        self.statements.append("COMMIT")

    def fileno(self) -> int:
        return self.descriptor

    def close(self) -> None:
        self.closed = True
        raise psycopg.OperationalError("it is broken")


class FakeCondition(threading.Condition):
    """A condition that does not block: it records each timeout and advances a fake clock by it."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []
        self.woken = 0
        self.now = 100.0
        self.on_wait: Callable[[], None] = lambda: None

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        self.now += timeout or 0.0
        self.on_wait()
        return True

    def notify_all(self) -> None:
        super().notify_all()
        self.woken += 1

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        if not predicate():
            self.waited.append(timeout or 0.0)
            self.now += timeout or 0.0
        return predicate()


class Database(SharedDatabase):
    """A database that opens the given connections in turn; an exception is a connection attempt that fails."""

    def __init__(self, *connections: FakeConnection | Exception) -> None:
        self.warnings: list[str] = []
        super().__init__(URL, on_failure=self.warnings.append, schema=("CREATE TABLE runs",))
        self.connections = [*connections]
        self.condition = FakeCondition()
        self._changed = self.condition

    def _connect(self) -> _Connection:
        connection = self.connections.pop(0)
        if isinstance(connection, Exception):
            raise connection
        self._connection = _Connection(connection)
        return self._connection

    def add(self, *names: str, **more: Any) -> list[Future[Any]]:
        """Queue a change per name, or a read if the name starts with `?`. Each job records its name as a statement."""
        for name in names:
            self._jobs.append(self.job(name, **more))
            self._size += self._jobs[-1].size
        return [job.done for job in self._jobs]

    @staticmethod
    def job(name: str, error: Exception | None = None, size: int = 1) -> _Job:
        def act(connection: Any) -> str:
            connection.plain.statements.append(name)
            if error is not None:
                raise error
            return name.upper()

        is_read = name.startswith("?")
        return _Job(f"do {name}", act, Future(), None if is_read else name, 0 if is_read else size)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the fake clock of the most recently created database."""
    databases: list[Database] = []
    begin = Database.__init__

    def init(self: Database, *connections: FakeConnection | Exception) -> None:
        begin(self, *connections)
        databases.append(self)

    monkeypatch.setattr(Database, "__init__", init)
    # Patch only this module's clock: threads, for example, need the real one.
    monkeypatch.setattr(
        module, "time", SimpleNamespace(monotonic=lambda: databases[-1].condition.now if databases else 0.0)
    )


# Statements and URLs


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("FROM runs WHERE id = ? AND a LIKE ?", "FROM stepflow_history.runs WHERE id = %s AND a ILIKE %s"),
        ("CREATE INDEX runs_by_time ON runs", "CREATE INDEX runs_by_time ON stepflow_history.runs"),
        ("instr(note, ?) > 0 FROM outputs", "strpos(note, %s) > 0 FROM stepflow_history.outputs"),
        ("PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM (FULL) stepflow_history.runs, stepflow_history.outputs"),
        (
            "number INTEGER PRIMARY KEY AUTOINCREMENT",
            "number BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        ),
    ],
)  # fmt: skip
def test_statements_are_translated(statement: str, expected: str) -> None:
    assert translate_statement(statement) == expected
    plain = FakeConnection()
    assert _Connection(plain).execute(statement) is plain
    _Connection(plain).execute(statement, [1, 2])
    assert plain.statements == [expected, (expected, [1, 2])]


@pytest.mark.parametrize(
    ("url", "location", "secrets"),
    [
        ("postgresql://host/db", "postgresql://host/db", ()),
        ("postgresql://me@host:5/db?sslmode=require", "postgresql://host:5/db", ()),
        ("postgresql://me:pa%20ss@host/db", "postgresql://host/db", ("pa%20ss", "pa ss")),
        ("postgresql://me:one@longer@host/db", "postgresql://host/db", ("one@longer", "longer", "one")),
        ("postgresql://host/db?user=me&password=hunter2", "postgresql://host/db", ("hunter2",)),
    ],
)
def test_url_secrets_are_sorted_longest_first(url: str, location: str, secrets: tuple[str, ...]) -> None:
    assert _split_url_secrets(url) == (location, secrets)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("one\n  two"), "one two"),
        (ValueError("bad\nLINE 1: SELECT secret"), "bad"),
        (ValueError("for hunter2 and hunter2"), "for *** and ***"),
        (KeyError(), "KeyError"),
    ],
)
def test_an_error_is_one_line_without_passwords(error: Exception, text: str) -> None:
    assert Database()._format_error(error) == text


def test_psycopg_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(InvalidArgumentError, match="a history in PostgreSQL needs psycopg"):
        Database()


@pytest.mark.parametrize(
    ("error", "is_open", "is_outage"),
    [
        (ValueError("x"), True, False),
        (ValueError("x"), False, False),
        (psycopg.DataError("x"), True, False),
        (psycopg.DataError("x"), False, True),
        (psycopg.DataError("x"), None, True),
        (psycopg.OperationalError("x"), True, True),
        (psycopg.InterfaceError("x"), True, True),
        (psycopg.errors.ReadOnlySqlTransaction("x"), True, True),
        (psycopg.errors.InvalidSchemaName("x"), True, True),
        (psycopg.errors.UndefinedTable("x"), True, True),
        (psycopg.errors.UndefinedColumn("x"), True, False),
    ],
)
def test_which_errors_mean_that_the_database_is_down(error: Exception, is_open: bool | None, is_outage: bool) -> None:
    database = Database()
    if is_open is not None:
        plain = FakeConnection()
        plain.closed = not is_open
        database._connection = _Connection(plain)
    assert bool(database._is_outage(error)) is is_outage


# Connections


@pytest.mark.parametrize(
    ("tables", "is_created"),
    [(("runs", "outputs", "more"), False), (("runs",), True), (("outputs",), True), ((), True)],
)
def test_tables_are_created_under_a_lock_if_one_is_missing(
    monkeypatch: pytest.MonkeyPatch, tables: tuple[str, ...], is_created: bool
) -> None:
    plain, settings = FakeConnection(tables), dict[str, Any]()
    monkeypatch.setattr(psycopg, "connect", lambda **options: settings.update(options) or plain)
    database = Database()
    connection = SharedDatabase._connect(database)
    assert (database._connection, connection.plain, database._began) == (connection, plain, 100.0)
    assert settings == {
        "user": "me",
        "password": "hunter2",
        "host": "127.0.0.1",
        "port": "1",
        "dbname": "db",
        "connect_timeout": "3",
        "application_name": "stepflow-client",
        "autocommit": True,
        "prepare_threshold": None,
    }
    lock = ("SELECT pg_advisory_xact_lock(%s)", [module._SCHEMA_LOCK_ID])
    statements = [
        "BEGIN",
        lock,
        "CREATE SCHEMA IF NOT EXISTS stepflow_history",
        "CREATE TABLE stepflow_history.runs",
        "COMMIT",
    ]
    assert plain.statements[1:] == (statements if is_created else [])
    database._disconnect()
    assert (plain.closed, database._connection) == (True, None)
    database._disconnect()


@pytest.mark.parametrize(("began", "is_hung"), [(None, False), (95.1, False), (95.0, True), (1.0, True)])
def test_a_hung_connection_is_shut_down(began: float | None, is_hung: bool) -> None:
    database, plain = Database(), FakeConnection()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        plain.descriptor = ours.fileno()
        database._began = began
        database._shut_down_hung_connection()
        database._connection = _Connection(plain)
        database._shut_down_hung_connection()
        if is_hung:
            assert theirs.recv(1) == b""
        else:
            with pytest.raises(BlockingIOError):
                theirs.recv(1)


# The queue thread


def test_consecutive_changes_share_a_transaction() -> None:
    plain = FakeConnection()
    database = Database(plain)
    done = database.add("a", "b", "c", "?d", "e", "?f")
    done[1].cancel()
    database._thread = threading.current_thread()
    database._run_jobs()
    assert plain.statements == ["BEGIN", "a", "c", "COMMIT", "?d", "e", "?f"]
    assert [each.result() for each in done if not each.cancelled()] == ["A", "C", "?D", "E", "?F"]
    assert database._thread is None
    assert (database._size, database.warnings) == (0, [])
    assert database._began is None, "an idle connection is not a hung one"
    assert database.condition.waited == [module._MAX_IDLE_SECONDS]


def test_a_transaction_has_a_limited_number_of_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_TRANSACTION_CHANGES", 2)
    plain = FakeConnection()
    database = Database(plain)
    database.add("a", "b", "c", "d", "e")
    database._run_jobs()
    assert plain.statements == ["BEGIN", "a", "b", "COMMIT", "BEGIN", "c", "d", "COMMIT", "e"]


def test_changes_of_a_failed_transaction_are_retried_one_by_one() -> None:
    plain = FakeConnection()
    database = Database(plain)
    database.add("a")
    database.add("b", error=ValueError("no"))
    done = database.add("c")
    done = [*done, *database.add("?d", "e", "f")][:3]
    database._run_jobs()
    one_by_one = ["a", "b", "c", "?d", "BEGIN", "e", "f", "COMMIT"]
    assert plain.statements == ["BEGIN", "a", "b", "ROLLBACK", *one_by_one]
    assert (done[0].result(), str(done[1].exception()), done[2].result()) == ("A", "no", "C")
    assert database.warnings == ["the history cannot do b in postgresql://127.0.0.1:1/db: no"]
    database.add("g", error=ValueError("nor this"))
    database._run_jobs()
    assert len(database.warnings) == 1, "only the first failure is reported"


def test_changes_queued_after_a_failed_transaction_share_one_again() -> None:
    plain = FakeConnection()
    database = Database(plain)
    database.add("a", error=ValueError("no"))
    database.add("b", "c")
    act = database._jobs[0].action

    def add_more(connection: Any) -> Any:
        if "ROLLBACK" in plain.statements:
            database.add("d", "e")
        return act(connection)

    database._jobs[0] = database._jobs[0]._replace(action=add_more)
    database._run_jobs()
    assert plain.statements == ["BEGIN", "a", "ROLLBACK", "a", "b", "c", "BEGIN", "d", "e", "COMMIT"]


def test_the_start_time_is_reset_for_each_statement() -> None:
    database, began = Database(FakeConnection()), list[float | None]()
    database.add("a")
    database._run_jobs()
    database.condition.now = 200.0
    database._jobs.append(_Job("look", lambda connection: began.append(database._began), Future()))
    database._run_jobs()
    assert began == [200.0]


def test_a_failed_read_is_not_reported() -> None:
    database = Database(FakeConnection())
    (done,) = database.add("?a", error=ValueError("no"))
    database._run_jobs()
    assert (str(done.exception()), database.warnings) == ("no", [])


def test_a_lost_connection_is_reopened_at_once() -> None:
    old, new = FakeConnection(), FakeConnection()
    database = Database(old, new)
    database.add("a")
    database._run_jobs()
    old.execute("broken")
    broken = [psycopg.OperationalError("closed")]
    database.add("b")
    act = database._jobs[0].action

    def fail_once(connection: Any) -> Any:
        if broken:
            raise broken.pop()
        return act(connection)

    database._jobs[0] = database._jobs[0]._replace(action=fail_once)
    database._run_jobs()
    assert (new.statements, database.warnings, old.closed) == (["b"], [], True)
    assert database.condition.waited == [module._MAX_IDLE_SECONDS] * 2
    new.closed = True
    database.connections = [FakeConnection()]
    database.add("c")
    database._run_jobs()
    assert database.connections == [], "a closed connection is not reused"


def test_retries_back_off_while_the_database_is_down(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    plain = FakeConnection()
    database = Database(*[DOWN] * 8, plain, *[DOWN] * 2, plain)
    database.add("a")
    database._run_jobs()
    assert plain.statements == ["a"]
    waited = [seconds for seconds in database.condition.waited if seconds]
    assert waited == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, module._MAX_IDLE_SECONDS]
    assert database.warnings == [
        "the history cannot do a in postgresql://127.0.0.1:1/db: "
        "it is down; changes are kept in memory until it is reachable"
    ]
    assert database._failure is None
    assert caplog.messages == ["the history postgresql://127.0.0.1:1/db is reachable again"]
    database._disconnect()
    database.condition.waited.clear()
    database.add("b")
    database._run_jobs()
    assert [seconds for seconds in database.condition.waited if seconds] == [0.1, 0.2, module._MAX_IDLE_SECONDS]
    assert len(database.warnings) == 2, "each outage has a warning"


def test_the_backoff_starts_over_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_TRANSACTION_CHANGES", 1)
    database, broken = Database(DOWN, DOWN, FakeConnection(), DOWN, FakeConnection()), [DOWN]
    database.add("a")

    def fail_once(connection: Any) -> None:
        if broken:
            raise broken.pop()

    database._jobs.append(_Job("break", fail_once, Future(), "b"))
    database._run_jobs()
    assert [seconds for seconds in database.condition.waited if seconds] == [0.1, 0.2, 0.1, module._MAX_IDLE_SECONDS]


def test_closing_retries_without_backoff() -> None:
    database = Database(*[DOWN] * 3, FakeConnection())
    database._is_closing = True
    database.add("a")
    database._run_jobs()
    assert database.condition.waited == [0.1, 0.1, 0.1, module._MAX_IDLE_SECONDS]


def test_an_outage_fails_reads_and_keeps_changes() -> None:
    database = Database()
    first, second, third = database.add("?a", "b", "?c")
    third.cancel()
    plain = FakeConnection()
    database._connection = _Connection(plain)
    database._fail_reads_and_report_outage(database._jobs[0], DOWN)
    assert plain.closed
    assert (first.exception(), second.done(), [job.name for job in database._jobs]) == (DOWN, False, ["do b"])
    assert (database._failure, database._retry_at, database.warnings) == ("it is down", 105.0, [])
    database._fail_reads_and_report_outage(database._jobs[0], DOWN)
    assert database.warnings == [], "the outage was already known"
    database._failure = None
    database._fail_reads_and_report_outage(database._jobs[0], DOWN)
    assert len(database.warnings) == 1


def test_lost_runs_are_reported_once_the_queue_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    database = Database(FakeConnection())
    database._connection = _Connection(FakeConnection())
    database.add("a", "b")
    database._lost_run_ids = ["z"]
    database._settle_jobs([database._jobs[0]], ["A"])
    assert (database.warnings, database.condition.woken) == ([], 1)
    database._settle_jobs([database._jobs[0]], ["B"])
    assert database.warnings == ["the history cannot record 1 run in postgresql://127.0.0.1:1/db: it was closed: z"]
    assert caplog.messages == [], "there was no outage"


def test_an_abandoned_job_is_not_subtracted_from_the_queue_size() -> None:
    database = Database()
    database.add("a", "b", size=5)
    abandoned = database.job("c", size=7)
    database._settle_jobs([abandoned], ["C"])
    assert (abandoned.done.result(), len(database._jobs), database._size) == ("C", 2, 10)
    database._settle_jobs([database._jobs[0]], ["A"])
    assert ([job.name for job in database._jobs], database._size) == (["do b"], 5)
    database._jobs.clear()
    database._settle_jobs([abandoned._replace(done=Future())], ["C"])
    assert database._size == 5


# Callers


def hold_jobs(database: Database) -> None:
    """Queue changes without running them."""
    database._enqueue = database._jobs.append  # type: ignore[method-assign, assignment]


def test_changes_over_the_queue_limits_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_QUEUED_LENGTH", 10)
    monkeypatch.setattr(module, "_MAX_QUEUED_CHANGES", 3)
    database = Database()
    hold_jobs(database)
    for number, size in enumerate((4, 7, 6, 1, 0, 0)):
        database.change("x", print, run_id=str(number), size=size)
    assert [job.run_id for job in database._jobs] == ["0", "2", "4"]
    assert (database._lost_run_ids, database._size) == (["1", "3", "5"], 10)


def test_a_durable_change_waits_unless_the_database_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    class RecordingFuture(Future[Any]):
        def exception(self, timeout: float | None = None) -> None:
            waits.append(timeout)
            raise FutureTimeoutError

    monkeypatch.setattr(module, "Future", RecordingFuture)
    database = Database()
    hold_jobs(database)
    database.change("x", print, run_id="a")
    assert waits == []
    database.change("x", print, run_id="b", is_durable=True)
    assert waits == [1.0]
    database._failure = "it is down"
    database.change("x", print, run_id="c", is_durable=True)
    assert waits == [1.0]


def test_one_thread_runs_all_queued_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, Any]] = []

    class Thread:
        def __init__(self, **settings: Any) -> None:
            self.settings = settings

        def start(self) -> None:
            started.append(self.settings)

    monkeypatch.setattr("threading.Thread", Thread)
    monkeypatch.setattr(module, "_running", running := set[SharedDatabase]())
    database, checked = Database(), list[bool]()
    database._shut_down_hung_connection = lambda: checked.append(True)  # type: ignore[method-assign]
    for count in (1, 2):
        database.change("x", print, run_id=str(count))
        assert (len(database._jobs), database.condition.woken, len(checked)) == (count, count, count)
    assert started == [{"target": database._run_jobs, "name": "stepflow-history", "daemon": True}]
    assert running == {database}, "the database must be closed at exit"


@pytest.mark.parametrize(
    ("failure", "retry_at", "has_jobs", "is_enqueued"),
    [
        (None, 200.0, True, True),
        ("down", 100.5, False, False),
        ("down", 100.0, False, True),
        ("down", 0.0, True, False),
        ("down", 0.0, False, True),
    ],
)
def test_a_read_retries_the_database_only_after_a_delay(
    failure: str | None, retry_at: float, has_jobs: bool, is_enqueued: bool
) -> None:
    database = Database()
    database._failure, database._retry_at = failure, retry_at
    if has_jobs:
        database.add("a")
    enqueued = []

    def run_at_once(job: _Job) -> None:
        enqueued.append(job.name)
        job.done.set_result(7)

    database._enqueue = run_at_once  # type: ignore[method-assign]
    if is_enqueued:
        assert database.call("read", lambda connection: 1, missing=0) == 7
    else:
        with pytest.raises(StepflowClientError, match=r"^cannot read the history postgresql://127.0.0.1:1/db: down$"):
            database.call("read", lambda connection: 1, missing=0)
    assert enqueued == (["read"] if is_enqueued else [])


def test_a_read_times_out_after_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database()
    hold_jobs(database)
    times: list[float] = []

    def wait(futures: list[Future[Any]], timeout: float) -> Any:
        database.condition.now += timeout
        times.append(database.condition.now)
        return type("Waited", (), {"done": set()})

    monkeypatch.setattr(module, "wait", wait)
    shut: list[bool] = []
    database._shut_down_hung_connection = lambda: shut.append(True)  # type: ignore[method-assign]
    with pytest.raises(StepflowClientError, match=r"^cannot read the history .*: no response within 10 s$"):
        database.call("read", lambda connection: 1, missing=0)
    assert 110.0 < times[-1] < 110.2
    assert len(shut) == len(times) - 1 > 90
    assert database._jobs[0].done.cancelled()


@pytest.mark.parametrize(
    ("failure", "progress", "seconds"),
    [(None, None, 10.0), ("it is down", None, 2.0), (None, 1.0, 60.0), ("it is down", 1.0, 60.0)],
)
def test_closing_waits_while_changes_are_accepted(failure: str | None, progress: float | None, seconds: float) -> None:
    """There are 100 queued changes. One is made every `progress` seconds, or none if it is None."""
    database = Database()
    for number in range(100):
        database.add(str(number), size=2)
    database._thread, database._failure = threading.current_thread(), failure
    plain = FakeConnection()
    database._connection = _Connection(plain)
    began = database.condition.now

    def make_progress() -> None:
        assert database._is_closing
        if progress is not None and (database.condition.now - began) // progress >= 101 - len(database._jobs):
            database._jobs.popleft()

    checked = []
    database._shut_down_hung_connection = lambda: checked.append(True)  # type: ignore[method-assign]
    database.condition.on_wait = make_progress
    database.close()
    assert database.condition.now - began == pytest.approx(seconds, abs=0.25)
    assert (database._is_closing, database._size, len(database._jobs)) == (False, 0, 0)
    assert not plain.closed, "the thread still uses it"
    assert len(checked) == len(database.condition.waited)
    assert database.condition.woken == 2, "once to retry at once, once to stop the thread"
    (warning,) = database.warnings
    assert warning.startswith("the history cannot record ")
    assert f": {failure or 'it was closed'}: " in warning


def test_closing_an_idle_history_closes_its_connection() -> None:
    for thread, names in ((threading.current_thread(), []), (None, ["a"])):
        database, plain = Database(), FakeConnection()
        database._connection, database._thread = _Connection(plain), thread
        database.add(*names, "?read") if names else None
        database.close()
        assert plain.closed
        assert database._connection is None
        assert database.condition.waited == []
        warning = "the history cannot record 1 run in postgresql://127.0.0.1:1/db: it was closed: a"
        assert database.warnings == ([warning] if names else [])


def test_a_forked_child_drops_the_jobs_and_connection_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    inherited: list[object] = []
    monkeypatch.setattr(module, "_inherited", inherited)
    database, plain = Database(), FakeConnection()
    assert database._get_fork_safe_lock() is database.condition
    database._connection = connection = _Connection(plain)
    database.add("a")
    database._process = -1
    database.close()
    database.__del__()
    assert (len(database._jobs), plain.closed) == (1, False)
    assert database._get_fork_safe_lock() is database._changed is not database.condition
    assert database._connection is None
    assert (len(database._jobs), inherited) == (0, [connection])
    database._connection = _Connection(plain)
    database.__del__()
    assert plain.closed


def test_a_pickled_database_has_no_queue() -> None:
    database = SharedDatabase(URL, on_failure=None, schema=("CREATE TABLE runs",))
    database._lost_run_ids = ["a"]
    copy = pickle.loads(pickle.dumps(database))
    assert (copy.location, copy._lost_run_ids, copy._url) == ("postgresql://127.0.0.1:1/db", [], URL)
    assert copy._format_error(ValueError("hunter2")) == "***"
    copy._on_failure = (warnings := list[str]()).append
    for name in ("a", "b"):
        copy.report_failure_once(name, "no")
    assert len(warnings) == 1, "the copy has not warned yet"


@pytest.mark.parametrize(
    ("lost", "warning"),
    [
        ([], None),
        (["a"], "record 1 run in {}: it was closed: a"),
        (["a", "b", "a"], "record 2 runs in {}: it was closed: a, b"),
        (["pending:1", "a"], "record 1 run in {}: it was closed: a"),
        (["pending:1"], "record 1 run in {}: it was closed: pending:1"),
        ([*"abcdefghijklmnopqrst"], "record 20 runs in {}: it was closed: " + ", ".join("abcdefghijklmnopqrst")),
        (
            [*"abcdefghijklmnopqrstuv"],
            "record 22 runs in {}: it was closed: " + ", ".join("abcdefghijklmnopqrst") + " and 2 others",
        ),
    ],
)
def test_unrecorded_runs_are_reported(lost: list[str], warning: str | None) -> None:
    database = Database()
    database._lost_run_ids = lost
    database._report_unrecorded_runs()
    database._report_unrecorded_runs()
    expected = [] if warning is None else [f"the history cannot {warning.format('postgresql://127.0.0.1:1/db')}"]
    assert database.warnings == expected
