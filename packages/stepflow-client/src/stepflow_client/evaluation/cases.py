"""The cases of an evaluation: from a list, a file, the test cases of a flow, or the data set of another package."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .._data.arguments import check_text, wrong
from .._data.declared import declared_schema
from .._data.values import check_json, encode, encode_plain
from .._records.inputs import read_inputs
from .._rules.chunks import key_of
from ..errors import FlowFileError, InvalidArgumentError
from ..flows.cases import tests_in
from ..flows.file import FlowSource
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
    for number, case in enumerate(_found(cases, flow, content, expected)):
        # Rows of different cases may have the same id.
        name = check_text(str(case.name), f"the name of case {number}") if case.name else str(number)
        name = f"{name} ({number})" if name in seen else name
        seen.add(name)
        yield EvaluationCase(name, case.input, case.expected)


def encoded(cases: Sequence[EvaluationCase]) -> tuple[bytes, bytes]:
    """Return the names of cases, and their inputs and expected outputs, as JSON.

    Raises:
        InvalidArgumentError: If one of them has no JSON value.
    """
    content = [[each.input, each.expected] for each in cases]
    text = encode_plain(content)
    if text is None:
        whats = ("input", "expected output")
        text = encode(
            [
                [
                    check_json(value, f"the {what} of case {case.name}", exact_integers=False)
                    for what, value in zip(whats, values, strict=True)
                ]
                for case, values in zip(cases, content, strict=True)
            ]
        )
    return encode([each.name for each in cases]), text


def _found(cases: Any, flow: FlowSource, content: Mapping[str, Any], expected: str) -> Iterator[EvaluationCase]:
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


def _cases_of_flow(flow: FlowSource) -> Iterator[EvaluationCase]:
    text = FlowText.of(flow)
    found = tests_in(text, text.name).cases
    if not found:
        raise InvalidArgumentError("the flow has no test cases to evaluate", hint="give cases: a list, or a file")
    for case in found:
        if case.fault:
            raise FlowFileError(case.fault, path=text.name, line=case.line)
        wanted = case.expected or {}
        yield EvaluationCase(case.name, case.input, wanted.get("result"))


def _rows(rows: Iterable[Any], content: Mapping[str, Any], expected: str) -> Iterator[EvaluationCase]:
    schema = declared_schema(content, "input")
    fields = schema.get("properties") if isinstance(schema, Mapping) else None
    # `{input, expected}` is a case, unless this is what the flow's own input looks like.
    is_flat = isinstance(fields, Mapping) and "input" in fields
    for row in rows:
        if isinstance(row, EvaluationCase):
            yield row
        elif hasattr(row, "inputs") and hasattr(row, "expected_output"):
            yield EvaluationCase(getattr(row, "name", None) or "", row.inputs, row.expected_output)
        elif not isinstance(row, Mapping):
            yield EvaluationCase("", row)
        elif "input" in row and row.keys() <= _KEYS | {expected} and not is_flat:
            name = row.get("name", key_of(row["input"]))
            yield EvaluationCase(_name(name), row["input"], row.get(expected))
        else:
            given = {key: value for key, value in row.items() if key != expected}
            yield EvaluationCase(_name(key_of(given)), given, row.get(expected))


def _name(given: Any) -> str:
    return "" if given is None else str(given)
