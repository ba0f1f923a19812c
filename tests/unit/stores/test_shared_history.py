"""A history in PostgreSQL: outages, hung connections, secrets, TLS, forks."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, StepflowClientError
from stepflow_client._stores import postgres_history as module
from stepflow_client.history import History

from tests.certificates import Authority
from tests.postgres import USER, Postgres


@pytest.fixture
def stoppable() -> Iterator[Postgres]:
    """A database server that the test may stop."""
    server = Postgres()
    try:
        yield server.start()
    finally:
        server.remove()


@contextmanager
def short_waits() -> Iterator[None]:
    """Shorten the time that histories wait for the database."""
    with pytest.MonkeyPatch.context() as patch:
        for name, seconds in (
            ("_MAX_RESPONSE_SECONDS", 0.5),
            ("_MAX_WAIT_SECONDS", 5.0),
            ("_RECONNECT_DELAYS", (0.05, 0.1)),
        ):
            patch.setattr(module, name, seconds)
        yield


@pytest.fixture
def with_short_waits() -> Iterator[None]:
    with short_waits():
        yield


def ids(history: History) -> set[str]:
    return {entry.run_id for entry in history.search(limit=1000)}


def test_concurrent_processes_create_the_tables(postgres: Postgres) -> None:
    url = postgres.database()
    program = "import sys; from stepflow_client.history import History; History(sys.argv[1]).record(sys.argv[2])"
    writers = [subprocess.Popen([sys.executable, "-c", program, url, str(each)], stderr=-1) for each in range(3)]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [(b"", 0)] * 3
    history = History(url)
    assert ids(history) == {"0", "1", "2"}


def test_removed_tables_are_recreated(postgres: Postgres) -> None:
    url = postgres.database()
    history = History(url)
    history.record("1")
    assert ids(history) == {"1"}
    with postgres.connection(url) as connection:
        connection.execute("DROP SCHEMA stepflow_history CASCADE")
    history.record("2")
    assert ids(history) == {"2"}


def test_a_closed_connection_is_reopened(postgres: Postgres) -> None:
    url = postgres.database()
    history = History(url, on_failure=pytest.fail)
    history.record("1")
    assert ids(history) == {"1"}
    with postgres.connection() as connection:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        assert connection.execute(end, [url.rpartition("/")[2]]).rowcount == 1
    assert ids(history) == {"1"}


def test_a_role_without_create_permission_uses_existing_tables(postgres: Postgres) -> None:
    url = postgres.database()
    History(url).search()
    role = url.rpartition("/")[2]
    with postgres.connection(url) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'pass'")
        connection.execute(f"GRANT USAGE ON SCHEMA stepflow_history TO {role}")
        connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA stepflow_history TO {role}")
    history = History(url.replace(f"{USER}:{postgres.password}@", f"{role}:pass@"))
    history.record("1")
    assert ids(history) == {"1"}


def test_changes_made_during_an_outage_are_written_later(
    stoppable: Postgres, with_short_waits: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    history = History(stoppable.database())
    history.record("before")
    assert ids(history) == {"before"}
    for outage in ("first", "second"):
        stoppable.kill()
        for number in range(20):
            history.record(f"{outage}-{number}", labels={"outage": outage})
            history.update(f"{outage}-{number}", status="completed")
        with pytest.raises(StepflowClientError, match="cannot read the history postgresql://"):
            history.search()
        stoppable.start()
        history.close()
        entries = history.search(labels={"outage": outage}, status="completed", limit=100)
        assert {entry.run_id for entry in entries} == {f"{outage}-{number}" for number in range(20)}
    assert ["cannot record a run" in each or "reachable again" in each for each in caplog.messages] == [True] * 4
    assert stoppable.password not in caplog.text


def test_a_hung_database_does_not_delay_calls(stoppable: Postgres) -> None:
    warnings: list[str] = []
    history = History(stoppable.database(), on_failure=warnings.append)
    history.record("before")
    assert ids(history) == {"before"}
    stoppable.signal(signal.SIGSTOP)
    try:
        # Use the normal waits otherwise, because a busy machine may be slow.
        with short_waits():
            for number in range(20):
                history.record(str(number))
            with pytest.raises(StepflowClientError):
                history.search()
    finally:
        stoppable.signal(signal.SIGCONT)
    history.close()
    assert ids(history) == {"before", *map(str, range(20))}
    assert len(warnings) <= 1


def test_a_hung_connection_is_replaced(postgres: Postgres, with_short_waits: None) -> None:
    url = postgres.database()
    history = History(url, on_failure=pytest.fail)
    history.record("1")
    assert ids(history) == {"1"}
    with postgres.connection() as connection:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s"
        ((process,),) = connection.execute(query, [url.rpartition("/")[2]]).fetchall()
    os.kill(process, signal.SIGSTOP)
    try:
        history.record("2")
        assert ids(history) == {"1", "2"}
    finally:
        os.kill(process, signal.SIGCONT)


def test_unrecorded_runs_are_reported(
    stoppable: Postgres, with_short_waits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_QUEUED_CHANGES", 25)
    warnings: list[str] = []
    history = History(stoppable.database(), on_failure=warnings.append)
    history.search()
    stoppable.kill()
    for number in range(30):
        history.record(f"run-{number}")
    history.close()
    *_, last = warnings
    assert last.startswith(f"the history cannot record 30 runs in {history.location}: ")
    assert "run-29" in last
    assert "and 10 others" in last


def test_a_process_reports_unrecorded_runs_at_exit() -> None:
    program = """if True:
        from stepflow_client.history import History
        from stepflow_client._stores import postgres_history
        postgres_history._MAX_WAIT_SECONDS = 0.5
        history = History("postgresql://me:pass-of-mine@127.0.0.1:1/db", on_failure=print)
        history.record("run-1")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "cannot record 1 run in postgresql://127.0.0.1:1/db: connection failed: " in done.stdout
    assert done.stdout.endswith(": run-1\n")
    assert "pass-of-mine" not in done.stdout + done.stderr


def test_an_unreachable_database_is_not_retried_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, attempts = module.SharedDatabase._connect, 0

    def count_attempts(database: module.SharedDatabase) -> object:
        nonlocal attempts
        attempts += 1
        return connect(database)

    monkeypatch.setattr(module.SharedDatabase, "_connect", count_attempts)
    history = History("postgresql://me:pass-of-mine@127.0.0.1:1/db", on_failure=pytest.fail)
    messages = []
    for _ in range(3):
        with pytest.raises(StepflowClientError) as caught:
            history.search()
        messages.append(str(caught.value))
    assert attempts == 1
    assert messages[0].startswith("cannot read the history postgresql://127.0.0.1:1/db: connection failed: ")
    assert messages == [messages[0]] * 3
    history.close()
    assert "pass-of-mine" not in messages[0]


def test_only_runs_without_an_id_wait_for_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    class RecordingFuture(Future[Any]):
        def exception(self, timeout: float | None = None) -> None:
            waits.append(timeout)

    monkeypatch.setattr(module, "Future", RecordingFuture)
    monkeypatch.setattr(module, "_MAX_OUTAGE_WAIT_SECONDS", 0.0)
    history = History("postgresql://me@127.0.0.1:1/db", on_failure=lambda text: None)
    history.record(None)
    assert waits == [1.0]
    history.record("run-1")
    with pytest.raises(StepflowClientError):
        history.search()
    history.record(None)
    assert waits == [1.0], "no wait once the database is known to be down"
    history.close()


def test_closing_waits_for_a_slow_database(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.database()
    history = History(url, on_failure=pytest.fail)
    assert ids(history) == set()
    with postgres.connection(url) as connection:
        body = "BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END"
        connection.execute(f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        trigger = "CREATE TRIGGER slow BEFORE INSERT ON stepflow_history.runs FOR EACH ROW EXECUTE FUNCTION slow()"
        connection.execute(trigger)
    with monkeypatch.context() as limits:
        limits.setattr(module, "_MAX_TRANSACTION_CHANGES", 1)
        limits.setattr(module, "_MAX_WAIT_SECONDS", 2.0)
        for number in range(20):
            history.record(str(number))
        history.close()
    assert ids(history) == {*map(str, range(20))}


def test_rejected_values_cause_one_warning(postgres: Postgres) -> None:
    warnings: list[str] = []
    history = History(postgres.database(), on_failure=warnings.append)
    history.record("\0")
    history.record("1")
    history.record("\0")
    assert ids(history) == {"1"}
    assert len(warnings) == 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?user=me&password=hunter2",
        "postgresql://me:pass@hunter2@127.0.0.1:1/db",
        "postgres://me:hunter2@127.0.0.1:1,127.0.0.1:2/db?sslmode=require",
    ],
)
def test_no_message_contains_the_password(url: str) -> None:
    history = History(url)
    with pytest.raises(StepflowClientError) as caught:
        history.search()
    for text in (repr(history), history.location, str(caught.value), repr(caught.value.__cause__)):
        assert "hunter2" not in text


def test_no_message_contains_a_rejected_password(postgres: Postgres) -> None:
    history = History(postgres.url().replace(postgres.password, "not-that-one"))
    with pytest.raises(StepflowClientError, match="password authentication failed") as caught:
        history.search()
    assert "not-that-one" not in str(caught.value)


@pytest.mark.parametrize("rest", ["me:hunter2@[host", "me:hunter2@host/db?colour=blue", "me:hunter2@host:port/%zz"])
def test_no_message_contains_the_password_of_an_invalid_url(rest: str) -> None:
    with pytest.raises(InvalidArgumentError, match="URL of the history cannot be parsed") as caught:
        History(f"postgresql://{rest}")
    assert "hunter2" not in str(caught.value)


def test_the_certificate_of_the_database_is_verified(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    server = Postgres(certificate=authority.issue())
    try:
        server.start()
        parameters = f"?sslmode=verify-full&sslrootcert={authority.file}"
        history = History(server.url() + parameters)
        history.record("1")
        assert ids(history) == {"1"}
        other = Authority(tmp_path / "other", "Another CA")
        with pytest.raises(StepflowClientError, match="certificate verify failed"):
            History(server.url() + f"?sslmode=verify-full&sslrootcert={other.file}").search()
    finally:
        server.remove()


def test_a_forked_process_opens_its_own_connection(postgres: Postgres) -> None:
    history = History(postgres.database())
    history.record("parent")
    assert ids(history) == {"parent"}
    child = os.fork()
    if child == 0:
        history.record("child")
        os._exit(0 if ids(history) == {"parent", "child"} else 1)
    assert os.waitpid(child, 0)[1] == 0
    history.record("again")
    assert ids(history) == {"parent", "child", "again"}


def test_psycopg_is_imported_only_for_a_database(tmp_path: Path) -> None:
    program = """if True:
        import sys
        from stepflow_client.history import History
        History(sys.argv[1]).record("1")
        assert not {"psycopg", "stepflow_client._stores.postgres_history"} & set(sys.modules)
        sys.modules["psycopg"] = None
        History("postgresql://localhost/db")
    """
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "h.db")], capture_output=True, text=True)
    assert done.stderr.endswith("needs psycopg (pip install 'stepflow-client[postgres]')\n"), done.stderr
