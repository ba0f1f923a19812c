"""The events of a run from a server on a socket: silence, heartbeats, ends that nobody tells, and what is no event."""

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
from tests.unit.both_twins import HEALTH, RUN_ID, SUMMARY, TWINS, Server, ask, call

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
KEEP_ALIVE = b": keep-alive\n\n"
Script = Iterable[bytes | float]
"""Bytes that are sent, and seconds between them."""


def frame(number: Any, kind: str = "StepStarted", **data: Any) -> bytes:
    event = {"sequenceNumber": number, "event": {kind: {"runId": RUN_ID, "stepId": "a", "stepIndex": 0, **data}}}
    return f"data: {json.dumps(event)}\n\n".encode()


CREATED, STARTED = frame(0, "RunCreated", flowId="f", itemCount=1), frame(1)
ENDED = frame(2, "RunCompleted", status=2)


class EventServer:
    """Has one run, and tells its events as scripts say.

    Args:
        status: How the run stands.
        streams: Gives what is sent on each stream, from its number; the stream ends with it.
    """

    def __init__(self, status: int, streams: Callable[[int], Script]) -> None:
        self.status, self.streams = status, streams
        self.opened: list[float] = []
        """When each stream was asked for."""
        self.asked: list[str] = []
        self.answer = "200 OK"
        """The status line of responses that are no stream."""
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
            self.asked.append(path)
            if "/events" in path:
                self.opened.append(time.monotonic())
                self._send(connection, self.streams(len(self.opened) - 1))
                return
            body = json.dumps(self.body(path)).encode()
            length = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            head = f"HTTP/1.1 {self.answer}\r\ncontent-type: application/json\r\n".encode()
            connection.sendall(head + length + body)

    def body(self, path: str) -> Any:
        """Return the body of a response that is no stream."""
        if path == "/health":
            return HEALTH
        return {"runs": [{**SUMMARY, "status": self.status}]}

    def _send(self, connection: socket.socket, script: Script) -> None:
        for said in script:
            if isinstance(said, bytes):
                connection.sendall(said)
            elif self._closed.wait(said):
                return


def events_of(twin: str, server: EventServer, *, transport: bool = False, **options: Any) -> list[Any]:
    over: Any = None
    if transport:
        over = httpx.AsyncHTTPTransport() if twin == "async" else httpx.HTTPTransport()
    found: list[Any] = call(twin, over, lambda client: client.run_events(RUN_ID, **options), server.url)
    return found


def types_of(events: list[Any]) -> list[str]:
    return [event.type for event in events]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed sooner."""
    set_timings(monkeypatch, event_silence=0.6, event_silence_after_end=0.3)


def held(*said: bytes) -> Script:
    """Tell this, and keep the connection open."""
    return [*said, 60.0]


# Ends that nobody tells


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("status", [2, 3, 4, 6])
@pytest.mark.parametrize("how", ["held", "closed"])
def test_a_final_status_ends_the_events(twin: str, status: int, how: str, quick: None) -> None:
    def stream(number: int) -> Script:
        said = [STREAM, CREATED, STARTED] if number == 0 else [STREAM, STARTED]
        return held(*said) if how == "held" else said

    with EventServer(status, stream) as server:
        events = events_of(twin, server)
    assert types_of(events) == ["run_created", "step_started", "run_completed"]
    assert (events[-1].inferred, events[-1].cursor) == (True, events[-2].cursor)
    assert events[-1].status == ["", "", "completed", "failed", "cancelled", "", "recovery_failed"][status]
    assert len(server.opened) <= 3


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("since", [7, "e7.1", None])
def test_nothing_at_all_in_an_open_stream_is_an_end(twin: str, since: Any, quick: None) -> None:
    with EventServer(3, lambda number: held(STREAM)) as server:
        assert types_of(events_of(twin, server, after=since)) == ["run_completed"]


@pytest.mark.parametrize("twin", TWINS)
def test_repeated_events_do_not_reset_the_pause(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_timings(monkeypatch, event_first_pause=0.05)
    streams = [[STREAM, CREATED, STARTED], *[[STREAM, STARTED]] * 5, [STREAM, STARTED, ENDED]]
    with EventServer(1, lambda number: streams[number]) as server:
        events = events_of(twin, server)
    assert types_of(events) == ["run_created", "step_started", "run_completed"]
    assert not events[-1].inferred
    gaps = [later - earlier for earlier, later in pairwise(server.opened)]
    # They grow: 0.05, 0.1, ... 0.8.
    assert gaps[-1] > 0.7


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("transport", [False, True], ids=["our own connections", "httpx"])
def test_comments_do_not_hide_the_silence(twin: str, transport: bool, quick: None) -> None:
    def stream(number: int) -> Script:
        return itertools.chain([STREAM, STARTED], itertools.cycle([KEEP_ALIVE, 0.05]))

    with EventServer(4, stream) as server:
        started = time.monotonic()
        assert types_of(events_of(twin, server, transport=transport)) == ["step_started", "run_completed"]
    assert time.monotonic() - started < 60


# Heartbeats


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("comments", [False, True])
def test_heartbeats_come_on_one_connection(twin: str, comments: bool) -> None:
    quiet: list[bytes | float] = [KEEP_ALIVE, 0.1] * 10 if comments else [1.0]
    with EventServer(1, lambda number: [STREAM, CREATED, STARTED, *quiet, ENDED]) as server:
        started = time.monotonic()
        events = events_of(twin, server, heartbeat=0.2)
        took = time.monotonic() - started
    beats = [event for event in events if event.type == "heartbeat"]
    assert types_of(events) == ["run_created", "step_started", *["heartbeat"] * len(beats), "run_completed"]
    # There may be five in 1 s, and are fewer on a busy machine.
    assert 2 <= len(beats) <= took / 0.2
    assert {(beat.cursor, beat.sequence_number, beat.run_id) for beat in beats} == {("e1.1", 1, RUN_ID)}
    assert all(beat.timestamp is not None for beat in beats)
    assert len(server.opened) == 1


@pytest.mark.parametrize("twin", TWINS)
def test_heartbeats_come_over_httpx_too(twin: str) -> None:
    def stream(number: int) -> Script:
        return held(STREAM, STARTED) if number < 4 else [STREAM, STARTED, ENDED]

    with EventServer(1, stream) as server:
        events = events_of(twin, server, transport=True, heartbeat=0.3)
    beats = types_of(events).count("heartbeat")
    assert types_of(events) == ["step_started", *["heartbeat"] * beats, "run_completed"]
    assert beats >= 3


@pytest.mark.parametrize("twin", TWINS)
def test_heartbeats_come_while_the_server_is_away(twin: str) -> None:
    streams: list[Script] = [*[[b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"]] * 4, [STREAM, ENDED]]
    with EventServer(1, lambda number: streams[number]) as server:
        events = events_of(twin, server, heartbeat=0.2)
    beats = types_of(events).count("heartbeat")
    assert types_of(events) == ["heartbeat"] * beats + ["run_completed"]
    assert beats >= 2
    assert {event.cursor for event in events[:-1]} == {"e0.0"}


@pytest.mark.parametrize("twin", TWINS)
def test_one_may_go_on_behind_a_heartbeat(twin: str) -> None:
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
    server.answers[f"GET /runs/{RUN_ID}/events"] = httpx.Response(status, json={"message": "no"})
    with pytest.raises((AuthenticationError, InvalidResponseError)) as caught:
        ask(twin, server, lambda client: client.run_events(RUN_ID))
    assert caught.value.run_id == RUN_ID


# What is no event

HARMLESS: dict[str, bytes] = {
    "an id": b"id: 7\n" + STARTED,
    "an id with a zero": b"id: 7\x00\n" + STARTED,
    "a huge id": b"id: " + b"9" * 50_000 + b"\n" + STARTED,
    "retry": b"retry: 3600000\n\n" + STARTED,
    "retry that is no number": b"retry: 1e999\nretry: -1\n" + STARTED,
    "an event name": b"event: other\n" + STARTED,
    "an event without data": b"event: other\n\n" + STARTED,
    "empty data": b"data\n\ndata:\n\n" + STARTED,
    "an unknown field": b"\xff\xfe: \xff\n" + STARTED,
    "a byte order mark": b"\xef\xbb\xbf" + STARTED,
    "other line ends": STARTED.replace(b"\n", b"\r\n"),
    "old line ends": STARTED.replace(b"\n", b"\r"),
    "JSON over several lines": STARTED.replace(b", ", b",\ndata: "),
    "an end without an empty line": STARTED + b"data: {",
}  # fmt: skip
NO_EVENTS: dict[str, bytes] = {
    "a line without end": b"x" * 300_000,
    "data without end": b"data: " + b"x" * 300_000,
    "a comment without end": b": " + b"x" * 300_000,
    "an event without end": b"data: x\n" * 60_000,
    "empty lines of data without end": b"data\n" * 150_000,
    "no JSON": b"data: hello\n\n",
    "half of it": b"data: {\"sequenceNumber\": 1\n\n",
    "no object": b"data: [1, 2]\n\n",
    "bytes that are no text": b"data: {\"a\": \"\xff\"}\n\n",
    "not a number": b"data: {\"sequenceNumber\": NaN, \"event\": {}}\n\n",
    "depth": b"data: " + b"[" * 50_000 + b"\n\n",
    "no number": b"data: {\"event\": {\"StepStarted\": {}}}\n\n",
    "no event": b"data: {\"sequenceNumber\": 1}\n\n",
    "an event that is a list": b"data: {\"sequenceNumber\": 1, \"event\": [1]}\n\n",
    "an event that is a text": b"data: {\"sequenceNumber\": 1, \"event\": \"x\"}\n\n",
    "two events": b"data: {\"sequenceNumber\": 1, \"event\": {\"A\": {}, \"B\": {}}}\n\n",
    "data that are a list": b"data: {\"sequenceNumber\": 1, \"event\": {\"StepStarted\": [1]}}\n\n",
    "a number as a text": frame("1"),
    "a truth as a number": frame(True),
    "half a number": frame(1.5),
    "a number beyond all": b"data: {\"sequenceNumber\": 1e999, \"event\": {\"StepStarted\": {}}}\n\n",
    "a negative number": frame(-1),
    "a huge number": frame(10**18),
    "a run that is a number": frame(1, runId=5),
    "a status that is a truth": frame(1, "StepCompleted", status=True),
    "a status that is a list": frame(1, "RunCompleted", status=[]),
    "a step that is a list": frame(1, stepId=["a"]),
    "an attempt that is a text": frame(1, attempt="one"),
    "steps that are a number": frame(1, "StepsNeeded", stepIds=5),
    "a time that is none": b"data: {\"sequenceNumber\": 1, \"timestamp\": \"x\", \"event\": {\"StepStarted\": {}}}\n\n",
    "a time beyond all": b"data: {\"sequenceNumber\": 1, \"timestamp\": 1e999, \"event\": {\"StepStarted\": {}}}\n\n",
}  # fmt: skip


@pytest.fixture
def small_events(monkeypatch: pytest.MonkeyPatch) -> None:
    set_timings(monkeypatch, max_event_bytes=100_000)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_data_in_a_stream_of_events(twin: str, name: str, small_events: None) -> None:
    # What has no end on its own gets it from the next.
    with EventServer(1, lambda number: [STREAM, HARMLESS[name]] if number == 0 else [STREAM, STARTED, ENDED]) as server:
        assert types_of(events_of(twin, server)) == ["step_started", "run_completed"]


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", NO_EVENTS)
def test_what_is_no_event_is_our_error(twin: str, name: str, small_events: None) -> None:
    with EventServer(1, lambda number: held(STREAM, CREATED, NO_EVENTS[name])) as server:
        started = time.monotonic()
        with pytest.raises(InvalidResponseError):
            events_of(twin, server)
        assert time.monotonic() - started < 30
    assert len(server.opened) == 1


def trickled() -> Iterator[bytes | float]:
    yield b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    while True:
        yield b"no"
        yield 0.05


def flood() -> Iterator[bytes | float]:
    yield b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n"
    while True:
        yield b"no" * 50_000


NO_STREAMS: dict[str, Callable[[], Script]] = {
    "another type": lambda: [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"],
    "no type": lambda: [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"],
    "compressed, but not really": lambda: [
        STREAM.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n"), STARTED, 60.0
    ],
    "an error that has no end": trickled,
    "an error that is too long": flood,
    "an error that falls silent": lambda: [next(iter(trickled())), b"no", 60.0],
}  # fmt: skip


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", NO_STREAMS)
def test_what_is_no_stream_is_our_error_in_time(twin: str, name: str, quick: None) -> None:
    with EventServer(1, lambda number: NO_STREAMS[name]()) as server:
        started = time.monotonic()
        with pytest.raises(StepflowClientError):
            events_of(twin, server)
        assert time.monotonic() - started < 30
    assert len(server.opened) == 1


@pytest.mark.parametrize("transport", [False, True], ids=["sockets", "httpx"])
@pytest.mark.parametrize("twin", TWINS)
def test_compressed_events_are_unpacked_once(twin: str, transport: bool) -> None:
    head = STREAM.replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n")
    with EventServer(1, lambda number: [head, gzip.compress(STARTED + ENDED)]) as server:
        assert types_of(events_of(twin, server, transport=transport)) == ["step_started", "run_completed"]


# Types


@pytest.mark.parametrize("twin", TWINS)
def test_only_the_wanted_types_come(twin: str) -> None:
    with EventServer(2, lambda number: [STREAM, CREATED, STARTED, ENDED]) as server:
        assert types_of(events_of(twin, server, event_types=["step_started"])) == ["step_started"]
        assert types_of(events_of(twin, server, event_types="run_completed")) == ["run_completed"]
        assert types_of(events_of(twin, server, event_types=[])) == []


@pytest.mark.parametrize("twin", TWINS)
def test_events_that_are_left_out_do_not_delay_heartbeats(twin: str) -> None:
    steps = itertools.chain.from_iterable((frame(number), 0.1) for number in range(1, 8))
    script = [STREAM, CREATED, *steps, frame(9, "RunCompleted", status=2)]
    with EventServer(2, lambda number: script) as server:
        events = events_of(twin, server, event_types=["run_completed"], heartbeat=0.3)
    assert set(types_of(events)) == {"heartbeat", "run_completed"}


@pytest.mark.parametrize("twin", TWINS)
def test_an_unknown_type_is_refused(twin: str) -> None:
    with pytest.raises(InvalidArgumentError, match="unknown event type 'step_complete'") as caught:
        ask(twin, Server(), lambda client: client.run_events(RUN_ID, event_types=["step_complete"]))
    assert caught.value.hint == "did you mean 'step_completed'?"
