"""Events of runs relayed to browsers as server-sent events, parsed strictly, also after reconnections."""

from __future__ import annotations

import gc
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, StepflowClient, StepflowRuntime, SyncStepflowClient
from stepflow_client.web import sse_events, sync_sse_events

from tests.server.flows import ECHO, one_step, slow_run

pytestmark = pytest.mark.anyio

FLOW = one_step(ECHO, {"text": {"$input": "$.who"}}, name="relayed")


@dataclass
class Frame:
    kind: str
    data: Any
    last_id: str


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def frames(self) -> list[Frame]:
        return list(parse_sse(self.body.decode()))


def parse_sse(text: str) -> Iterable[Frame]:
    """Yield the events that an EventSource dispatches, by the rules of the HTML standard."""
    kind, data, last_id = "", [], ""
    assert text.endswith("\n\n")
    for line in text.split("\n")[:-1]:
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "":
                if not colon and data:
                    yield Frame(kind or "message", json.loads("\n".join(data)), last_id)
                if not colon:
                    kind, data = "", []
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id":
                last_id = value
            case "retry":
                assert value.isdecimal()
            case _:
                raise AssertionError(f"not a field: {line!r}")


@pytest.fixture(params=["async", "sync"])
def fetch_events(request: pytest.FixtureRequest, worker_runtime: StepflowRuntime) -> Any:
    """Return a function that relays a run's events as a web server would, and returns the whole response."""

    async def in_a_task(run_id: Any, **options: Any) -> Response:
        async with StepflowClient(worker_runtime.url) as client:
            response = await sse_events(client.handle(run_id), **options)
            body = b"".join([frame async for frame in response.frames])
        return Response(response.status, response.headers, body)

    async def in_a_thread(run_id: Any, **options: Any) -> Response:
        with SyncStepflowClient(worker_runtime.url) as client:
            response = sync_sse_events(client.handle(run_id), **options)
            return Response(response.status, response.headers, b"".join(response.frames))

    return in_a_task if request.param == "async" else in_a_thread


async def test_every_reconnection_gets_the_remaining_events(client: Any, fetch_events: Any) -> None:
    run = await client.run(FLOW, {"who": "Ada"})
    whole = await fetch_events(run)
    assert (whole.status, whole.headers["content-type"]) == (200, "text/event-stream")
    *events, end = whole.frames
    assert (end.kind, end.data) == ("end", {"run_id": run.run_id, "status": "completed"})
    assert {frame.kind for frame in events} == {"message"}
    assert events[0].data["type"] == "run_created"
    assert events[-1].data["type"] == "run_completed"
    for number, frame in enumerate(events, 1):
        assert (await fetch_events(run, last_event_id=frame.last_id)).frames == [*events[number:], end]
    after = await fetch_events(run, last_event_id=end.last_id)
    assert (after.status, after.body) == (204, b"")
    assert (await fetch_events(run, last_event_id="")).frames == whole.frames


async def test_a_wrong_id_is_refused_before_anything_is_sent(client: Any, fetch_events: Any) -> None:
    run = await client.run(FLOW, {"who": "Ada"})
    others = [frame.last_id for frame in (await fetch_events(run, include_sub_runs=True)).frames]
    for wrong in ("nonsense", "e1", "12", "e-1.2", "e1.2\n", others[0] if others[0][0] == "s" else "x"):
        response = await fetch_events(run, last_event_id=wrong)
        assert response.status == 400
        assert response.headers["content-type"] == "application/problem+json"
        problem = json.loads(response.body)
        assert (problem["status"], problem["error"]) == (400, "invalid_argument")


async def test_a_run_that_does_not_exist_is_404(fetch_events: Any) -> None:
    response = await fetch_events(uuid.uuid4(), last_event_id="e1.1")
    assert response.status == 404
    assert json.loads(response.body)["title"] == "Not Found"


async def test_an_invalid_heartbeat_raises_in_the_application(client: Any, fetch_events: Any) -> None:
    run = await client.run(FLOW, {"who": "Ada"})
    with pytest.raises(InvalidArgumentError, match="heartbeat"):
        await fetch_events(run, heartbeat=-1)


async def test_payload_selects_what_is_sent(client: Any, fetch_events: Any) -> None:
    run = await client.run(FLOW, {"who": "Ada"})

    def payload(event: Any) -> Any:
        return {"step": event.step_id} if event.type == "step_completed" else None

    first, *rest = (await fetch_events(run, payload=payload)).frames
    assert (first.data, [frame.kind for frame in rest]) == ({"step": "only"}, ["end"])
    # The browser has received the step but not the end.
    again = await fetch_events(run, last_event_id=first.last_id, payload=payload)
    assert [frame.kind for frame in again.frames] == ["end"]
    assert (await fetch_events(run, last_event_id=rest[0].last_id, payload=payload)).status == 204


async def test_a_running_run_sends_heartbeat_comments(worker_runtime: StepflowRuntime) -> None:
    async with StepflowClient(worker_runtime.url) as client, slow_run(client, 1.5) as run_id:
        response = await sse_events(client.handle(run_id), heartbeat=0.1)
        frames = [frame async for frame in response.frames]
    assert frames.count(b":\n\n") > 3
    assert b"event: end" in frames[-1]


async def test_leaving_early_closes_the_connection(worker_runtime: StepflowRuntime) -> None:
    async with StepflowClient(worker_runtime.url) as client, slow_run(client, 1.5) as run_id:
        response = await sse_events(client.handle(run_id))
        async for _ in response.frames:
            break
        await response.frames.aclose()
        assert not (await client.get_run(run_id)).is_finished


async def test_a_transient_error_lets_the_browser_reconnect() -> None:
    async with StepflowClient("http://127.0.0.1:9", retry=0) as client:
        response = await sse_events(client.handle(uuid.uuid4()), last_event_id="e1.1")
        assert response.status == 200
        (problem,) = parse_sse(b"".join([frame async for frame in response.frames]).decode())
    # The browser keeps the ID that it has.
    assert (problem.kind, problem.last_id) == ("problem", "")
    assert problem.data["retryable"] is True
    assert "127.0.0.1" not in json.dumps(problem.data)


async def test_a_response_that_nobody_reads_leaves_nothing_open(worker_runtime: StepflowRuntime) -> None:
    async with StepflowClient(worker_runtime.url) as client:
        run = await client.run(FLOW, {"who": "Ada"})
        frames = (await sse_events(client.handle(run))).frames
        first = next(frame.last_id for frame in parse_sse(b"".join([each async for each in frames]).decode()))
        response = await sse_events(client.handle(run), last_event_id=first)
        assert response.status == 200
        del response
        gc.collect()  # A stream that is collected while it is open is a ResourceWarning, and so an error here.
