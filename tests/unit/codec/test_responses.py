"""Server responses are parsed into result types and errors."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from stepflow_client import errors
from stepflow_client._codec import errors_from_steps, responses
from stepflow_client._codec.call_checks import parse_declared_variables
from stepflow_client._codec.responses import StartedRun
from stepflow_client._data.secrets import Secrets
from stepflow_client._data.wire import OutputDecoder
from stepflow_client._runs.strip_and_restore_flow import RerunOrigin
from stepflow_client.history import HistoryEntry
from stepflow_client.types import ComponentInfo, ComponentList, ErrorCode, ExecutionStatus, FailedPlugin, FlowVariable

RUN_ID = "01900000-0000-7000-8000-000000000001"
REQUEST = f"GET /runs/{RUN_ID}"
SUMMARY = {
    "runId": RUN_ID,
    "flowId": "f",
    "status": 2,
    "items": {"total": 1, "completed": 1, "running": 0, "failed": 0, "cancelled": 0},
    "createdAt": "2026-11-24T23:42:11.509354609Z",
    "rootRunId": RUN_ID,
}
NO_REASON = "the server gave no reason"


# Errors


@pytest.mark.parametrize(
    ("status", "kind", "body", "error", "message", "details"),
    [
        pytest.param(
            404,
            "application/json",
            b'{"error": {"code": 404, "message": "Run not found", "status": "NOT_FOUND"}}',
            errors.NotFoundError,
            "Run not found",
            {"error": {"code": 404, "message": "Run not found", "status": "NOT_FOUND"}},
            id="the envelope of 0.12 and newer",
        ),
        pytest.param(
            409,
            "text/plain; charset=utf-8",
            b'{"code": 409, "message": "Run has ended", "stack": [{"error": "cause"}]}',
            errors.ConflictError,
            "Run has ended",
            {"code": 409, "message": "Run has ended", "stack": [{"error": "cause"}]},
            id="JSON as text with a stack, before 0.12",
        ),
        pytest.param(
            422,
            "text/plain",
            b"Failed to deserialize the JSON body:\n  missing field `input`",
            errors.InvalidRequestError,
            "Failed to deserialize the JSON body: missing field `input`",
            "Failed to deserialize the JSON body:\n  missing field `input`",
            id="plain text",
        ),
        pytest.param(
            502,
            "text/html",
            b"<html><h1>Bad Gateway</h1></html>",
            errors.ServerFaultError,
            f"{REQUEST} returned 502 Bad Gateway",
            "<html><h1>Bad Gateway</h1></html>",
            id="a proxy's page",
        ),
        pytest.param(
            503,
            "",
            b" <!doctype html>busy",
            errors.ServerFaultError,
            f"{REQUEST} returned 503 Service Unavailable",
            "<!doctype html>busy",
            id="a page without a content type",
        ),
        pytest.param(
            404, "", b"", errors.NotFoundError, f"{REQUEST} returned 404 Not Found", None, id="an unknown blob"
        ),
        pytest.param(599, "", b"", errors.ServerFaultError, f"{REQUEST} returned 599", None, id="an unknown status"),
        pytest.param(
            400,
            "application/json",
            b'{"error": "bad"}',
            errors.InvalidRequestError,
            "bad",
            {"error": "bad"},
            id="error",
        ),
        pytest.param(
            400,
            "application/json",
            b'{"message": 5}',
            errors.InvalidRequestError,
            f"{REQUEST} returned 400 Bad Request",
            {"message": 5},
            id="a message of the wrong type",
        ),
        pytest.param(
            400, "application/json", b'{"error', errors.InvalidRequestError, '{"error', '{"error', id="truncated JSON"
        ),
        pytest.param(400, "application/json", b"[1]", errors.InvalidRequestError, "[1]", "[1]", id="a list"),
        pytest.param(400, "x", b"\xff\xfe", errors.InvalidRequestError, "\ufffd\ufffd", "\ufffd\ufffd", id="bytes"),
    ],
)
def test_error_responses_of_every_shape_are_parsed(
    status: int, kind: str, body: bytes, error: type[errors.ApiError], message: str, details: Any
) -> None:
    parsed = responses.find_response_error(status, kind, body, REQUEST)
    assert type(parsed) is error
    assert parsed is not None
    assert parsed.message == message
    assert parsed.details == details
    assert parsed.status_code == status


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.InvalidRequestError),
        (401, errors.AuthenticationError),
        (402, errors.InvalidRequestError),
        (403, errors.AuthenticationError),
        (404, errors.NotFoundError),
        (405, errors.InvalidRequestError),
        (407, errors.AuthenticationError),
        (409, errors.ConflictError),
        (410, errors.NotFoundError),
        (412, errors.ConflictError),
        (413, errors.InvalidRequestError),
        (415, errors.InvalidRequestError),
        (418, errors.InvalidRequestError),
        (422, errors.InvalidRequestError),
        (429, errors.RateLimitError),
        (500, errors.ServerFaultError),
        (501, errors.ServerFaultError),
        (503, errors.ServerFaultError),
        (504, errors.ServerFaultError),
    ],
)
def test_the_error_class_depends_on_the_status(status: int, error: type[errors.ApiError]) -> None:
    parsed = responses.find_response_error(status, "", b"", REQUEST)
    assert type(parsed) is error
    assert isinstance(parsed, errors.ApiError)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_successful_response_is_no_error(status: int) -> None:
    assert responses.find_response_error(status, "application/json", b"{}", REQUEST) is None
    assert responses.find_response_error(status, "", b"", REQUEST) is None


@pytest.mark.parametrize("kind", ["application/grpc", "application/grpc; x=1", "Application/GRPC"])
def test_a_grpc_response_means_an_unsupported_path(kind: str) -> None:
    error = responses.find_response_error(200, kind, b"", "GET /new")
    assert type(error) is errors.UnsupportedByServerError
    assert "GET /new" in str(error)


def test_web_pages_and_redirects_are_invalid_responses() -> None:
    page = responses.find_response_error(200, "text/html; charset=utf-8", b"<html>", REQUEST)
    assert type(page) is errors.InvalidResponseError
    assert page.status_code == 200
    for status in (300, 301, 302, 307, 308, 304):
        moved = responses.find_response_error(status, "", b"", REQUEST)
        assert type(moved) is errors.InvalidResponseError
        assert str(status) in str(moved)


@pytest.mark.parametrize(
    ("body", "message"), [(b"", f"{REQUEST} returned 408"), (b'{"code": 408, "message": "too slow"}', "too slow")]
)
def test_status_408_is_a_request_timeout(body: bytes, message: str) -> None:
    late = responses.find_response_error(408, "application/json", body, REQUEST)
    assert type(late) is errors.RequestTimeoutError
    assert (late.message, late.status_code) == (message, 408)


SEE_LOG = "see the server's log for the reason"


@pytest.mark.parametrize(
    ("status", "body", "message", "hint"),
    [
        (500, b'{"error": {"message": "it broke"}}', "it broke", None),
        (500, b'{"code": 500}', f"{REQUEST} returned 500 Internal Server Error", SEE_LOG),
        (500, b"it broke", f"{REQUEST} returned 500 Internal Server Error: it broke", SEE_LOG),
        (500, b"", f"{REQUEST} returned 500 Internal Server Error", SEE_LOG),
        (429, b'{"message": "slower"}', "slower", "send fewer requests at once, or wait"),
        (404, b'{"message": ""}', f"{REQUEST} returned 404 Not Found", None),
    ],
)
def test_errors_contain_the_message_of_the_server(status: int, body: bytes, message: str, hint: str | None) -> None:
    error = responses.find_response_error(status, "application/json", body, REQUEST)
    assert error is not None
    assert (error.message, error.hint) == (message, hint)


def test_errors_about_rejected_credentials_say_how_to_set_them() -> None:
    error = responses.find_response_error(401, "application/json", b'{"message": "who?"}', REQUEST)
    assert error is not None
    assert error.message == f"{REQUEST} returned 401 Unauthorized: who?"
    assert "STEPFLOW_TOKEN" in (error.hint or "")


@pytest.mark.parametrize(
    ("status", "request_", "has_hint"),
    [
        (400, "GET /flows/x", True),
        (400, "GET /blobs/x", True),
        (400, "GET /runs/x", False),
        (422, "GET /flows/x", False),
    ],
)
def test_which_errors_explain_the_format_of_content_ids(status: int, request_: str, has_hint: bool) -> None:
    error = responses.find_response_error(status, "", b"no", request_)
    assert error is not None
    assert (error.hint == "a flow or blob ID has 64 hexadecimal digits") is has_hint


def test_partial_content_is_an_invalid_response() -> None:
    part = responses.find_response_error(206, "application/json", b"{}", REQUEST)
    assert type(part) is errors.InvalidResponseError
    assert part.status_code == 206


def test_a_message_is_one_line_of_bounded_length() -> None:
    error = responses.find_response_error(500, "text/plain", b"line\r\n\tof " + b"x" * 10_000, REQUEST)
    assert error is not None
    assert error.message.startswith(f"{REQUEST} returned 500 Internal Server Error: line of xxx")
    assert 500 <= len(error.message) <= 600
    assert error.message.endswith("…")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(100, 599), st.sampled_from(["", "application/json", "text/html", "application/grpc"]), st.binary())
def test_any_response_is_usable_or_a_client_error(status: int, kind: str, body: bytes) -> None:
    error = responses.find_response_error(status, kind, body, REQUEST)
    assert (error is None) <= (status < 300)
    assert error is None or (isinstance(error, errors.StepflowClientError) and str(error))


# JSON


def test_valid_json_is_parsed() -> None:
    assert responses.parse_object(b'{"a": 1.0}', REQUEST) == {"a": 1}
    assert responses.parse_json_value(b"[1.0]", REQUEST) == [1]


@pytest.mark.parametrize("content", [b"", b"OK", b"[1]", b"null", b"\xff", b'{"a": NaN}', b"[" * 100_000, b"9" * 5000])
def test_anything_but_a_json_object_is_an_invalid_response(content: bytes) -> None:
    with pytest.raises(errors.InvalidResponseError) as caught:
        responses.parse_object(content, REQUEST)
    assert REQUEST in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"", "an empty body"),
        (b" \n ", "an empty body"),
        (b"no\n JSON", "no JSON"),
        (b"x" * 80, "x" * 80),
        (b"x" * 81, "x" * 79 + "…"),
        (b" " * 399 + b"ab", "a"),
    ],
)
def test_invalid_json_is_quoted_in_part(content: bytes, start: str) -> None:
    for parse in (responses.parse_object, responses.parse_json_value):
        with pytest.raises(errors.InvalidResponseError) as caught:
            parse(content, REQUEST)
        assert caught.value.message == f"{REQUEST} returned something other than a JSON object: {start}"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({}, "summary is missing"),
        ({"summary": None}, ""),
        ({"summary": 5}, ""),
        ({"summary": {"runId": RUN_ID}}, "flowId"),
        ({"summary": {**SUMMARY, "status": None}}, "status"),
        ({"summary": {**SUMMARY, "createdAt": "yesterday"}}, "createdAt"),
        ({"summary": {**SUMMARY, "items": []}}, "items"),
    ],
)
def test_an_unexpected_response_names_the_wrong_field(answer: dict[str, Any], reason: str) -> None:
    with pytest.raises(errors.InvalidResponseError, match="an unexpected response") as caught:
        responses.build_from_response(responses.read_run, answer, REQUEST)
    assert reason in str(caught.value)
    assert caught.value.details == answer


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "summary",
                    "results",
                    "runs",
                    "steps",
                    "components",
                    "failedPlugins",
                    "diagnostics",
                    "itemIndex",
                    "status",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
)


@pytest.mark.parametrize("number", [60, pytest.param(200, marks=pytest.mark.exhaustive)])
def test_any_object_is_parsed_or_rejected(number: int) -> None:
    @settings(max_examples=number, deadline=None, derandomize=True)
    @given(ANYTHING.filter(lambda value: isinstance(value, dict)))
    def check(answer: dict[str, Any]) -> None:
        for make in (
            responses.read_run,
            responses.read_started_run,
            responses.read_runs,
            responses.read_components,
            responses.read_diagnostics,
            responses.read_step,
            lambda each: responses.read_items(RUN_ID, each["results"]),
            lambda each: responses.read_steps(RUN_ID, each["steps"]),
        ):
            with suppress(errors.InvalidResponseError):
                responses.build_from_response(make, answer, REQUEST)
        assert isinstance(parse_declared_variables(answer), dict)

    check()


# Runs, items, steps


def test_a_created_run_may_include_its_items() -> None:
    items = [{"itemIndex": 0, "status": 2, "output": 1}]
    started = responses.StartedRun(RUN_ID, ExecutionStatus.COMPLETED, items, summary=SUMMARY)
    assert responses.read_started_run({"summary": SUMMARY, "results": items}) == started
    for answer in ({"summary": SUMMARY}, {"summary": SUMMARY, "results": []}, {"summary": SUMMARY, "results": None}):
        assert responses.read_started_run(answer).answers == []


@pytest.mark.parametrize("wrong", [{"runId": 5}, {"runId": None}, {"status": None}, {"status": 1.5}])
def test_a_created_run_needs_an_id_and_a_status(wrong: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidResponseError):
        responses.build_from_response(responses.read_started_run, {"summary": {**SUMMARY, **wrong}}, REQUEST)


def test_results_do_not_depend_on_lazy_parsing() -> None:
    answers = [
        {"itemIndex": 1, "status": 3, "errorMessage": "no", "errorCode": 3},
        {"itemIndex": 0, "status": 2, "output": {"a": 1.0}},
        {"itemIndex": 2, "status": 1},
    ]
    parsed = responses.read_items(RUN_ID, answers)
    for item in parsed.items:
        assert item.status
    expected = [item.result for item in parsed.items][:2]
    for listed in (responses.read_items(RUN_ID, answers), parsed):
        results = responses.read_results(listed, ExecutionStatus.CANCELLED)
        assert results[:2] == expected
        assert results[2].is_cancelled
        assert type(results[0].output["a"]) is int


def test_items_are_in_input_order() -> None:
    listed = responses.read_items(
        RUN_ID,
        [
            {"itemIndex": 2, "status": 4, "completedAt": "2026-11-24T23:42:11Z"},
            {"itemIndex": 0, "status": 2, "output": None},
            {"itemIndex": 3, "status": 1},
            {"itemIndex": 1, "status": 3, "errorMessage": 'step "s" failed', "errorCode": 3},
        ],
    )
    assert [item.index for item in listed.items] == [0, 1, 2, 3]
    completed, failed, cancelled, running = (item.result for item in listed.items)
    assert completed is not None
    assert completed.is_success
    assert completed.output is None
    assert failed is not None
    assert failed.error is not None
    assert failed.error.code is ErrorCode.COMPONENT_FAILED
    assert failed.error.step_id == "s"
    assert failed.error.details == {"errorCode": 3}
    assert cancelled is not None
    assert cancelled.is_cancelled
    assert cancelled.error is None
    assert running is None


@pytest.mark.parametrize("message", [None, "", 5, {"a": 1}])
def test_a_failure_without_a_message_gets_a_default(message: Any) -> None:
    assert responses.read_error({"errorMessage": message}).message == NO_REASON
    assert responses.read_error({}).details is None


def test_secrets_are_masked_in_errors() -> None:
    answer = {"errorMessage": "no hunter2", "errorData": {"key": "hunter2"}}
    error = responses.read_error(answer, OutputDecoder(secrets=Secrets(["hunter2"])))
    assert (error.message, error.details) == ("no ***", {"errorData": {"key": "***"}})
    assert responses.read_error(answer).message == "no hunter2"


def test_an_unfinished_item_takes_the_status_of_its_run() -> None:
    listed = responses.read_items(RUN_ID, [{"itemIndex": 0, "status": 1}])
    assert responses.get_only_result(listed, ExecutionStatus.CANCELLED).is_cancelled
    assert responses.get_only_result(listed, ExecutionStatus.CANCELLED).error is None
    failed = responses.get_only_result(listed, ExecutionStatus.FAILED)
    assert failed.is_failed
    assert failed.error is not None
    assert failed.error.message == NO_REASON


@pytest.mark.parametrize("indexes", [[], [0, 1]])
def test_a_single_result_requires_a_single_item(indexes: list[int]) -> None:
    listed = responses.read_items(RUN_ID, [{"itemIndex": index, "status": 2} for index in indexes])
    with pytest.raises(errors.InvalidResponseError, match=f"returned {len(indexes)}") as caught:
        responses.get_only_result(listed, ExecutionStatus.COMPLETED)
    assert caught.value.run_id == RUN_ID


def test_steps_are_sorted_by_item_and_flow_order() -> None:
    answers = [
        {"stepId": "b", "stepIndex": 1, "itemIndex": 0, "status": 1, "component": "/x"},
        {"stepId": "a", "stepIndex": 0, "itemIndex": 1, "status": 3, "errorMessage": "no", "errorCode": 8},
        {"stepId": "a", "stepIndex": 0, "itemIndex": 0, "status": 2, "output": {"n": 1}},
        {"stepId": "alone", "status": 2},
    ]
    listed = responses.read_steps(RUN_ID, answers)
    assert [(step.item_index, step.step_id) for step in listed.steps] == [(0, "a"), (0, "alone"), (0, "b"), (1, "a")]
    assert listed.steps[0].output == {"n": 1}
    assert listed.steps[0].error is None
    assert [step.component for step in listed.steps] == [None, None, "/x", None]
    error = listed.steps[3].error
    assert error is not None
    assert (error.message, error.code, error.step_id) == ("no", ErrorCode.EXPRESSION_FAILED, "a")


@pytest.mark.parametrize(
    ("item", "step", "expected"),
    [
        (
            {"errorMessage": 'step "a" failed'},
            {"errorMessage": "disk full", "errorCode": 3},
            ("disk full", "a", "component_failed"),
        ),
        (
            {"errorMessage": 'step "a" failed', "errorCode": 5},
            {"errorCode": 3},
            ('step "a" failed', "a", "unreachable"),
        ),
        # A step error that differs from the item's error is not its cause.
        ({"errorMessage": "the whole story"}, {"errorMessage": "disk full"}, ("the whole story", None, None)),
        ({}, {"errorMessage": "disk full"}, (NO_REASON, None, None)),
    ],
)
def test_failed_steps_complete_the_errors_of_items(
    item: dict[str, Any], step: dict[str, Any], expected: tuple[str, str, str | None]
) -> None:
    listed = responses.read_items(
        RUN_ID, [{"itemIndex": 0, "status": 3, **item}, {"itemIndex": 1, "status": 2, "output": 1}]
    )
    steps = responses.read_steps(
        RUN_ID,
        [
            {"stepId": "a", "stepIndex": 0, "itemIndex": 0, "status": 3, **step},
            {"stepId": "later", "stepIndex": 1, "itemIndex": 0, "status": 3, "errorMessage": "follows"},
        ],
    )
    explained = errors_from_steps.add_failed_step_to_errors(listed, [0], {0: steps.steps}, {})
    result = explained.items[0].result
    assert result is not None
    assert result.error is not None
    assert (result.error.message, result.error.step_id, result.error.code) == expected
    assert explained.items[1] == listed.items[1]
    assert errors_from_steps.add_failed_step_to_errors(listed, [0], {}, {}) == listed
    assert errors_from_steps.add_failed_step_to_errors(listed, [0], {0: []}, {}) == listed


@pytest.mark.parametrize(
    ("errors", "is_ambiguous"),
    [
        ([], False),
        ([("no", 3)], False),
        ([("other", 3)], True),
        ([("no", 5)], True),
        ([("no", 3), ("no", 3)], True),
        ([("no", 3), ("other", 3)], True),
    ],
)
@pytest.mark.parametrize("is_lazy", [True, False])
def test_the_flow_is_needed_unless_one_step_failed_like_its_item(
    errors: list[tuple[str, int]], is_ambiguous: bool, is_lazy: bool
) -> None:
    items = [{"itemIndex": 4, "status": 3, "errorMessage": "no", "errorCode": 3}, {"itemIndex": 5, "status": 2}]
    listed = responses.read_items(RUN_ID, items)
    listed = listed if is_lazy else replace(listed, items=list(listed.items))
    common: dict[str, Any] = {"stepIndex": 0, "itemIndex": 4}
    failed = [{**common, "stepId": "a", "status": 3, "errorMessage": text, "errorCode": code} for text, code in errors]
    steps = {4: responses.read_steps(RUN_ID, [*failed, {**common, "stepId": "b", "status": 2}]).steps}
    assert errors_from_steps.is_failure_cause_ambiguous(listed, [0], steps) is is_ambiguous
    assert not errors_from_steps.is_failure_cause_ambiguous(listed, [1], {5: steps[4]}), "the step has not failed"


@pytest.mark.parametrize(
    ("named", "message", "has_flow", "step_id"),
    [
        ("m", "Path $.x not found", True, None),
        ("inner", "boom", True, None),
        ("inner", "boom", False, "inner"),
        ("a", "boom", True, "a"),
    ],
)
def test_an_error_names_only_the_step_that_failed_the_item(
    named: str, message: str, has_flow: bool, step_id: str | None
) -> None:
    steps = [{"id": "a", "component": "/x"}, {"id": "m", "component": "/x", "mustExecute": True}]
    flow = {"steps": steps, "output": {"$step": "a", "path": "$.x"}} if has_flow else {}
    item = {"itemIndex": 0, "status": 3, "errorMessage": message, "stepId": named}
    listed = responses.read_items(RUN_ID, [item])
    answers = [{"stepId": "a", "stepIndex": 0, "itemIndex": 0, "status": 2, "output": {}}]
    answers += [{"stepId": "m", "stepIndex": 1, "itemIndex": 0, "status": 3, "errorMessage": "Path $.x not found"}]
    explained = errors_from_steps.add_failed_step_to_errors(
        listed, [0], {0: responses.read_steps(RUN_ID, answers).steps}, flow
    )
    error = explained.items[0].error
    assert error is not None
    assert (error.message, error.step_id) == (message, step_id)


@pytest.mark.parametrize(
    ("statuses", "code", "step_id", "details"),
    [
        (None, "lost", None, None),
        ([], "lost_before_start", None, {"started_steps": []}),
        ([2, 1, 1], "lost", "b", {"started_steps": ["a", "b", "c"]}),
        ([2, 2], "lost", "b", {"started_steps": ["a", "b"]}),
    ],
)
def test_unfinished_items_of_a_failed_run_are_lost(
    statuses: list[int] | None, code: str, step_id: str | None, details: dict[str, Any] | None
) -> None:
    listed = responses.read_items(RUN_ID, [{"itemIndex": 0, "status": 2, "output": 1}, {"itemIndex": 1, "status": 1}])
    answers = [
        {"stepId": "abc"[index], "stepIndex": index, "itemIndex": 1, "status": status}
        for index, status in enumerate(statuses or [])
    ]
    started = {} if statuses is None else {1: responses.read_steps(RUN_ID, answers).steps}
    lost = errors_from_steps.add_lost_run_errors(listed, ExecutionStatus.FAILED, started)
    assert lost.items[0] == listed.items[0]
    result = lost.items[1].result
    assert (lost.items[1].status, result and result.status) == ("failed", "failed")
    assert result is not None
    assert result.error is not None
    assert (result.error.code, result.error.step_id, result.error.details) == (code, step_id, details)
    assert responses.read_results(lost, ExecutionStatus.FAILED)[1] == result
    # The original list is not changed.
    assert listed.items[1].status == "running"


# Flows and components


def test_diagnostics_are_sorted_by_severity() -> None:
    result = responses.read_diagnostics(
        {
            "diagnostics": [
                {"level": level, "kind": "k", "code": 1, "formatted": str(level), "path": "$.steps[0]"}
                for level in (3, 2, 7, 1)
            ]
        }
    )
    assert [each.message for each in result.diagnostics] == ["1", "2", "3", "7"]
    assert not result.is_valid
    assert responses.read_diagnostics(None).is_valid
    assert responses.read_diagnostics({}).is_valid


def test_the_declared_variables_of_a_flow() -> None:
    declared = {
        "key": {"type": "string", "is_secret": True, "env_var": "KEY", "description": "The key"},
        "n": {"type": "integer", "default": 0},
        "free": {},
        "odd": 5,
        "wrong": {"env_var": 5, "description": [], "is_secret": "yes"},
    }
    schema = {"type": "object", "required": ["key", "n"], "properties": declared}
    variables = parse_declared_variables({"schemas": {"properties": {"variables": schema}}})
    assert list(variables) == ["key", "n", "free", "wrong"]
    assert variables["key"] == FlowVariable(
        is_required=True,
        env_var="KEY",
        is_secret=True,
        description="The key",
        value_schema=declared["key"],  # type: ignore[arg-type]
    )
    assert (variables["n"].is_required, variables["n"].default) == (False, 0)
    assert (variables["wrong"].env_var, variables["wrong"].description, variables["wrong"].is_secret) == (
        None,
        None,
        True,
    )


@pytest.mark.parametrize(
    "flow",
    [
        {},
        {"schemas": None},
        {"schemas": []},
        {"schemas": {"properties": 5}},
        {"schemas": {"properties": {"variables": True}}},
        {"schemas": {"properties": {"variables": {"properties": []}}}},
    ],
)
def test_a_flow_without_variables_declares_none(flow: dict[str, Any]) -> None:
    assert parse_declared_variables(flow) == {}


@pytest.mark.parametrize("required", [5, None, "a", {"a": 1}, True])
def test_a_malformed_required_list_is_ignored(required: Any) -> None:
    schema = {"required": required, "properties": {"a": {}}}
    assert not parse_declared_variables({"schemas": {"properties": {"variables": schema}}})["a"].is_required


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        ({"steps": {"a": {"$type": "merge_patch", "value": {"input": 1}}}}, {"a": {"input": 1}}),
        ({"a": {"value": {"input": 1}}}, {"a": {"input": 1}}),
        ({"a": {"input": 1}}, {"a": {"input": 1}}),
        ({"steps": {}}, None),
        ({"steps": "odd"}, None),
        ("odd", "odd"),
        ([], None),
        (None, None),
    ],
)
def test_reported_overrides_are_parsed_to_the_form_callers_write(reported: Any, expected: Any) -> None:
    assert responses.merge_run_arguments(RUN_ID, {"overrides": reported}, None).overrides == expected


@pytest.mark.parametrize(
    ("given", "inputs", "overrides"),
    [
        ({"inputs": [1, None], "overrides": {"a": {"input": 2}}}, [1, None], {"a": {"input": 2}}),
        ({"inputs": []}, [], None),
        ({}, None, None),
        (None, None, None),
    ],
)
def test_reported_run_arguments_may_be_incomplete(given: Any, inputs: Any, overrides: Any) -> None:
    parsed = responses.read_reported_arguments({"given": given})
    assert parsed == {"inputs": inputs, "overrides": overrides}
    assert responses.merge_run_arguments(RUN_ID, parsed, None).inputs == inputs


@pytest.mark.parametrize("inputs", [{"a": 1}, "text", 0, False])
def test_inputs_of_a_run_are_a_list(inputs: Any) -> None:
    with pytest.raises(TypeError, match=r"^inputs: not a list$"):
        responses.read_reported_arguments({"given": {"inputs": inputs}})


@pytest.mark.parametrize("content", [None, [], "text"])
def test_the_content_of_a_flow_is_an_object(content: Any) -> None:
    with pytest.raises(TypeError, match=r"^flow: not an object$"):
        responses.read_flow_as_stored({"flow": content})


@pytest.mark.parametrize(
    ("metadata", "restored"),
    [
        ({"metadata": {"stepflow-client": {}, "own": 1}}, {"metadata": {"own": 1}}),
        ({"metadata": {"stepflow-client": {}}}, {}),
    ],
)
def test_stored_flows_are_restored(metadata: dict[str, Any], restored: dict[str, Any]) -> None:
    answer = {"flow": {"steps": [], **metadata}, "flowId": "f"}
    assert responses.read_flow_as_stored(answer) == answer["flow"]
    for stored in (responses.read_flow(answer), responses.read_flow(answer, "f")):
        assert (stored.flow_id, stored.flow) == ("f", {"steps": [], **restored})
    with pytest.raises(ValueError, match=r"^it is for a different flow, f$"):
        responses.read_flow(answer, "another")
    for wrong in (None, 5, "text"):
        with pytest.raises(errors.InvalidResponseError, match="flow"):
            responses.build_from_response(responses.read_flow, {**answer, "flow": wrong}, "GET /flows/f")


@pytest.mark.parametrize(
    ("answer", "build"),
    [
        ({"status": "healthy", "version": "0.13.0", "build": {"gitVersion": "unknown"}}, None),
        ({"status": "healthy", "build": {"gitVersion": "1a2b3c"}}, {"gitVersion": "1a2b3c"}),
    ],
)
def test_health_reports_a_release_or_a_build(answer: dict[str, Any], build: dict[str, Any] | None) -> None:
    health = responses.read_health(answer)
    assert (health.status, health.version, health.build) == ("healthy", answer.get("version"), build)


@pytest.mark.parametrize(
    ("reported", "recorded", "expected"),
    [
        ({}, {"input": {"n": 1}}, {"inputs": [{"n": 1}], "variables": {}}),
        ({}, {"input": [1, 2]}, {"inputs": [1, 2], "variables": {}}),
        ({"inputs": [3]}, {"input": [1, 2]}, {"inputs": [3], "variables": {}}),
        ({}, {"input": None, "omitted": ("input",)}, {"inputs": None, "variables": {}}),
        ({"inputs": [3]}, {"omitted": ("input", "variables")}, {"inputs": [3], "variables": None}),
        ({}, {"variables": {"v": 1}}, {"inputs": [None], "variables": {"v": 1}}),
        ({"overrides": {"a": 1}}, {"overrides": {"a": 1, "b": 2}}, {"overrides": {"a": 1}}),
        ({"overrides": {"a": 1}}, {"overrides": {"a": 1, "b": 2}, "rerun_of": "r"}, {"overrides": {"a": 1, "b": 2}}),
        ({"overrides": {"a": 1}}, {"rerun_of": "r"}, {"overrides": {"a": 1}, "rerun_of": "r"}),
        ({}, {"overrides": {"b": 2}}, {"overrides": {"b": 2}, "is_recorded": True}),
        ({}, {"labels": {"l": "x"}, "note": "n", "kept": ("a",)}, {"labels": {"l": "x"}, "note": "n", "kept": ["a"]}),
    ],
)
def test_arguments_are_filled_in_from_the_history(
    reported: dict[str, Any], recorded: dict[str, Any], expected: dict[str, Any]
) -> None:
    entry = HistoryEntry(RUN_ID, datetime.now(UTC), **recorded)
    arguments = responses.merge_run_arguments(RUN_ID, reported, entry)
    assert {name: getattr(arguments, name) for name in expected} == expected


def test_an_unrecorded_rerun_refers_to_the_earlier_run() -> None:
    arguments = responses.merge_run_arguments(RUN_ID, {}, None, RerunOrigin("earlier", {"a": 1, "b": 2}))
    assert (arguments.rerun_of, arguments.kept, arguments.is_recorded) == ("earlier", ["a", "b"], False)


def test_components_by_any_of_their_names() -> None:
    listed = responses.read_components(
        {
            "components": [
                {
                    "componentId": "x",
                    "path": "/create_messages",
                    "plugin": "builtin",
                    "inputSchema": {"type": "object"},
                },
                {"component": "/builtin/eval", "description": "d"},
            ],
            "complete": False,
            "failedPlugins": [{"plugin": "p", "error": "gone"}],
        }
    )
    assert [component.name for component in listed] == ["create_messages", "builtin/eval"]
    assert listed[0].plugin == "builtin"
    assert listed[0].input_schema == {"type": "object"}
    assert listed.failed_plugins == [FailedPlugin(plugin="p", error="gone")]


@pytest.mark.parametrize(
    ("routes", "paths"),
    [
        ({"/builtin": [{"plugin": "b"}], "/py": [{"plugin": "p"}]}, ["/builtin/x", "/py/y", None]),
        ({"/builtin/{*component}": [{"plugin": "b"}]}, ["/builtin/x", None, "/builtin/z"]),
        ({"/one": [{"plugin": "b"}], "/two": [{"plugin": "b"}]}, ["/one/x", None, "/one/z"]),
        ({"/": [{"plugin": "b"}]}, ["/x", None, "/z"]),
        ({}, [None, None, None]),
        ({"/a": None, "/b": [5, {}, {"plugin": 5}]}, [None, None, None]),
    ],
)
def test_component_paths_follow_from_routes(routes: dict[str, Any], paths: list[str | None]) -> None:
    listed = ComponentList(
        [ComponentInfo(name="x", plugin="b"), ComponentInfo(name="y", plugin="p"), ComponentInfo(name="z")],
        [FailedPlugin(plugin="q", error="e")],
    )
    with_paths = responses.add_component_paths_from_routes(listed, routes)
    assert [component.path for component in with_paths] == paths
    assert with_paths.failed_plugins == listed.failed_plugins


@pytest.mark.parametrize(
    ("rule", "is_served"),
    [
        ({}, True),
        ({"componentAllow": ["/x"]}, True),
        ({"componentAllow": ["/y", "/*"]}, True),
        ({"componentAllow": ["/y"]}, False),
        ({"componentAllow": []}, False),
        ({"componentDeny": ["/x"]}, False),
        ({"componentDeny": ["/y", "/*"]}, False),
        ({"componentDeny": ["/y"]}, True),
        ({"componentAllow": ["/x"], "componentDeny": ["/x"]}, False),
        ({"componentAllow": None, "componentDeny": None}, True),
    ],
)
def test_a_route_serves_only_the_components_it_allows(rule: dict[str, Any], is_served: bool) -> None:
    listed = ComponentList([ComponentInfo(name="x", plugin="p")], [])
    routes = {"/first": [{"plugin": "p", **rule}], "/second": [{"plugin": "p"}], "/third": [{"plugin": "p"}]}
    (component,) = responses.add_component_paths_from_routes(listed, routes)
    assert component.path == ("/first/x" if is_served else "/second/x")
    (component,) = responses.add_component_paths_from_routes(listed, {**routes, "/first/x": [], "/second/x": []})
    assert component.path == "/third/x", "an empty list of rules removes a component from a route"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (None, None),
        ("", None),
        ("attachment", None),
        ('attachment; filename="a b.txt"', "a b.txt"),
        ("attachment; filename*=UTF-8''%C3%A4.txt", "ä.txt"),
        ("attachment; filename*=x", "x"),
        ("=?=;;'", None),
    ],
)
def test_a_blob_name_is_parsed_from_its_header(disposition: str | None, name: str | None) -> None:
    assert responses.parse_attachment_name(disposition) == name


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ([], ExecutionStatus.COMPLETED),
        ([{"itemIndex": 0, "status": 2}, {"itemIndex": 1, "status": 2}], ExecutionStatus.COMPLETED),
        ([{"itemIndex": 0, "status": 3, "errorMessage": "no"}], ExecutionStatus.FAILED),
        ([{"itemIndex": 0, "status": 3}], ExecutionStatus.COMPLETED),
        ([{"itemIndex": 0, "status": 1}], ExecutionStatus.COMPLETED),
    ],
)
def test_only_a_success_is_read_from_the_creation_response(
    answers: list[dict[str, Any]], status: ExecutionStatus
) -> None:
    assert responses.read_immediate_result(StartedRun("r", status, answers)) is None
    done = [{"itemIndex": 0, "status": 2, "output": {"n": 1.0, "none": None}}]
    result = responses.read_immediate_result(StartedRun("r", ExecutionStatus.COMPLETED, done))
    assert result is not None
    assert (result.run_id, result.is_success, result.output) == ("r", True, {"n": 1, "none": None})


def test_an_unreadable_output_is_an_unexpected_response() -> None:
    output: list[Any] = []
    for _ in range(50_000):
        output = [output]
    answers = [{"itemIndex": 0, "status": 2, "output": output}]
    with pytest.raises(errors.InvalidResponseError, match=f"GET /runs/{RUN_ID}/items returned an unexpected response"):
        responses.read_immediate_result(StartedRun(RUN_ID, ExecutionStatus.COMPLETED, answers))


@pytest.mark.parametrize("run_id", ["01900000-0000-7000-8000-000000000001", "01900000000070008000000000000001"])
def test_run_ids_are_accepted_in_any_format(run_id: str) -> None:
    summary = {**SUMMARY, "runId": run_id.upper()}
    assert responses.read_run({"summary": summary}, RUN_ID).run_id == RUN_ID
    assert responses.read_started_run({"summary": summary}).run_id == RUN_ID


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"runId": 5}, "runId is 5"),
        ({"runId": "../x"}, "badly formed hexadecimal UUID string"),
        ({"flowId": ""}, "flowId is ''"),
        ({"flowId": ".."}, "flowId is '..'"),
        ({"flowId": None}, "flowId is None"),
        ({"runId": RUN_ID[:-1] + "2"}, f"it is for a different run, {RUN_ID[:-1]}2"),
    ],
)
def test_invalid_ids_are_rejected(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        responses.read_run({"summary": {**SUMMARY, **wrong}}, RUN_ID)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (None, "the items are not a list of objects"),
        ([[]], "the items are not a list of objects"),
        ([{"itemIndex": True, "status": 2}], "an item's index is not an integer"),
        ([{"itemIndex": 0, "status": True}], "an item's status is neither a number nor a string"),
        ([{"itemIndex": 0, "status": 1.5}], "an item's status is neither a number nor a string"),
    ],
)
def test_items_are_checked_before_they_are_built(answers: Any, reason: str) -> None:
    with pytest.raises(TypeError) as caught:
        responses.check_and_sort_items(answers)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("status", "expected"), [(2, "completed"), ("completed", "completed"), (99, "unknown_99"), ("odd", "odd")]
)
def test_unknown_item_statuses_are_accepted(status: Any, expected: str) -> None:
    answers = [{"itemIndex": 0, "status": status}]
    assert responses.check_and_sort_items(answers) == answers
    assert responses.read_items(RUN_ID, answers).items[0].status == expected


@pytest.mark.parametrize(
    ("status", "items", "has_ended"),
    [
        (1, [], False),
        (2, [], True),
        (4, [], True),
        (3, [], False),
        (3, [2, 3], True),
        (3, [2, 1], False),
        (6, [3], True),
    ],
)
def test_a_failed_run_has_ended_once_its_items_have(status: int, items: list[int], has_ended: bool) -> None:
    answers = [{"itemIndex": index, "status": each} for index, each in enumerate(items)]
    started = responses.read_started_run({"summary": {**SUMMARY, "status": status}, "results": answers})
    assert started.has_ended is has_ended


def test_steps_from_older_servers_have_no_times() -> None:
    step = {"stepId": "a", "stepIndex": 0, "itemIndex": 0, "status": 2, "updatedAt": SUMMARY["createdAt"]}
    assert responses.read_step({**step, "journalSeqno": 0}).updated_at is None
    assert responses.read_step({**step, "journalSeqno": 1}).updated_at is not None


def test_only_the_requested_step_is_read() -> None:
    step = {"stepId": "a", "stepIndex": 0, "itemIndex": 1, "status": 2}
    assert responses.read_requested_step(step, "a", 1).item_index == 1
    for step_id, item in (("b", 1), ("a", 0)):
        with pytest.raises(ValueError, match=r"^it is for a different step, 'a' of item 1$"):
            responses.read_requested_step(step, step_id, item)


def test_an_item_of_a_completed_run_without_an_output_is_lost() -> None:
    listed = responses.read_items(RUN_ID, [{"itemIndex": 0, "status": 1}])
    lost = errors_from_steps.add_lost_run_errors(listed, ExecutionStatus.COMPLETED, {})
    item = lost.items[0].result
    assert item is not None
    assert item.status == "failed"
    assert item.error is not None
    assert item.error.message == (
        "the server completed the run without the output of this item; "
        "some of its steps may have run and would run again"
    )


def test_outputs_are_read_directly_if_all_items_completed() -> None:
    completed = [
        {"itemIndex": index, "status": status, "output": index} for index, status in enumerate((2, "completed"))
    ]
    listed = responses.read_items(RUN_ID, completed)
    assert responses.read_outputs_if_completed(RUN_ID, listed.items) == [0, 1]
    for status in (1, 3, "failed"):
        mixed = responses.read_items(RUN_ID, [*completed, {"itemIndex": 2, "status": status}])
        assert responses.read_outputs_if_completed(RUN_ID, mixed.items) is None
