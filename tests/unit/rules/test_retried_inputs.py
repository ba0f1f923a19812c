"""Which inputs of a batch are retried."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client._rules.chunks import InputRetryRule, RetryOn
from stepflow_client.types import ErrorCode, ExecutionStatus, FlowError, Outcome


def outcome(index: int, status: ExecutionStatus, code: ErrorCode | None = None) -> Outcome:
    error = None if code is None else FlowError(message="no", code=code)
    return Outcome(index=index, key=None, run_id="r", status=status, error=error)


OUTCOMES = [
    outcome(0, ExecutionStatus.COMPLETED),
    outcome(1, ExecutionStatus.FAILED, ErrorCode.TIMEOUT),
    outcome(2, ExecutionStatus.FAILED, ErrorCode.COMPONENT_FAILED),
    outcome(3, ExecutionStatus.CANCELLED),
    outcome(4, ExecutionStatus.FAILED, ErrorCode("unknown_99")),
]


@pytest.mark.parametrize(
    ("retry_on", "retried"),
    [
        (None, {1}),
        ([ErrorCode.COMPONENT_FAILED], {2}),
        (["timeout", "component_failed"], {1, 2}),
        (["cancelled"], {3}),
        (["unknown_99"], {4}),
        ([], set()),
        (lambda outcome: outcome.index >= 2, {2, 3, 4}),
        (lambda outcome: True, {1, 2, 3, 4}),
        (lambda outcome: outcome.error and outcome.error.message, {1, 2, 4}),
    ],
)
def test_which_inputs_are_retried(retry_on: RetryOn | None, retried: set[int]) -> None:
    rule = InputRetryRule(3, retry_on)
    assert rule.is_enabled
    assert [rule.find_retried_inputs(OUTCOMES, attempt) for attempt in (1, 2, 3)] == [retried, retried, set()]


@pytest.mark.parametrize(("max_attempts", "is_enabled"), [(None, False), (1, False), (2, True)])
def test_inputs_run_once_by_default(max_attempts: int | None, is_enabled: bool) -> None:
    rule = InputRetryRule(max_attempts, None)
    assert rule.is_enabled is is_enabled
    assert rule.find_retried_inputs(OUTCOMES, 1) == ({1} if is_enabled else set())


@pytest.mark.parametrize(
    ("max_attempts", "retry_on", "message", "hint"),
    [
        (None, ["timeout"], "retry_on needs max_attempts", "max_attempts=3 runs an input up to 3 times"),
        (2, ["tiemout"], "retry_on contains 'tiemout', which is not an error code", "did you mean 'timeout'?"),
        (2, ["unknown_"], "retry_on contains 'unknown_', which is not an error code", None),
        (0, None, "max_attempts must be an integer of at least 1, not 0", None),
    ],
)
def test_invalid_retry_rules(max_attempts: Any, retry_on: Any, message: str, hint: str | None) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        InputRetryRule(max_attempts, retry_on)
    assert caught.value.message == message
    assert hint is None or caught.value.hint == hint
