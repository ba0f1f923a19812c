"""Step mocks for tests: their outcomes, how flow files represent them, and mocks of steps that run a sub-flow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .._runs.pinned_steps import Delayed, Fails
from ..errors import InvalidArgumentError
from ..flows import graph, interpreter
from ..flows.expected_results import get_code_number, get_error_code_name
from ..types import FlowError

Mock = Any | Callable[[Any], Any]
"""A step's outcome: an output (any JSON value), `Fails`, `Delayed` or `InTurn`, or a function that takes the step's
input and returns one of these."""


class InTurn:
    """A mock with a sequence of outcomes, one for each attempt (in any item or run).

    After all of them have been used, the last one repeats.

    Example:
        stepflow_mock.mock("draft", InTurn(Fails("RESOURCE_UNAVAILABLE"), {"text": "Dear ..."}))
    """

    def __init__(self, *outcomes: Mock) -> None:
        """Store the outcomes.

        Raises:
            InvalidArgumentError: If there are no outcomes.
        """
        if not outcomes:
            raise InvalidArgumentError("InTurn needs at least one outcome")
        self._outcomes = outcomes
        self._call_count = 0

    def next(self) -> Mock:
        """Return the next outcome."""
        outcome = self._outcomes[min(self._call_count, len(self._outcomes) - 1)]
        self._call_count += 1
        return outcome


def is_dynamic_mock(mock: Mock) -> bool:
    """Return whether a mock's outcome is only known once its step is called."""
    return callable(mock) or isinstance(mock, InTurn)


def get_mock_outcome(mock: Mock, given: Any) -> Any:
    """Return the outcome of a single attempt: an output, `Fails` or `Delayed`."""
    if isinstance(mock, InTurn):
        return get_mock_outcome(mock.next(), given)
    return get_mock_outcome(mock(given), given) if callable(mock) else mock


def get_mock_outcome_after_retries(mock: Mock, given: Any, step: Mapping[str, Any]) -> Any:
    """Return a step's final outcome after all the attempts that its `onError` allows, with their delays added up."""
    outcome, seconds = None, 0.0
    for _ in range(interpreter.get_max_attempts(step)):
        outcome = get_mock_outcome(mock, given)
        if isinstance(outcome, Delayed):
            outcome, seconds = outcome.outcome, seconds + outcome.delay
        if not isinstance(outcome, Fails) or get_code_number(outcome.error_code) not in interpreter.RETRIED_CODES:
            break
    return Delayed(outcome, seconds) if seconds else outcome


def make_outcome_dict(output: Any, error: FlowError | None) -> dict[str, Any]:
    """Wrap an output or error as a flow result."""
    if error is None:
        return {"outcome": "success", "result": output}
    return {"outcome": "failed", "error": {"code": get_error_code_name(error), "message": error.message}}


def serialize_mock(mock: Mock) -> Any:
    """Convert a mock to the form used in flow files: a flow result or a list of flow results.

    Raises:
        InvalidArgumentError: If the mock is a function or has a delay. Flow files support neither.
    """
    if isinstance(mock, InTurn):
        return [serialize_mock(outcome) for outcome in mock._outcomes]
    if isinstance(mock, Fails):
        return make_outcome_dict(None, FlowError(message=mock.message, code=mock.error_code))
    if callable(mock) or isinstance(mock, Delayed):
        raise InvalidArgumentError("a mock in a test case must be an output, Fails, or InTurn of these")
    return make_outcome_dict(mock, None)


def parse_mock(value: Any) -> Any:
    """Parse a mock from a test case or a recording. A list becomes an `InTurn`.

    Args:
        value: `{outcome: success, result}` or `{outcome: failed, error: {code, message}}`, or a list of these.

    Raises:
        InvalidArgumentError: If the value has any other form, or an unknown error code.
    """
    if isinstance(value, list):
        return InTurn(*map(parse_mock, value))
    if isinstance(value, Mapping) and value.get("outcome") == "success" and "result" in value:
        return value["result"]
    error = value.get("error") if isinstance(value, Mapping) and value.get("outcome") == "failed" else None
    if isinstance(error, Mapping):
        # Older servers report failures without a code.
        given = {key: str(error[key]) for key in ("code", "message") if error.get(key) not in (None, "UNSPECIFIED")}
        return Fails(**given)
    raise InvalidArgumentError(
        "a mock must be {outcome: success, result: ...}, {outcome: failed, error: {code, message}}, or a list of these"
    )


RunAll = Callable[[Any, Sequence[Any]], list[dict[str, Any]]]
"""Runs a flow with several inputs and returns its results."""


def run_map_or_iterate(component: str, step_id: str, step_input: Any, run: RunAll) -> Any:
    """Return the outcome of a step that runs a sub-flow: its output, or `Fails`."""
    rejected = Fails("UNREACHABLE", f'step "{step_id}" failed')
    flow = step_input.get(graph.SUBFLOW_INPUTS[component]) if isinstance(step_input, Mapping) else None
    if not isinstance(flow, Mapping):
        return rejected
    if component == "/builtin/map":
        if not isinstance(step_input.get("items"), list):
            return rejected
        # The step doesn't fail, even if some of the elements do.
        results = run(flow, step_input["items"])
        failed = sum(result["outcome"] == "failed" for result in results)
        return {"results": results, "successful": len(results) - failed, "failed": failed}
    limit = step_input.get("max_iterations")
    limit = 1000 if limit is None else limit
    if "initial_input" not in step_input or not isinstance(limit, int):
        return rejected
    # If an iteration fails, so does the step.
    value, turns = step_input["initial_input"], 0
    for turns in range(1, limit + 1):
        (result,) = run(flow, [value])
        if result["outcome"] == "failed":
            return parse_mock(result)
        output = result["result"] if isinstance(result["result"], Mapping) else {}
        if "result" in output:
            return {"result": output["result"], "iterations": turns, "terminated": False}
        if "next" not in output:
            return Fails("INVALID_INPUT", "Workflow result must contain either 'result' or 'next' field")
        value = output["next"]
    return {"result": value, "iterations": turns, "terminated": True}
