"""Corrupted responses raise only this package's errors, from every operation of both clients."""

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
from tests.unit.both_twins import CALLS, ITEM, RUN_ID, STEP, SUMMARY, TWINS, URL, Server, call, call_with_handler

CASES = 1_500
"""Corrupted responses for each twin."""
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
"""Raw JSON text that replaces a value."""


# Valid responses


class OldServer(Server):
    """Answers like a server before 0.12."""

    def __init__(self, release: str) -> None:
        super().__init__()
        self.release = release

    def body(self, request_line: str) -> Any:
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
        }.get(request_line, {"code": 404, "message": "not found"})


class FailedServer(Server):
    """Answers like a current server whose only run has failed."""

    def body(self, request_line: str) -> Any:
        body = super().body(request_line)
        text = json.dumps(body)
        if request_line != "GET /health":
            failed = '"status": 3, "errorMessage": "step \\"a\\" failed", "errorCode": 3'
            text = text.replace('"status": 2', failed)
        if request_line == "GET /flows/f":
            body = json.loads(text)
            declared = {"key": {"type": "string", "is_secret": True, "default": "d", "env_var": "KEY"}}
            variables = {"properties": declared, "required": ["key"]}
            return {**body, "flow": {**body["flow"], "schemas": {"properties": {"variables": variables}}}}
        return json.loads(text)


def is_old(release: str) -> bool:
    return release in ("0.10.0", "0.11.1")


# Corruption


def corrupt(rng: random.Random, value: Any) -> bytes:
    """Return the JSON text of a valid response with one to three corruptions."""
    value = json.loads(json.dumps(value))
    tokens: list[str] = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        value = _corrupt_once(rng, value, tokens)
    text = json.dumps(value)
    for number, token in enumerate(tokens):
        text = text.replace(f'"@{number}@"', token)
    if rng.random() < 0.05:
        text = text[: rng.randrange(len(text))]
    return text.encode()


def _corrupt_once(rng: random.Random, value: Any, tokens: list[str]) -> Any:
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.15:
        tokens.append(rng.choice(TOKENS))
        return f"@{len(tokens) - 1}@"
    if isinstance(value, list):
        place = rng.randrange(len(value))
        return [_corrupt_once(rng, each, tokens) if at == place else each for at, each in enumerate(value)]
    key = rng.choice(sorted(value))
    match rng.randrange(8):
        case 0:
            return {name: each for name, each in value.items() if name != key}
        case 1:
            return {f"{name}x" if name == key else name: each for name, each in value.items()}
        case 2:
            # A duplicate key: the token contains both values.
            tokens.append(f'{json.dumps(value[key])}, "{key}": {rng.choice(TOKENS)}')
            return {**value, key: f"@{len(tokens) - 1}@"}
        case _:
            return {**value, key: _corrupt_once(rng, value[key], tokens)}


class CorruptingServer:
    """Answers like another server, but corrupts some of the responses."""

    def __init__(self, rng: random.Random, release: str) -> None:
        self.server = OldServer(release) if is_old(release) else rng.choice([Server(), FailedServer()])
        self.rng = rng
        self.corruptions: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        valid = self.server(request)
        kind = valid.headers.get("content-type", "")
        if self.rng.random() < 0.5 or kind == "application/octet-stream":
            return valid
        content = corrupt(self.rng, json.loads(valid.text.removeprefix("data: ")))
        self.corruptions.append(f"{request.method} {request.url.path}: {content[:300]!r}")
        if kind == "text/event-stream":
            # The valid event that follows ends the stream.
            content = b"data: " + content + b"\n\n" + valid.content
        status = self.rng.choice([400, 409, 500]) if self.rng.random() < 0.1 else 200
        return httpx.Response(status, headers={"content-type": kind}, content=content)


def read_result(result: Any) -> None:
    """Read a result completely, because some of its fields are parsed lazily."""
    items = getattr(result, "items", None)
    if items is not None and not callable(items) and not hasattr(items, "total"):
        for item in items:
            repr(item)
    repr(result)


# The tests


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep searches for lost responses and the pauses between retries short."""
    sleep, sleep_async = time.sleep, asyncio.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.0005)))
    monkeypatch.setattr(asyncio, "sleep", lambda seconds: sleep_async(min(seconds, 0.0005)))
    outages = {"search_outage": 0.02, "wait_outage": 0.02, "event_outage": 0.02}
    set_timings(monkeypatch, arrival_delay=0.001, event_silence=0.05, **outages)


def cases(seed: int, count: int) -> Iterator[tuple[int, str, str]]:
    """Yield a seed, operation and release for each case; every operation occurs equally often."""
    names = sorted(CALLS)
    for number in range(count):
        yield seed + number, names[number % len(names)], RELEASES[(number // len(names)) % len(RELEASES)]


class Tally:
    """Counts outcomes and collects the cases that raised other errors or were slow."""

    def __init__(self) -> None:
        self.outcomes: dict[str, int] = {}
        self.other_errors: list[str] = []
        self.slow: list[str] = []

    def count(
        self, seed: int, name: str, release: str, server: Any, error: BaseException | None, seconds: float
    ) -> None:
        if seed % 500 == 0:
            gc.collect()
        kind = "nothing" if error is None else type(error).__name__
        self.outcomes[kind] = self.outcomes.get(kind, 0) + 1
        case = f"{name} of {release}, seed {seed}: {error!r}, after {server.corruptions}"
        if error is not None and not isinstance(error, StepflowClientError):
            self.other_errors.append(case[:1500])
        if seconds > 5:
            self.slow.append(case[:1500])

    def check(self, count: int) -> None:
        assert not self.other_errors, (
            f"{len(self.other_errors)} errors of other packages, for example {self.other_errors[0]}"
        )
        assert not self.slow, self.slow[0]
        assert sum(self.outcomes.values()) == count
        # Corruptions are detected, and not every response is rejected.
        assert self.outcomes.get("InvalidResponseError", 0) > count / 20, self.outcomes
        assert self.outcomes.get("nothing", 0) > count / 20, self.outcomes


@pytest.fixture(autouse=True)
def _no_garbage_collection() -> Iterator[None]:
    """Disable garbage collection while nested JSON is parsed, because finalizers use the same stack."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.exhaustive
def test_async_client_raises_only_client_errors() -> None:
    tally = Tally()

    async def main() -> None:
        for seed, name, release in cases(0, CASES):
            server = CorruptingServer(random.Random(seed), release)
            started, error = time.monotonic(), None
            try:
                async with StepflowClient(URL, transport=httpx.MockTransport(server)) as client:
                    result = CALLS[name](client)
                    if isinstance(result, AsyncIterator):
                        result = [each async for each in result]
                    read_result(await result if inspect.isawaitable(result) else result)
            except Exception as caught:
                error = caught
            tally.count(seed, name, release, server, error, time.monotonic() - started)

    asyncio.run(main())
    tally.check(CASES)


@pytest.mark.exhaustive
def test_sync_client_raises_only_client_errors() -> None:
    tally = Tally()
    for seed, name, release in cases(1_000_000, CASES):
        server = CorruptingServer(random.Random(seed), release)
        started, error = time.monotonic(), None
        try:
            with SyncStepflowClient(URL, transport=httpx.MockTransport(server)) as client:
                result = CALLS[name](client)
                read_result(list(result) if isinstance(result, Iterator) else result)
        except Exception as caught:
            error = caught
        tally.count(seed, name, release, server, error, time.monotonic() - started)
    tally.check(CASES)


# On a socket


class CorruptingSocket(socketserver.ThreadingTCPServer):
    """Serves the responses of a CorruptingServer on a socket."""

    daemon_threads = True

    def __init__(self, server: CorruptingServer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.responder = server
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> CorruptingSocket:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(socketserver.StreamRequestHandler):
    server: CorruptingSocket

    def handle(self) -> None:
        while line := self.rfile.readline():
            method, path, _ = line.decode().split()
            length = 0
            while (field := self.rfile.readline().strip()) != b"":
                name, _, value = field.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            answer = self.server.responder(httpx.Request(method, URL + path))
            kind = answer.headers.get("content-type", "application/json")
            head = f"HTTP/1.1 {answer.status_code} X\r\ncontent-type: {kind}\r\ncontent-length: {len(answer.content)}"
            self.wfile.write(f"{head}\r\n\r\n".encode() + answer.content)


@pytest.mark.exhaustive
@pytest.mark.parametrize("twin", TWINS)
def test_corrupted_responses_on_a_socket_raise_only_client_errors(twin: str) -> None:
    tally = Tally()
    for seed, name, release in cases(2_000_000, SOCKET_CASES):
        server = CorruptingServer(random.Random(seed), release)
        started, error = time.monotonic(), None
        with CorruptingSocket(server) as on_socket:
            try:
                read_result(call(twin, None, CALLS[name], on_socket.url, timeout=5))
            except Exception as caught:
                error = caught
        tally.count(seed, name, release, server, error, time.monotonic() - started)
    tally.check(SOCKET_CASES)


# Single malformed responses

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
@pytest.mark.parametrize(("name", "target", "body"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_response_is_rejected(twin: str, name: str, target: str, body: Any) -> None:
    server = Server()
    server.responses[target] = httpx.Response(200, content=json.dumps(body).encode(), headers=JSON)
    if name == "cancel_run":
        server.responses["GET /runs"] = httpx.Response(200, json={"runs": [{**SUMMARY, "status": 1}]})
    if name == "run":
        # The client searches for the run of a lost response and finds none here.
        server.responses["GET /runs"] = httpx.Response(200, json={"runs": []})
    # The search may last until the call times out.
    kinds = (InvalidResponseError, AmbiguousRunError, RequestTimeoutError) if name == "run" else InvalidResponseError
    with pytest.raises(kinds) as caught:
        call_with_handler(twin, server, CALLS[name])
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
@pytest.mark.parametrize(("target", "text"), NUMBERS, ids=range(len(NUMBERS)))
def test_an_invalid_number_is_rejected(twin: str, target: str, text: str) -> None:
    server = Server()
    server.responses[target] = httpx.Response(200, content=text.encode(), headers=JSON)
    with pytest.raises(InvalidResponseError):
        call_with_handler(twin, server, lambda client: _get_results(client))


def _get_results(client: Any) -> Any:
    items = client.get_run_items(RUN_ID)
    if inspect.isawaitable(items):

        async def wait() -> list[Any]:
            return [item.result for item in (await items).items]

        return wait()
    return [item.result for item in items.items]


@pytest.mark.parametrize("twin", TWINS)
def test_an_invalid_sequence_number_is_rejected(twin: str) -> None:
    server = Server()
    for number in ("1e999", "-1", "true", '"5"', "1.5", "null"):
        event = '{"event": {"RunCompleted": {"status": 2}}, "sequenceNumber": ' + number + "}"
        headers = {"content-type": "text/event-stream"}
        server.responses[f"GET /runs/{RUN_ID}/events"] = httpx.Response(200, text=f"data: {event}\n\n", headers=headers)
        with pytest.raises(InvalidResponseError):
            call_with_handler(twin, server, CALLS["run_events"])


def test_the_last_of_duplicate_keys_wins() -> None:
    server = Server()
    text = '{"results": [{"itemIndex": 0, "status": 3, "status": 2, "output": 1, "output": 2}]}'
    server.responses[f"GET /runs/{RUN_ID}/items"] = httpx.Response(200, content=text.encode(), headers=JSON)
    (result,) = call_with_handler("sync", server, _get_results)
    assert (result.status, result.output) == ("completed", 2)
