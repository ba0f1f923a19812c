"""Server log lines go to listeners, the Python logger and a buffer; the level depends on the logger."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence

import pytest
from stepflow_client._embedded.server_logs import LogStore, PipeReader, listening_to_server_logs
from stepflow_client.logs import LogConfig, RawLine, Stream


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Yield a logger for the test and reset it afterwards."""
    test_logger = logging.getLogger("tests.server_logs")
    yield test_logger
    test_logger.setLevel(logging.NOTSET)
    test_logger.handlers.clear()
    test_logger.propagate = True


def line(level: str, message: str = "x") -> RawLine:
    return RawLine.from_bytes(
        f'{{"timestamp":"2026-01-02T03:04:05Z","level":"{level}","message":"{message}"}}'.encode(), "stdout", 5.0
    )


@pytest.mark.parametrize(
    ("level", "workers", "expected"),
    [
        (logging.WARNING, False, "warn"),
        (logging.CRITICAL, False, "warn"),
        (logging.WARNING, True, "info"),
        (logging.INFO, False, "info"),
        (logging.DEBUG, False, "info"),
    ],
)
def test_the_server_log_level_depends_on_the_logger(
    level: int, workers: bool, expected: str, logger: logging.Logger
) -> None:
    logger.setLevel(level)
    store = LogStore(LogConfig(python_logger=logger))
    assert store.choose_server_log_level(workers) == expected
    store.close()


def test_the_logger_is_ignored_without_forwarding(logger: logging.Logger) -> None:
    logger.setLevel(logging.INFO)
    assert LogStore(LogConfig(python_logger=logger, forward=False)).choose_server_log_level(False) == "warn"


def test_a_listener_gets_every_line_and_the_logger_its_levels(
    logger: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    logger.setLevel(logging.WARNING)
    received: list[RawLine] = []

    def listen(lines: Sequence[RawLine]) -> None:
        received.extend(lines)
        raise RuntimeError("a listener that fails")

    with listening_to_server_logs(listen):
        store = LogStore(LogConfig(python_logger=logger))
    later = LogStore(LogConfig(python_logger=logger))
    lines = [line("INFO", "begins"), line("WARN", "slow"), line("ERROR", "broken")]
    store.add_lines(lines, 7)
    store.close()
    later.add_lines([line("ERROR", "of another server")], 8)
    later.close()
    assert received == lines
    assert [record.getMessage() for record in caplog.records] == ["slow", "broken", "of another server"]
    assert [entry.message for entry in store.get_recent_entries(2)] == ["slow", "broken"]
    assert [entry.message for entry in store.get_current_process_entries()] == ["begins", "slow", "broken"]


def test_a_slow_handler_drops_lines_and_reports_how_many(logger: logging.Logger) -> None:
    started, released, counted = threading.Event(), threading.Event(), threading.Event()
    messages: list[str] = []

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())
            started.set()
            released.wait(30)
            if "dropped" in messages[-1]:
                counted.set()

    logger.addHandler(Slow())
    logger.propagate = False
    store = LogStore(LogConfig(python_logger=logger))
    store.add_lines([line("WARN", "first")], 7)
    assert started.wait(30)
    for _ in range(11):
        store.add_lines([line("WARN")] * 1_000, 7)
    released.set()
    assert counted.wait(30)
    store.close()
    assert messages[0] == "first"
    assert "dropped 1000 lines of the server's log: logging cannot keep up" in messages


def test_large_output_is_read_without_loss() -> None:
    received: list[bytes] = []

    def accept(lines: list[bytes], stream: Stream) -> None:
        assert stream == "stdout"
        received.extend(lines)

    read, write = os.pipe()
    pump = PipeReader({"stdout": os.fdopen(read, "rb", buffering=0)}, 100, accept)
    expected = [b"%d " % number + b"x" * 90 for number in range(50_000)]
    with os.fdopen(write, "wb") as file:
        file.writelines(each + b"\n" for each in expected)
        file.write(b"unfinished")
    pump.close(timeout=30)
    assert received == [*(each[:100] for each in expected), b"unfinished"]
