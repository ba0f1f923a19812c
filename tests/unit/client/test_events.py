"""Run events over a real socket: silent streams, heartbeats, missed final events and malformed data."""

from __future__ import annotations

import gzip
import itertools
import json
import math
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any, Self

import httpx
import pytest
from stepflow_client import (
    AuthenticationError,
    InvalidArgumentError,
    InvalidResponseError,
    StepflowClient,
    StepflowClientError,
    SyncStepflowClient as SyncClient,
)

from tests.timings import set_timings
from tests.unit.both_twins import HEALTH, RUN_ID, SUMMARY, TWINS, Server, call, call_with_handler

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
KEEP_ALIVE = b": keep-alive\n\n"
Script = Iterable[bytes | float]
"""Bytes to send and seconds to pause."""


def frame(number: Any, kind: str = "StepStarted", **data: Any) -> bytes:
    event = {"sequenceNumber": number, "event": {kind: {"runId": RUN_ID, "stepId": "a", "stepIndex": 0, **data}}}
    return f"data: {json.dumps(event)}\n\n".encode()


CREATED, STARTED = frame(0, "RunCreated", flowId="f", itemCount=1), frame(1)
ENDED = frame(2, "RunCompleted", status=2)


class EventServer:
    """A server with one run, whose event streams follow scripts.

    Args:
        status: The run's status.
        streams: Returns the script for a stream by its number; the stream ends with the script.
    """

    def __init__(self, status: int, streams: Callable[[int], Script]) -> None:
        self.status, self.streams = status, streams
        self.opened: list[float] = []
        """When each stream was requested."""
        self.paths: list[str] = []
        self.answer = "200 OK"
        """The status line of responses other than streams."""
        self._closed = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._serve, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        # Without the shutdown a thread in accept() holds the socket open.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.settimeout(10)
            thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                received = connection.recv(65536)
                if not received:
                    return
                head += received
            path = head.split()[1].decode().partition("/api/v1")[2]
            self.paths.append(path)
            if "/events" in path:
                self.opened.append(time.monotonic())
                self._send(connection, self.streams(len(self.opened) - 1))
                return
            body = json.dumps(self.body(path)).encode()
            length = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            head = f"HTTP/1.1 {self.answer}\r\ncontent-type: application/json\r\n".encode()
            connection.sendall(head + length + body)

    def body(self, path: str) -> Any:
        """Return the body of a response other than a stream."""
        if path == "/health":
            return HEALTH
        return {"runs": [{**SUMMARY, "status": self.status}]}

    def _send(self, connection: socket.socket, script: Script) -> None:
        for step in script:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif self._closed.wait(step):
                return


def events_of(twin: str, server: EventServer, *, transport: bool = False, **options: Any) -> list[Any]:
    httpx_transport: Any = None
    if transport:
        httpx_transport = httpx.AsyncHTTPTransport() if twin == "async" else httpx.HTTPTransport()
    events: list[Any] = call(twin, httpx_transport, lambda client: client.run_events(RUN_ID, **options), server.url)
    return events


def types_of(events: list[Any]) -> list[str]:
    return [event.type for event in events]


@pytest.fixture
def short_silence_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detect silent streams sooner."""
    set_timings(monkeypatch, event_silence=0.6, event_silence_after_end=0.3)


def keep_open(*parts: bytes) -> Script:
    """Send the parts and keep the connection open."""
    return [*parts, 60.0]


# Missed final events


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("status", [2, 3, 4, 6])
@pytest.mark.parametrize("how", ["held", "closed"])
def test_a_final_status_ends_the_stream(twin: str, status: int, how: str, short_silence_limits: None) -> None:
    def stream(number: int) -> Script:
        parts = [STREAM, CREATED, STARTED] if number == 0 else [STREAM, STARTED]
        return keep_open(*parts) if how == "held" else parts

    with EventServer(status, stream) as server:
        events = events_of(twin, server)
    assert types_of(events) == ["run_created", "step_started", "run_completed"]
    assert (events[-1].inferred, events[-1].cursor) == (True, events[-2].cursor)
    assert events[-1].status == ["", "", "completed", "failed", "cancelled", "", "recovery_failed"][status]
    assert len(server.opened) <= 3


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("since", [7, "e7.1", None])
def test_an_empty_open_stream_ends_when_the_run_has_ended(twin: str, since: Any, short_silence_limits: None) -> None:
    with EventServer(3, lambda number: keep_open(STREAM)) as server:
        assert types_of(events_of(twin, server, after=since)) == ["run_completed"]


@pytest.mark.parametrize("twin", TWINS)
def test_repeated_events_do_not_reset_the_backoff(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_timings(monkeypatch, event_first_pause=0.05)
    streams = [[STREAM, CREATED, STARTED], *[[STREAM, STARTED]] * 5, [STREAM, STARTED, ENDED]]
    with EventServer(1, lambda number: streams[number]) as server:
        events = events_of(twin, server)
    assert types_of(events) == ["run_created", "step_started", "run_completed"]
    assert not events[-1].inferred
    gaps = [later - earlier for earlier, later in pairwise(server.opened)]
    # The delays grow: 0.05, 0.1, ... 0.8.
    assert gaps[-1] > 0.7


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("transport", [False, True], ids=["our own connections", "httpx"])
def test_keep_alive_comments_do_not_count_as_activity(twin: str, transport: bool, short_silence_limits: None) -> None:
    def stream(number: int) -> Script:
        return itertools.chain([STREAM, STARTED], itertools.cycle([KEEP_ALIVE, 0.05]))

    with EventServer(4, stream) as server:
        started = time.monotonic()
        assert types_of(events_of(twin, server, transport=transport)) == ["step_started", "run_completed"]
    assert time.monotonic() - started < 60


# Heartbeats


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("comments", [False, True])
def test_heartbeats_do_not_reconnect(twin: str, comments: bool) -> None:
    quiet: list[bytes | float] = [KEEP_ALIVE, 0.1] * 10 if comments else [1.0]
    with EventServer(1, lambda number: [STREAM, CREATED, STARTED, *quiet, ENDED]) as server:
        started = time.monotonic()
        events = events_of(twin, server, heartbeat=0.2)
        elapsed = time.monotonic() - started
    beats = [event for event in events if event.type == "heartbeat"]
    assert types_of(events) == ["run_created", "step_started", *["heartbeat"] * len(beats), "run_completed"]
    # Up to five in 1 s, fewer on a busy machine.
    assert 2 <= len(beats) <= elapsed / 0.2
    assert {(beat.cursor, beat.sequence_number, beat.run_id) for beat in beats} == {("e1.1", 1, RUN_ID)}
    assert all(beat.timestamp is not None for beat in beats)
    assert len(server.opened) == 1


@pytest.mark.parametrize("twin", TWINS)
def test_heartbeats_work_with_an_httpx_transport(twin: str) -> None:
    def stream(number: int) -> Script:
        return keep_open(STREAM, STARTED) if number < 4 else [STREAM, STARTED, ENDED]

    with EventServer(1, stream) as server:
        events = events_of(twin, server, transport=True, heartbeat=0.3)
    beats = types_of(events).count("heartbeat")
    assert types_of(events) == ["step_started", *["heartbeat"] * beats, "run_completed"]
    assert beats >= 3


@pytest.mark.parametrize("twin", TWINS)
def test_heartbeats_continue_while_the_server_is_unavailable(twin: str) -> None:
    streams: list[Script] = [*[[b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"]] * 4, [STREAM, ENDED]]
    with EventServer(1, lambda number: streams[number]) as server:
        events = events_of(twin, server, heartbeat=0.2)
    beats = types_of(events).count("heartbeat")
    assert types_of(events) == ["heartbeat"] * beats + ["run_completed"]
    assert beats >= 2
    assert {event.cursor for event in events[:-1]} == {"e0.0"}


@pytest.mark.parametrize("twin", TWINS)
def test_a_stream_can_resume_after_a_heartbeat(twin: str) -> None:
    with EventServer(1, lambda number: [STREAM, STARTED, ENDED]) as server:
        assert types_of(events_of(twin, server, after="e0.0")) == ["step_started", "run_completed"]
        assert types_of(events_of(twin, server, after="e1.1")) == ["run_completed"]


@pytest.mark.parametrize(
    ("run_id", "options"),
    [
        ("nonsense", {}),
        (RUN_ID, {"after": -1}),
        (RUN_ID, {"after": "x"}),
        (RUN_ID, {"after": True}),
        (RUN_ID, {"after": "s1.1"}),
        (RUN_ID, {"after": "e1.1", "include_sub_runs": True}),
        *((RUN_ID, {"heartbeat": wrong}) for wrong in (0, -1, math.nan, "soon", True)),
    ],
)
def test_arguments_are_checked_at_the_call(run_id: str, options: dict[str, Any]) -> None:
    for client in (StepflowClient("http://server"), SyncClient("http://server")):
        with pytest.raises(InvalidArgumentError):
            client.run_events(run_id, **options)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("status", [200, 403])
def test_the_error_of_a_refused_stream_names_the_run(twin: str, status: int) -> None:
    server = Server()
    server.responses[f"GET /runs/{RUN_ID}/events"] = httpx.Response(status, json={"message": "no"})
    with pytest.raises((AuthenticationError, InvalidResponseError)) as caught:
        call_with_handler(twin, server, lambda client: client.run_events(RUN_ID))
    assert caught.value.run_id == RUN_ID


# Malformed events

HARMLESS: dict[str, bytes] = {
    "an id": b"id: 7\n" + STARTED,
    "an id with a zero": b"id: 7\x00\n" + STARTED,
    "a huge id": b"id: " + b"9" * 50_000 + b"\n" + STARTED,
    "retry": b"retry: 3600000\n\n" + STARTED,
    "an invalid retry": b"retry: 1e999\nretry: -1\n" + STARTED,
    "an event name": b"event: other\n" + STARTED,
    "an event without data": b"event: other\n\n" + STARTED,
    "empty data": b"data\n\ndata:\n\n" + STARTED,
    "an unknown field": b"\xff\xfe: \xff\n" + STARTED,
    "a byte order mark": b"\xef\xbb\xbf" + STARTED,
    "CRLF line ends": STARTED.replace(b"\n", b"\r\n"),
    "CR line ends": STARTED.replace(b"\n", b"\r"),
    "JSON over several lines": STARTED.replace(b", ", b",\ndata: "),
    "an end without an empty line": STARTED + b"data: {",
}  # fmt: skip
MALFORMED_EVENTS: dict[str, bytes] = {
    "a line without end": b"x" * 300_000,
    "data without end": b"data: " + b"x" * 300_000,
    "a comment without end": b": " + b"x" * 300_000,
    "an event without end": b"data: x\n" * 60_000,
    "empty lines of data without end": b"data\n" * 150_000,
    "no JSON": b"data: hello\n\n",
    "truncated JSON": b"data: {\"sequenceNumber\": 1\n\n",
    "not an object": b"data: [1, 2]\n\n",
    "invalid UTF-8": b"data: {\"a\": \"\xff\"}\n\n",
    "not a number": b"data: {\"sequenceNumber\": NaN, \"event\": {}}\n\n",
    "deep nesting": b"data: " + b"[" * 50_000 + b"\n\n",
    "no sequence number": b"data: {\"event\": {\"StepStarted\": {}}}\n\n",
    "no event": b"data: {\"sequenceNumber\": 1}\n\n",
    "an event that is a list": b"data: {\"sequenceNumber\": 1, \"event\": [1]}\n\n",
    "an event that is a string": b"data: {\"sequenceNumber\": 1, \"event\": \"x\"}\n\n",
    "two events": b"data: {\"sequenceNumber\": 1, \"event\": {\"A\": {}, \"B\": {}}}\n\n",
    "event data that are a list": b"data: {\"sequenceNumber\": 1, \"event\": {\"StepStarted\": [1]}}\n\n",
    "a sequence number as a string": frame("1"),
    "a boolean sequence number": frame(True),
    "a fractional sequence number": frame(1.5),
    "an infinite sequence number": b"data: {\"sequenceNumber\": 1e999, \"event\": {\"StepStarted\": {}}}\n\n",
    "a negative sequence number": frame(-1),
    "a huge sequence number": frame(10**18),
    "a run that is a number": frame(1, runId=5),
    "a boolean status": frame(1, "StepCompleted", status=True),
    "a status that is a list": frame(1, "RunCompleted", status=[]),
    "a step that is a list": frame(1, stepId=["a"]),
    "an attempt that is a string": frame(1, attempt="one"),
    "steps that are a number": frame(1, "StepsNeeded", stepIds=5),
    "a bad timestamp": b"data: {\"sequenceNumber\": 1, \"timestamp\": \"x\", \"event\": {\"StepStarted\": {}}}\n\n",
    "a huge timestamp": b"data: {\"sequenceNumber\": 1, \"timestamp\": 1e999, \"event\": {\"StepStarted\": {}}}\n\n",
}  # fmt: skip


@pytest.fixture
def small_events(monkeypatch: pytest.MonkeyPatch) -> None:
    set_timings(monkeypatch, max_event_bytes=100_000)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_data_in_an_event_stream(twin: str, name: str, small_events: None) -> None:
    # The first stream has no final event, so the client gets it from the second.
    with EventServer(1, lambda number: [STREAM, HARMLESS[name]] if number == 0 else [STREAM, STARTED, ENDED]) as server:
        assert types_of(events_of(twin, server)) == ["step_started", "run_completed"]


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", MALFORMED_EVENTS)
def test_a_malformed_event_raises_invalid_response_error(twin: str, name: str, small_events: None) -> None:
    with EventServer(1, lambda number: keep_open(STREAM, CREATED, MALFORMED_EVENTS[name])) as server:
        started = time.monotonic()
        with pytest.raises(InvalidResponseError):
            events_of(twin, server)
        assert time.monotonic() - started < 30
    assert len(server.opened) == 1


def trickle() -> Iterator[bytes | float]:
    yield b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    while True:
        yield b"no"
        yield 0.05


def flood() -> Iterator[bytes | float]:
    yield b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    while True:
        yield b"no" * 50_000


INVALID_STREAMS: dict[str, Callable[[], Script]] = {
    "wrong content type": lambda: [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"],
    "no content type": lambda: [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"],
    "claims to be compressed": lambda: [
        STREAM.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"), STARTED, 60.0
    ],
    "an endless error body": trickle,
    "an error body that is too long": flood,
    "an error body that stalls": lambda: [next(iter(trickle())), b"no", 60.0],
}  # fmt: skip


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", INVALID_STREAMS)
def test_an_invalid_stream_raises_an_error_in_time(twin: str, name: str, short_silence_limits: None) -> None:
    with EventServer(1, lambda number: INVALID_STREAMS[name]()) as server:
        started = time.monotonic()
        with pytest.raises(StepflowClientError):
            events_of(twin, server)
        assert time.monotonic() - started < 30
    assert len(server.opened) == 1


@pytest.mark.parametrize("transport", [False, True], ids=["sockets", "httpx"])
@pytest.mark.parametrize("twin", TWINS)
def test_compressed_events_are_decompressed_once(twin: str, transport: bool) -> None:
    head = STREAM.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    with EventServer(1, lambda number: [head, gzip.compress(STARTED + ENDED)]) as server:
        assert types_of(events_of(twin, server, transport=transport)) == ["step_started", "run_completed"]


# Types


@pytest.mark.parametrize("twin", TWINS)
def test_only_the_requested_event_types_are_yielded(twin: str) -> None:
    with EventServer(2, lambda number: [STREAM, CREATED, STARTED, ENDED]) as server:
        assert types_of(events_of(twin, server, event_types=["step_started"])) == ["step_started"]
        assert types_of(events_of(twin, server, event_types="run_completed")) == ["run_completed"]
        assert types_of(events_of(twin, server, event_types=[])) == []


@pytest.mark.parametrize("twin", TWINS)
def test_filtered_events_do_not_delay_heartbeats(twin: str) -> None:
    steps = itertools.chain.from_iterable((frame(number), 0.1) for number in range(1, 8))
    script = [STREAM, CREATED, *steps, frame(9, "RunCompleted", status=2)]
    with EventServer(2, lambda number: script) as server:
        events = events_of(twin, server, event_types=["run_completed"], heartbeat=0.3)
    assert set(types_of(events)) == {"heartbeat", "run_completed"}


@pytest.mark.parametrize("twin", TWINS)
def test_an_unknown_event_type_is_refused(twin: str) -> None:
    with pytest.raises(InvalidArgumentError, match="unknown event type 'step_complete'") as caught:
        call_with_handler(twin, Server(), lambda client: client.run_events(RUN_ID, event_types=["step_complete"]))
    assert caught.value.hint == "did you mean 'step_completed'?"
