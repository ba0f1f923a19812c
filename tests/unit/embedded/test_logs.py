"""Parsing the log output of a server."""

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


def encode_line(**changes: object) -> bytes:
    return json.dumps({**LINE, **changes}, separators=(",", ":")).encode()


def test_a_json_line_becomes_an_entry() -> None:
    entry = parse_line(encode_line(span="s"), "stdout")
    assert entry.timestamp == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert (entry.level, entry.target, entry.message) == ("warn", "stepflow_server::startup", "ready")
    assert (entry.file, entry.line, entry.fields) == ("startup.rs", 166, {"span": "s"})
    assert str(entry) == "WARN stepflow_server::startup: ready"


ONE, OTHER = "01a21cf9-40a8-7a60-8dfa-b53490289c6e", "01a21cf9-40be-7822-bc53-eacc34749eaa"


@pytest.mark.parametrize(
    ("line", "run_id"),
    [
        ({"message": f"Starting items execution: run_id={ONE}, item_count=1"}, ONE),
        # The fields beside the message may belong to the run executed before.
        ({"message": f"Task completed: run_id={ONE}", "diags": {"run_id": OTHER}}, ONE),
        ({"target": "stepflow_execution::flow_executor", "diags": {"run_id": ONE}}, ONE),
        # Other parts of the server keep logging the ID of the run that started them.
        ({"target": "stepflow_plugin::routing", "diags": {"run_id": ONE}}, None),
        # A worker that writes JSON.
        ({"target": "worker", "run_id": ONE}, ONE),
        ({"message": f"run_id={ONE} created run_id={OTHER}"}, None),
        ({"message": f"run_id={ONE[:-1]}"}, None),
        ({"diags": "odd", "target": "stepflow_execution"}, None),
    ],
)
def test_find_the_run_id_of_a_line(line: dict[str, object], run_id: str | None) -> None:
    assert parse_line(encode_line(**line), "stdout").run_id == run_id


@pytest.mark.parametrize(
    ("logged", "trace_id"),
    [
        ("01a21cf940a87a608dfab54705f5a206", "01a21cf940a87a608dfab54705f5a206"),
        # The format of releases before 0.12.
        ("2170967827196697765545349413037190683", "01a21cfa536d7ae0bdbd1c49ae00ae1b"),
        ("00000000000000000000000000000012", "00000000000000000000000000000012"),
        ("not an id", None),
        (7, None),
        (None, None),
    ],
)
def test_find_the_trace_id_of_a_line(logged: object, trace_id: str | None) -> None:
    assert parse_line(encode_line(diags={"trace_id": logged}), "stdout").trace_id == trace_id


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


def test_invalid_values_in_a_json_line_are_ignored() -> None:
    entry = parse_line(encode_line(timestamp=5, level="LOUD", line="x", target=None), "stdout")
    assert (entry.level, entry.line, entry.target) == ("info", None, "")


def test_a_raw_line_is_parsed_later() -> None:
    record = RawLine.from_bytes(encode_line(), "stdout", 5.0)
    assert (record.level, record.is_record) == ("warn", True)
    assert record.parse_entry() == parse_line(encode_line(), "stdout")
    printed = RawLine.from_bytes(b"error: owl", "stderr", 5.0)
    assert (printed.level, printed.is_record) == ("error", False)
    assert printed.parse_entry().timestamp == datetime.fromtimestamp(5, UTC)


@pytest.mark.parametrize(
    ("line", "stream"),
    [(encode_line()[:-20], "stdout"), (encode_line(), "stderr"), (encode_line(level="LOUD"), "stdout")],
)
def test_other_lines_are_no_server_records(line: bytes, stream: Literal["stdout", "stderr"]) -> None:
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
def test_parse_port(line: bytes, port: int | None) -> None:
    assert parse_port(line) == port


def test_lines_are_split_from_chunks_of_any_size() -> None:
    data = b"one\r\n\ntwo\nthree"
    for size in range(1, len(data)):
        splitter = LineSplitter(100)
        lines = [line for at in range(0, len(data), size) for line in splitter.feed(data[at : at + size])]
        assert [*lines, splitter.flush()] == [b"one", b"", b"two", b"three"]


def test_a_long_line_is_truncated_and_the_next_is_complete() -> None:
    splitter = LineSplitter(10)
    for _ in range(1000):
        assert splitter.feed(b"x" * 100) == []
    assert splitter.feed(b"y\nnext\n") == [b"x" * 10, b"next"]


def test_the_chunks_of_a_long_line_are_copied_once() -> None:
    splitter = LineSplitter(2**25)
    chunk = b"x" * 2**16
    begin = time.process_time()
    for _ in range(600):
        splitter.feed(chunk)
    # Usually 20 ms; several seconds if each chunk copies the previous ones.
    assert time.process_time() - begin < 2
    assert len(splitter.flush()) == 2**25


def test_the_failure_reason_comes_from_the_error_report() -> None:
    worker = parse_line(b"ERROR of a worker", "stderr")
    report = parse_line(encode_line(level="ERROR", message=REPORT), "stdout")
    assert find_failure_reason([report, worker]) == (
        "Failed to create executor: Failed to create service: Configuration error: Failed to bind 0.0.0.0:80: "
        "Address already in use (os error 98)"
    )
    assert "backtrace no. 1" not in str(report)
    assert find_failure_reason([worker]) == "ERROR of a worker"
    assert find_failure_reason([parse_line(encode_line(), "stdout")]) is None


def test_find_the_last_message_of_a_worker() -> None:
    written = parse_line(b"ModuleNotFoundError: owl", "stderr")
    passed_on = parse_line(encode_line(message="Component stderr: ValueError: hill"), "stdout")
    assert find_last_worker_message([written, parse_line(encode_line(), "stdout")]) == "ModuleNotFoundError: owl"
    assert find_last_worker_message([written, passed_on]) == "ValueError: hill"
    assert find_last_worker_message([parse_line(encode_line(), "stdout")]) is None


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
def test_invalid_log_config_is_rejected(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
        LogConfig(**wrong)  # type: ignore[arg-type]
