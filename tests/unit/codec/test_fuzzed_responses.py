"""Answers that are spoiled in one or more places: nothing but our own errors, from every operation of both twins."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import random
import socketserver
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from stepflow_client import StepflowClient, StepflowClientError, SyncStepflowClient
from stepflow_client.errors import AmbiguousRunError, InvalidResponseError, RequestTimeoutError

from tests.timings import set_timings
from tests.unit.both_twins import CALLS, ITEM, RUN_ID, STEP, SUMMARY, TWINS, URL, Server, ask, call

CASES = 1_500
"""Spoiled answers for each twin."""
SOCKET_CASES = 120
RELEASES = ["0.13.0", "0.13.0", "0.12.0", "0.11.1", "0.10.0"]
DEEP = 50_000

TOKENS = [
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1.5",
    "1e999",
    "-1e999",
    "-0.0",
    "NaN",
    "Infinity",
    "9" * 400,
    "9" * 5_000,
    "1e308",
    '""',
    '"x"',
    r'"\ud800"',
    r'"\u0000"',
    '"../.."',
    '"2026-13-45T99:00:00Z"',
    '"' + "y" * 5_000 + '"',
    "[]",
    "{}",
    "[null]",
    "[1, 2]",
    '{"a": 1}',
    '[{"a": [true]}]',
    r'{"\udfff": 1}',
    "[" * DEEP + "]" * DEEP,
    '{"a":' * DEEP + "1" + "}" * DEEP,
    "[" * DEEP,
]
"""What comes in the place of a value, as it stands in the text."""


# Right answers


class OldServer(Server):
    """Answers as a server before 0.12 does."""

    def __init__(self, release: str) -> None:
        super().__init__()
        self.release = release

    def body(self, asked: str) -> Any:
        flow = {"flowId": "f", "flow": {"steps": [{"id": "a", "component": "/builtin/eval"}], "output": 1}}
        run = {
            "runId": RUN_ID,
            "flowId": "f",
            "flowName": None,
            "status": "failed",
            "items": {"total": 1, "completed": 0, "running": 0, "failed": 1, "cancelled": 0},
            "createdAt": "2026-11-24T00:00:00Z",
            "completedAt": "2026-11-24T00:00:01Z",
            "rootRunId": RUN_ID,
        }
        stack = [{"error": 'step "a" failed', "attachments": ["x"]}, {"error": "no such file"}]
        error = {"code": 500, "message": 'step "a" failed', "data": {"stack": stack}}
        item = {"itemIndex": 0, "status": "failed", "result": {"outcome": "failed", "error": error}}
        step = {"stepId": "a", "component": "/builtin/eval", "status": "failed", "result": item["result"]}
        details = [{"itemIndex": 0, "input": 1, "status": "failed", "steps": [{"stepId": "a", "status": "failed"}]}]
        return {
            "GET /health": {"status": "healthy", "timestamp": "2026-11-24T00:00:00+00:00", "version": self.release},
            "GET /components": {"components": [{"component": "/eval", "input_schema": {}, "description": "d"}]},
            "POST /flows": {
                "flowId": "f",
                "stored": True,
                "diagnostics": {
                    "diagnostics": [{"kind": "k", "code": 1, "level": "warning", "formatted": "m", "path": ["$"]}]
                },
            },
            "POST /blobs": {"blobId": "f"},
            "GET /flows/f": {**flow, "allExamples": [{"name": "n", "input": 1}]},
            "DELETE /flows/f": {},
            "POST /runs": {**run, "results": [item]},
            "GET /runs": {"runs": [run]},
            f"GET /runs/{RUN_ID}": {**run, "itemDetails": details},
            f"GET /runs/{RUN_ID}/items": {"itemCount": 1, "items": [item]},
            f"GET /runs/{RUN_ID}/steps": {"steps": {"a": step}},
            f"GET /runs/{RUN_ID}/flow": flow,
            f"POST /runs/{RUN_ID}/cancel": {**run, "status": "cancelled"},
            f"DELETE /runs/{RUN_ID}": {},
        }.get(asked, {"code": 404, "message": "not found"})


class FailedServer(Server):
    """Answers as a current server that has one failed run and one that goes on."""

    def body(self, asked: str) -> Any:
        body = super().body(asked)
        text = json.dumps(body)
        if asked != "GET /health":
            failed = '"status": 3, "errorMessage": "step \\"a\\" failed", "errorCode": 3'
            text = text.replace('"status": 2', failed)
        if asked == "GET /flows/f":
            body = json.loads(text)
            declared = {"key": {"type": "string", "is_secret": True, "default": "d", "env_var": "KEY"}}
            variables = {"properties": declared, "required": ["key"]}
            return {**body, "flow": {**body["flow"], "schemas": {"properties": {"variables": variables}}}}
        return json.loads(text)


def is_old(release: str) -> bool:
    return release in ("0.10.0", "0.11.1")


# Spoiling them


def spoiled(dice: random.Random, value: Any) -> bytes:
    """Return the text of a right answer, spoiled in one to three places."""
    value = json.loads(json.dumps(value))
    tokens: list[str] = []
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        value = _spoiled_once(dice, value, tokens)
    text = json.dumps(value)
    for number, token in enumerate(tokens):
        text = text.replace(f'"@{number}@"', token)
    if dice.random() < 0.05:
        text = text[: dice.randrange(len(text))]
    return text.encode()


def _spoiled_once(dice: random.Random, value: Any, tokens: list[str]) -> Any:
    if not isinstance(value, (dict, list)) or not value or dice.random() < 0.15:
        tokens.append(dice.choice(TOKENS))
        return f"@{len(tokens) - 1}@"
    if isinstance(value, list):
        place = dice.randrange(len(value))
        return [_spoiled_once(dice, each, tokens) if at == place else each for at, each in enumerate(value)]
    key = dice.choice(sorted(value))
    match dice.randrange(8):
        case 0:
            return {name: each for name, each in value.items() if name != key}
        case 1:
            return {f"{name}x" if name == key else name: each for name, each in value.items()}
        case 2:
            # The same key twice: the text of the second one holds both.
            tokens.append(f'{json.dumps(value[key])}, "{key}": {dice.choice(TOKENS)}')
            return {**value, key: f"@{len(tokens) - 1}@"}
        case _:
            return {**value, key: _spoiled_once(dice, value[key], tokens)}


class SpoiledServer:
    """Answers as another server does, but with some answers spoiled."""

    def __init__(self, dice: random.Random, release: str) -> None:
        self.server = OldServer(release) if is_old(release) else dice.choice([Server(), FailedServer()])
        self.dice = dice
        self.said: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        right = self.server(request)
        kind = right.headers.get("content-type", "")
        if self.dice.random() < 0.5 or kind == "application/octet-stream":
            return right
        content = spoiled(self.dice, json.loads(right.text.removeprefix("data: ")))
        self.said.append(f"{request.method} {request.url.path}: {content[:300]!r}")
        if kind == "text/event-stream":
            # The right event behind it ends the stream.
            content = b"data: " + content + b"\n\n" + right.content
        status = self.dice.choice([400, 409, 500]) if self.dice.random() < 0.1 else 200
        return httpx.Response(status, headers={"content-type": kind}, content=content)


def look_at(found: Any) -> None:
    """Read all of what an operation gave: some is read when it is looked at."""
    items = getattr(found, "items", None)
    if items is not None and not callable(items) and not hasattr(items, "total"):
        for item in items:
            repr(item)
    repr(found)


# The tests


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost answers are looked for and asked for again; here at once, and not for long."""
    sleep, sleep_async = time.sleep, asyncio.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.0005)))
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep_async(min(seconds, 0.0005)))
    outages = {"search_outage": 0.02, "wait_outage": 0.02, "event_outage": 0.02}
    set_timings(monkeypatch, arrival_delay=0.001, event_silence=0.05, **outages)


def cases(seed: int, count: int) -> Iterator[tuple[int, str, str]]:
    """Return a seed, an operation and a release for each case; every operation comes equally often."""
    names = sorted(CALLS)
    for number in range(count):
        yield seed + number, names[number % len(names)], RELEASES[(number // len(names)) % len(RELEASES)]


class Tally:
    """Counts how the cases ended, and keeps those that ended in an error that is not ours."""

    def __init__(self) -> None:
        self.ended: dict[str, int] = {}
        self.foreign: list[str] = []
        self.slow: list[str] = []

    def count(self, seed: int, name: str, release: str, server: Any, error: BaseException | None, took: float) -> None:
        if seed % 500 == 0:
            gc.collect()
        kind = "nothing" if error is None else type(error).__name__
        self.ended[kind] = self.ended.get(kind, 0) + 1
        case = f"{name} of {release}, seed {seed}: {error!r}, after {server.said}"
        if error is not None and not isinstance(error, StepflowClientError):
            self.foreign.append(case[:1500])
        if took > 5:
            self.slow.append(case[:1500])

    def check(self, count: int) -> None:
        assert not self.foreign, f"{len(self.foreign)} foreign errors, for example {self.foreign[0]}"
        assert not self.slow, self.slow[0]
        assert sum(self.ended.values()) == count
        # The spoiled answers are noticed, and not all answers are refused.
        assert self.ended.get("InvalidResponseError", 0) > count / 20, self.ended
        assert self.ended.get("nothing", 0) > count / 20, self.ended


@pytest.fixture(autouse=True)
def _collected_between_cases() -> Iterator[None]:
    """Keep the collector off while nested JSON is read: the finalizers of others need some of the stack too."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.exhaustive
def test_only_our_errors_from_the_async_client() -> None:
    tally = Tally()

    async def main() -> None:
        for seed, name, release in cases(0, CASES):
            server = SpoiledServer(random.Random(seed), release)
            started, error = time.monotonic(), None
            try:
                async with StepflowClient(URL, transport=httpx.MockTransport(server)) as client:
                    found = CALLS[name](client)
                    if isinstance(found, AsyncIterator):
                        found = [each async for each in found]
                    look_at(await found if inspect.isawaitable(found) else found)
            except Exception as caught:
                error = caught
            tally.count(seed, name, release, server, error, time.monotonic() - started)

    asyncio.run(main())
    tally.check(CASES)


@pytest.mark.exhaustive
def test_only_our_errors_from_the_sync_client() -> None:
    tally = Tally()
    for seed, name, release in cases(1_000_000, CASES):
        server = SpoiledServer(random.Random(seed), release)
        started, error = time.monotonic(), None
        try:
            with SyncStepflowClient(URL, transport=httpx.MockTransport(server)) as client:
                found = CALLS[name](client)
                look_at(list(found) if isinstance(found, Iterator) else found)
        except Exception as caught:
            error = caught
        tally.count(seed, name, release, server, error, time.monotonic() - started)
    tally.check(CASES)


# On a socket


class SpoiledSocket(socketserver.ThreadingTCPServer):
    """Answers requests on a socket as a spoiled server does."""

    daemon_threads = True

    def __init__(self, server: SpoiledServer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spoiled = server
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> SpoiledSocket:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(socketserver.StreamRequestHandler):
    server: SpoiledSocket

    def handle(self) -> None:
        while line := self.rfile.readline():
            method, path, _ = line.decode().split()
            length = 0
            while (field := self.rfile.readline().strip()) != b"":
                name, _, value = field.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            answer = self.server.spoiled(httpx.Request(method, URL + path))
            kind = answer.headers.get("content-type", "application/json")
            head = f"HTTP/1.1 {answer.status_code} X\r\ncontent-type: {kind}\r\ncontent-length: {len(answer.content)}"
            self.wfile.write(f"{head}\r\n\r\n".encode() + answer.content)


@pytest.mark.exhaustive
@pytest.mark.parametrize("twin", TWINS)
def test_only_our_errors_on_a_socket(twin: str) -> None:
    tally = Tally()
    for seed, name, release in cases(2_000_000, SOCKET_CASES):
        server = SpoiledServer(random.Random(seed), release)
        started, error = time.monotonic(), None
        with SpoiledSocket(server) as on_socket:
            try:
                look_at(call(twin, None, CALLS[name], on_socket.url, timeout=5))
            except Exception as caught:
                error = caught
        tally.count(seed, name, release, server, error, time.monotonic() - started)
    tally.check(SOCKET_CASES)


# One by one

OTHER = "01900000-0000-7000-8000-00000000000f"
MALFORMED: list[tuple[str, str, Any]] = [
    ("get_run", f"GET /runs/{RUN_ID}", {"summary": {**SUMMARY, "runId": OTHER}, "steps": []}),
    ("get_run", f"GET /runs/{RUN_ID}", {"summary": {**SUMMARY, "runId": "none"}, "steps": []}),
    ("get_run", f"GET /runs/{RUN_ID}", {"summary": [], "steps": []}),
    ("get_flow", "GET /flows/f", {"flowId": "other", "flow": {}}),
    ("cancel_run", f"POST /runs/{RUN_ID}/cancel", {"summary": {**SUMMARY, "runId": OTHER}}),
    ("list_runs", "GET /runs", {"runs": [SUMMARY, {**SUMMARY, "runId": "run-1"}]}),
    ("list_runs", "GET /runs", {"runs": [{**SUMMARY, "flowId": "\ud800"}]}),
    ("list_runs", "GET /runs", {"runs": 5}),
    ("get_run_items", f"GET /runs/{RUN_ID}/items", {"results": [{"itemIndex": 0}]}),
    ("get_run_items", f"GET /runs/{RUN_ID}/items", {"results": [{**ITEM, "status": True}]}),
    ("get_run_items", f"GET /runs/{RUN_ID}/items", {"results": [{**ITEM, "itemIndex": True}]}),
    ("get_run_items", f"GET /runs/{RUN_ID}/items", {"results": [ITEM, {**ITEM, "status": None}]}),
    ("get_run_items", f"GET /runs/{RUN_ID}/items", {"results": {"0": ITEM}}),
    ("get_run_items", f"GET /runs/{RUN_ID}/items", {"results": "abc"}),
    ("get_run_steps", f"GET /runs/{RUN_ID}/steps", {"steps": [{**STEP, "stepIndex": "x"}]}),
    ("get_run_step", f"GET /runs/{RUN_ID}/steps/a", {"step": {**STEP, "stepId": "b"}}),
    ("get_run_step", f"GET /runs/{RUN_ID}/steps/a", {"step": {**STEP, "itemIndex": 1}}),
    ("run", "POST /runs", {"summary": SUMMARY, "results": 5}),
    ("run", "POST /runs", {"summary": SUMMARY, "results": [5]}),
    ("run", "POST /runs", {"summary": SUMMARY, "results": [{"itemIndex": 0}]}),
    ("store_flow", "POST /blobs", {"blobId": {"a": 1}}),
    ("store_flow", "POST /blobs", {"blobId": "\ud800"}),
    ("store_flow", "POST /blobs", {"blobId": ".."}),
    ("health_check", "GET /health", {"status": "healthy", "timestamp": [], "version": "0.10"}),
]  # fmt: skip


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(("name", "asked", "answer"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_answer(twin: str, name: str, asked: str, answer: Any) -> None:
    server = Server()
    server.answers[asked] = httpx.Response(200, content=json.dumps(answer).encode(), headers=JSON)
    if name == "cancel_run":
        server.answers["GET /runs"] = httpx.Response(200, json={"runs": [{**SUMMARY, "status": 1}]})
    if name == "run":
        # The run of a lost response is looked for, and here there is none.
        server.answers["GET /runs"] = httpx.Response(200, json={"runs": []})
    # It is looked for until the time of the call is over.
    kinds = (InvalidResponseError, AmbiguousRunError, RequestTimeoutError) if name == "run" else InvalidResponseError
    with pytest.raises(kinds) as caught:
        ask(twin, server, CALLS[name])
    str(caught.value).encode()


JSON = {"content-type": "application/json"}
NUMBERS = [
    (f"GET /runs/{RUN_ID}/items", '{"results": [{"itemIndex": 0, "status": 2, "output": {"a": [1e999]}}]}'),
    (f"GET /runs/{RUN_ID}/items", '{"results": [{"itemIndex": 1e999, "status": 2}]}'),
    (f"GET /runs/{RUN_ID}/items", '{"results": [{"itemIndex": 0, "status": -1e999}]}'),
    (f"GET /runs/{RUN_ID}/items", '{"results": [{"itemIndex": 0, "status": 2, "output": NaN}]}'),
    (f"GET /runs/{RUN_ID}/items", '{"results": [{"itemIndex": 0, "status": 2, "output": %s}]}' % ("9" * 5000)),
    (f"GET /runs/{RUN_ID}/items", '{"results": [{"itemIndex": 0, "status": 3, "errorData": {"a": 1e999}}]}'),
    (f"GET /runs/{RUN_ID}/items", '{"results": [{"itemIndex": 0, "status": 2, "output": %s}]}' % ("[" * 50_000)),
]


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(("asked", "text"), NUMBERS, ids=range(len(NUMBERS)))
def test_a_number_that_is_none(twin: str, asked: str, text: str) -> None:
    server = Server()
    server.answers[asked] = httpx.Response(200, content=text.encode(), headers=JSON)
    with pytest.raises(InvalidResponseError):
        ask(twin, server, lambda client: _outputs(client))


def _outputs(client: Any) -> Any:
    found = client.get_run_items(RUN_ID)
    if inspect.isawaitable(found):

        async def wait() -> list[Any]:
            return [item.result for item in (await found).items]

        return wait()
    return [item.result for item in found.items]


@pytest.mark.parametrize("twin", TWINS)
def test_an_event_whose_number_is_none(twin: str) -> None:
    server = Server()
    for number in ("1e999", "-1", "true", '"5"', "1.5", "null"):
        event = '{"event": {"RunCompleted": {"status": 2}}, "sequenceNumber": ' + number + "}"
        headers = {"content-type": "text/event-stream"}
        server.answers[f"GET /runs/{RUN_ID}/events"] = httpx.Response(200, text=f"data: {event}\n\n", headers=headers)
        with pytest.raises(InvalidResponseError):
            ask(twin, server, CALLS["run_events"])


def test_of_a_key_that_comes_twice_the_last_one_counts() -> None:
    server = Server()
    text = '{"results": [{"itemIndex": 0, "status": 3, "status": 2, "output": 1, "output": 2}]}'
    server.answers[f"GET /runs/{RUN_ID}/items"] = httpx.Response(200, content=text.encode(), headers=JSON)
    (result,) = ask("sync", server, _outputs)
    assert (result.status, result.output) == ("completed", 2)
