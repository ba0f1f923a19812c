"""Outcomes of mocks: outputs, failures, delays, and a different outcome for each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._runs.pins import Delayed, Fails
from ..errors import InvalidArgumentError
from ..flows.graph import SUBFLOW_INPUTS
from ..flows.interpreter import RETRIED, get_max_attempts
from ..types import ErrorCode, FlowError

Mock = Any | Callable[[Any], Any]
"""The outcome of a step: an output (any JSON value), `Fails`, `Delayed` or `InTurn`; or a function that is called with
the step's input and returns one of these."""


class InTurn:
    """The outcomes of a mock, one after the other: one for each attempt of a step, item and run. The last one repeats.

    Example:
        stepflow_mock.mock("draft", InTurn(Fails("RESOURCE_UNAVAILABLE"), {"text": "Dear ..."}))
    """

    def __init__(self, *outcomes: Mock) -> None:
        """Store the outcomes.

        Raises:
            InvalidArgumentError: If there are none.
        """
        if not outcomes:
            raise InvalidArgumentError("InTurn needs at least one outcome")
        self._outcomes = outcomes
        self._used = 0

    def next(self) -> Mock:
        """Return the next outcome."""
        outcome = self._outcomes[min(self._used, len(self._outcomes) - 1)]
        self._used += 1
        return outcome


def needs_input(mock: Mock) -> bool:
    """Return whether the outcome of a mock is only known when its step is called."""
    return callable(mock) or isinstance(mock, InTurn)


def get_outcome(mock: Mock, given: Any) -> Any:
    """Return the outcome of one attempt of a step: an output, `Fails` or `Delayed`."""
    if isinstance(mock, InTurn):
        return get_outcome(mock.next(), given)
    return get_outcome(mock(given), given) if callable(mock) else mock


def settle_outcome(mock: Mock, given: Any, step: Mapping[str, Any]) -> Any:
    """Return the outcome of a step after as many attempts as its `onError` allows, with the delays of all of them."""
    outcome, seconds = None, 0.0
    for _ in range(get_max_attempts(step)):
        outcome = get_outcome(mock, given)
        if isinstance(outcome, Delayed):
            outcome, seconds = outcome.outcome, seconds + outcome.delay
        if not isinstance(outcome, Fails) or get_error_number(outcome.error_code) not in RETRIED:
            break
    return Delayed(outcome, seconds) if seconds else outcome


def get_error_number(code: ErrorCode) -> int:
    """Return the number of a code on the wire."""
    return list(ErrorCode).index(code) + 1


def flow_result(output: Any, error: FlowError | None) -> dict[str, Any]:
    """Return an output, or an error, as a flow result."""
    from ..flows.error_codes import get_code_word

    if error is None:
        return {"outcome": "success", "result": output}
    return {"outcome": "failed", "error": {"code": get_code_word(error), "message": error.message}}


def format_mock(mock: Mock) -> Any:
    """Return a mock as the test cases of flow files write it: as a flow result, or as a list of these.

    Raises:
        InvalidArgumentError: If it is a function or has a delay, which flow files have not.
    """
    if isinstance(mock, InTurn):
        return [format_mock(outcome) for outcome in mock._outcomes]
    if isinstance(mock, Fails):
        return flow_result(None, FlowError(message=mock.message, code=mock.error_code))
    if callable(mock) or isinstance(mock, Delayed):
        raise InvalidArgumentError("a mock in a test case is an output, Fails, or InTurn of these")
    return flow_result(mock, None)


def parse_mock(value: Any) -> Any:
    """Return the outcome that the `mocks` of a test case and recordings write as a flow result; of a list, `InTurn`.

    Args:
        value: `{outcome: success, result}` or `{outcome: failed, error: {code, message}}`, or a list of these.

    Raises:
        InvalidArgumentError: If it is neither, or has an unknown error code.
    """
    if isinstance(value, list):
        return InTurn(*map(parse_mock, value))
    if isinstance(value, Mapping) and value.get("outcome") == "success" and "result" in value:
        return value["result"]
    error = value.get("error") if isinstance(value, Mapping) and value.get("outcome") == "failed" else None
    if isinstance(error, Mapping):
        # Older servers have failures without a code.
        given = {key: str(error[key]) for key in ("code", "message") if error.get(key) not in (None, "UNSPECIFIED")}
        return Fails(**given)
    raise InvalidArgumentError(
        "a mock is {outcome: success, result: ...}, {outcome: failed, error: {code, message}}, or a list of these"
    )


RunAll = Callable[[Any, Sequence[Any]], list[dict[str, Any]]]
"""Runs a flow with each of several inputs, and returns the flow results."""


def run_subflow(component: str, step_id: str, step_input: Any, run: RunAll) -> Any:
    """Return the outcome of a step with one of these components: its output, or `Fails`."""
    rejected = Fails("UNREACHABLE", f'step "{step_id}" failed')
    flow = step_input.get(SUBFLOW_INPUTS[component]) if isinstance(step_input, Mapping) else None
    if not isinstance(flow, Mapping):
        return rejected
    if component == "/builtin/map":
        if not isinstance(step_input.get("items"), list):
            return rejected
        # Failed elements do not fail the step.
        results = run(flow, step_input["items"])
        failed = sum(each["outcome"] == "failed" for each in results)
        return {"results": results, "successful": len(results) - failed, "failed": failed}
    limit = step_input.get("max_iterations")
    limit = 1000 if limit is None else limit
    if "initial_input" not in step_input or not isinstance(limit, int):
        return rejected
    # A failed iteration ends the step.
    value, turns = step_input["initial_input"], 0
    while turns < limit:
        (result,) = run(flow, [value])
        turns += 1
        if result["outcome"] == "failed":
            return parse_mock(result)
        output = result["result"] if isinstance(result["result"], Mapping) else {}
        if "result" in output:
            return {"result": output["result"], "iterations": turns, "terminated": False}
        if "next" not in output:
            return Fails("INVALID_INPUT", "Workflow result must contain either 'result' or 'next' field")
        value = output["next"]
    return {"result": value, "iterations": turns, "terminated": True}
