"""The generated package: requests, events, enums, and responses, including undocumented ones."""

from __future__ import annotations

import asyncio
import copy
import io
import itertools
import json
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from typing import Any

import httpx
import pytest
import respx
import stepflow_api
from stepflow_api import Client
from stepflow_api.api.blob import get_blob, store_blob
from stepflow_api.api.flow import get_flow, store_flow
from stepflow_api.api.health import health_check
from stepflow_api.api.run import create_run, get_run, get_run_events, get_run_items, list_runs
from stepflow_api.errors import ApiError, UnexpectedBody, UnexpectedStatus
from stepflow_api.models import (
    Blob,
    CreateRunRequest,
    ErrorCode,
    ErrorEnvelope,
    GetBlobAccept,
    GetRunItemsResponse,
    GetRunResponse,
    RunEvent,
    RunStatus,
    StoreBlobRequest,
    StoreFlowRequest,
)
from stepflow_api.types import UNSET, File, Response

from examples import bindings

RUN_ID = "01a20ffc-147c-7bf0-95e9-28e76e97722e"
SUMMARY = {
    "runId": RUN_ID,
    "flowId": "f" * 64,
    "status": 2,
    "items": {"total": 1, "completed": 1, "running": 0, "failed": 0, "cancelled": 0},
    "createdAt": "2026-11-24T23:42:38.669175219Z",
    "rootRunId": RUN_ID,
    "createdAtSeqno": 0,
}
Call = Callable[..., Response[Any]]
URL = "http://test/api/v1"


@pytest.fixture
def server() -> Iterator[respx.MockRouter]:
    """A mocked server; each test sets its responses."""
    with respx.mock(base_url=URL, assert_all_called=False) as router:
        yield router


@pytest.fixture(params=["sync", "asyncio"])
def call(request: pytest.FixtureRequest, server: respx.MockRouter) -> Call:
    """Call an operation's sync or async `..._detailed` function; the server returns the given response."""

    def run(operation: Any, reply: httpx.Response, *arguments: Any, strict: bool = False, **options: Any) -> Any:
        server.route().return_value = reply
        client = Client(URL, raise_on_unexpected_status=strict)
        if request.param == "sync":
            with client:
                return operation.sync_detailed(*arguments, client=client, **options)

        async def run_async() -> Response[Any]:
            async with client:
                return await operation.asyncio_detailed(*arguments, client=client, **options)

        return asyncio.run(run_async())

    return run


# -- responses -----------------------------------------------------------------------------------------


def test_documented_response(call: Call) -> None:
    response = call(get_run, httpx.Response(200, json={"summary": SUMMARY, "steps": []}), RUN_ID)
    assert response.status_code is HTTPStatus.OK
    assert isinstance(response.parsed, GetRunResponse)
    assert response.parsed.summary.status is RunStatus.COMPLETED
    assert response.parsed.summary.created_at == "2026-11-24T23:42:38.669175219Z"
    assert response.parsed.summary.flow_name is UNSET
    assert response.parsed.to_dict() == {"summary": SUMMARY, "steps": []}
    assert response.unwrap() is response.parsed
    assert repr(response) == "<Response [200]>"


def test_the_body_is_parsed_once_on_first_access(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    parse = GetRunResponse.from_dict
    monkeypatch.setattr(GetRunResponse, "from_dict", lambda value: parsed.append(1) or parse(value))
    response = call(get_run, httpx.Response(200, json={"summary": SUMMARY, "steps": []}), RUN_ID)
    assert json.loads(response.content)["summary"] == SUMMARY
    assert parsed == []
    assert response.parsed is response.parsed
    assert parsed == [1]


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(200, html="<html>A proxy's page</html>"),
        httpx.Response(200, headers={"content-type": "application/grpc"}),
        httpx.Response(200, json={"summary": {}}),
        httpx.Response(200, json=[1]),
        httpx.Response(200, json=None),
        httpx.Response(200, content=b"\xff\xfe\xfd", headers={"content-type": "application/json"}),
        httpx.Response(200, content=b"[" * 100_000, headers={"content-type": "application/json"}),
        httpx.Response(404, html="<html>Not here</html>"),
    ],
    ids=["html", "empty", "no properties", "list", "null", "not utf-8", "deep", "html 404"],
)
def test_an_unparsable_body_keeps_status_and_content(call: Call, reply: httpx.Response) -> None:
    response = call(get_run, reply, RUN_ID, strict=True)
    assert response.status_code == reply.status_code
    assert response.content == reply.content
    for _ in range(2):
        with pytest.raises(UnexpectedBody, match=str(reply.status_code)) as caught:
            _ = response.parsed
        expected = "GetRunResponse" if reply.status_code == 200 else "an error response"
        text = reply.content[:20].decode(errors="replace") or "an empty body"
        assert str(caught.value).startswith(f"status {reply.status_code}: expected {expected}, received: {text}")
        assert caught.value.status_code == reply.status_code
        assert caught.value.content == reply.content


@pytest.mark.parametrize("status", [204, 302, 429, 500, 503, 599, 999])
def test_undocumented_status(call: Call, status: int) -> None:
    reply = httpx.Response(status, text="busy")
    response = call(get_run, reply, RUN_ID)
    assert response.status_code == status
    assert f"{response.status_code:d}" == str(status)
    assert (response.content, response.parsed) == (b"busy", None)
    with pytest.raises(ApiError, match=f"status {status}: busy"):
        response.unwrap()
    with pytest.raises(UnexpectedStatus, match=f"{status}: busy"):
        call(get_run, reply, RUN_ID, strict=True)


def test_error_in_json(call: Call) -> None:
    detail = {"code": 404, "message": "run 'x' not found", "status": "NOT_FOUND"}
    response = call(get_run, httpx.Response(404, json={"error": detail}), RUN_ID)
    assert isinstance(response.parsed, ErrorEnvelope)
    assert response.parsed.error.message == "run 'x' not found"
    with pytest.raises(ApiError, match=r"status 404: .*run 'x' not found") as caught:
        response.unwrap()
    assert (caught.value.status_code, caught.value.content) == (404, response.content)


def test_error_in_text_beside_json(call: Call) -> None:
    assert call(get_run, httpx.Response(400, text="no boolean"), RUN_ID).parsed == "no boolean"
    assert call(list_runs, httpx.Response(400, text="no number")).parsed == "no number"


def test_error_without_body(call: Call) -> None:
    response = call(get_blob, httpx.Response(404), "a" * 64, strict=True)
    assert (response.status_code, response.parsed) == (404, None)


def test_bytes_beside_json(call: Call) -> None:
    reply = httpx.Response(200, content=b"\x00\xff", headers={"content-type": "application/octet-stream"})
    assert call(get_blob, reply, "a" * 64).parsed == b"\x00\xff"
    reply = httpx.Response(200, json={"data": None, "blobType": "binary", "blobId": "a"})
    parsed = call(get_blob, reply, "a" * 64).parsed
    assert isinstance(parsed, Blob)
    assert parsed.data is None


def test_unknown_properties_are_kept(call: Call) -> None:
    body = {"results": [{"itemIndex": 0, "status": 2, "output": None, "later": {"x": 1}}]}
    parsed = call(get_run_items, httpx.Response(200, json=body), RUN_ID).parsed
    assert isinstance(parsed, GetRunItemsResponse)
    assert parsed.results[0].output is None
    assert parsed.results[0].error_message is UNSET
    assert parsed.results[0]["later"] == {"x": 1}
    assert parsed.to_dict() == body


# -- events --------------------------------------------------------------------------------------------


@pytest.fixture(params=["sync", "asyncio"])
def follow(request: pytest.FixtureRequest, server: respx.MockRouter) -> Callable[[httpx.Response], list[RunEvent]]:
    """Return the run events parsed from a response."""

    def run(reply: httpx.Response) -> list[RunEvent]:
        server.get(f"/runs/{RUN_ID}/events", params={"runId": RUN_ID}).return_value = reply
        with Client(URL) as client:
            if request.param == "sync":
                return list(get_run_events.sync(RUN_ID, client=client))

        async def run_async() -> list[RunEvent]:
            async with Client(URL) as client:
                return [event async for event in get_run_events.asyncio(RUN_ID, client=client)]

        return asyncio.run(run_async())

    return run


def stream(*chunks: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Chunks(chunks))


class Chunks(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that arrives in pieces."""

    def __init__(self, chunks: tuple[bytes, ...]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def frame(number: int, **event: Any) -> bytes:
    body = {"sequenceNumber": number, "timestamp": "t", "event": event}
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


CREATED = {"runId": RUN_ID, "flowId": "f" * 64, "itemCount": 1}
# JSON may contain line separators that do not end a line of the stream.
FRAMES = frame(1, RunCreated={**CREATED, "note": "a\u2028b"}) + b": keep-alive\n\n" + frame(2, Later={"x": 1})


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_events_are_parsed_wherever_the_chunks_are_split(follow: Any, size: int) -> None:
    first, second = follow(stream(*(FRAMES[at : at + size] for at in range(0, len(FRAMES), size))))
    assert (first.sequence_number, first.event.run_created["note"]) == (1, "a\u2028b")
    assert second.event["Later"] == {"x": 1}
    assert not second.event.run_created


def test_an_error_in_place_of_events_is_raised(follow: Any) -> None:
    with pytest.raises(ApiError, match=r"status 404: .*not found") as caught:
        follow(httpx.Response(404, json={"error": {"code": 404, "message": "not found"}}))
    assert caught.value.status_code == 404


@pytest.mark.parametrize("data", [b"data: {}\n\n", b"data: [1]\n\n", b"data: no\n\n"])
def test_an_invalid_event_is_shown_in_the_error(follow: Any, data: bytes) -> None:
    with pytest.raises(UnexpectedBody, match="expected RunEvent, received: data: "):
        follow(stream(data))


def test_events_arrive_before_the_stream_ends(server: respx.MockRouter) -> None:
    def endless() -> Iterator[bytes]:
        for number in itertools.count():
            yield frame(number, RunCreated=CREATED)

    reply = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=endless())
    server.route().return_value = reply
    with Client(URL) as client:
        events = itertools.islice(get_run_events.sync(RUN_ID, client=client), 3)
        assert [event.sequence_number for event in events] == [0, 1, 2]


# -- enums ---------------------------------------------------------------------------------------------


def test_unknown_number() -> None:
    unknown = RunStatus(99)
    assert unknown == 99
    assert unknown is RunStatus(99)
    assert unknown not in list(RunStatus)
    assert (unknown.name, unknown.value, str(unknown)) == ("UNKNOWN_99", 99, "99")
    assert repr(unknown) == "<RunStatus.UNKNOWN_99: 99>"
    assert RunStatus(-1).name == "UNKNOWN_NEGATIVE_1"
    assert ErrorCode(99) is not unknown
    assert {unknown: "x"}[RunStatus(99)] == "x"
    for same in (copy.copy(unknown), copy.deepcopy(unknown), pickle.loads(pickle.dumps(unknown))):
        assert same is unknown
    assert RunStatus(2) is RunStatus.COMPLETED
    for wrong in ("2", None, 2.5):
        with pytest.raises(ValueError, match="is not a valid RunStatus"):
            RunStatus(wrong)


def test_unknown_number_in_a_response(call: Call) -> None:
    body = {"results": [{"itemIndex": 0, "status": 77, "errorCode": 55}]}
    parsed = call(get_run_items, httpx.Response(200, json=body), RUN_ID).parsed
    assert parsed.results[0].status.name == "UNKNOWN_77"
    assert parsed.results[0].error_code.name == "UNKNOWN_55"
    assert parsed.to_dict() == body


def test_unknown_word() -> None:
    unknown = GetBlobAccept("text/html")
    assert unknown is GetBlobAccept("text/html")
    assert (unknown.name, unknown.value, str(unknown)) == ("UNKNOWN", "text/html", "text/html")


# -- requests --------------------------------------------------------------------------------------------


@pytest.fixture
def sent(call: Call, server: respx.MockRouter) -> Callable[..., httpx.Request]:
    """Return the request that an operation sends."""

    def send(operation: Any, *arguments: Any, **options: Any) -> httpx.Request:
        call(operation, httpx.Response(204), *arguments, **options)
        request: httpx.Request = server.calls.last.request
        return request

    return send


def test_query_parameters(sent: Callable[..., httpx.Request]) -> None:
    assert sent(list_runs).url == "http://test/api/v1/runs"
    url = sent(list_runs, status=RunStatus.FAILED, roots_only=True, limit=0, flow_name=None).url
    assert url.query == b"status=3&rootsOnly=true&limit=0"
    assert sent(list_runs, status=RunStatus(99)).url.query == b"status=99"
    assert sent(get_run, RUN_ID, wait=False).url.query == b"wait=false"
    events = get_run_events.build_request(RUN_ID, since=4)
    assert events["url"] == f"/runs/{RUN_ID}/events"
    assert events["params"] == {"runId": RUN_ID, "since": 4}


def test_path_parameters_are_quoted(sent: Callable[..., httpx.Request]) -> None:
    assert sent(get_flow, "a/../b?c#d e").url.raw_path == b"/api/v1/flows/a%2F..%2Fb%3Fc%23d%20e"


def test_unset_differs_from_none(sent: Callable[..., httpx.Request]) -> None:
    request = sent(create_run, body=CreateRunRequest(flow_id="f", input_=[None]))
    assert json.loads(request.content) == {"flowId": "f", "input": [None]}
    request = sent(store_flow, body=StoreFlowRequest(flow={"steps": []}, dry_run=False))
    assert json.loads(request.content) == {"flow": {"steps": []}, "dryRun": False}
    for blob in (StoreBlobRequest(data=None), {"data": None}):
        assert json.loads(sent(store_blob, body=blob).content) == {"data": None}


def test_copies_stay_unset() -> None:
    body = CreateRunRequest(flow_id="f", input_=[])
    for same in (copy.deepcopy(body), pickle.loads(pickle.dumps(body))):
        assert same.to_dict() == {"flowId": "f", "input": []}
    assert repr(body.wait) == "UNSET"


@pytest.mark.parametrize("payload", [b"\x00\xff", io.BytesIO(b"\x00\xff")])
def test_bytes_are_sent_by_both_clients(sent: Callable[..., httpx.Request], payload: bytes | io.BytesIO) -> None:
    if isinstance(payload, io.BytesIO):
        payload.seek(0)
    request = sent(store_blob, body=File(payload), x_blob_filename="q.bin")
    assert request.content == b"\x00\xff"
    assert request.headers["content-type"] == "application/octet-stream"
    assert request.headers["x-blob-filename"] == "q.bin"


# -- the package -------------------------------------------------------------------------------------------


def test_package_names() -> None:
    assert stepflow_api.__all__ == ("AuthenticatedClient", "Client")
    assert set(stepflow_api.__all__) <= set(dir(stepflow_api))
    client = stepflow_api.AuthenticatedClient("http://test", token="t")
    with client:
        assert client.get_httpx_client().headers["authorization"] == "Bearer t"


def test_an_operation_imports_its_own_models_when_it_reads_a_response() -> None:
    code = (
        "import sys\n"
        "from stepflow_api.api.health import health_check\n"
        "health_check.build_request()\n"
        "imported = sorted(name for name in sys.modules if name.startswith('stepflow_api.models.'))\n"
        "print(imported, 'attrs' in sys.modules)\n"
        "import httpx\n"
        "body = {'status': '', 'timestamp': '', 'build': {}}\n"
        "try: health_check._parse_response(client=None, response=httpx.Response(200, json=body))\n"
        "except KeyError: pass\n"
        "print(*sorted(name for name in sys.modules if name.startswith('stepflow_api.models.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[] False", "stepflow_api.models.build_info stepflow_api.models.health"]


def test_all_models_can_be_imported_from_one_place() -> None:
    from stepflow_api import models

    for name in models.__all__:
        assert getattr(models, name).__name__ == name
    assert set(models.__all__) <= set(dir(models))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = models.Nothing


def test_functions_that_return_the_parsed_body(server: respx.MockRouter) -> None:
    server.get("/health").respond(json={"error": 1})
    with Client(URL) as client, pytest.raises(UnexpectedBody):
        health_check.sync(client=client)

    async def run() -> Any:
        server.get(f"/runs/{RUN_ID}/items").respond(json={"results": []})
        async with Client(URL) as client:
            return await get_run_items.asyncio(RUN_ID, client=client)

    assert asyncio.run(run()) == GetRunItemsResponse(results=[])


def test_the_example_that_uses_only_the_bindings(server: respx.MockRouter, capsys: pytest.CaptureFixture[str]) -> None:
    diagnostics = {"diagnostics": [], "numFatal": 0, "numError": 0, "numWarning": 0}
    stored = server.post("/flows").respond(json={"flowId": "f" * 64, "stored": True, "diagnostics": diagnostics})
    created = server.post("/runs").respond(json={"summary": SUMMARY, "results": []})
    step = {"runId": RUN_ID, "itemIndex": 0, "stepIndex": 0, "stepId": "greet", "status": 2}
    events = server.get(f"/runs/{RUN_ID}/events", params={"runId": RUN_ID})
    events.return_value = stream(frame(1, StepCompleted=step))
    results = [{"itemIndex": 0, "status": 2, "output": "Hello"}]
    server.get(f"/runs/{RUN_ID}/items").respond(json={"results": results})
    with Client(URL) as client:
        assert bindings.greet(client, "Ada") == "Hello"
    assert json.loads(stored.calls.last.request.content) == {"flow": bindings.FLOW}
    assert json.loads(created.calls.last.request.content)["input"] == [{"name": "Ada"}]
    assert capsys.readouterr().out == "completed: greet\n"
