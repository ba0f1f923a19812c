"""Replaces the expected outputs in a flow file with the actual outputs.

Volatile strings become matchers. Everything else in the file stays the same, byte for byte.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from .._data.arguments import argument_error, check_instance, check_mapping, check_text
from .._data.wire import check_json
from .._editing import yaml_and_json_edits
from .._editing.yaml_and_json_edits import Edit, edit_and_verify
from ..errors import FlowFileError
from ..flows import expected_results
from ..flows.expected_results import compare, is_matcher, is_run_id_field
from ..flows.syntax_tree import Node
from ..types import FlowError, FlowResult

_ZERO_RUN_ID = "00000000-0000-0000-0000-000000000000"
# Patterns to use in matchers.
_UUID, _TIME = "[0-9a-fA-F-]{36}", r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)"
_VOLATILE_TEXT = re.compile(
    r"(?<![\w-])(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![\w-])"
    r"|(?<![\w-])(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))(?![\w-])",
    re.IGNORECASE,
)
# Treat times this close to the run as volatile. The margin is generous in case the server's clock is wrong.
_MAX_TIME_DISTANCE = timedelta(days=1)


def replace_volatile_strings(value: Any, given: Iterable[Any] = (), at: datetime | None = None) -> Any:
    """Return an expected value that matches both an actual value and the values that later runs will produce.

    A string that contains a UUID, or a time close to when the run was executed, becomes a `$regex`. A UUID under the
    key `run_id` becomes all zeros, since any two run IDs match. Volatile object keys are dropped.

    Args:
        value: The actual value.
        given: Values that were passed to the run. Any text in them counts as stable.
        at: When the run was executed. Without a time zone, it's local time. Defaults to now.
    """
    known = json.dumps(list(given)).lower()
    now = datetime.now(UTC) if at is None else at.astimezone(UTC)

    def is_volatile(found: re.Match[str]) -> bool:
        if found[0].lower() in known:
            return False
        if found["time"] is None:
            return True
        try:
            # Drop the fraction, because servers report nanoseconds, which Python can't parse.
            return abs(datetime.fromisoformat(re.sub(r"\.\d+", "", found[0].upper())) - now) < _MAX_TIME_DISTANCE
        except ValueError:
            return False

    def replaced(value: Any) -> Any:
        if expected_results.resembles_matcher(value):
            return {"$equals": value}
        if isinstance(value, Mapping):
            stable = [key for key in value if not any(map(is_volatile, _VOLATILE_TEXT.finditer(key)))]
            kept = {key: _ZERO_RUN_ID if is_run_id_field(key, value[key]) else replaced(value[key]) for key in stable}
            return kept if kept or not value else {"$type": "object"}
        if isinstance(value, list):
            return [replaced(element) for element in value]
        parts = list(filter(is_volatile, _VOLATILE_TEXT.finditer(value))) if isinstance(value, str) else []
        if not parts:
            return value
        pattern, end = "^", 0
        for part in parts:
            pattern += _escape_regex(value[end : part.start()]) + (_UUID if part["uuid"] else _TIME)
            end = part.end()
        return {"$regex": f"{pattern}{_escape_regex(value[end:])}$"}

    return replaced(value)


def _escape_regex(text: str) -> str:
    return re.sub(r"[\\.^$*+?{}\[\]|()]", r"\\\g<0>", text)


def expectation_of(
    result: FlowResult,
    expected: Mapping[str, Any] | None = None,
    *,
    given: Sequence[Any] = (),
    at: datetime | None = None,
) -> dict[str, Any]:
    """Return an expected output that matches a result and stays as close as possible to the previous one.

    Parts that still match are kept, including matchers and objects that list only some of the keys. Everything else is
    replaced with the actual values. UUIDs and times from the run become matchers, because they're different in every
    run.

    Args:
        result: The result.
        expected: The previous expected output, if any.
        given: Values that were passed to the run, e.g. its input and flow. Text that comes from them doesn't change
            between runs, so it isn't replaced with matchers. By default, there are none.
        at: When the run was executed. Without a time zone, it's local time. Defaults to now.
    """
    before = {} if expected is None else check_mapping(expected, "expected")
    check_instance(result, "result", FlowResult)
    if not isinstance(given, (list, tuple)):
        raise argument_error("given", "a list of JSON values", given)
    given = [check_json(value, "given") for value in given]
    if at is not None:
        check_instance(at, "at", datetime)
    from_actual = partial(replace_volatile_strings, given=tuple(given), at=at)
    is_like = before.get("outcome") == ("success" if result.is_success else "failed")
    if result.is_success:
        if is_like and "result" in before:
            return {**before, "result": _adapt_expected(before["result"], result.output, from_actual)}
        return {"outcome": "success", "result": from_actual(result.output)}
    error = result.error or FlowError(message="")
    actual = {"code": expected_results.get_error_code_name(error), "message": error.message}
    if not is_like or not isinstance(before.get("error"), Mapping):
        return {"outcome": "failed", "error": from_actual(actual)}
    kept = dict(before["error"])
    if "code" in kept and not expected_results.has_error_code(kept["code"], error):
        kept["code"] = actual["code"]
    if "message" in kept:
        kept["message"] = _adapt_expected(kept["message"], actual["message"], from_actual)
    if kept.get("data") is not None and expected_results.get_error_data(error) is not None:
        kept["data"] = _adapt_expected(kept["data"], expected_results.get_error_data(error), from_actual)
    return {**before, "error": kept}


def _adapt_expected(expected: Any, actual: Any, from_actual: Callable[[Any], Any]) -> Any:
    """Return an expected value that matches an actual value, keeping any parts that already match.

    `from_actual` converts an actual value to an expected value that will match later runs too.
    """
    if not compare(expected, actual):
        return expected
    if is_matcher(expected):
        return from_actual(actual)
    if expected and isinstance(expected, Mapping) and isinstance(actual, Mapping):
        adapted: dict[str, Any] = {}
        for key in [key for key in expected if key in actual]:
            # The key determines whether a string is a run ID.
            if not is_run_id_field(key, actual[key]):
                adapted[key] = _adapt_expected(expected[key], actual[key], from_actual)
            elif is_run_id_field(key, expected[key]) or not compare(expected[key], actual[key]):
                adapted[key] = expected[key]
            else:
                adapted[key] = from_actual({key: actual[key]})[key]
        return adapted or from_actual(actual)
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [_adapt_expected(*pair, from_actual) for pair in zip(expected, actual, strict=True)]
    return from_actual(actual)


def update_expected(content: bytes, expected: Mapping[int, Any], source: str) -> bytes:
    """Replace expected outputs in a flow file. The cases are identified by position in `test.cases`.

    Only those cases' `output` values change. If a case has no `output`, one is added after its last key. Comments
    inside a replaced value are lost.

    Raises:
        FlowFileError: If a value cannot be replaced on its own because all or part of it is an anchor used elsewhere,
            or because the cases themselves are aliases.
    """

    check_instance(content, "content", bytes)
    check_text(source, "source")
    if not isinstance(expected, Mapping) or not all(isinstance(index, int) for index in expected):
        raise argument_error("expected", "a mapping from case index to expected output", expected)

    def change(text: str, root: Node) -> tuple[list[Edit], Any]:
        wanted, edits = copy.deepcopy(root.value), list[Edit]()
        for index, value in expected.items():
            edits += _find_output_edits(text, root, index, value, source)
            wanted["test"]["cases"][index]["output"] = value
        return edits, wanted

    return edit_and_verify(content, source, change, "the expected outputs cannot be updated without other changes")


def _find_output_edits(text: str, root: Node, index: int, value: Any, source: str) -> Iterator[Edit]:
    """Yield the edits that replace a case's expected output."""
    case = root.at("test", "cases", index)
    holders = [root.at("test"), root.at("test", "cases"), case]
    if case is None or any(holder is None or holder.original is not None for holder in holders):
        raise FlowFileError(f"{source}: test case {index} is an alias; write it out to update it", path=source)
    key, node = case.keys.get("output"), case.get("output")
    if key is None or node is None or key.start < 0:
        yield yaml_and_json_edits.build_keys_addition(text, case, {"output": value})
        return
    inside = {id(part) for part in node.walk()}
    for alias in root.walk():
        if alias.original is not None and id(alias.original) in inside and id(alias) not in inside:
            name, line = text[alias.start + 1 : alias.end], text.count("\n", 0, alias.start) + 1
            message = f"{source}: line {node.line}: the expected output holds the anchor &{name}, which line {line} "
            raise FlowFileError(message + "uses; write it out there", path=source, line=node.line)
    yield from yaml_and_json_edits.iter_minimal_value_edits(text, case, key, node, value)
