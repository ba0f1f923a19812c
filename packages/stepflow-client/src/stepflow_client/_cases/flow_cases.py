"""The test cases in a flow file: their inputs, mocks and expected outputs, and the configuration to use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike, fsdecode
from pathlib import Path
from typing import Any

from .._base.text_formatting import short_json
from .._checks.shape_rules import check_flow_shape
from .._data.arguments import file_path
from .._runs.strip_and_restore_flow import remove_cases
from ..errors import FlowFileError
from ..flows import reading
from ..flows.expressions import Path as Place, parse_path
from ..flows.findings import Findings
from ..flows.syntax_tree import FlowText, Node
from ..types.model_base import Record


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
    """The reason that the case can't be run, or an empty string if it can."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Values for the flow's variables, by name."""
    mocks: Mapping[str, Any] = field(default_factory=dict)
    """Outcomes for steps that shouldn't be executed, by step ID: `{outcome: success, result}`, `{outcome: failed,
    error: {code, message}}`, or a list of these with one per call."""


@dataclass(frozen=True)
class FlowTests:
    """A flow and its test cases."""

    path: Path
    flow: dict[str, Any]
    """The flow as sent to servers, i.e. without tests and examples. Servers read expected outputs too (each release
    does it a bit differently), and reject some flows because of them."""
    cases: tuple[FlowCase, ...]
    config: Mapping[str, Any] | None = None
    """The configuration that the flow contains (`test.config`)."""
    config_file: str | None = None
    """The path to a configuration file (`test.configFile`), relative to the flow's folder."""
    step_ids: tuple[str, ...] = field(default=())
    is_broken: bool = False
    """Whether the file couldn't be read. If so, `cases` contains a single case that explains why."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Variable values for cases that don't set them."""


def get_case_variables(tests: FlowTests, case: FlowCase) -> dict[str, Any]:
    """Return the variables that a case runs with."""
    return {**tests.variables, **case.variables}


def read_tests(path: str | PathLike[str]) -> FlowTests:
    """Read a flow file and its test cases, if any.

    Malformed cases are included and have a `fault`.

    Raises:
        FlowFileError: If the file can't be read, or if its steps, `test` or the list of cases are malformed. The error
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
    """Read a flow file and its test cases. If that fails, return a single case whose `fault` gives the reason.

    The case is named after the file. That way, a broken file doesn't stop other files from being tested.
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
        # Elsewhere, unknown keys only cause warnings, but a test case with an ignored key doesn't test what it claims
        # to.
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


_TEST_KEY_ALIASES = ("tests", "cases", "testcases")


def _has_misplaced_cases(place: Place, root: Node) -> bool:
    """Return whether an unknown key probably contains test cases, which would be silently ignored."""
    node = root.at(*place)
    values = node.value if node is not None else None
    if place[:-1] == ("test",):
        return isinstance(values, list) and any(isinstance(value, Mapping) for value in values)
    return len(place) == 1 and str(place[0]).replace("_", "").lower() in _TEST_KEY_ALIASES and bool(values)
