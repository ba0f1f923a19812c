"""Compare actual results with a test case's expected results, using matchers for values that vary between runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from .._base.suggestions import find_nearest, suggest_or_list
from .._base.text_formatting import short_json
from .._data.arguments import check_text
from .._data.secrets import HIDDEN, has_hidden_part
from .._data.wire import MAX_LOCAL_DEPTH, check_json
from ..errors import InvalidArgumentError
from ..types import ErrorCode, FlowError, FlowResult
from ..types.model_base import Record
from .expressions import format_path
from .json_schema import JSON_TYPES, is_json_type, is_number

# Error codes whose names in flow files differ from their names in this package.
_RENAMED = {"EXPRESSION_FAILED": "EXPRESSION_FAILURE", "ORCHESTRATOR": "ORCHESTRATOR_ERROR", "WORKER": "WORKER_ERROR"}
# Codes defined by servers come first, because only they have numbers.
ERROR_CODES: dict[str, ErrorCode] = {_RENAMED.get(code.name, code.name): code for code in [*ErrorCode][:10]}
"""Error codes keyed by their names in flow files, in the order of their wire numbers (starting at 1)."""


def parse_error_code(code: ErrorCode | str) -> ErrorCode:
    """Parse an error code name from a flow file (`COMPONENT_FAILED`) or this package, ignoring case.

    Raises:
        InvalidArgumentError: If the code doesn't exist.
    """
    known = {**ERROR_CODES, **{known_code.value.upper(): known_code for known_code in ERROR_CODES.values()}}
    word = check_text(code.value if isinstance(code, ErrorCode) else code, "the error code")
    if word.upper() not in known:
        raise InvalidArgumentError(f"unknown error code {word!r}", hint=suggest_or_list(word, ERROR_CODES, "the codes"))
    return known[word.upper()]


def get_error_code_name(error: FlowError) -> str:
    """Return an error code's name in flow files, or `UNSPECIFIED` if the error has no code."""
    return next((word for word, code in ERROR_CODES.items() if code == error.code), "UNSPECIFIED")


def get_code_number(code: ErrorCode) -> int:
    """Return an error code's wire number."""
    return list(ErrorCode).index(code) + 1


def has_error_code(expected: Any, error: FlowError | None) -> bool:
    """Return whether a failure has the error code that a flow file expects.

    A name from the file format (`COMPONENT_FAILED`) or from this package (`component_failed`) works with every release,
    regardless of case. A number can be the wire number of one of these codes or, on older servers, the server's own
    code. Matchers are applied to the code's name in the file format.
    """
    if error is None or error.code is None:
        return False
    if is_matcher(expected):
        return not compare(expected, get_error_code_name(error))
    if isinstance(expected, str):
        return ERROR_CODES.get(expected.upper(), expected.lower()) == error.code
    details = error.details if isinstance(error.details, Mapping) else {}
    own = [details.get(key) for key in ("code", "errorCode")]
    return expected in own or (error.code in ERROR_CODES.values() and get_code_number(error.code) == int(expected))


def get_error_data(error: FlowError | None) -> Any:
    """Return the data a worker attached to a failure, or None."""
    details = error.details if error and isinstance(error.details, Mapping) else {}
    return details.get("data", details.get("errorData"))


MATCHERS = {
    "$any": "true: any value, including null",
    "$contains": "a string containing this substring, an object with this key, or a list with this element",
    "$range": "[low, high]: a number in this range, including both ends; null means no limit",
    "$regex": "a string matching this pattern; anchor it with ^ and $",
    "$type": "null, boolean, integer, number, string, array or object",
    "$equals": "exactly this value: no matchers, and no other keys",
}
"""The meaning of each matcher key. A matcher is an object whose only key is a matcher key."""

_EQUALS_HINT = "to expect this object itself, write {$equals: {...}} around it"
_NO_KEYS_TEXT = "an object with no keys ({$type: object} matches any)"
_MISSING = object()
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Difference(Record):
    """A single difference between a value and the expected value."""

    path: str
    """Where the values differ, e.g. `$.items[2].name`."""
    expected: str
    """The expected value, abbreviated."""
    actual: str
    """The actual value, abbreviated. `nothing` if the key is missing."""

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.actual}"


def is_matcher(expected: object) -> bool:
    """Return whether an expected value is a matcher, i.e. an object whose only key is in `MATCHERS`."""
    return isinstance(expected, Mapping) and len(expected) == 1 and next(iter(expected)) in MATCHERS


def compare(expected: Any, actual: Any, path: str = "$") -> list[Difference]:
    """Compare a value with the expected value, which may contain matchers.

    Raises:
        InvalidArgumentError: If a matcher is malformed.
    """
    check_text(path, "path")
    wanted = check_json(expected, "expected", max_depth=MAX_LOCAL_DEPTH)
    return list(_find_differences(wanted, check_json(actual, "actual", max_depth=MAX_LOCAL_DEPTH), path))


Verdict = Literal["passed", "failed", "unchecked"]


def compute_verdict(expected: Mapping[str, Any] | None, result: FlowResult) -> tuple[Verdict, list[Difference]]:
    """Judge a test case's result. Return the verdict and any differences from the expected output.

    If the case has no expected output, it's `unchecked` if its run succeeded and `failed` otherwise.
    """
    error = result.error
    ending = f'"{result.status.value}"'
    if error is not None:
        ending += f": {error.message}" + (f" ({error.code.value})" if error.code else "")
    if expected is None:
        return ("unchecked", []) if result.is_success else ("failed", [Difference("$.outcome", '"success"', ending)])
    outcome = expected["outcome"]
    # Cancelled and lost runs don't count as failures that a case can expect.
    has_failed = error is not None and not result.is_cancelled and not was_run_lost(result)
    if result.is_success != (outcome == "success") or not (result.is_success or has_failed):
        actual = f'"success" with {short_json(result.output)}' if result.is_success else ending
        return "failed", [Difference("$.outcome", short_json(outcome), actual)]
    if result.is_success:
        differences = compare(expected["result"], result.output, "$.result")
    else:
        differences = _compare_error(expected["error"], error)
    return ("failed" if differences else "passed"), differences


def was_run_lost(result: FlowResult) -> bool:
    """Return whether the server lost the run, leaving it without a result."""
    return result.error is not None and result.error.code in (ErrorCode.LOST, ErrorCode.LOST_BEFORE_START)


def _compare_error(expected: Mapping[str, Any], error: FlowError | None) -> list[Difference]:
    differences: list[Difference] = []
    if "code" in expected and not has_error_code(expected["code"], error):
        code = get_error_code_name(error) if error and error.code else "none"
        differences.append(Difference("$.error.code", short_json(expected["code"]), code))
    if "message" in expected:
        differences += compare(expected["message"], error.message if error else "", "$.error.message")
    wanted, data = expected.get("data"), get_error_data(error)
    if wanted is not None and data is None:
        differences.append(Difference("$.error.data", short_json(wanted), "nothing: the server sends no data"))
    elif wanted is not None:
        differences += compare(wanted, data, "$.error.data")
    return differences


def resembles_matcher(value: object) -> bool:
    """Return whether an object could be mistaken for a matcher (including a misspelled one), so it needs `$equals`."""
    return is_matcher(value) or (isinstance(value, Mapping) and _find_similar_matcher(value) is not None)


def check_matchers(expected: Any, path: str = "$") -> None:
    """Raise InvalidArgumentError if the expected value at `path` contains a malformed matcher."""
    if is_matcher(expected):
        name, argument = next(iter(expected.items()))
        _check_matcher(name, argument, path)
        if name == "$contains":
            check_matchers(argument, path)
    elif isinstance(expected, Mapping):
        similar = _find_similar_matcher(expected)
        if similar:
            message = f"{path}: {next(iter(expected))} is not a matcher; did you mean {similar}?"
            raise InvalidArgumentError(message, hint=_EQUALS_HINT)
        for key, value in expected.items():
            check_matchers(value, format_path([key], path))
    elif isinstance(expected, list):
        for index, value in enumerate(expected):
            check_matchers(value, format_path([index], path))


def _find_similar_matcher(expected: Mapping[str, Any]) -> str | None:
    """Return the matcher that a misspelled key was probably meant to be, or None."""
    name = next(iter(expected)) if len(expected) == 1 else ""
    # Flows can return objects such as {"$ref": ...}, so only a near match counts as a typo.
    return find_nearest(name, MATCHERS, 0.8) if name.startswith("$") else None


def is_run_id_field(key: str, value: Any) -> bool:
    """Return whether a value is a run ID (a UUID under the key `run_id`). Run IDs are different every time."""
    return key == "run_id" and isinstance(value, str) and _UUID.fullmatch(value) is not None


def _find_differences(expected: Any, actual: Any, path: str) -> Iterator[Difference]:
    if is_matcher(expected):
        name, argument = next(iter(expected.items()))
        _check_matcher(name, argument, path)
        if not _satisfies_matcher(name, argument, actual):
            yield Difference(path, short_json(dict(expected)), short_json(actual))
    elif expected and isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for key, value in expected.items():
            actual_part = actual.get(key, _MISSING)
            if actual_part is _MISSING:
                yield Difference(format_path([key], path), short_json(value), "nothing")
            elif not (is_run_id_field(key, value) and is_run_id_field(key, actual_part)):
                yield from _find_differences(value, actual_part, format_path([key], path))
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            counts = [f"{len(part)} element{'' if len(part) == 1 else 's'}" for part in (expected, actual)]
            yield Difference(path, counts[0], f"{counts[1]}: {short_json(actual)}")
        for index, (value, actual_part) in enumerate(zip(expected, actual, strict=False)):
            yield from _find_differences(value, actual_part, format_path([index], path))
    elif not is_json_equal(expected, actual):
        wanted = _NO_KEYS_TEXT if isinstance(expected, Mapping) and not expected else short_json(expected)
        yield Difference(path, wanted, short_json(actual))


def _satisfies_matcher(name: str, argument: Any, actual: Any) -> bool:
    match name:
        case "$any":
            return True
        case "$equals":
            return is_json_equal(argument, actual)
        case "$type":
            return is_json_type(actual, argument)
        case "$regex":
            return isinstance(actual, str) and re.search(argument, actual) is not None
        case "$range":
            low, high = argument
            return is_number(actual) and (low is None or low <= actual) and (high is None or actual <= high)
    if isinstance(actual, (str, Mapping)):
        return isinstance(argument, str) and argument in actual
    return isinstance(actual, list) and any(not compare(argument, element) for element in actual)


def _check_matcher(name: str, argument: Any, path: str) -> None:
    problem = None
    match name:
        case "$any":
            problem = None if argument is True else "$any expects true"
        case "$range":
            is_pair = isinstance(argument, list) and len(argument) == 2 and argument != [None, None]
            if not is_pair or not all(end is None or is_number(end) for end in argument):
                problem = "$range expects [low, high], numbers or one of them null"
        case "$regex" if not isinstance(argument, str) or not argument:
            problem = "$regex expects a non-empty string"
        case "$regex":
            try:
                if all(map(re.compile(argument).search, _SAMPLE_STRINGS)):
                    problem = "$regex expects a pattern that does not match every string ({$type: string} does)"
            except re.error as error:
                problem = f"$regex expects a regular expression ({error})"
        case "$type" if not isinstance(argument, str) or argument not in JSON_TYPES:
            problem = f"$type expects one of {', '.join(JSON_TYPES)}"
        case "$contains" if argument == "":
            problem = "$contains expects a substring, a key or an element"
    if problem is not None:
        raise InvalidArgumentError(f"{path}: {problem}, not {short_json(argument)}", hint=_EQUALS_HINT)


# These strings have nothing in common, so a pattern that matches all of them is assumed to match any string.
_SAMPLE_STRINGS = ("", "x", "Zebra 7", "-", "\t\u00e9", "0.5", "?!" * 500)


# Fast path: most values have one of these types and can be compared directly.
_SCALAR_TYPES = frozenset({str, int, float, bool, type(None)})


def is_json_equal(expected: Any, actual: Any, *, with_matchers: bool = False) -> bool:
    """Return whether two JSON values are equal. `3` equals `3.0`, but `true` doesn't equal `1`.

    If `with_matchers` is set, the expected value may contain matchers.
    """
    if type(expected) is type(actual) and type(expected) in _SCALAR_TYPES:
        return bool(expected == actual)
    if with_matchers and is_matcher(expected):
        return not compare(expected, actual)
    is_equal = partial(is_json_equal, with_matchers=with_matchers)
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return expected.keys() == actual.keys() and all(is_equal(value, actual[key]) for key, value in expected.items())
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(is_equal, expected, actual))
    is_comparable = type(expected) is type(actual) or (is_number(expected) and is_number(actual))
    return is_comparable and bool(expected == actual)


def may_equal_masked(masked: Any, value: Any, mark: str = HIDDEN) -> bool:
    """Return whether a JSON value might equal a value whose secrets have been masked with `***`.

    Args:
        masked: The value with masked secrets.
        value: The value to compare it with.
        mark: The text that marks a masked secret: `***`, optionally with text around it.
    """
    if not has_hidden_part(masked, mark):
        return is_json_equal(masked, value)
    if isinstance(masked, str):
        return masked == mark == HIDDEN or (isinstance(value, str) and _may_equal_masked_text(masked, value, mark))
    if isinstance(masked, Mapping) and isinstance(value, Mapping):
        # Masked keys can collide, so the masked object may have fewer keys.
        has_keys = all(key in value or has_hidden_part(key, mark) for key in masked) and len(masked) <= len(value)
        both = [key for key in masked if key in value]
        return has_keys and all(may_equal_masked(masked[key], value[key], mark) for key in both)
    if not (isinstance(masked, list) and isinstance(value, list) and len(masked) == len(value)):
        return False
    return all(may_equal_masked(old, new, mark) for old, new in zip(masked, value, strict=True))


def _may_equal_masked_text(hidden: str, text: str, mark: str) -> bool:
    before, after = map(re.escape, mark.split(HIDDEN))
    first, *between, last = map(re.escape, hidden.split(mark))
    # Each atomic group matches at the first possible position and never backtracks, so this takes linear time.
    parts = "".join(f"(?>.*?{after}{part}{before})" for part in between)
    return re.fullmatch(f"{first}{before}{parts}.*{after}{last}", text, re.DOTALL) is not None
