"""The test cases in a flow file: inputs, expected outputs and the configuration to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike, fsdecode
from pathlib import Path
from typing import Any, Literal

from .._base.text import short_json
from .._checks.shape_rules import check_shape
from .._data.file_paths import file_path
from .._runs.client_metadata import without_cases
from ..errors import FlowFileError
from ..flows.error_codes import WORDS, get_code_word
from ..flows.expressions import Path as Place
from ..flows.expressions import parse_path
from ..flows.findings import Findings
from ..flows.flow_argument import flow_in
from ..flows.matching import Difference, compare, is_matcher
from ..flows.source import FlowText, Node
from ..types import ErrorCode, FlowError, FlowResult
from ..types.shown import Record


@dataclass(frozen=True)
class FlowCase(Record):
    """One test case of a flow."""

    name: str
    index: int
    """The position of the case in `test.cases`, from 0."""
    input: Any
    expected: Mapping[str, Any] | None
    """`{outcome: success, result}` or `{outcome: failed, error: {code, message, data}}`, with matchers; None if the
    case has no expected output."""
    tags: tuple[str, ...] = ()
    description: str = ""
    line: int | None = None
    """The line in the file, from 1; None if it is unknown."""
    fault: str = ""
    """The reason why the case cannot be run; empty if it can."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Values of the flow's variables, by name."""
    mocks: Mapping[str, Any] = field(default_factory=dict)
    """Outcomes of steps, which are then not executed, by step id: `{outcome: success, result}`, `{outcome: failed,
    error: {code, message}}`, or a list of these, one for each call."""


@dataclass(frozen=True)
class FlowTests:
    """A flow and its test cases."""

    path: Path
    flow: dict[str, Any]
    """The flow without its tests and examples, as it is sent to servers. Servers read expected outputs too,
    differently in each release, and refuse some flows because of them."""
    cases: tuple[FlowCase, ...]
    config: Mapping[str, Any] | None = None
    """The configuration in the flow (`test.config`)."""
    config_file: str | None = None
    """The path of the configuration that the flow names (`test.configFile`), relative to the flow's folder."""
    step_ids: tuple[str, ...] = field(default=())
    is_broken: bool = False
    """Whether the file cannot be read; its only case then says why."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Values of variables for the cases that do not set them."""


def get_case_variables(tests: FlowTests, case: FlowCase) -> dict[str, Any]:
    """Return the variables that a case runs with."""
    return {**tests.variables, **case.variables}


def read_tests(path: str | PathLike[str]) -> FlowTests:
    """Return the flow in a file and its test cases, if it has any.

    A malformed case is returned too, with a `fault`.

    Raises:
        FlowFileError: If the file cannot be read, or if its steps, its `test` or the list of cases are malformed; the
            error has the line.
    """
    name = str(file_path(path, "path"))
    text = FlowText.of(name)
    flow_in(text.root.value, name)
    return parse_tests(text, name)


def parse_tests(text: FlowText, name: str) -> FlowTests:
    """Return the flow in a text, and its test cases; see `read_tests`.

    Args:
        text: The text of the flow.
        name: The name of the flow, relative to which it names files.
    """
    root = text.root
    faults = _find_faults(root, name)
    test: Mapping[str, Any] = root.value.get("test") or {}
    config = test.get("config", test.get("stepflow_config"))
    if config is not None and not isinstance(config, Mapping):
        raise FlowFileError(f"{name}: test.config is an object, not {short_json(config, 40)}", path=name)
    nodes = root.at("test", "cases")
    cases: list[FlowCase] = []
    for index, node in enumerate(nodes.elements if nodes is not None else ()):
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
    return FlowTests(
        path=Path(name),
        flow=without_cases(root.value),
        cases=tuple(cases),
        config=config,
        config_file=test.get("configFile"),
        step_ids=tuple(str(step.get("id")) for step in root.value.get("steps") or () if isinstance(step, Mapping)),
    )


def collect_tests(path: str | PathLike[str]) -> FlowTests:
    """Return the flow in a file and its test cases; if it cannot be read, a single case with the reason as its fault.

    The case has the name of the file. Thus one broken file does not stop the tests of others.
    """
    try:
        return read_tests(path)
    except FlowFileError as error:
        fault = error.message + (f"; {error.hint}" if error.hint else "")
        case = FlowCase(Path(fsdecode(path)).name, 0, None, None, line=error.line, fault=fault)
        return FlowTests(Path(fsdecode(path)), {}, (case,), is_broken=True)


def _find_faults(root: Node, name: str) -> dict[int, str]:
    """Return the first fault of each malformed case, by its position.

    Raises:
        FlowFileError: If the steps, `test` or the list of cases are malformed.
    """
    found, faults = Findings(), dict[int, str]()
    check_shape(root, found)
    for finding in found.all.values():
        place = parse_path(finding.path)
        case = next(iter(place[2:]), None) if place[:2] == ("test", "cases") else None
        # A case with a key that is ignored does not test what it says.
        if finding.level == "warning" and finding.rule != "unknown-key":
            continue
        message = f"{finding.path.removeprefix('$.')}: {finding.message}" + (
            f"; {finding.hint}" if finding.hint else ""
        )
        if case is not None:
            faults.setdefault(int(case), message)
        elif (
            place == ("steps",) or _holds_cases(place, root) or (place[:1] == ("test",) and finding.level != "warning")
        ):
            raise FlowFileError(f"{name}: {message}", path=name, line=finding.line or None)
    return faults


_OTHER_NAMES = ("tests", "cases", "testcases")


def _holds_cases(place: Place, root: Node) -> bool:
    """Return whether test cases are probably written under an unknown key, where they are not found."""
    node = root.at(*place)
    values = node.value if node is not None else None
    if place[:-1] == ("test",):
        return isinstance(values, list) and any(isinstance(value, Mapping) for value in values)
    return len(place) == 1 and str(place[0]).replace("_", "").lower() in _OTHER_NAMES and bool(values)


Verdict = Literal["passed", "failed", "unchecked"]


def judge(case: FlowCase, result: FlowResult) -> tuple[Verdict, list[Difference]]:
    """Return the verdict on the result of a case, and its differences from the expected output.

    A case without an expected output is `unchecked` if its run succeeded, and `failed` otherwise.
    """
    error = result.error
    ending = f'"{result.status.value}"'
    if error is not None:
        ending += f": {error.message}" + (f" ({error.code.value})" if error.code else "")
    if case.expected is None:
        return ("unchecked", []) if result.is_success else ("failed", [Difference("$.outcome", '"success"', ending)])
    expected = case.expected["outcome"]
    # A run that was cancelled or lost has not failed.
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
    """Return whether the server lost a run, so that it has no result."""
    return result.error is not None and result.error.code in (ErrorCode.LOST, ErrorCode.LOST_BEFORE_START)


def _compare_error(expected: Mapping[str, Any], error: FlowError | None) -> list[Difference]:
    found: list[Difference] = []
    if "code" in expected and not matches_code(expected["code"], error):
        code = error.code.value.upper() if error and error.code else "none"
        found.append(Difference("$.error.code", short_json(expected["code"]), code))
    if "message" in expected:
        found += compare(expected["message"], error.message if error else "", "$.error.message")
    if expected.get("data") is not None:
        data = get_error_data(error)
        if data is None:
            found.append(Difference("$.error.data", short_json(expected["data"]), "nothing: the server sends no data"))
        else:
            found += compare(expected["data"], data, "$.error.data")
    return found


_NUMBERS = dict(enumerate(WORDS.values(), start=1))


def matches_code(expected: Any, error: FlowError | None) -> bool:
    """Return whether a failure has the code that a flow file expects.

    A word of the file format (`COMPONENT_FAILED`) or of this package (`component_failed`), in upper or lower case,
    works with every release. A number is the server's own code, as on older servers, or the number of a word. Matchers
    are compared with the word of the file format.
    """
    if error is None or error.code is None:
        return False
    if is_matcher(expected):
        return not compare(expected, get_code_word(error))
    if isinstance(expected, str):
        return WORDS.get(expected.upper(), expected.lower()) == error.code
    details = error.details if isinstance(error.details, Mapping) else {}
    own = [details.get(key) for key in ("code", "errorCode")]
    return expected in own or _NUMBERS.get(int(expected)) == error.code


def get_error_data(error: FlowError | None) -> Any:
    """Return the data that a worker added to a failure, or None."""
    details = error.details if error and isinstance(error.details, Mapping) else {}
    return details.get("data", details.get("errorData"))
