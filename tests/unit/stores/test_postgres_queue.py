"""The queue of changes of a history in PostgreSQL, with connections made up by the tests."""

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
from stepflow_client._stores import postgres as module
from stepflow_client._stores.postgres import SharedDatabase, _Connection, _Job, _split_url_secrets, translate_statement

psycopg = pytest.importorskip("psycopg")

URL = "postgresql://me:hunter2@127.0.0.1:1/db?connect_timeout=3"
DOWN = psycopg.OperationalError("it is down")


class Plain:
    """A connection of psycopg that notes what it is used for."""

    def __init__(self, tables: tuple[str, ...] = ("runs", "outputs")) -> None:
        self.said: list[Any] = []
        self.tables = tables
        self.closed = False
        self.descriptor = -1

    def execute(self, statement: str, values: Any = None) -> Any:
        self.said.append(statement if values is None else (statement, values))
        return self

    def fetchall(self) -> list[tuple[str]]:
        return [(name,) for name in self.tables]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.said.append("BEGIN")
        try:
            yield
        except Exception:
            self.said.append("ROLLBACK")
            raise
        self.said.append("COMMIT")

    def fileno(self) -> int:
        return self.descriptor

    def close(self) -> None:
        self.closed = True
        raise psycopg.OperationalError("it is broken")


class Waits(threading.Condition):
    """A condition for which a test waits no time; it notes how long it would have, and the clock goes on so long."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []
        self.woken = 0
        self.now = 100.0
        self.then: Callable[[], None] = lambda: None

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        self.now += timeout or 0.0
        self.then()
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
    """A database whose connections are given by the test: each is a connection, or why there is none."""

    def __init__(self, *connections: Plain | Exception) -> None:
        self.said: list[str] = []
        super().__init__(URL, on_failure=self.said.append, schema=("CREATE TABLE runs",))
        self.connections = [*connections]
        self.noted = Waits()
        self._changed = self.noted

    def _connect(self) -> _Connection:
        following = self.connections.pop(0)
        if isinstance(following, Exception):
            raise following
        self._connection = _Connection(following)
        return self._connection

    def add(self, *names: str, **more: Any) -> list[Future[Any]]:
        """Queue changes, each of which executes its name, and reads, whose names begin with `?`."""
        for name in names:
            self._jobs.append(self.job(name, **more))
            self._size += self._jobs[-1].size
        return [job.done for job in self._jobs]

    @staticmethod
    def job(name: str, error: Exception | None = None, size: int = 1) -> _Job:
        def act(connection: Any) -> str:
            connection.plain.said.append(name)
            if error is not None:
                raise error
            return name.upper()

        is_read = name.startswith("?")
        return _Job(f"do {name}", act, Future(), None if is_read else name, 0 if is_read else size)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time be that of the last database that was made."""
    made: list[Database] = []
    begin = Database.__init__

    def noted(self: Database, *connections: Plain | Exception) -> None:
        begin(self, *connections)
        made.append(self)

    monkeypatch.setattr(Database, "__init__", noted)
    # Only this module's clock: others, such as those of threads, must not stand still.
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: made[-1].noted.now if made else 0.0))


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
    plain = Plain()
    assert _Connection(plain).execute(statement) is plain
    _Connection(plain).execute(statement, [1, 2])
    assert plain.said == [expected, (expected, [1, 2])]


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
def test_the_secrets_of_a_url_are_known_longest_first(url: str, location: str, secrets: tuple[str, ...]) -> None:
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


def test_psycopg_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_which_errors_are_those_of_a_database_that_is_down(
    error: Exception, is_open: bool | None, is_outage: bool
) -> None:
    database = Database()
    if is_open is not None:
        plain = Plain()
        plain.closed = not is_open
        database._connection = _Connection(plain)
    assert bool(database._is_outage(error)) is is_outage


# Connections


@pytest.mark.parametrize(
    ("tables", "is_made"), [(("runs", "outputs", "more"), False), (("runs",), True), (("outputs",), True), ((), True)]
)
def test_tables_are_made_under_a_lock_if_one_is_missing(
    monkeypatch: pytest.MonkeyPatch, tables: tuple[str, ...], is_made: bool
) -> None:
    plain, settings = Plain(tables), dict[str, Any]()
    monkeypatch.setattr(psycopg, "connect", lambda **given: settings.update(given) or plain)
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
    lock = ("SELECT pg_advisory_xact_lock(%s)", [module._LOCK])
    made = [
        "BEGIN",
        lock,
        "CREATE SCHEMA IF NOT EXISTS stepflow_history",
        "CREATE TABLE stepflow_history.runs",
        "COMMIT",
    ]
    assert plain.said[1:] == (made if is_made else [])
    database._disconnect()
    assert (plain.closed, database._connection) == (True, None)
    database._disconnect()


@pytest.mark.parametrize(("began", "is_hung"), [(None, False), (95.1, False), (95.0, True), (1.0, True)])
def test_a_connection_without_a_response_is_shut_down(began: float | None, is_hung: bool) -> None:
    database, plain = Database(), Plain()
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


# The thread


def test_changes_in_a_row_are_one_transaction() -> None:
    plain = Plain()
    database = Database(plain)
    done = database.add("a", "b", "c", "?d", "e", "?f")
    done[1].cancel()
    database._thread = threading.current_thread()
    database._run_jobs()
    assert plain.said == ["BEGIN", "a", "c", "COMMIT", "?d", "e", "?f"]
    assert [each.result() for each in done if not each.cancelled()] == ["A", "C", "?D", "E", "?F"]
    assert database._thread is None
    assert (database._size, database.said) == (0, [])
    assert database._began is None, "an idle connection does not hang"
    assert database.noted.waited == [module._IDLE]


def test_a_transaction_has_a_limited_number_of_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_AT_ONCE", 2)
    plain = Plain()
    database = Database(plain)
    database.add("a", "b", "c", "d", "e")
    database._run_jobs()
    assert plain.said == ["BEGIN", "a", "b", "COMMIT", "BEGIN", "c", "d", "COMMIT", "e"]


def test_changes_of_a_transaction_that_failed_are_made_one_by_one() -> None:
    plain = Plain()
    database = Database(plain)
    database.add("a")
    database.add("b", error=ValueError("no"))
    done = database.add("c")
    done = [*done, *database.add("?d", "e", "f")][:3]
    database._run_jobs()
    one_by_one = ["a", "b", "c", "?d", "BEGIN", "e", "f", "COMMIT"]
    assert plain.said == ["BEGIN", "a", "b", "ROLLBACK", *one_by_one]
    assert (done[0].result(), str(done[1].exception()), done[2].result()) == ("A", "no", "C")
    assert database.said == ["the history cannot do b in postgresql://127.0.0.1:1/db: no"]
    database.add("g", error=ValueError("nor this"))
    database._run_jobs()
    assert len(database.said) == 1, "only the first one is reported"


def test_only_the_changes_of_a_transaction_that_failed_are_made_one_by_one() -> None:
    plain = Plain()
    database = Database(plain)
    database.add("a", error=ValueError("no"))
    database.add("b", "c")
    act = database._jobs[0].action

    def add_more(connection: Any) -> Any:
        if "ROLLBACK" in plain.said:
            database.add("d", "e")
        return act(connection)

    database._jobs[0] = database._jobs[0]._replace(action=add_more)
    database._run_jobs()
    assert plain.said == ["BEGIN", "a", "ROLLBACK", "a", "b", "c", "BEGIN", "d", "e", "COMMIT"]


def test_each_statement_has_its_own_time() -> None:
    database, began = Database(Plain()), list[float | None]()
    database.add("a")
    database._run_jobs()
    database.noted.now = 200.0
    database._jobs.append(_Job("look", lambda connection: began.append(database._began), Future()))
    database._run_jobs()
    assert began == [200.0]


def test_a_read_that_fails_is_not_reported() -> None:
    database = Database(Plain())
    (done,) = database.add("?a", error=ValueError("no"))
    database._run_jobs()
    assert (str(done.exception()), database.said) == ("no", [])


def test_a_connection_that_was_open_is_opened_again_at_once() -> None:
    old, new = Plain(), Plain()
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
    assert (new.said, database.said, old.closed) == (["b"], [], True)
    assert database.noted.waited == [module._IDLE] * 2
    new.closed = True
    database.connections = [Plain()]
    database.add("c")
    database._run_jobs()
    assert database.connections == [], "nor is one used that was closed"


def test_while_a_database_is_down_it_is_asked_less_and_less_often(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    plain = Plain()
    database = Database(*[DOWN] * 8, plain, *[DOWN] * 2, plain)
    database.add("a")
    database._run_jobs()
    assert plain.said == ["a"]
    waited = [seconds for seconds in database.noted.waited if seconds]
    assert waited == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, module._IDLE]
    assert database.said == [
        "the history cannot do a in postgresql://127.0.0.1:1/db: "
        "it is down; changes are kept in memory until it is reachable"
    ]
    assert database._failure is None
    assert caplog.messages == ["the history postgresql://127.0.0.1:1/db is reachable again"]
    database._disconnect()
    database.noted.waited.clear()
    database.add("b")
    database._run_jobs()
    assert [seconds for seconds in database.noted.waited if seconds] == [0.1, 0.2, module._IDLE]
    assert len(database.said) == 2, "another outage is another warning"


def test_after_an_outage_the_next_one_begins_with_the_first_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_AT_ONCE", 1)
    database, broken = Database(DOWN, DOWN, Plain(), DOWN, Plain()), [DOWN]
    database.add("a")

    def fail_once(connection: Any) -> None:
        if broken:
            raise broken.pop()

    database._jobs.append(_Job("break", fail_once, Future(), "b"))
    database._run_jobs()
    assert [seconds for seconds in database.noted.waited if seconds] == [0.1, 0.2, 0.1, module._IDLE]


def test_a_history_that_is_closed_asks_a_database_that_is_down_more_often() -> None:
    database = Database(*[DOWN] * 3, Plain())
    database._is_closing = True
    database.add("a")
    database._run_jobs()
    assert database.noted.waited == [0.1, 0.1, 0.1, module._IDLE]


def test_reads_fail_while_the_database_is_down_and_changes_are_kept() -> None:
    database = Database()
    first, second, third = database.add("?a", "b", "?c")
    third.cancel()
    plain = Plain()
    database._connection = _Connection(plain)
    database._handle_outage(database._jobs[0], DOWN)
    assert plain.closed
    assert (first.exception(), second.done(), [job.name for job in database._jobs]) == (DOWN, False, ["do b"])
    assert (database._failure, database._retry_at, database.said) == ("it is down", 105.0, [])
    database._handle_outage(database._jobs[0], DOWN)
    assert database.said == [], "it was known before"
    database._failure = None
    database._handle_outage(database._jobs[0], DOWN)
    assert len(database.said) == 1


def test_what_was_lost_is_reported_once_the_queue_is_empty(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    database = Database(Plain())
    database._connection = _Connection(Plain())
    database.add("a", "b")
    database._lost = ["z"]
    database._settle_jobs([database._jobs[0]], ["A"])
    assert (database.said, database.noted.woken) == ([], 1)
    database._settle_jobs([database._jobs[0]], ["B"])
    assert database.said == ["the history cannot record 1 run in postgresql://127.0.0.1:1/db: it was closed: z"]
    assert caplog.messages == [], "it was reachable all the time"


def test_a_job_that_was_given_up_is_not_counted_again() -> None:
    database = Database()
    database.add("a", "b", size=5)
    given_up = database.job("c", size=7)
    database._settle_jobs([given_up], ["C"])
    assert (given_up.done.result(), len(database._jobs), database._size) == ("C", 2, 10)
    database._settle_jobs([database._jobs[0]], ["A"])
    assert ([job.name for job in database._jobs], database._size) == (["do b"], 5)
    database._jobs.clear()
    database._settle_jobs([given_up._replace(done=Future())], ["C"])
    assert database._size == 5


# Callers


def held(database: Database) -> None:
    """Let the queue of a database be left as it is."""
    database._enqueue = database._jobs.append  # type: ignore[method-assign, assignment]


def test_changes_beyond_the_limits_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_SIZE", 10)
    monkeypatch.setattr(module, "_MAX_CHANGES", 3)
    database = Database()
    held(database)
    for number, size in enumerate((4, 7, 6, 1, 0, 0)):
        database.change("x", print, run_id=str(number), size=size)
    assert [job.run_id for job in database._jobs] == ["0", "2", "4"]
    assert (database._lost, database._size) == (["1", "3", "5"], 10)


def test_a_durable_change_waits_unless_the_database_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    class Noted(Future[Any]):
        def exception(self, timeout: float | None = None) -> None:
            waits.append(timeout)
            raise FutureTimeoutError

    monkeypatch.setattr(module, "Future", Noted)
    database = Database()
    held(database)
    database.change("x", print, run_id="a")
    assert waits == []
    database.change("x", print, run_id="b", is_durable=True)
    assert waits == [1.0]
    database._failure = "it is down"
    database.change("x", print, run_id="c", is_durable=True)
    assert waits == [1.0]


def test_one_thread_executes_what_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, Any]] = []

    class Thread:
        def __init__(self, **settings: Any) -> None:
            self.settings = settings

        def start(self) -> None:
            started.append(self.settings)

    monkeypatch.setattr("threading.Thread", Thread)
    monkeypatch.setattr(module, "_running", running := set[SharedDatabase]())
    database, looked = Database(), list[bool]()
    database._shut_down_hung_connection = lambda: looked.append(True)  # type: ignore[method-assign]
    for count in (1, 2):
        database.change("x", print, run_id=str(count))
        assert (len(database._jobs), database.noted.woken, len(looked)) == (count, count, count)
    assert started == [{"target": database._run_jobs, "name": "stepflow-history", "daemon": True}]
    assert running == {database}, "so that it is closed when the process ends"


@pytest.mark.parametrize(
    ("failure", "retry_at", "has_jobs", "is_asked"),
    [
        (None, 200.0, True, True),
        ("down", 100.5, False, False),
        ("down", 100.0, False, True),
        ("down", 0.0, True, False),
        ("down", 0.0, False, True),
    ],
)
def test_a_database_that_is_down_is_asked_again_after_a_while(
    failure: str | None, retry_at: float, has_jobs: bool, is_asked: bool
) -> None:
    database = Database()
    database._failure, database._retry_at = failure, retry_at
    if has_jobs:
        database.add("a")
    asked = []

    def answer(job: _Job) -> None:
        asked.append(job.name)
        job.done.set_result(7)

    database._enqueue = answer  # type: ignore[method-assign]
    if is_asked:
        assert database.call("read", lambda connection: 1, missing=0) == 7
    else:
        with pytest.raises(StepflowClientError, match=r"^cannot read the history postgresql://127.0.0.1:1/db: down$"):
            database.call("read", lambda connection: 1, missing=0)
    assert asked == (["read"] if is_asked else [])


def test_a_read_waits_for_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database()
    held(database)
    looks: list[float] = []

    def wait(futures: list[Future[Any]], timeout: float) -> Any:
        database.noted.now += timeout
        looks.append(database.noted.now)
        return type("Waited", (), {"done": set()})

    monkeypatch.setattr(module, "wait", wait)
    shut: list[bool] = []
    database._shut_down_hung_connection = lambda: shut.append(True)  # type: ignore[method-assign]
    with pytest.raises(StepflowClientError, match=r"^cannot read the history .*: no response within 10 s$"):
        database.call("read", lambda connection: 1, missing=0)
    assert 110.0 < looks[-1] < 110.2
    assert len(shut) == len(looks) - 1 > 90
    assert database._jobs[0].done.cancelled()


@pytest.mark.parametrize(
    ("failure", "progress", "seconds"),
    [(None, None, 10.0), ("it is down", None, 2.0), (None, 1.0, 60.0), ("it is down", 1.0, 60.0)],
)
def test_closing_waits_as_long_as_the_database_accepts_changes(
    failure: str | None, progress: float | None, seconds: float
) -> None:
    """There are 100 changes, of which none is made, or one after each `progress` seconds."""
    database = Database()
    for number in range(100):
        database.add(str(number), size=2)
    database._thread, database._failure = threading.current_thread(), failure
    plain = Plain()
    database._connection = _Connection(plain)
    began = database.noted.now

    def go_on() -> None:
        assert database._is_closing
        if progress is not None and (database.noted.now - began) // progress >= 101 - len(database._jobs):
            database._jobs.popleft()

    looked = []
    database._shut_down_hung_connection = lambda: looked.append(True)  # type: ignore[method-assign]
    database.noted.then = go_on
    database.close()
    assert database.noted.now - began == pytest.approx(seconds, abs=0.25)
    assert (database._is_closing, database._size, len(database._jobs)) == (False, 0, 0)
    assert not plain.closed, "the thread uses it"
    assert len(looked) == len(database.noted.waited)
    assert database.noted.woken == 2, "so that the thread goes on, and so that it ends"
    (said,) = database.said
    assert said.startswith("the history cannot record ")
    assert f": {failure or 'it was closed'}: " in said


def test_closing_a_history_that_is_idle_closes_its_connection() -> None:
    for thread, names in ((threading.current_thread(), []), (None, ["a"])):
        database, plain = Database(), Plain()
        database._connection, database._thread = _Connection(plain), thread
        database.add(*names, "?read") if names else None
        database.close()
        assert plain.closed
        assert database._connection is None
        assert database.noted.waited == []
        said = "the history cannot record 1 run in postgresql://127.0.0.1:1/db: it was closed: a"
        assert database.said == ([said] if names else [])


def test_a_fork_leaves_the_changes_and_the_connection_to_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    inherited: list[object] = []
    monkeypatch.setattr(module, "_inherited", inherited)
    database, plain = Database(), Plain()
    assert database._get_lock_of_this_process() is database.noted
    database._connection = connection = _Connection(plain)
    database.add("a")
    database._process = -1
    database.close()
    database.__del__()
    assert (len(database._jobs), plain.closed) == (1, False)
    assert database._get_lock_of_this_process() is database._changed is not database.noted
    assert database._connection is None
    assert (len(database._jobs), inherited) == (0, [connection])
    database._connection = _Connection(plain)
    database.__del__()
    assert plain.closed


def test_a_pickled_database_has_no_changes() -> None:
    database = SharedDatabase(URL, on_failure=None, schema=("CREATE TABLE runs",))
    database._lost = ["a"]
    copy = pickle.loads(pickle.dumps(database))
    assert (copy.location, copy._lost, copy._url) == ("postgresql://127.0.0.1:1/db", [], URL)
    assert copy._format_error(ValueError("hunter2")) == "***"
    copy._on_failure = (said := list[str]()).append
    for name in ("a", "b"):
        copy.report_failure_once(name, "no")
    assert len(said) == 1, "nor has it warned"


@pytest.mark.parametrize(
    ("lost", "said"),
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
def test_runs_that_could_not_be_recorded_are_named(lost: list[str], said: str | None) -> None:
    database = Database()
    database._lost = lost
    database._report_unrecorded_runs()
    database._report_unrecorded_runs()
    expected = [] if said is None else [f"the history cannot {said.format('postgresql://127.0.0.1:1/db')}"]
    assert database.said == expected
