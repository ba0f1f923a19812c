"""The reading of what a server writes."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Literal

import pytest
from stepflow_client.errors import InvalidArgumentError
from stepflow_client.logs import (
    LineSplitter,
    LogConfig,
    RawLine,
    find_failure_reason,
    find_last_worker_message,
    parse_line,
    parse_port,
)

LINE = {
    "timestamp": "2026-01-02T03:04:05.678901+00:00",
    "level": "WARN",
    "target": "stepflow_server::startup",
    "file": "startup.rs",
    "line": 166,
    "message": "ready",
}
REPORT = (
    "Server error: \x1b[1mFailed to create executor\x1b[22m\n├╴at \x1b[3mmain.rs:145:10\x1b[23m\n"
    "├╴Failed to create service\n│\n├─▶ \x1b[1mConfiguration error\x1b[22m\n│   ├╴at startup.rs:104:14\n"
    "│   ╰╴Failed to bind 0.0.0.0:80\n│\n╰─▶ Address already in use (os error 98)\n    ├╴at startup.rs:104:14\n"
    "    ╰╴backtrace (1)\n\n━━━━━━━━━━\n\nbacktrace no. 1\n   0: main"
)


def encoded(**changes: object) -> bytes:
    return json.dumps({**LINE, **changes}, separators=(",", ":")).encode()


def test_a_json_line_becomes_an_entry() -> None:
    entry = parse_line(encoded(span="s"), "stdout")
    assert entry.timestamp == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert (entry.level, entry.target, entry.message) == ("warn", "stepflow_server::startup", "ready")
    assert (entry.file, entry.line, entry.fields) == ("startup.rs", 166, {"span": "s"})
    assert str(entry) == "WARN stepflow_server::startup: ready"


ONE, OTHER = "01a21cf9-40a8-7a60-8dfa-b53490289c6e", "01a21cf9-40be-7822-bc53-eacc34749eaa"


@pytest.mark.parametrize(
    ("line", "run_id"),
    [
        ({"message": f"Starting items execution: run_id={ONE}, item_count=1"}, ONE),
        # What stands beside the message may be of the run that was executed before.
        ({"message": f"Task completed: run_id={ONE}", "diags": {"run_id": OTHER}}, ONE),
        ({"target": "stepflow_execution::flow_executor", "diags": {"run_id": ONE}}, ONE),
        # Other parts of the server go on writing under the run that they were started for.
        ({"target": "stepflow_plugin::routing", "diags": {"run_id": ONE}}, None),
        # A worker that writes JSON.
        ({"target": "worker", "run_id": ONE}, ONE),
        ({"message": f"run_id={ONE} created run_id={OTHER}"}, None),
        ({"message": f"run_id={ONE[:-1]}"}, None),
        ({"diags": "odd", "target": "stepflow_execution"}, None),
    ],
)
def test_the_run_of_a_line(line: dict[str, object], run_id: str | None) -> None:
    assert parse_line(encoded(**line), "stdout").run_id == run_id


@pytest.mark.parametrize(
    ("given", "trace_id"),
    [
        ("01a21cf940a87a608dfab54705f5a206", "01a21cf940a87a608dfab54705f5a206"),
        # As releases before 0.12 write it.
        ("2170967827196697765545349413037190683", "01a21cfa536d7ae0bdbd1c49ae00ae1b"),
        ("00000000000000000000000000000012", "00000000000000000000000000000012"),
        ("not an id", None),
        (7, None),
        (None, None),
    ],
)
def test_the_trace_of_a_line(given: object, trace_id: str | None) -> None:
    assert parse_line(encoded(diags={"trace_id": given}), "stdout").trace_id == trace_id


@pytest.mark.parametrize(
    ("raw", "level"),
    [
        (b"thread 'main' panicked at main.rs:1", "error"),
        (b"Traceback (most recent call last):", "error"),
        (b"error: invalid value", "error"),
        (b"WARNING: slow", "warn"),
        (b"hello", "info"),
        (b"{not json", "info"),
        (b'{"level": "info"}', "info"),
        (b"\xff\xfe", "info"),
        (b"{" * 100_000, "info"),
    ],
)
def test_other_lines_keep_their_text(raw: bytes, level: str) -> None:
    entry = parse_line(raw, "stderr")
    assert entry.level == level
    assert entry.message == raw.decode("utf-8", "replace")
    assert entry.timestamp.tzinfo is not None


def test_odd_values_in_a_json_line_do_no_harm() -> None:
    entry = parse_line(encoded(timestamp=5, level="LOUD", line="x", target=None), "stdout")
    assert (entry.level, entry.line, entry.target) == ("info", None, "")


def test_a_line_that_is_not_parsed_yet() -> None:
    record = RawLine.from_bytes(encoded(), "stdout", 5.0)
    assert (record.level, record.is_record) == ("warn", True)
    assert record.parse_entry() == parse_line(encoded(), "stdout")
    printed = RawLine.from_bytes(b"error: owl", "stderr", 5.0)
    assert (printed.level, printed.is_record) == ("error", False)
    assert printed.parse_entry().timestamp == datetime.fromtimestamp(5, UTC)


@pytest.mark.parametrize(
    ("line", "stream"), [(encoded()[:-20], "stdout"), (encoded(), "stderr"), (encoded(level="LOUD"), "stdout")]
)
def test_what_is_no_record_of_the_server(line: bytes, stream: Literal["stdout", "stderr"]) -> None:
    raw = RawLine.from_bytes(line, stream, 5.0)
    assert not raw.is_record
    assert raw.level == parse_line(line, stream).level


@pytest.mark.parametrize(
    ("line", "port"),
    [
        (b'{"port":7840}', 7840),
        (b'{"port": 1}\r', 1),
        (b'{"port":1,"x":2}', None),
        (b'{"port":"1"}', None),
        (b'{"port', None),
        (b"port 1", None),
    ],
)
def test_port_line(line: bytes, port: int | None) -> None:
    assert parse_port(line) == port


def test_lines_are_cut_from_any_pieces() -> None:
    data = b"one\r\n\ntwo\nthree"
    for size in range(1, len(data)):
        splitter = LineSplitter(100)
        lines = [line for at in range(0, len(data), size) for line in splitter.feed(data[at : at + size])]
        assert [*lines, splitter.flush()] == [b"one", b"", b"two", b"three"]


def test_an_endless_line_is_cut_and_the_next_is_whole() -> None:
    splitter = LineSplitter(10)
    for _ in range(1000):
        assert splitter.feed(b"x" * 100) == []
    assert splitter.feed(b"y\nnext\n") == [b"x" * 10, b"next"]


def test_the_pieces_of_a_long_line_are_copied_once() -> None:
    splitter = LineSplitter(2**25)
    piece = b"x" * 2**16
    begin = time.process_time()
    for _ in range(600):
        splitter.feed(piece)
    # It takes 20 ms, or several seconds if each piece copies those before it.
    assert time.process_time() - begin < 2
    assert len(splitter.flush()) == 2**25


def test_the_reason_is_taken_from_the_report() -> None:
    worker = parse_line(b"ERROR of a worker", "stderr")
    report = parse_line(encoded(level="ERROR", message=REPORT), "stdout")
    assert find_failure_reason([report, worker]) == (
        "Failed to create executor: Failed to create service: Configuration error: Failed to bind 0.0.0.0:80: "
        "Address already in use (os error 98)"
    )
    assert "backtrace no. 1" not in str(report)
    assert find_failure_reason([worker]) == "ERROR of a worker"
    assert find_failure_reason([parse_line(encoded(), "stdout")]) is None


def test_the_last_line_of_a_worker() -> None:
    written = parse_line(b"ModuleNotFoundError: owl", "stderr")
    passed_on = parse_line(encoded(message="Component stderr: ValueError: hill"), "stdout")
    assert find_last_worker_message([written, parse_line(encoded(), "stdout")]) == "ModuleNotFoundError: owl"
    assert find_last_worker_message([written, passed_on]) == "ValueError: hill"
    assert find_last_worker_message([parse_line(encoded(), "stdout")]) is None


def test_log_config_becomes_arguments() -> None:
    assert LogConfig().arguments()[-2:] == ["--log-level", "warn"]
    assert LogConfig().arguments("info")[-2:] == ["--log-level", "info"]
    assert LogConfig(level="error").arguments("info")[-2:] == ["--log-level", "error"]
    assert LogConfig(level="warn", other_level="off").arguments()[-4:] == [
        *("--log-level", "warn"),
        *("--other-log-level", "off"),
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": "warning"},
        {"other_level": "loud"},
        {"buffer_lines": 0},
        {"buffer_lines": True},
        {"max_line_length": 1.5},
        {"python_logger": 1},
    ],
)
def test_wrong_log_config(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
        LogConfig(**wrong)  # type: ignore[arg-type]
