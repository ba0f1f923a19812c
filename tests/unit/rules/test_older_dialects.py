"""The translation of requests and responses for servers before 0.12."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from stepflow_client import SyncStepflowClient, UnsupportedByServerError
from stepflow_client._rules.older_dialects import (
    AlreadyCurrentError,
    DecodedRequest,
    DecodedResponse,
    complete_health_body,
    rename_component_fields,
    translate_exchange,
)
from stepflow_client._rules.operations_and_releases import make_pinned_server

RUN = "01900000-0000-7000-8000-000000000001"
OLD_RUN = {
    "runId": RUN,
    "flowId": "f",
    "flowName": None,
    "status": "completed",
    "items": {"total": 1, "completed": 1, "running": 0, "failed": 0, "cancelled": 0},
    "createdAt": "2026-11-24T00:00:00Z",
    "completedAt": None,
    "rootRunId": RUN,
}


def drive(
    release: str, request: DecodedRequest, *replies: DecodedResponse
) -> tuple[list[DecodedRequest], DecodedResponse]:
    """Translate a request; return the requests to the old server and the translated response."""
    translation = translate_exchange(make_pinned_server("http://server", release), request)
    waiting = iter(replies)
    sent: list[DecodedRequest] = []
    try:
        sent.append(next(translation))
        while True:
            sent.append(translation.send(next(waiting)))
    except StopIteration as done:
        assert next(waiting, None) is None, "not every reply was asked for"
        return sent, done.value


def test_only_servers_before_0_12_need_translation() -> None:
    needed = {
        release: make_pinned_server("u", release).needs_translation for release in ("0.10", "0.11.1", "0.12", "1.0")
    }
    assert needed == {"0.10": True, "0.11.1": True, "0.12": False, "1.0": False}


def test_a_run_is_created_on_0_10() -> None:
    body = {"flowId": "f", "input": [1], "wait": True, "timeoutSecs": 1, "overrides": {"steps": {"a": {"value": {}}}}}
    result = {"itemIndex": 0, "status": "completed", "result": {"outcome": "success", "result": None}}
    sent, reply = drive(
        "0.10", DecodedRequest("POST", "/runs", body=body), DecodedResponse(200, {**OLD_RUN, "results": [result]})
    )
    assert [request.body for request in sent] == [body]
    assert reply.status == 200
    assert reply.body["summary"]["status"] == 2
    # A null output is kept, but a null time is dropped.
    assert reply.body["results"] == [{"itemIndex": 0, "status": 2, "output": None}]
    assert "completedAt" not in reply.body["summary"]


def test_a_202_response_becomes_200() -> None:
    _, reply = drive(
        "0.11", DecodedRequest("POST", "/runs", body={"flowId": "f", "input": [1]}), DecodedResponse(202, OLD_RUN)
    )
    assert (reply.status, reply.body["results"]) == (200, [])


def test_an_empty_batch_is_refused_if_it_would_hang() -> None:
    with pytest.raises(UnsupportedByServerError, match=r"0\.11"):
        drive("0.10", DecodedRequest("POST", "/runs", body={"flowId": "f", "input": []}))


def test_filters_are_translated() -> None:
    request = DecodedRequest("GET", "/runs", {"status": "2", "rootsOnly": "true", "limit": "5"})
    sent, reply = drive("0.10", request, DecodedResponse(200, {"runs": [OLD_RUN, OLD_RUN]}))
    assert [request.params for request in sent] == [{"status": "completed", "rootsOnly": "true", "limit": "5"}]
    assert [run["status"] for run in reply.body["runs"]] == [2, 2]


def test_a_status_unknown_to_the_server_matches_no_run() -> None:
    sent, reply = drive("0.11", DecodedRequest("GET", "/runs", {"status": "99"}))
    assert (sent, reply) == ([], DecodedResponse(200, {"runs": []}))


@pytest.mark.parametrize(
    ("error", "code", "message", "step"),
    [
        (
            {"code": 500, "message": 'step "a" failed', "data": {"stack": [{"error": "x"}, {"error": "cause"}]}},
            3,
            "cause",
            "a",
        ),
        ({"code": 1, "message": "Input path $.q not found"}, 8, "Input path $.q not found", None),
        ({"code": -32202, "message": "error routing component"}, 9, "error routing component", None),
        ({"code": 500, "message": "error routing component"}, 9, "error routing component", None),
        ({"code": -32001, "message": "m"}, 6, "m", None),
        ({"code": -32200, "message": "m"}, 8, "m", None),
        ({"code": -32300, "message": "m"}, 3, "m", None),
        ({"code": 77, "message": "m"}, None, "m", None),
        (
            {
                "code": -32100,
                "message": "boom",
                "data": {"stack": [{"attachments": ["Internal error executing step 'b'"]}]},
            },
            3,
            "boom",
            "b",
        ),
    ],
)
def test_a_failed_item_has_its_cause_code_and_step(
    error: dict[str, Any], code: int | None, message: str, step: str | None
) -> None:
    item = {"itemIndex": 0, "status": "failed", "result": {"outcome": "failed", "error": error}}
    _, reply = drive(
        "0.11", DecodedRequest("GET", f"/runs/{RUN}/items"), DecodedResponse(200, {"itemCount": 1, "items": [item]})
    )
    (result,) = reply.body["results"]
    assert (result.get("errorCode"), result["errorMessage"], result.get("stepId")) == (code, message, step)
    assert result["errorData"]["code"] == error["code"]


def test_the_steps_of_a_batch_are_combined_from_two_responses() -> None:
    details = [
        {
            "itemIndex": index,
            "status": status,
            "steps": [{"stepId": "a", "status": status}, {"stepId": "b", "status": "blocked"}],
        }
        for index, status in enumerate(("completed", "failed"))
    ]
    run = {**OLD_RUN, "items": {"total": 2}, "itemDetails": details}
    steps = {"a": {"stepId": "a", "component": "/x/a", "status": "failed"}}
    sent, reply = drive(
        "0.10",
        DecodedRequest("GET", f"/runs/{RUN}/steps"),
        DecodedResponse(200, run),
        DecodedResponse(200, {"steps": steps}),
    )
    assert [request.path for request in sent] == [f"/runs/{RUN}", f"/runs/{RUN}/steps"]
    assert [(step["itemIndex"], step["stepId"], step["status"], step["component"]) for step in reply.body["steps"]] == [
        (0, "a", 2, "/x/a"),
        (1, "a", 3, "/x/a"),
    ]


def test_a_single_step_is_found_or_missing() -> None:
    steps = {"steps": {"a": {"stepId": "a", "component": "/x", "status": "completed"}}}
    replies = (DecodedResponse(200, OLD_RUN), DecodedResponse(200, steps))
    _, response = drive("0.11", DecodedRequest("GET", f"/runs/{RUN}/steps/a"), *replies)
    assert (response.status, response.body["step"]["stepId"]) == (200, "a")
    _, missing = drive("0.11", DecodedRequest("GET", f"/runs/{RUN}/steps/z"), *replies)
    assert (missing.status, missing.body["error"]["message"]) == (404, "step 'z' not found")


@pytest.mark.parametrize(
    ("status", "name"),
    [
        *((400, "INVALID_ARGUMENT"), (404, "NOT_FOUND"), (409, "FAILED_PRECONDITION"), (500, "INTERNAL")),
        *((401, "UNKNOWN"), (503, "UNKNOWN")),
    ],
)
def test_errors_are_wrapped_in_the_envelope(status: int, name: str) -> None:
    body = {"code": status, "message": "no", "stack": [{"error": "no", "backtrace": "..."}]}
    for method, path in (
        ("GET", f"/runs/{RUN}"),
        ("DELETE", f"/runs/{RUN}"),
        ("GET", "/flows/x"),
        ("GET", "/nonsense"),
    ):
        _, reply = drive("0.10", DecodedRequest(method, path), DecodedResponse(status, body))
        assert reply.body == {"error": {"code": status, "message": "no", "status": name, "stack": ["no"]}}


@pytest.mark.parametrize(
    ("request_", "current"),
    [
        (DecodedRequest("GET", f"/runs/{RUN}"), {"summary": {}, "steps": []}),
        (DecodedRequest("GET", f"/runs/{RUN}/items"), {"results": []}),
        (DecodedRequest("GET", "/runs"), {"runs": [{"runId": RUN, "status": 2}]}),
        (DecodedRequest("POST", f"/runs/{RUN}/cancel"), {"summary": {}}),
    ],
)
def test_a_response_in_the_current_format_is_recognized(request_: DecodedRequest, current: dict[str, Any]) -> None:
    with pytest.raises(AlreadyCurrentError):
        drive("0.11", request_, DecodedResponse(200, current))


@pytest.mark.parametrize("content", [None, [], "text", {}, {"odd": 1}])
def test_malformed_run_responses_are_rejected(content: Any) -> None:
    with pytest.raises(KeyError):
        drive("0.11", DecodedRequest("GET", f"/runs/{RUN}"), DecodedResponse(200, content))


def test_old_servers_have_no_events() -> None:
    with pytest.raises(UnsupportedByServerError, match=r"0\.12"):
        drive("0.11", DecodedRequest("GET", f"/runs/{RUN}/events"))


def test_variables_are_read_from_the_flow_if_the_server_has_no_route_for_them() -> None:
    declared = {"k": {"default": "v", "env_var": "K"}, "s": {"is_secret": True}}
    schema = {"properties": declared, "required": ["k", "s"]}
    flow = {"schemas": {"properties": {"variables": schema}}}
    expected = {"k": {"required": False, "defaultValue": "v", "envVar": "K"}, "s": {"required": True}}
    request = DecodedRequest("GET", "/flows/f/variables")
    flow_requests, from_flow = drive("0.10", request, DecodedResponse(200, {"flow": flow, "flowId": "f"}))
    server_requests, from_server = drive(
        "0.11", request, DecodedResponse(200, {"flowId": "f", "schema": schema, "envVars": {"k": "K"}})
    )
    assert [each.path for each in flow_requests + server_requests] == ["/flows/f", "/flows/f/variables"]
    assert from_flow == from_server == DecodedResponse(200, {"flowId": "f", "variables": expected})


def test_components_get_the_current_field_names() -> None:
    old = {"components": [{"component": "/a", "input_schema": {}, "description": "d"}]}
    sent, reply = drive(
        "0.10", DecodedRequest("GET", "/components", {"excludeSchemas": "true"}), DecodedResponse(200, old)
    )
    assert sent[0].params == {"includeSchemas": "false"}
    assert (reply.status, reply.body["complete"], reply.body["failedPlugins"]) == (200, True, [])
    renamed = {"componentId": "/a", "path": "/a", "inputSchema": {}, "description": "d", "plugin": ""}
    assert rename_component_fields(old)["components"] == reply.body["components"] == [renamed]
    current = {**renamed, "path": "/b", "plugin": "p"}
    assert rename_component_fields({"components": [current]})["components"] == [current]
    assert rename_component_fields({"components": None})["components"] == []


NOW = "2026-11-24T00:00:00Z"
SUMMARY = {"runId": RUN, "flowId": "f", "createdAt": NOW, "rootRunId": RUN, "items": OLD_RUN["items"]}
SUMMARY |= {"createdAtSeqno": 0, "status": 2}
STEP = {"stepIndex": 0, "itemIndex": 0, "journalSeqno": 0, "updatedAt": NOW}
NO_ARGUMENTS = {"inputs": None, "overrides": None}


@pytest.mark.parametrize(
    ("method", "path", "replied", "expected"),
    [
        ("DELETE", f"/runs/{RUN}", None, {}),
        ("DELETE", "/flows/f", None, {}),
        ("GET", "/flows/f", {"flowId": "f"}, {"flowId": "f", "allExamples": []}),
        ("GET", "/flows/f", {"flowId": "f", "allExamples": [1]}, {"flowId": "f", "allExamples": [1]}),
        ("POST", f"/runs/{RUN}/cancel", {**OLD_RUN, "status": "cancelled"}, {"summary": {**SUMMARY, "status": 4}}),
        ("POST", f"/runs/{RUN}/cancel", {**OLD_RUN, "status": "odd"}, {"summary": {**SUMMARY, "status": "odd"}}),
        (
            *("GET", f"/runs/{RUN}", {**OLD_RUN, "completedAt": NOW, "createdAtSeqno": 7}),
            {"summary": {**SUMMARY, "completedAt": NOW, "createdAtSeqno": 7}, "steps": [], "given": NO_ARGUMENTS},
        ),
        (
            *("GET", f"/runs/{RUN}/items"),
            {
                "items": [
                    {"itemIndex": 0, "status": "running", "result": None, "completedAt": None},
                    {"itemIndex": 1, "status": "odd", "result": {}},
                    {"itemIndex": 2, "status": "completed", "result": {"result": 5}, "completedAt": NOW},
                ]
            },
            {
                "results": [
                    {"itemIndex": 0, "status": 1},
                    {"itemIndex": 1, "status": "odd"},
                    {"itemIndex": 2, "status": 2, "output": 5, "completedAt": NOW},
                ]
            },
        ),
        ("POST", "/flows", {"flowId": "f"}, {"flowId": "f", "diagnostics": {"diagnostics": []}}),
        (
            *("POST", "/flows"),
            {"diagnostics": {"fatal": 0, "diagnostics": [{"level": "warning"}, {"level": 7, "experimental": True}]}},
            {
                "diagnostics": {
                    "fatal": 0,
                    "diagnostics": [{"level": 3, "experimental": False}, {"level": 7, "experimental": True}],
                }
            },
        ),
    ],
)
def test_responses_are_translated_to_the_current_format(
    method: str, path: str, replied: Any, expected: dict[str, Any]
) -> None:
    sent, reply = drive("0.11", DecodedRequest(method, path), DecodedResponse(200, replied))
    assert [(each.method, each.path) for each in sent] == [(method, path)]
    assert reply == DecodedResponse(200, expected)


def test_a_run_includes_its_steps_and_arguments() -> None:
    steps = [
        {"stepId": "a", "status": "completed", "component": "/x", "result": {"result": None}},
        {"stepId": "b", "status": "blocked"},
        {"stepId": "c", "status": "failed", "result": {"error": {"code": 1, "message": 'step "z" failed'}}},
    ]
    details = [{"itemIndex": 1, "input": "second"}, {"itemIndex": 0, "input": None, "steps": steps}]
    run = {**OLD_RUN, "itemDetails": details, "overrides": {"a": 1}}
    _, reply = drive("0.11", DecodedRequest("GET", f"/runs/{RUN}"), DecodedResponse(200, run))
    assert reply.body["given"] == {"inputs": [None, "second"], "overrides": {"a": 1}}
    failure = {"errorMessage": 'step "z" failed', "errorCode": 8}
    details_of_failure = {"errorData": {"code": 1, "message": 'step "z" failed'}}
    assert reply.body["steps"] == [
        {**STEP, "stepId": "a", "component": "/x", "status": 2, "output": None},
        {**STEP, "stepId": "c", "component": "", "status": 3, "stepIndex": 1, **failure, **details_of_failure},
    ]
    del details[0]["input"]
    _, reply = drive("0.11", DecodedRequest("GET", f"/runs/{RUN}"), DecodedResponse(200, run))
    assert reply.body["given"]["inputs"] is None, "without every item's input, the inputs are unknown"


def test_status_and_level_names_become_numbers() -> None:
    words = {"running": 1, "completed": 2, "failed": 3, "cancelled": 4, "paused": 5, "recoveryFailed": 6}
    listed = {"runs": [{**OLD_RUN, "status": word} for word in words]}
    _, reply = drive("0.11", DecodedRequest("GET", "/runs"), DecodedResponse(200, listed))
    assert [run["status"] for run in reply.body["runs"]] == [*words.values()]
    for word, number in words.items():
        params = {"status": str(number)}
        sent, _ = drive("0.11", DecodedRequest("GET", "/runs", params), DecodedResponse(200, {"runs": []}))
        assert sent[0].params == {"status": word}
    diagnostics = {"diagnostics": {"diagnostics": [{"level": word} for word in ("fatal", "error", "warning")]}}
    _, reply = drive("0.11", DecodedRequest("POST", "/flows"), DecodedResponse(200, diagnostics))
    assert [each["level"] for each in reply.body["diagnostics"]["diagnostics"]] == [1, 2, 3]


def test_a_failure_keeps_its_stack() -> None:
    stack = [{"error": "outer", "attachments": ["a"], "other": 1}, "odd", {"attachments": [5]}, {"error": "inner"}]
    error = {"code": 500, "message": "no step is named", "data": {"stack": stack}}
    item = {"itemIndex": 0, "status": "failed", "result": {"error": error}}
    _, reply = drive("0.11", DecodedRequest("GET", f"/runs/{RUN}/items"), DecodedResponse(200, {"items": [item]}))
    expected = [{"error": "outer", "attachments": ["a"]}, {"attachments": [5]}, {"error": "inner"}]
    assert reply.body["results"] == [
        {
            "itemIndex": 0,
            "status": 3,
            "errorMessage": "no step is named",
            "errorCode": 3,
            "errorData": {"code": 500, "message": "no step is named", "stack": expected},
        }
    ]


@pytest.mark.parametrize(("index", "expected"), [(None, [0, 1]), ("0", [0]), ("1", [1]), ("7", [])])
def test_steps_are_filtered_by_item(index: str | None, expected: list[int]) -> None:
    steps = [{"stepId": "a", "status": "completed"}]
    details = [{"itemIndex": 0, "steps": steps}, {"itemIndex": 1, "steps": steps}, {"itemIndex": 2}]
    replies = [{**OLD_RUN, "items": {"total": 3}, "itemDetails": details}, {"steps": {}}]
    params = {} if index is None else {"itemIndex": index}
    request = DecodedRequest("GET", f"/runs/{RUN}/steps", params)
    _, reply = drive("0.11", request, *(DecodedResponse(200, each) for each in replies))
    assert [step["itemIndex"] for step in reply.body["steps"]] == expected


def test_a_batch_without_details_has_the_steps_of_its_first_item() -> None:
    replies = [{**OLD_RUN, "items": {"total": 2}}, {"steps": {"a": {"stepId": "a", "status": "completed"}}}]
    request = DecodedRequest("GET", f"/runs/{RUN}/steps")
    _, reply = drive("0.11", request, *(DecodedResponse(200, each) for each in replies))
    assert reply == DecodedResponse(200, {"steps": [{**STEP, "stepId": "a", "component": "", "status": 2}]})


def test_steps_of_an_item_come_from_the_second_response() -> None:
    details = [{"itemIndex": 0, "steps": [{"stepId": "a", "status": "running"}]}]
    replies = [{**OLD_RUN, "itemDetails": details}, {"steps": {"a": {"stepId": "a", "status": "completed"}}}]
    request = DecodedRequest("GET", f"/runs/{RUN}/steps")
    _, reply = drive("0.11", request, *(DecodedResponse(200, each) for each in replies))
    assert [step["status"] for step in reply.body["steps"]] == [2]


@pytest.mark.parametrize(
    "path", ["/runs", f"/runs/{RUN}/steps", f"/runs/{RUN}/steps/a", "/flows/f/variables", "/components"]
)
@pytest.mark.parametrize("old", ["0.10", "0.11"])
def test_errors_stop_the_translation(old: str, path: str) -> None:
    _, reply = drive(old, DecodedRequest("GET", path), DecodedResponse(503, {"message": "busy"}))
    assert reply == DecodedResponse(503, {"error": {"code": 503, "message": "busy", "status": "UNKNOWN"}})


def test_the_second_response_may_be_an_error() -> None:
    replies = DecodedResponse(200, OLD_RUN), DecodedResponse(404, "text of a proxy")
    for path in (f"/runs/{RUN}/steps", f"/runs/{RUN}/steps/a"):
        assert drive("0.11", DecodedRequest("GET", path), *replies)[1] == replies[1]


@pytest.mark.parametrize("runs", [[], [{**OLD_RUN, "status": "running"}]])
def test_a_list_of_runs(runs: list[dict[str, Any]]) -> None:
    _, reply = drive("0.11", DecodedRequest("GET", "/runs"), DecodedResponse(200, {"runs": runs}))
    assert reply == DecodedResponse(200, {"runs": [{**SUMMARY, "status": 1} for _ in runs]})


def test_lists_of_nested_runs_come_from_current_servers() -> None:
    with pytest.raises(AlreadyCurrentError):
        drive("0.11", DecodedRequest("GET", "/runs"), DecodedResponse(200, {"runs": [{"summary": {}}]}))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (500, "cannot deserialize blob", DecodedResponse(200, {"blobId": "b", "blobType": "binary", "data": None})),
        (500, "the store is down", None),
        (404, "cannot deserialize blob", None),
        (200, {"data": 1}, None),
    ],
)
def test_a_binary_blob_has_no_data_as_json(status: int, body: Any, expected: DecodedResponse | None) -> None:
    replied = DecodedResponse(status, body)
    assert drive("0.11", DecodedRequest("GET", "/blobs/b"), replied)[1] == (expected or replied)


def test_health_gets_an_empty_build() -> None:
    build = {"gitVersion": "", "dirty": False, "rustcVersion": "", "profile": "", "features": [], "target": ""}
    assert complete_health_body({"status": "healthy"}) == {"status": "healthy", "build": build}
    assert complete_health_body({"build": {"target": "x"}}) == {"build": {"target": "x"}}


class Swapped:
    """A server that can be replaced by another release behind the same URL."""

    def __init__(self) -> None:
        self.release = "0.11.1"
        self.lost = False
        self.paths: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1")
        self.paths.append(path)
        if self.lost:
            self.lost = False
            raise httpx.ReadError("gone")
        new = self.release == "0.13.0"
        if path == "/health":
            health: dict[str, Any] = {"build": {"gitVersion": "dd82fa7"}} if new else {"version": self.release}
            return httpx.Response(200, json={"status": "healthy", **health})
        run = {key: value for key, value in OLD_RUN.items() if value is not None}
        return httpx.Response(200, json={"summary": {**run, "status": 2}, "steps": []} if new else OLD_RUN)


@pytest.mark.parametrize("lost", [True, False], ids=["connection lost", "unnoticed"])
def test_a_replaced_server_is_identified_again(lost: bool) -> None:
    server = Swapped()
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server)) as client:
        assert client.get_run(RUN).status == "completed"
        assert client.server_info().release == "0.11.1"
        server.release, server.lost = "0.13.0", lost
        assert client.get_run(RUN).status == "completed"
        assert client.get_run(RUN).status == "completed"
        assert client.server_info().release == "0.13.0"


def test_a_pinned_server_is_not_identified() -> None:
    server = Swapped()
    with SyncStepflowClient("http://server", transport=httpx.MockTransport(server), server_release="0.11") as client:
        client.get_run(RUN)
        assert client.server_info().dialect == "0.11"
    assert server.paths == [f"/runs/{RUN}"]
