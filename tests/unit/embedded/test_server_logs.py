"""What happens to the lines of a server: who gets them, and at which level they are asked for."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence

import pytest
from stepflow_client._embedded.server_logs import LogStore, PipeReader, listen_to_server_logs
from stepflow_client.logs import LogConfig, RawLine, Stream


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """A logger of one's own, which is as it was afterwards."""
    found = logging.getLogger("tests.server_logs")
    yield found
    found.setLevel(logging.NOTSET)
    found.handlers.clear()
    found.propagate = True


def line(level: str, message: str = "x") -> RawLine:
    return RawLine.from_bytes(
        f'{{"timestamp":"2026-01-02T03:04:05Z","level":"{level}","message":"{message}"}}'.encode(), "stdout", 5.0
    )


@pytest.mark.parametrize(
    ("level", "workers", "asked"),
    [
        (logging.WARNING, False, "warn"),
        (logging.CRITICAL, False, "warn"),
        (logging.WARNING, True, "info"),
        (logging.INFO, False, "info"),
        (logging.DEBUG, False, "info"),
    ],
)
def test_the_level_is_that_of_whoever_listens(level: int, workers: bool, asked: str, logger: logging.Logger) -> None:
    logger.setLevel(level)
    store = LogStore(LogConfig(python_logger=logger))
    assert store.choose_server_log_level(workers) == asked
    store.close()


def test_a_logger_that_gets_nothing_does_not_listen(logger: logging.Logger) -> None:
    logger.setLevel(logging.INFO)
    assert LogStore(LogConfig(python_logger=logger, forward=False)).choose_server_log_level(False) == "warn"


def test_a_listener_gets_every_line_and_the_logger_its_own(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    logger.setLevel(logging.WARNING)
    heard: list[RawLine] = []

    def listen(lines: Sequence[RawLine]) -> None:
        heard.extend(lines)
        raise RuntimeError("a listener that fails")

    with listen_to_server_logs(listen):
        store = LogStore(LogConfig(python_logger=logger))
    later = LogStore(LogConfig(python_logger=logger))
    lines = [line("INFO", "begins"), line("WARN", "slow"), line("ERROR", "broken")]
    store.add_lines(lines, 7)
    store.close()
    later.add_lines([line("ERROR", "of another server")], 8)
    later.close()
    assert heard == lines
    assert [record.getMessage() for record in caplog.records] == ["slow", "broken", "of another server"]
    assert [entry.message for entry in store.get_recent_entries(2)] == ["slow", "broken"]
    assert [entry.message for entry in store.get_current_process_entries()] == ["begins", "slow", "broken"]


def test_a_slow_handler_loses_lines_and_says_how_many(logger: logging.Logger) -> None:
    begun, released, counted = threading.Event(), threading.Event(), threading.Event()
    messages: list[str] = []

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())
            begun.set()
            released.wait(30)
            if "dropped" in messages[-1]:
                counted.set()

    logger.addHandler(Slow())
    logger.propagate = False
    store = LogStore(LogConfig(python_logger=logger))
    store.add_lines([line("WARN", "first")], 7)
    assert begun.wait(30)
    for _ in range(11):
        store.add_lines([line("WARN")] * 1_000, 7)
    released.set()
    assert counted.wait(30)
    store.close()
    assert messages[0] == "first"
    assert "dropped 1000 lines of the server's log: logging cannot keep up" in messages


def test_a_megabyte_that_comes_at_once_is_read_without_a_loss() -> None:
    got: list[bytes] = []

    def accept(lines: list[bytes], stream: Stream) -> None:
        assert stream == "stdout"
        got.extend(lines)

    read, write = os.pipe()
    pump = PipeReader({"stdout": os.fdopen(read, "rb", buffering=0)}, 100, accept)
    expected = [b"%d " % number + b"x" * 90 for number in range(50_000)]
    with os.fdopen(write, "wb") as file:
        file.writelines(each + b"\n" for each in expected)
        file.write(b"unfinished")
    pump.close(timeout=30)
    assert got == [*(each[:100] for each in expected), b"unfinished"]
