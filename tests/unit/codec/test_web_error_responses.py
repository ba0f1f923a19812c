"""Errors become problem details responses of a web application."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from stepflow_client import FlowResult, errors
from stepflow_client.types import FlowError
from stepflow_client.web import problem_details

RUN = "0199d2a4-0000-7000-8000-000000000001"
KINDS = [
    kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.StepflowClientError)
]
STATUSES = {
    errors.InvalidArgumentError: 422,
    errors.InvalidRequestError: 422,
    errors.IdempotencyConflictError: 422,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.RateLimitError: 429,
    errors.RunTimeoutError: 504,
    errors.RequestTimeoutError: 504,
    errors.ServerConnectionError: 503,
    errors.ClientClosedError: 503,
    errors.EmbeddedServerError: 503,
    errors.ServerNotInstalledError: 503,
    errors.ServerStartError: 503,
    errors.ServerStartTimeoutError: 503,
    errors.AmbiguousRunError: 503,
    errors.UnsupportedByServerError: 501,
    errors.InvalidFlowError: 500,
    errors.FlowFileError: 500,
    errors.FlowFileNotFoundError: 500,
    errors.NotAFlowError: 500,
    errors.AuthoringError: 500,
    errors.JournalError: 500,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_status(kind: type[errors.StepflowClientError]) -> None:
    problem = problem_details(
        kind("http://10.0.0.7:7840/secret said no", hint="see /etc/hosts")
        if "hint" in _parameters_of(kind)
        else kind("x")
    )
    assert problem.status == STATUSES.get(kind, 502)
    assert problem.body["status"] == problem.status
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.body["type"] == "about:blank"
    assert "/etc/hosts" not in json.dumps(problem.body)
    assert ("10.0.0.7" in json.dumps(problem.body)) == (problem.body["detail"] == "http://10.0.0.7:7840/secret said no")


def _parameters_of(kind: type[Any]) -> str:
    return str(inspect.signature(kind)).replace("**more", "hint")


def test_the_body_describes_the_run() -> None:
    failed = FlowResult(
        run_id=RUN, status="failed", error=FlowError(message="card refused", code="COMPONENT_FAILED", step_id="charge")
    )
    with pytest.raises(errors.RunFailedError) as caught:
        failed.unwrap()
    body = problem_details(caught.value).body
    assert (body["error"], body["run_id"], body["step_id"]) == ("run_failed", RUN, "charge")
    assert "card refused" in body["detail"]
    json.dumps(body)


def test_a_cancelled_run_is_a_conflict() -> None:
    with pytest.raises(errors.RunFailedError) as caught:
        FlowResult(run_id=RUN, status="cancelled").unwrap()
    assert problem_details(caught.value).status == 409
    assert problem_details(caught.value, statuses={errors.RunFailedError: 500}).status == 500


def test_retry_after_is_sent_as_a_header() -> None:
    error = errors.RateLimitError("slow down", status_code=429)
    error.retry_after = 1.2
    assert problem_details(error).headers["retry-after"] == "2"
    assert problem_details(error).body["retryable"] is True


def test_applications_can_override_statuses_and_types() -> None:
    class Refused(errors.InvalidFlowError):
        pass

    error = Refused("step 'a' reads 'b', which does not exist")
    problem = problem_details(error, statuses={errors.InvalidFlowError: 422}, type_base="https://example.org/errors/")
    assert (problem.status, problem.body["detail"]) == (422, error.message)
    assert problem.body["type"] == "https://example.org/errors/invalid_flow"
    for status in (500, 503):
        hidden = problem_details(error, statuses={errors.InvalidFlowError: status})
        assert (hidden.status, hidden.body["detail"]) == (status, "The workflow is not valid.")


@pytest.mark.parametrize("wrong", [ValueError("x"), None, "text", errors.NotFoundError])
def test_other_errors_are_rejected(wrong: Any) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="error must be a StepflowClientError"):
        problem_details(wrong)


@pytest.mark.parametrize(("seconds", "header"), [(-2.0, "0"), (0.0, "0"), (0.2, "1"), (3.0, "3")])
def test_retry_after_is_in_whole_seconds(seconds: float, header: str) -> None:
    error = errors.RateLimitError("slower", status_code=429)
    error.retry_after = seconds
    assert problem_details(error).headers["retry-after"] == header
