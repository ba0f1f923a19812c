"""A client stores one tagged copy of a flow for its runs; `store_flow` stores the flow itself."""

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


def stored_tags(server: Server) -> list[str | None]:
    """Return the tags of the stored flows in order; None for a flow without a tag."""
    bodies = [
        json.loads(request.content)
        for request, target in zip(server.requests, server.request_lines, strict=True)
        if target == "POST /blobs"
    ]
    return [body["data"].get("metadata", {}).get("stepflow-client") for body in bodies]


def test_a_call_costs_one_request_once_its_flow_is_stored() -> None:
    server = Server()
    with client_of(server) as client:
        for number in range(3):
            client.run(FLOW, number)
        assert server.request_lines == ["POST /flows", "POST /blobs", RUN, RUN, RUN]
        client.submit(FLOW, [1, 2])
        assert server.request_lines[5:] == [RUN]


def test_concurrent_calls_store_the_flow_once() -> None:
    server = Server()

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.02)
        return server(request)

    async def main() -> None:
        async with StepflowClient(URL, transport=httpx.MockTransport(answer), server_release="0.13.0") as client:
            await asyncio.gather(*(client.run(FLOW, number) for number in range(20)))

    asyncio.run(main())
    assert server.request_lines == ["POST /flows", "POST /blobs", *[RUN] * 20]


def test_when_storing_the_flow_fails_the_next_call_stores_it() -> None:
    server = Server()
    server.responses["POST /blobs"] = httpx.Response(400, json=UNKNOWN)

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.02)
        response = server(request)
        if response.status_code == 400:
            server.responses.clear()
        return response

    async def main() -> list[object]:
        async with StepflowClient(URL, transport=httpx.MockTransport(answer), server_release="0.13.0") as client:
            calls = (client.run(FLOW, number) for number in range(5))
            return await asyncio.gather(*calls, return_exceptions=True)

    results = asyncio.run(main())
    assert sum(isinstance(each, StepflowClientError) for each in results) == 1
    assert server.request_lines.count("POST /blobs") == 2


def test_store_flow_stores_the_flow_without_a_tag() -> None:
    server = Server()
    with client_of(server) as client:
        client.run(FLOW, 1)
        client.store_flow(FLOW)
        client.store_flow(FLOW)
        client.run(FLOW, 2)
    # The flow is not checked again.
    assert server.request_lines == ["POST /flows", "POST /blobs", RUN, "POST /blobs", RUN]
    first, second = stored_tags(server)
    assert (first is None, second) == (False, None)


def test_each_call_with_a_private_copy_stores_its_own_flow() -> None:
    server = Server()
    with client_of(server) as client:
        client.run(FLOW, 1)
        for number in range(3):
            client.run(FLOW, number, private_copy=True)
    assert server.request_lines == ["POST /flows", "POST /blobs", RUN, *["POST /blobs", RUN] * 3]
    assert len(set(stored_tags(server))) == 4


@pytest.mark.parametrize("earlier_runs", [0, 1])
def test_a_flow_the_server_lost_is_stored_again_with_the_same_tag(earlier_runs: int) -> None:
    server = Server()

    def restarted(request: httpx.Request) -> httpx.Response:
        answer = server(request)
        if answer.status_code == 404:
            server.responses.clear()
        return answer

    with SyncStepflowClient(URL, transport=httpx.MockTransport(restarted), server_release="0.13.0") as client:
        for _ in range(earlier_runs):
            client.run(FLOW, 1)
        # Without an earlier run, the server was restarted after this call had stored the flow.
        server.responses[RUN] = httpx.Response(404, json=UNKNOWN)
        assert client.run(FLOW, 2).is_success
    first, second = stored_tags(server)
    assert first == second is not None


def test_two_clients_have_different_tags() -> None:
    server = Server()
    for _ in range(2):
        with client_of(server) as client:
            client.run(FLOW, 1)
    assert len(set(stored_tags(server))) == 2


def test_an_invalid_flow_is_not_stored() -> None:
    server = Server()
    finding = {"kind": "k", "code": 1, "level": 1, "formatted": "no", "path": "$.steps"}
    server.responses["POST /flows"] = httpx.Response(
        200, json={"flowId": "f", "stored": False, "diagnostics": {"diagnostics": [finding]}}
    )
    with client_of(server) as client:
        for _ in range(2):
            with pytest.raises(InvalidFlowError):
                client.run(FLOW, 1)
    assert server.request_lines == ["POST /flows", "POST /flows"]
