"""A flow is checked and stored once for many runs, and again if the server or the flow changes."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

import httpx
import pytest
from stepflow_client import (
    InvalidArgumentError,
    NotFoundError,
    StepflowClient,
    StepflowClientError,
    SyncStepflowClient,
)

from tests.unit.both_twins import FLOW, RUN_ID, SUMMARY, TWINS, URL, Server

Run = Callable[..., Awaitable[Any]]


class Numbered(Server):
    """A server that numbers its runs."""

    def __init__(self) -> None:
        super().__init__()
        self._ids = count(1)

    def body(self, request_line: str) -> Any:
        body = super().body(request_line)
        if request_line == "POST /runs":
            return {**body, "summary": {**SUMMARY, "runId": f"{RUN_ID[:-4]}{next(self._ids):04x}"}}
        return body

    def since(self, start: int) -> list[str]:
        return self.request_lines[start:]


def with_client(twin: str, server: Server, use: Callable[[Run], Awaitable[None]], **settings: Any) -> None:
    """Call `use` with the `run` method of either client."""

    async def main() -> None:
        client_class: Any = StepflowClient if twin == "async" else SyncStepflowClient
        client = client_class(URL, transport=httpx.MockTransport(server), **settings)

        async def run(*arguments: Any, **options: Any) -> Any:
            running = client.run(*arguments, **options)
            return await running if inspect.isawaitable(running) else running

        await use(run)
        closing = client.aclose() if twin == "async" else client.close()
        if inspect.isawaitable(closing):
            await closing

    asyncio.run(main())


@pytest.mark.parametrize("twin", TWINS)
def test_the_second_run_of_a_flow_is_one_request(twin: str) -> None:
    server = Numbered()

    async def use(run: Run) -> None:
        await run(FLOW, {"n": 1})
        start = len(server.requests)
        result = await run(FLOW, {"n": "é"})
        assert server.since(start) == ["POST /runs"]
        assert json.loads(server.requests[-1].content) == {
            "flowId": "f",
            "input": [{"n": "é"}],
            "wait": True,
            "timeoutSecs": json.loads(server.requests[-1].content)["timeoutSecs"],
        }
        assert result.run_id.endswith("0002")

    with_client(twin, server, use)


@pytest.mark.parametrize("twin", TWINS)
def test_a_flow_that_the_server_has_lost_is_stored_again(twin: str) -> None:
    server = Numbered()

    async def use(run: Run) -> None:
        for _ in range(2):
            await run(FLOW)
        start = len(server.requests)
        server.responses["POST /runs"] = httpx.Response(404, json={"message": "no such flow", "code": 404})
        with pytest.raises(NotFoundError):
            await run(FLOW)
        # The flow is checked and stored again before a second attempt; then the client gives up.
        assert server.since(start) == ["POST /runs", "POST /flows", "POST /blobs", "POST /runs"]
        del server.responses["POST /runs"]
        assert (await run(FLOW)).is_success

    with_client(twin, server, use)


@pytest.mark.parametrize("twin", TWINS)
def test_a_server_of_another_release_gets_other_checks(twin: str) -> None:
    server, large = Numbered(), {"n": 2**60 + 1}

    async def use(run: Run) -> None:
        for _ in range(2):
            await run(FLOW)
        with pytest.raises(InvalidArgumentError, match="61-bit"):
            await run(FLOW, large)
        # The response cannot be decoded: the URL may now lead to another server.
        server.responses["POST /runs"] = httpx.Response(200, json={"summary": {}})
        server.responses["GET /health"] = httpx.Response(200, json={"status": "healthy", "version": "0.11.0"})
        with pytest.raises(StepflowClientError):
            await run(FLOW, timeout=1)
        start = len(server.requests)
        with pytest.raises(StepflowClientError):
            await run(FLOW, large, timeout=1)
        sent = [request.content for request in server.requests[start:] if request.url.path.endswith("/runs")]
        assert any(b"1152921504606846977" in content for content in sent)

    with_client(twin, server, use)


@pytest.mark.parametrize("twin", TWINS)
def test_overrides_and_private_copies_apply_to_one_run(twin: str) -> None:
    server = Numbered()

    async def use(run: Run) -> None:
        await run(FLOW)
        await run(FLOW, overrides={"a": {"input": 1}})
        assert json.loads(server.requests[-1].content)["overrides"] == {"steps": {"a": {"value": {"input": 1}}}}
        await run(FLOW)
        assert "overrides" not in json.loads(server.requests[-1].content)
        await run(FLOW, private_copy=True)
        assert server.request_lines[-2:] == ["POST /blobs", "POST /runs"]

    with_client(twin, server, use)


@pytest.mark.parametrize("twin", TWINS)
def test_changing_a_mapping_does_not_change_the_prepared_flow(twin: str) -> None:
    server = Numbered()

    def flow(number: int) -> dict[str, Any]:
        return {"steps": [{"id": "a", "component": "/builtin/eval", "input": {"n": number}}], "output": number}

    async def use(run: Run) -> None:
        mapping = flow(1)
        await run(mapping)
        mapping["steps"][0]["input"]["n"] = 2
        await run(flow(1), private_copy=True)
        stored = [json.loads(each.content) for each in server.requests if each.url.path.endswith("/blobs")]
        assert [each["data"]["steps"][0]["input"] for each in stored] == [{"n": 1}, {"n": 1}]

    with_client(twin, server, use)


class Half(float):
    """A float subclass, which is sent as a plain number."""


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("number", [Half(0.5), 2**60 + 1], ids=["subclass", "large"])
def test_a_mapping_with_other_values_is_checked_each_time(twin: str, number: float) -> None:
    server = Numbered()
    flow = {"steps": [{"id": "a", "component": "/builtin/eval", "input": number}], "output": 1}

    async def use(run: Run) -> None:
        for _ in range(2):
            assert (await run(flow)).is_success
        stored = [json.loads(each.content) for each in server.requests if each.url.path.endswith("/blobs")]
        assert [each["data"]["steps"][0]["input"] for each in stored] == [number]

    with_client(twin, server, use)
