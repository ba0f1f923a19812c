"""Test cases in flow files: inputs, mocked outcomes, expected outputs, and the configuration to use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike, fsdecode
from pathlib import Path
from typing import Any, Literal

from .._base.text import short_json
from .._checks.shape_rules import check_flow_shape
from .._data.arguments import file_path
from .._runs.pins import Delayed, Fails
from .._runs.stored_flow import remove_cases
from ..errors import FlowFileError, InvalidArgumentError
from ..flows import graph, interpreter, reading
from ..flows.expressions import Path as Place, parse_path
from ..flows.findings import Findings
from ..flows.matching import ERROR_CODES, Difference, compare, get_error_code_name, is_matcher
from ..flows.source import FlowText, Node
from ..types import ErrorCode, FlowError, FlowResult
from ..types.models import Record

Mock = Any | Callable[[Any], Any]
"""A step's outcome: an output (any JSON value), `Fails`, `Delayed` or `InTurn`, or a function that accepts the step's
input and returns one of these."""


class InTurn:
    """A mock with a sequence of outcomes, one for each attempt of a step, item and run. The last one repeats.

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


def is_computed_mock(mock: Mock) -> bool:
    """Return whether a mock's outcome isn't known until its step is called."""
    return callable(mock) or isinstance(mock, InTurn)


def get_mock_outcome(mock: Mock, given: Any) -> Any:
    """Return the outcome of a single attempt: an output, `Fails` or `Delayed`."""
    if isinstance(mock, InTurn):
        return get_mock_outcome(mock.next(), given)
    return get_mock_outcome(mock(given), given) if callable(mock) else mock


def resolve_final_outcome(mock: Mock, given: Any, step: Mapping[str, Any]) -> Any:
    """Return a step's final outcome after the attempts its `onError` allows, with their delays added up."""
    outcome, seconds = None, 0.0
    for _ in range(interpreter.get_max_attempts(step)):
        outcome = get_mock_outcome(mock, given)
        if isinstance(outcome, Delayed):
            outcome, seconds = outcome.outcome, seconds + outcome.delay
        if not isinstance(outcome, Fails) or get_error_number(outcome.error_code) not in interpreter.RETRIED:
            break
    return Delayed(outcome, seconds) if seconds else outcome


def get_error_number(code: ErrorCode) -> int:
    """Return an error code's number on the wire."""
    return list(ErrorCode).index(code) + 1


def make_flow_result(output: Any, error: FlowError | None) -> dict[str, Any]:
    """Wrap an output or error as a flow result."""
    if error is None:
        return {"outcome": "success", "result": output}
    return {"outcome": "failed", "error": {"code": get_error_code_name(error), "message": error.message}}


def format_mock(mock: Mock) -> Any:
    """Convert a mock to its form in flow files: a flow result, or a list of these.

    Raises:
        InvalidArgumentError: If it is a function or has a delay, which flow files don't support.
    """
    if isinstance(mock, InTurn):
        return [format_mock(outcome) for outcome in mock._outcomes]
    if isinstance(mock, Fails):
        return make_flow_result(None, FlowError(message=mock.message, code=mock.error_code))
    if callable(mock) or isinstance(mock, Delayed):
        raise InvalidArgumentError("a mock in a test case must be an output, Fails, or InTurn of these")
    return make_flow_result(mock, None)


def parse_mock(value: Any) -> Any:
    """Parse a mock from a test case or recording. A list becomes an `InTurn`.

    Args:
        value: `{outcome: success, result}` or `{outcome: failed, error: {code, message}}`, or a list of these.

    Raises:
        InvalidArgumentError: If the value has a different form, or an unknown error code.
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
"""Runs a flow with several inputs and returns the flow results."""


def run_subflow(component: str, step_id: str, step_input: Any, run: RunAll) -> Any:
    """Return the outcome of a step that runs a sub-flow: its output, or `Fails`."""
    rejected = Fails("UNREACHABLE", f'step "{step_id}" failed')
    flow = step_input.get(graph.SUBFLOW_INPUTS[component]) if isinstance(step_input, Mapping) else None
    if not isinstance(flow, Mapping):
        return rejected
    if component == "/builtin/map":
        if not isinstance(step_input.get("items"), list):
            return rejected
        # Failed elements don't fail the step.
        results = run(flow, step_input["items"])
        failed = sum(result["outcome"] == "failed" for result in results)
        return {"results": results, "successful": len(results) - failed, "failed": failed}
    limit = step_input.get("max_iterations")
    limit = 1000 if limit is None else limit
    if "initial_input" not in step_input or not isinstance(limit, int):
        return rejected
    # A failed iteration does fail the step.
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


@dataclass(frozen=True)
class FlowCase(Record):
    """A flow's test case."""

    name: str
    index: int
    """The case's position in `test.cases`, starting at 0."""
    input: Any
    expected: Mapping[str, Any] | None
    """`{outcome: success, result}` or `{outcome: failed, error: {code, message, data}}`, possibly with matchers. None
    if the case has no expected output."""
    tags: tuple[str, ...] = ()
    description: str = ""
    line: int | None = None
    """The line in the file, starting at 1, or None if unknown."""
    fault: str = ""
    """The reason the case can't be run, or an empty string."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Values for the flow's variables, by name."""
    mocks: Mapping[str, Any] = field(default_factory=dict)
    """Outcomes by step ID for steps that shouldn't be executed: `{outcome: success, result}`, `{outcome: failed, error:
    {code, message}}`, or a list of these with one per call."""


@dataclass(frozen=True)
class FlowTests:
    """A flow and its test cases."""

    path: Path
    flow: dict[str, Any]
    """The flow as sent to servers, i.e. without tests and examples. Servers also read expected outputs (every release a
    bit differently), and reject some flows because of them."""
    cases: tuple[FlowCase, ...]
    config: Mapping[str, Any] | None = None
    """The configuration inside the flow (`test.config`)."""
    config_file: str | None = None
    """The path to a configuration file (`test.configFile`), relative to the flow's folder."""
    step_ids: tuple[str, ...] = field(default=())
    is_broken: bool = False
    """Whether the file could not be read. If so, the only case explains why."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Variable values for cases that don't set them."""


def get_case_variables(tests: FlowTests, case: FlowCase) -> dict[str, Any]:
    """Return the variables a case runs with."""
    return {**tests.variables, **case.variables}


def read_tests(path: str | PathLike[str]) -> FlowTests:
    """Read a flow file and its test cases, if any.

    Malformed cases are included, with a `fault`.

    Raises:
        FlowFileError: If the file cannot be read, or if its steps, `test` or the list of cases are malformed. The error
            includes the line.
    """
    name = str(file_path(path, "path"))
    text = FlowText.from_source(name)
    reading.require_flow(text.root.value, name)
    return parse_tests(text, name)


def parse_tests(text: FlowText, name: str) -> FlowTests:
    """Parse a flow and its test cases. See `read_tests`.

    Args:
        text: The flow's text.
        name: The flow's file name. Paths in the flow are relative to it.
    """
    root = text.root
    faults = _find_case_faults(root, name)
    test: Mapping[str, Any] = root.value.get("test") or {}
    config = test.get("config", test.get("stepflow_config"))
    if config is not None and not isinstance(config, Mapping):
        raise FlowFileError(f"{name}: test.config must be an object, not {short_json(config, 40)}", path=name)
    cases: list[FlowCase] = []
    for index, node in enumerate(root.elements_at("test", "cases")):
        fields, fault = node.value if isinstance(node.value, Mapping) else {}, faults.get(index, "")
        tags = fields.get("tags")
        case = FlowCase(
            name=fields["name"] if isinstance(fields.get("name"), str) else f"case {index + 1}",
            index=index,
            input=fields.get("input"),
            expected=None if fault else fields.get("output"),
            variables={} if fault else fields.get("variables") or {},
            mocks={} if fault else fields.get("mocks") or {},
            tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
            description=str(fields.get("description") or ""),
            line=node.line or None,
            fault=fault,
        )
        if not fault and any(before.name == case.name for before in cases):
            case = replace(case, fault=f"two test cases are named {case.name!r}")
        cases.append(case)
    step_ids = tuple(str(step.get("id")) for step in root.value.get("steps") or () if isinstance(step, Mapping))
    return FlowTests(Path(name), remove_cases(root.value), tuple(cases), config, test.get("configFile"), step_ids)


def collect_tests(path: str | PathLike[str]) -> FlowTests:
    """Read a flow file and its test cases. If that fails, return a single case with the reason as its fault.

    The case is named after the file. This way, a broken file doesn't stop other files from being tested.
    """
    try:
        return read_tests(path)
    except FlowFileError as error:
        fault = "; ".join(filter(None, (error.message, error.hint)))
        case = FlowCase(Path(fsdecode(path)).name, 0, None, None, line=error.line, fault=fault)
        return FlowTests(Path(fsdecode(path)), {}, (case,), is_broken=True)


def _find_case_faults(root: Node, name: str) -> dict[int, str]:
    """Return the first fault of each malformed case, by position.

    Raises:
        FlowFileError: If the steps, `test` or the list of cases are malformed.
    """
    findings, faults = Findings(), dict[int, str]()
    check_flow_shape(root, findings)
    for finding in findings.all.values():
        place = parse_path(finding.path)
        case = next(iter(place[2:]), None) if place[:2] == ("test", "cases") else None
        # Unknown keys are just warnings, but a case with an ignored key doesn't test what it claims to.
        if finding.level == "warning" and finding.rule != "unknown-key":
            continue
        problem = "; ".join(filter(None, (finding.message, finding.hint)))
        message = f"{finding.path.removeprefix('$.')}: {problem}"
        is_malformed_test = place[:1] == ("test",) and finding.level != "warning"
        if case is not None:
            faults.setdefault(int(case), message)
        elif is_malformed_test or place == ("steps",) or _has_misplaced_cases(place, root):
            raise FlowFileError(f"{name}: {message}", path=name, line=finding.line or None)
    return faults


_OTHER_NAMES = ("tests", "cases", "testcases")


def _has_misplaced_cases(place: Place, root: Node) -> bool:
    """Return whether a place probably contains test cases under an unknown key, so they would silently be ignored."""
    node = root.at(*place)
    values = node.value if node is not None else None
    if place[:-1] == ("test",):
        return isinstance(values, list) and any(isinstance(value, Mapping) for value in values)
    return len(place) == 1 and str(place[0]).replace("_", "").lower() in _OTHER_NAMES and bool(values)


Verdict = Literal["passed", "failed", "unchecked"]


def compute_verdict(case: FlowCase, result: FlowResult) -> tuple[Verdict, list[Difference]]:
    """Judge a case's result and return the verdict with any differences from the expected output.

    Without an expected output, a case is `unchecked` if its run succeeded, otherwise `failed`.
    """
    error = result.error
    ending = f'"{result.status.value}"'
    if error is not None:
        ending += f": {error.message}" + (f" ({error.code.value})" if error.code else "")
    if case.expected is None:
        return ("unchecked", []) if result.is_success else ("failed", [Difference("$.outcome", '"success"', ending)])
    expected = case.expected["outcome"]
    # Cancelled and lost runs don't count as failed.
    has_failed = error is not None and not result.is_cancelled and not is_lost(result)
    if result.is_success != (expected == "success") or not (result.is_success or has_failed):
        actual = f'"success" with {short_json(result.output)}' if result.is_success else ending
        return "failed", [Difference("$.outcome", short_json(expected), actual)]
    if result.is_success:
        differences = compare(case.expected["result"], result.output, "$.result")
    else:
        differences = _compare_error(case.expected["error"], error)
    return ("failed" if differences else "passed"), differences


def is_lost(result: FlowResult) -> bool:
    """Return whether the server lost the run, leaving it without a result."""
    return result.error is not None and result.error.code in (ErrorCode.LOST, ErrorCode.LOST_BEFORE_START)


def _compare_error(expected: Mapping[str, Any], error: FlowError | None) -> list[Difference]:
    differences: list[Difference] = []
    if "code" in expected and not has_error_code(expected["code"], error):
        code = error.code.value.upper() if error and error.code else "none"
        differences.append(Difference("$.error.code", short_json(expected["code"]), code))
    if "message" in expected:
        differences += compare(expected["message"], error.message if error else "", "$.error.message")
    wanted, data = expected.get("data"), get_error_data(error)
    if wanted is not None and data is None:
        differences.append(Difference("$.error.data", short_json(wanted), "nothing: the server sends no data"))
    elif wanted is not None:
        differences += compare(wanted, data, "$.error.data")
    return differences


_NUMBERS = dict(enumerate(ERROR_CODES.values(), start=1))


def has_error_code(expected: Any, error: FlowError | None) -> bool:
    """Return whether a failure has the error code a flow file expects.

    Names from the file format (`COMPONENT_FAILED`) or this package (`component_failed`) work with every release and
    ignore case. A number can be the server's own code, as on older servers, or the number of one of these codes.
    Matchers are compared with the file format's name.
    """
    if error is None or error.code is None:
        return False
    if is_matcher(expected):
        return not compare(expected, get_error_code_name(error))
    if isinstance(expected, str):
        return ERROR_CODES.get(expected.upper(), expected.lower()) == error.code
    details = error.details if isinstance(error.details, Mapping) else {}
    own = [details.get(key) for key in ("code", "errorCode")]
    return expected in own or _NUMBERS.get(int(expected)) == error.code


def get_error_data(error: FlowError | None) -> Any:
    """Return the data a worker attached to a failure, or None."""
    details = error.details if error and isinstance(error.details, Mapping) else {}
    return details.get("data", details.get("errorData"))
