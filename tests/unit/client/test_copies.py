"""The copies of a flow that a client stores: one for its runs, and the flow itself for those who ask for its id."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from stepflow_client import InvalidFlowError, StepflowClient, StepflowClientError, SyncStepflowClient

from tests.unit.both_twins import FLOW, URL, Server

RUN = "POST /runs"
UNKNOWN = {"error": {"code": 5, "message": "no such flow", "status": "NOT_FOUND"}}


def client_of(server: Server) -> SyncStepflowClient:
    return SyncStepflowClient(URL, transport=httpx.MockTransport(server), server_release="0.13.0")


def stored(server: Server) -> list[str | None]:
    """Return the tags of the flows that were stored, in their order; None for one that has none."""
    bodies = [
        json.loads(request.content)
        for request, asked in zip(server.requests, server.asked, strict=True)
        if asked == "POST /blobs"
    ]
    return [body["data"].get("metadata", {}).get("stepflow-client") for body in bodies]


def test_a_call_costs_one_request_once_its_flow_is_stored() -> None:
    server = Server()
    with client_of(server) as client:
        for number in range(3):
            client.run(FLOW, number)
        assert server.asked == ["POST /flows", "POST /blobs", RUN, RUN, RUN]
        client.submit(FLOW, [1, 2])
        assert server.asked[5:] == [RUN]


def test_of_many_calls_at_once_one_stores_the_flow() -> None:
    server = Server()

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.02)
        return server(request)

    async def main() -> None:
        async with StepflowClient(URL, transport=httpx.MockTransport(answer), server_release="0.13.0") as client:
            await asyncio.gather(*(client.run(FLOW, number) for number in range(20)))

    asyncio.run(main())
    assert server.asked == ["POST /flows", "POST /blobs", *[RUN] * 20]


def test_when_the_call_that_stores_the_flow_fails_the_next_one_does() -> None:
    server = Server()
    server.answers["POST /blobs"] = httpx.Response(400, json=UNKNOWN)

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.02)
        found = server(request)
        if found.status_code == 400:
            server.answers.clear()
        return found

    async def main() -> list[object]:
        async with StepflowClient(URL, transport=httpx.MockTransport(answer), server_release="0.13.0") as client:
            calls = (client.run(FLOW, number) for number in range(5))
            return await asyncio.gather(*calls, return_exceptions=True)

    found = asyncio.run(main())
    assert sum(isinstance(each, StepflowClientError) for each in found) == 1
    assert server.asked.count("POST /blobs") == 2


def test_the_flow_itself_is_stored_without_a_tag() -> None:
    server = Server()
    with client_of(server) as client:
        client.run(FLOW, 1)
        client.store_flow(FLOW)
        client.store_flow(FLOW)
        client.run(FLOW, 2)
    # It was checked already.
    assert server.asked == ["POST /flows", "POST /blobs", RUN, "POST /blobs", RUN]
    first, second = stored(server)
    assert (first is None, second) == (False, None)


def test_a_call_with_a_private_copy_has_a_flow_of_its_own() -> None:
    server = Server()
    with client_of(server) as client:
        client.run(FLOW, 1)
        for number in range(3):
            client.run(FLOW, number, private_copy=True)
    assert server.asked == ["POST /flows", "POST /blobs", RUN, *["POST /blobs", RUN] * 3]
    assert len(set(stored(server))) == 4


def test_a_flow_that_the_server_has_lost_is_stored_again_under_the_same_tag() -> None:
    server = Server()

    def restarted(request: httpx.Request) -> httpx.Response:
        answer = server(request)
        if answer.status_code == 404:
            server.answers.clear()
        return answer

    with SyncStepflowClient(URL, transport=httpx.MockTransport(restarted), server_release="0.13.0") as client:
        client.run(FLOW, 1)
        server.answers[RUN] = httpx.Response(404, json=UNKNOWN)
        assert client.run(FLOW, 2).is_success
    first, again = stored(server)
    assert first == again is not None


def test_two_clients_have_different_tags() -> None:
    server = Server()
    for _ in range(2):
        with client_of(server) as client:
            client.run(FLOW, 1)
    assert len(set(stored(server))) == 2


def test_a_flow_that_is_refused_is_not_stored() -> None:
    server = Server()
    finding = {"kind": "k", "code": 1, "level": 1, "formatted": "no", "path": "$.steps"}
    server.answers["POST /flows"] = httpx.Response(
        200, json={"flowId": "f", "stored": False, "diagnostics": {"diagnostics": [finding]}}
    )
    with client_of(server) as client:
        for _ in range(2):
            with pytest.raises(InvalidFlowError):
                client.run(FLOW, 1)
    assert server.asked == ["POST /flows", "POST /flows"]
