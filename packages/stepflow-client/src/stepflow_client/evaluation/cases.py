"""The cases of an evaluation: from a list, a file, the test cases of a flow, or the data set of another package."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .._cases.flow_cases import parse_tests
from .._data.arguments import check_mapping, check_text, check_texts, wrong
from .._data.flow_declarations import declared_schema
from .._data.values import LOCAL_DEPTH, check_json, encode, encode_plain
from .._records.inputs import read_inputs
from .._rules.chunks import get_input_key
from ..errors import FlowFileError, InvalidArgumentError
from ..flows.flow_argument import FlowSource
from ..flows.source import FlowText
from .records import EvaluationCase

_KEYS = {"name", "input", "expected", "metadata", "tags"}


def read_cases(cases: Any, flow: FlowSource, content: Mapping[str, Any], expected: str) -> Iterator[EvaluationCase]:
    """Yield the cases of an evaluation, each with a name of its own.

    Args:
        cases: The cases, as `evaluate` accepts them.
        flow: The flow, as the caller passed it: None for `cases` means its test cases.
        content: The content of the flow, whose input schema gives the types of CSV fields.
        expected: The key or column with the expected output.

    Raises:
        FlowFileError: If a file cannot be read.
        InvalidArgumentError: If the cases are none of these.
    """
    if cases is None:
        rows = _read_test_cases(flow)
    elif isinstance(cases, (str, os.PathLike)):
        rows = _rows_of_file(cases, content, expected)
    else:
        # A `Dataset` of pydantic-evals has its cases in a list.
        listed = getattr(cases, "cases", cases)
        if not isinstance(listed, Iterable) or isinstance(listed, (bytes, Mapping)):
            raise wrong("cases", "a path, a collection of cases, or None for those of the flow", cases)
        rows = _parse_rows(listed, content, expected)
    seen = set[str]()
    for number, row in enumerate(rows):
        name = str(number) if row.name is None or row.name == "" else str(row.name)
        # Rows of different cases may have the same id.
        while name in seen:
            name = f"{name} ({number})"
        seen.add(name)
        metadata = check_mapping(row.metadata or {}, f"the metadata of case {name}")
        tags = tuple(check_texts(row.tags or (), f"tags of case {name}"))
        yield EvaluationCase(name, row.input, row.expected, metadata, tags)


def encode_cases(cases: Sequence[EvaluationCase]) -> tuple[bytes, bytes]:
    """Return the names of cases, and their other fields, as JSON.

    Raises:
        InvalidArgumentError: If one of them has no JSON value.
    """
    names = [case.name for case in cases]
    content = [
        [case.input, case.expected, *([case.metadata, [*case.tags]] if case.metadata or case.tags else [])]
        for case in cases
    ]
    texts = encode_plain(names), encode_plain(content)
    if texts[0] is not None and texts[1] is not None:
        return texts[0], texts[1]
    fields = ("the input", "the expected output", "the metadata", "the tags")
    for name, values in zip(names, content, strict=True):
        check_text(name, f"the name of case {name!r}")
        for place, value in enumerate(values):
            values[place] = check_json(value, f"{fields[place]} of case {name}", max_depth=LOCAL_DEPTH)
    return encode(names), encode(content)


def decode_case(name: str, content: Sequence[Any]) -> EvaluationCase:
    """Return a case from its name and its other fields, as `encode_cases` returns them."""
    value, expected, *more = content
    metadata, tags = more or ({}, ())
    return EvaluationCase(name, value, expected, metadata, tuple(tags))


class _Row(NamedTuple):
    """A case before it has a unique name."""

    name: Any
    """None if it has none."""
    input: Any
    expected: Any
    metadata: Any = None
    tags: Any = None


def _read_test_cases(flow: FlowSource) -> Iterator[_Row]:
    text = FlowText.of(flow)
    cases = parse_tests(text, text.name).cases
    if not cases:
        raise InvalidArgumentError("the flow has no test cases to evaluate", hint="give cases: a list, or a file")
    for case in cases:
        if case.fault:
            raise FlowFileError(case.fault, path=text.name, line=case.line)
        yield _Row(case.name, case.input, (case.expected or {}).get("result"), None, case.tags)


def _rows_of_file(path: str | os.PathLike[str], content: Mapping[str, Any], expected: str) -> Iterator[_Row]:
    with read_inputs(path, flow=content, on_bad_line="stop") as rows:
        yield from _parse_rows(rows, content, expected)


def _parse_rows(rows: Iterable[Any], content: Mapping[str, Any], expected: str) -> Iterator[_Row]:
    schema = declared_schema(content, "input")
    fields = schema.get("properties") if isinstance(schema, Mapping) else None
    # `{input, expected}` is a case, unless the flow's own input has a field `input`.
    is_flat = isinstance(fields, Mapping) and "input" in fields
    case_keys = _KEYS | {expected}
    for row in rows:
        if isinstance(row, EvaluationCase):
            yield _Row(row.name, row.input, row.expected, row.metadata, row.tags)
        elif isinstance(row, (dict, Mapping)):
            if "input" in row and not is_flat and row.keys() <= case_keys:
                name = row.get("name", get_input_key(row["input"]))
                yield _Row(name, row["input"], row.get(expected), row.get("metadata"), row.get("tags"))
            else:
                value = {key: field for key, field in row.items() if key != expected}
                yield _Row(get_input_key(value), value, row.get(expected))
        elif hasattr(row, "inputs") and hasattr(row, "expected_output"):
            metadata = getattr(row, "metadata", None)
            if metadata is not None and not isinstance(metadata, Mapping):
                metadata = {"metadata": metadata}
            yield _Row(getattr(row, "name", None), row.inputs, row.expected_output, metadata)
        else:
            yield _Row(None, row, None)
