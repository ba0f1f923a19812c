"""Results and outcomes: what they tell of a failure, and how their output is taken."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import ErrorCode, FlowError, FlowResult, Outcome, RunFailedError

ERROR = FlowError(message="no paper", code=ErrorCode.COMPONENT_FAILED, step_id="print")


def of_a_run(status: str, **more: Any) -> Any:
    return FlowResult(run_id="r", status=status, **more)


def of_a_batch(status: str, **more: Any) -> Any:
    return Outcome(3, None, "r", FlowResult(status=status).status, **more)


@pytest.mark.parametrize("make", [of_a_run, of_a_batch])
def test_the_output_of_a_success(make: Any) -> None:
    done = make("completed", output={"n": 1})
    assert (done.is_success, done.is_failed, done.is_cancelled) == (True, False, False)
    assert done.unwrap() == {"n": 1}
    assert done.raise_for_failure() is done


@pytest.mark.parametrize(("make", "what"), [(of_a_run, "run r"), (of_a_batch, "input 3")])
def test_a_failure_is_raised_with_its_result(make: Any, what: str) -> None:
    failed = make("failed", error=ERROR)
    assert (failed.is_success, failed.is_failed, failed.is_cancelled) == (False, True, False)
    for take in (failed.unwrap, failed.raise_for_failure):
        with pytest.raises(RunFailedError, match=f"^{what} failed at step 'print': no paper$") as caught:
            take()
        assert caught.value.run_id == "r"
        assert caught.value.details == ERROR
        assert caught.value.result == of_a_run("failed", error=ERROR)


@pytest.mark.parametrize(("make", "what"), [(of_a_run, "run r"), (of_a_batch, "input 3")])
def test_a_cancelled_one_has_no_output(make: Any, what: str) -> None:
    cancelled = make("cancelled")
    assert cancelled.is_cancelled
    with pytest.raises(RunFailedError, match=f"^{what} is cancelled$"):
        cancelled.unwrap()


@pytest.mark.parametrize("code", list(ErrorCode))
def test_which_failures_are_retryable(code: ErrorCode) -> None:
    expected = code in {"timeout", "unreachable", "resource_unavailable", "lost_before_start"}
    assert FlowError(message="m", code=code).is_retryable is expected


def test_a_component_that_nothing_executes_is_retryable() -> None:
    assert FlowError(message="error routing component", code=ErrorCode.ORCHESTRATOR).is_retryable
    assert not FlowError(message="error routing component", code=ErrorCode.COMPONENT_FAILED).is_retryable
    assert not FlowError(message="error routing component").is_retryable


def test_the_record_of_an_outcome_is_plain() -> None:
    done = of_a_batch("completed", output=[FlowError(message="an object of a type")])
    assert done.to_dict() == {
        "index": 3,
        "key": None,
        "run_id": "r",
        "status": "completed",
        "output": [{"message": "an object of a type", "code": None, "step_id": None, "details": None}],
        "error": None,
        "attempts": 1,
    }
    assert of_a_batch("failed", error=ERROR, attempts=2).to_dict()["attempts"] == 2
    assert of_a_batch("completed", output=2**60).to_dict()["output"] == 2**60
