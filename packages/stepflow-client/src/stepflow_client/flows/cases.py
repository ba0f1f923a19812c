"""The test cases in a flow file: inputs, expected outputs and the configuration to use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from os import PathLike, fsdecode
from pathlib import Path
from typing import Any, Literal

from ..errors import FlowFileError, InvalidArgumentError
from ..types import FlowResult
from .error_codes import code_matches
from .file import load_flow
from .matching import Difference, check_expected, compare, shorten

__all__ = ["FlowCase", "FlowTests", "judge", "read_tests", "select_cases"]


@dataclass(frozen=True)
class FlowCase:
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


def read_tests(path: str | PathLike[str]) -> FlowTests:
    """Return the flow in a file and its test cases, of which there may be none.

    Raises:
        FlowFileError: If the file cannot be read, or if its `test` is malformed; the message names the place.
    """
    name = fsdecode(path)
    flow = load_flow(name)
    test = flow.get("test") or {}
    if not isinstance(test, Mapping):
        raise FlowFileError(f"{name}: test is an object, not {shorten(test, 40)}", path=name)
    spellings = [key for key in ("config", "stepflow_config") if test.get(key) is not None]
    config = test[spellings[0]] if spellings else None
    config_file = test.get("configFile")
    if len(spellings) == 2 or (config is not None and config_file is not None):
        raise FlowFileError(f"{name}: test has two configurations; keep one of config and configFile", path=name)
    if config_file is not None and not isinstance(config_file, str):
        raise FlowFileError(f"{name}: test.configFile is a path, not {shorten(config_file, 40)}", path=name)
    if config is not None and not isinstance(config, Mapping):
        raise FlowFileError(f"{name}: test.config is an object, not {shorten(config, 40)}", path=name)
    steps = flow.get("steps")
    return FlowTests(
        path=Path(name),
        flow={key: value for key, value in flow.items() if key not in ("test", "examples")},
        cases=_cases(name, test.get("cases")),
        config=config,
        config_file=config_file,
        step_ids=tuple(str(step.get("id")) for step in steps or () if isinstance(step, Mapping)),
    )


def _cases(name: str, listed: Any) -> tuple[FlowCase, ...]:
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise FlowFileError(f"{name}: test.cases is a list, not {shorten(listed, 40)}", path=name)
    cases: list[FlowCase] = []
    for index, each in enumerate(listed):
        try:
            cases.append(_case(each, index))
        except InvalidArgumentError as error:
            message = f"{name}: test.cases[{index}]: {error.message}" + (f"; {error.hint}" if error.hint else "")
            raise FlowFileError(message, path=name) from None
    names = [case.name for case in cases]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise FlowFileError(f"{name}: two test cases are named {twice!r}", path=name)
    return tuple(cases)


def _case(each: Any, index: int) -> FlowCase:
    if not isinstance(each, Mapping) or not isinstance(each.get("name"), str):
        raise InvalidArgumentError("a test case is an object with a name")
    if "input" not in each:
        raise InvalidArgumentError(f"the case {each['name']!r} has no input")
    tags = each.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidArgumentError("tags is a list of texts")
    expected = each.get("output")
    if expected is not None:
        _check_expectation(expected)
    return FlowCase(
        name=each["name"],
        index=index,
        input=each["input"],
        expected=expected,
        tags=tuple(tags),
        description=str(each.get("description") or ""),
    )


def _check_expectation(expected: Any) -> None:
    outcome = expected.get("outcome") if isinstance(expected, Mapping) else None
    if outcome == "success" and "result" in expected:
        check_expected(expected["result"], "output.result")
    elif outcome == "failed" and isinstance(expected.get("error"), Mapping):
        check_expected(expected["error"], "output.error")
    else:
        raise InvalidArgumentError(
            f"an expected output is {{outcome: success, result}} or {{outcome: failed, error}}, not "
            f"{shorten(expected, 60)}"
        )


def select_cases(cases: Iterable[FlowCase], patterns: Sequence[str] = (), tags: Sequence[str] = ()) -> list[FlowCase]:
    """Return the cases whose name matches one of the patterns and that have one of the tags; an empty list matches all.

    Args:
        cases: The cases of a flow.
        patterns: Glob patterns: `*`, `?` and `[...]`; case-sensitive.
        tags: Words from the `tags` of a case.
    """
    return [
        case
        for case in cases
        if (not patterns or any(fnmatchcase(case.name, pattern) for pattern in patterns))
        and (not tags or any(tag in case.tags for tag in tags))
    ]


Verdict = Literal["passed", "failed", "unchecked"]


def judge(case: FlowCase, result: FlowResult) -> tuple[Verdict, list[Difference]]:
    """Return the verdict on the result of a case, and its differences from the expected output.

    A case without an expected output is `unchecked` if its run succeeded, and `failed` otherwise.
    """
    if case.expected is None:
        if result.is_success:
            return "unchecked", []
        return "failed", [Difference("$.outcome", '"success"', _told(result))]
    wanted = case.expected["outcome"]
    if result.is_success != (wanted == "success"):
        actual = f'"success" with {shorten(result.output)}' if result.is_success else _told(result)
        return "failed", [Difference("$.outcome", shorten(wanted), actual)]
    if result.is_success:
        found = compare(case.expected["result"], result.output, "$.result")
    else:
        found = _error_differences(case.expected["error"], result)
    return ("failed" if found else "passed"), found


def _told(result: FlowResult) -> str:
    error = result.error
    if error is None:
        return f'"{result.status.value}"'
    code = f" ({error.code.value})" if error.code else ""
    return f'"{result.status.value}": {error.message}{code}'


def _error_differences(expected: Mapping[str, Any], result: FlowResult) -> list[Difference]:
    error = result.error
    message = error.message if error else ""
    found: list[Difference] = []
    if "code" in expected and not code_matches(expected["code"], error):
        code = error.code.value.upper() if error and error.code else "none"
        found.append(Difference("$.error.code", shorten(expected["code"]), code))
    if "message" in expected:
        found += compare(expected["message"], message, "$.error.message")
    if "data" in expected:
        details = error.details if error and isinstance(error.details, Mapping) else {}
        found += compare(expected["data"], details.get("data", details.get("errorData")), "$.error.data")
    return found
