"""Results and outcomes: status flags, unwrap, raise_for_failure and to_dict."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import ErrorCode, FlowError, FlowResult, Outcome, RunFailedError

ERROR = FlowError(message="no paper", code=ErrorCode.COMPONENT_FAILED, step_id="print")


def make_result(status: str, **more: Any) -> Any:
    return FlowResult(run_id="r", status=status, **more)


def make_outcome(status: str, **more: Any) -> Any:
    return Outcome(3, None, "r", FlowResult(status=status).status, **more)


@pytest.mark.parametrize("make", [make_result, make_outcome])
def test_a_success_unwraps_to_its_output(make: Any) -> None:
    done = make("completed", output={"n": 1})
    assert (done.is_success, done.is_failed, done.is_cancelled) == (True, False, False)
    assert done.unwrap() == {"n": 1}
    assert done.raise_for_failure() is done


@pytest.mark.parametrize(("make", "what"), [(make_result, "run r"), (make_outcome, "input 3")])
def test_a_failure_is_raised_with_its_result(make: Any, what: str) -> None:
    failed = make("failed", error=ERROR)
    assert (failed.is_success, failed.is_failed, failed.is_cancelled) == (False, True, False)
    for take in (failed.unwrap, failed.raise_for_failure):
        with pytest.raises(RunFailedError, match=f"^{what} failed at step 'print': no paper$") as caught:
            take()
        assert caught.value.run_id == "r"
        assert caught.value.details == ERROR
        assert caught.value.result == make_result("failed", error=ERROR)


@pytest.mark.parametrize(("make", "what"), [(make_result, "run r"), (make_outcome, "input 3")])
def test_a_cancelled_run_has_no_output(make: Any, what: str) -> None:
    cancelled = make("cancelled")
    assert cancelled.is_cancelled
    with pytest.raises(RunFailedError, match=f"^{what} is cancelled$"):
        cancelled.unwrap()


@pytest.mark.parametrize("code", list(ErrorCode))
def test_which_failures_are_retryable(code: ErrorCode) -> None:
    expected = code in {"timeout", "unreachable", "resource_unavailable", "lost_before_start"}
    assert FlowError(message="m", code=code).is_retryable is expected


def test_an_unrouted_component_is_retryable() -> None:
    assert FlowError(message="error routing component", code=ErrorCode.ORCHESTRATOR).is_retryable
    assert not FlowError(message="error routing component", code=ErrorCode.COMPONENT_FAILED).is_retryable
    assert not FlowError(message="error routing component").is_retryable


def test_to_dict_converts_nested_objects() -> None:
    done = make_outcome("completed", output=[FlowError(message="an object of a type")])
    assert done.to_dict() == {
        "index": 3,
        "key": None,
        "run_id": "r",
        "status": "completed",
        "output": [{"message": "an object of a type", "code": None, "step_id": None, "details": None}],
        "error": None,
        "attempts": 1,
    }
    assert make_outcome("failed", error=ERROR, attempts=2).to_dict()["attempts"] == 2
    assert make_outcome("completed", output=2**60).to_dict()["output"] == 2**60
