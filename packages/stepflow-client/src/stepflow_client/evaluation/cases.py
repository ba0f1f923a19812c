"""The cases of an evaluation: from a list, a file, the test cases of a flow, or the data set of another package."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from .._cases.flow_cases import tests_in
from .._data.arguments import check_text, wrong
from .._data.declared import declared_schema
from .._data.values import LOCAL_DEPTH, check_json, encode, encode_plain
from .._records.inputs import read_inputs
from .._rules.chunks import key_of
from ..errors import FlowFileError, InvalidArgumentError
from ..flows.flow_argument import FlowSource
from ..flows.source import FlowText
from .records import EvaluationCase

_KEYS = {"name", "input", "expected"}


def read_cases(cases: Any, flow: FlowSource, content: Mapping[str, Any], expected: str) -> Iterator[EvaluationCase]:
    """Yield the cases of an evaluation, each with a name of its own.

    Args:
        cases: The cases, as `evaluate` accepts them.
        flow: The flow, as it was given: None for `cases` means its test cases.
        content: The content of the flow, whose input schema gives the types of CSV fields.
        expected: The key or column with the expected output.

    Raises:
        FlowFileError: If a file cannot be read.
        InvalidArgumentError: If the cases are none of these.
    """
    seen = set[str]()
    for number, (given, value, wanted) in enumerate(_found(cases, flow, content, expected)):
        name = str(number) if given is None or given == "" else str(given)
        # Rows of different cases may have the same id.
        while name in seen:
            name = f"{name} ({number})"
        seen.add(name)
        yield EvaluationCase(name, value, wanted)


def encoded(cases: Sequence[EvaluationCase]) -> tuple[bytes, bytes]:
    """Return the names of cases, and their inputs and expected outputs, as JSON.

    Raises:
        InvalidArgumentError: If one of them has no JSON value.
    """
    names, content = [each.name for each in cases], [[each.input, each.expected] for each in cases]
    texts = encode_plain(names), encode_plain(content)
    if texts[0] is not None and texts[1] is not None:
        return texts[0], texts[1]
    checked = []
    for name, (given, wanted) in zip(names, content, strict=True):
        check_text(name, f"the name of case {name!r}")
        given = check_json(given, f"the input of case {name}", max_depth=LOCAL_DEPTH)
        wanted = check_json(wanted, f"the expected output of case {name}", max_depth=LOCAL_DEPTH)
        checked.append([given, wanted])
    return encode(names), encode(checked)


_Row: TypeAlias = tuple[Any, Any, Any]
"""The name of a case, which may be missing, its input, and its expected output."""


def _found(cases: Any, flow: FlowSource, content: Mapping[str, Any], expected: str) -> Iterator[_Row]:
    if cases is None:
        yield from _cases_of_flow(flow)
    elif isinstance(cases, (str, os.PathLike)):
        with read_inputs(cases, flow=content, on_bad_line="stop") as rows:
            yield from _rows(rows, content, expected)
    else:
        # A `Dataset` of pydantic-evals has its cases in a list.
        listed = getattr(cases, "cases", cases)
        if not isinstance(listed, Iterable) or isinstance(listed, (bytes, Mapping)):
            raise wrong("cases", "a path, a collection of cases, or None for those of the flow", cases)
        yield from _rows(listed, content, expected)


def _cases_of_flow(flow: FlowSource) -> Iterator[_Row]:
    text = FlowText.of(flow)
    found = tests_in(text, text.name).cases
    if not found:
        raise InvalidArgumentError("the flow has no test cases to evaluate", hint="give cases: a list, or a file")
    for case in found:
        if case.fault:
            raise FlowFileError(case.fault, path=text.name, line=case.line)
        wanted = case.expected or {}
        yield case.name, case.input, wanted.get("result")


def _rows(rows: Iterable[Any], content: Mapping[str, Any], expected: str) -> Iterator[_Row]:
    schema = declared_schema(content, "input")
    fields = schema.get("properties") if isinstance(schema, Mapping) else None
    # `{input, expected}` is a case, unless this is what the flow's own input looks like.
    is_flat = isinstance(fields, Mapping) and "input" in fields
    known = _KEYS | {expected}
    for row in rows:
        if isinstance(row, EvaluationCase):
            yield row.name, row.input, row.expected
        elif isinstance(row, (dict, Mapping)):
            if "input" in row and not is_flat and row.keys() <= known:
                yield row.get("name", key_of(row["input"])), row["input"], row.get(expected)
            else:
                given = {key: value for key, value in row.items() if key != expected}
                yield key_of(given), given, row.get(expected)
        elif hasattr(row, "inputs") and hasattr(row, "expected_output"):
            yield getattr(row, "name", None), row.inputs, row.expected_output
        else:
            yield None, row, None
