"""An evaluation's data: cases, variants with their flows and arguments, and the results of each repeat."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from .._cases.flow_cases import parse_tests
from .._codec.call_checks import Variables, add_env_variables, parse_declared_variables, parse_run_variables
from .._data.arguments import argument_error, check_mapping, check_text, check_texts
from .._data.flow_declarations import get_declared_schema
from .._data.wire import MAX_LOCAL_DEPTH, check_json, encode_if_plain, to_json, unify_overrides
from .._records.inputs import read_inputs
from .._rules.chunks import get_input_id_or_key
from .._runs.strip_and_restore_flow import remove_cases
from ..errors import FlowFileError, InvalidArgumentError
from ..flows.reading import FlowSource, load_flow
from ..flows.syntax_tree import FlowText
from ..types.model_base import Record
from ..types.results import Outcome

_CASE_KEYS = {"name", "input", "expected", "metadata", "tags"}


def resolve_cases(cases: Any, flow: FlowSource, content: Mapping[str, Any], expected: str) -> Iterator[EvaluationCase]:
    """Yield an evaluation's cases, each with a unique name.

    Args:
        cases: The cases, in any form that `evaluate` accepts.
        flow: The flow as passed by the caller. Its test cases are used if `cases` is None.
        content: The flow's content. Its input schema determines the types of CSV fields.
        expected: The key or column that contains the expected output.

    Raises:
        FlowFileError: If a file cannot be read.
        InvalidArgumentError: If `cases` has a form that `evaluate` doesn't accept.
    """
    if cases is None:
        rows = _read_test_cases(flow)
    elif isinstance(cases, (str, os.PathLike)):
        rows = _load_cases(cases, content, expected)
    else:
        # A pydantic-evals `Dataset` keeps its cases in a list.
        listed = getattr(cases, "cases", cases)
        if not isinstance(listed, Iterable) or isinstance(listed, (bytes, Mapping)):
            raise argument_error("cases", "a path, a collection of cases, or None for the flow's cases", cases)
        rows = _convert_rows_to_cases(listed, content, expected)
    seen = set[str]()
    for number, row in enumerate(rows):
        name = str(number) if row.name in (None, "") else str(row.name)
        # Rows for different cases may have the same ID.
        while name in seen:
            name = f"{name} ({number})"
        seen.add(name)
        metadata = check_mapping(row.metadata or {}, f"the metadata of case {name}")
        tags = tuple(check_texts(row.tags or (), f"tags of case {name}"))
        yield EvaluationCase(name, row.input, row.expected, metadata, tags)


def encode_case_set(cases: Sequence[EvaluationCase]) -> tuple[bytes, bytes]:
    """Encode the cases as JSON, with the names separate from the other fields.

    Raises:
        InvalidArgumentError: If a case contains a value that isn't JSON.
    """
    names = [case.name for case in cases]
    content = [
        [case.input, case.expected, *([case.metadata, [*case.tags]] if case.metadata or case.tags else [])]
        for case in cases
    ]
    texts = encode_if_plain(names), encode_if_plain(content)
    if texts[0] is not None and texts[1] is not None:
        return texts[0], texts[1]
    fields = ("the input", "the expected output", "the metadata", "the tags")
    for name, values in zip(names, content, strict=True):
        check_text(name, f"the name of case {name!r}")
        for place, value in enumerate(values):
            values[place] = check_json(value, f"{fields[place]} of case {name}", max_depth=MAX_LOCAL_DEPTH)
    return to_json(names), to_json(content)


def decode_case(name: str, content: Sequence[Any]) -> EvaluationCase:
    """Rebuild a case from its name and other fields, as encoded by `encode_case_set`."""
    value, expected, *more = content
    metadata, tags = more or ({}, ())
    return EvaluationCase(name, value, expected, metadata, tuple(tags))


def _read_test_cases(flow: FlowSource) -> Iterator[EvaluationCase]:
    text = FlowText.from_source(flow)
    cases = parse_tests(text, text.name).cases
    if not cases:
        raise InvalidArgumentError("the flow has no test cases to evaluate", hint="pass cases: a list, or a file")
    for case in cases:
        if case.fault:
            raise FlowFileError(case.fault, path=text.name, line=case.line)
        yield EvaluationCase(case.name, case.input, (case.expected or {}).get("result"), {}, case.tags)


def _load_cases(path: str | os.PathLike[str], content: Mapping[str, Any], expected: str) -> Iterator[EvaluationCase]:
    with read_inputs(path, flow=content, on_bad_line="stop") as rows:
        yield from _convert_rows_to_cases(rows, content, expected)


def _convert_rows_to_cases(rows: Iterable[Any], content: Mapping[str, Any], expected: str) -> Iterator[EvaluationCase]:
    """Yield the rows as cases. Their fields haven't been checked yet, and their names may be missing or duplicated."""
    schema = get_declared_schema(content, "input")
    fields = schema.get("properties") if isinstance(schema, Mapping) else None
    # Treat `{input, expected}` as a case, unless the flow's own input has an `input` field.
    is_flat = isinstance(fields, Mapping) and "input" in fields
    case_keys = _CASE_KEYS | {expected}
    for row in rows:
        if isinstance(row, EvaluationCase):
            yield row
        elif isinstance(row, (dict, Mapping)):
            if "input" in row and not is_flat and row.keys() <= case_keys:
                name: Any = row.get("name", get_input_id_or_key(row["input"]))
                more: Any = row.get("metadata"), row.get("tags")
                yield EvaluationCase(name, row["input"], row.get(expected), *more)
            else:
                value = {key: field for key, field in row.items() if key != expected}
                name = get_input_id_or_key(value)
                yield EvaluationCase(name, value, row.get(expected))
        elif hasattr(row, "inputs") and hasattr(row, "expected_output"):
            metadata = getattr(row, "metadata", None)
            if metadata is not None and not isinstance(metadata, Mapping):
                metadata = {"metadata": metadata}
            name = getattr(row, "name", None)
            yield EvaluationCase(name, row.inputs, row.expected_output, metadata or {})
        else:
            yield EvaluationCase("", row)


ScoreValue: TypeAlias = float | bool | str
"""A score: a number, a boolean or a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One variant's changes to the flow. `Variant()` leaves it as is.

    Example:
        ```python
        variants = {"now": Variant(), "formal": Variant(variables={"tone": "formal"}), "v2": Variant(flow="v2.yaml")}
        ```
    """

    flow: FlowSource | None = None
    """A different flow, as a path or its content. Defaults to the evaluation's flow."""
    variables: Variables | None = None
    """Variable values. These take precedence over the evaluation's variables."""
    overrides: Any = None
    """Changes to steps, as for `run`."""


@dataclass(frozen=True, slots=True)
class EvaluationCase(Record):
    """A case to evaluate the variants on: an input and, optionally, the expected output."""

    name: str
    """The case's name, or its number (starting at 0) if it has no name."""
    input: Any
    expected: Any = None
    """The expected output, or None if there is none."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Any other information about the case, such as its language."""
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationItem(Record):
    """The result of running a case once with a variant. Each repeat has its own result."""

    case: str
    """The case's name, or its number (starting at 0) if it has no name."""
    variant: str
    repeat: int = 0
    """The repeat number, starting at 0."""
    input: Any = None
    expected: Any = None
    """The expected output, or None if the case has none."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The case's metadata."""
    tags: Sequence[str] = ()
    """The case's tags."""
    status: str = "completed"
    """The outcome's status, e.g. `completed`, `failed` or `cancelled`."""
    output: Any = None
    error: str | None = None
    """The error message, if the item failed."""
    run_id: str | None = None
    """The run ID, or None if the input couldn't be sent."""
    item_index: int | None = None
    """The item's index within its run, if the run has several items."""
    duration: float | None = None
    """Seconds from the start of the item's first step to the end of its last one, or None if not reported."""
    scores: Mapping[str, ScoreValue] = field(default_factory=dict)
    """Scores by name, e.g. `exact.category`."""
    score_errors: Mapping[str, str] = field(default_factory=dict)
    """Error messages from failed scores, keyed by score name."""

    @property
    def is_success(self) -> bool:
        """True if the item completed."""
        return self.status == "completed"


@dataclass(frozen=True, slots=True)
class WorstCase(Record):
    """A case where a variant scores badly, or worse than the variant it's compared with."""

    case: str
    score: str
    value: float | None
    """The variant's score, averaged over repeats, or None if it has no score because its items failed."""
    before: float | None
    """The other variant's score, or None if there is nothing to compare with."""
    item: EvaluationItem
    """The variant's worst repeat, including its run ID."""
    compared: EvaluationItem | None = None
    """The other variant's first repeat."""

    @property
    def run_id(self) -> str | None:
        """The ID of the variant's run."""
        return self.item.run_id


ScoreColumns = Mapping[str, Sequence[ScoreValue | None]]
"""Scores by name. Each column has one value per item, or None for items without that score."""
ErrorColumns = Mapping[str, Sequence[str | None]]
"""Error messages from failed scores, keyed by score name."""


def build_item(case: EvaluationCase, variant: str, repeat: int, **result: Any) -> EvaluationItem:
    """Build the result of running a case with a variant.

    Args:
        case: The case.
        variant: The variant's name.
        repeat: The repeat number.
        result: The item's other fields.
    """
    given = {"input": case.input, "expected": case.expected, "metadata": case.metadata, "tags": case.tags}
    return EvaluationItem(case=case.name, variant=variant, repeat=repeat, **given, **result)


class ItemBlock(NamedTuple):
    """A sequence of consecutive items of a variant that finished together."""

    variant: int
    first: int
    """The number of the block's first item within its variant."""
    items: list[EvaluationItem]

    @property
    def completed_positions(self) -> list[int]:
        """The positions of the completed items."""
        return [place for place, item in enumerate(self.items) if item.is_success]

    @property
    def items_by_run(self) -> dict[str, list[EvaluationItem]]:
        """The items of each run, keyed by run ID. There can be several runs if items were retried."""
        runs: dict[str, list[EvaluationItem]] = {}
        for item in self.items:
            if item.run_id is not None:
                runs.setdefault(item.run_id, []).append(item)
        return runs


def build_item_block(
    variant: str, number: int, repeat: int, cases: Sequence[EvaluationCase], outcomes: Sequence[Outcome]
) -> ItemBlock:
    """Build a block from outcomes with consecutive indexes.

    Args:
        variant: The variant's name.
        number: The variant number.
        repeat: The number of repeats per case.
        cases: The case of each outcome.
        outcomes: The outcomes.
    """
    items = []
    for case, outcome in zip(cases, outcomes, strict=True):
        error = None if outcome.error is None else outcome.error.message
        if error is None and not outcome.is_success:
            error = f"the run was {outcome.status.value}"
        result = {"status": outcome.status.value, "output": outcome.output, "error": error, "run_id": outcome.run_id}
        items.append(build_item(case, variant, outcome.index % repeat, **result, item_index=outcome.item_index))
    return ItemBlock(number, outcomes[0].index, items)


class LazyItems:
    """Items that are read again every time you iterate over them, because they might not fit in memory.

    Args:
        read: A function that returns an iterator over the items.
    """

    def __init__(self, read: Callable[[], Iterator[EvaluationItem]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[EvaluationItem]:
        """Yield the items."""
        return self._read()


class ResultColumns(NamedTuple):
    """The parts of some items that a report keeps in memory, i.e. everything except inputs and outputs."""

    variant: str
    cases: Sequence[str]
    """The name of each item's case."""
    repeats: int
    """The largest number of repeats of any case."""
    statuses: Sequence[str]
    errors: Sequence[str | None]
    run_ids: Sequence[str | None]
    durations: Sequence[float | None]
    scores: ScoreColumns
    score_errors: ErrorColumns

    @classmethod
    def from_item(cls, item: EvaluationItem) -> ResultColumns:
        """Build the results of a single item."""
        scores = {name: [value] for name, value in item.scores.items()}
        failed = {name: [message] for name, message in item.score_errors.items()}
        columns = [item.status], [item.error], [item.run_id], [item.duration]
        return cls(item.variant, [item.case], item.repeat + 1, *columns, scores, failed)


# If a variant has at least this many items, `map` by default creates enough runs for comparing times.
_ENOUGH_ITEMS_FOR_TIMES = 5_000


@dataclass(frozen=True, slots=True)
class PlannedVariant:
    """A variant with its flow and arguments resolved."""

    name: str
    flow: dict[str, Any]
    """The flow's content, without test cases."""
    variables: dict[str, Any]
    overrides: dict[str, Any] | None
    """The changes to steps, keyed by step ID."""

    @property
    def arguments_for_map(self) -> dict[str, Any]:
        """The flow, variables and overrides as arguments for `map`."""
        overrides = None if self.overrides is None else {"steps": self.overrides}
        return {"flow": self.flow, "variables": self.variables or None, "overrides": overrides}

    @property
    def settings_digest(self) -> str:
        """A digest of the flow and arguments. Secrets can't be recovered from it."""
        settings = [self.flow, self.variables, self.overrides]
        return hashlib.sha256(to_json(check_json(settings, "the variant", max_depth=MAX_LOCAL_DEPTH))).hexdigest()


def plan_variants(flow: Mapping[str, Any], variants: Any, variables: Any, overrides: Any) -> list[PlannedVariant]:
    """Resolve an evaluation's variants.

    Args:
        flow: The flow's content.
        variants: The variants by name, as passed by the caller, or None to evaluate only the unchanged flow.
        variables: Variables for all variants.
        overrides: Overrides for all variants.

    Raises:
        FlowFileError: If a variant's flow cannot be read.
        InvalidArgumentError: If there are no variants, or if one isn't a `Variant`.
    """
    by_name = check_mapping({"flow": Variant()} if variants is None else variants, "variants")
    if not by_name:
        raise InvalidArgumentError("variants is empty", hint="leave it out to evaluate the flow as it is")
    common = parse_run_variables(variables)
    planned = []
    for name, variant in by_name.items():
        check_text(name, "the name of a variant")
        if not isinstance(variant, Variant):
            raise argument_error(f"variant {name!r}", "a Variant", variant)
        content = flow if variant.flow is None else load_flow(variant.flow)
        values = parse_run_variables(variant.variables)
        both = map(unify_overrides, (overrides, variant.overrides))
        changes = unify_overrides([part for part in both if part is not None])
        planned.append(PlannedVariant(name, remove_cases(content), {**common, **values}, changes))
    return planned


def divide_concurrency(max_concurrency: int | None, variants: int) -> int | None:
    """Divide the concurrency limit equally among variants, so that no variant has an advantage."""
    return None if max_concurrency is None else max(1, max_concurrency // variants)


def choose_items_per_run(items: int, variants: int) -> int | None:
    """Return the number of items per run, or None to let `map` decide.

    Comparing times takes many runs, and by default `map` would create too few unless there are thousands of items.
    """
    return None if variants == 1 or items >= _ENOUGH_ITEMS_FOR_TIMES else max(2, min(items // 24, 32))


class RunLabeler:
    """Labels an evaluation's runs. Each run is labeled with `eval` and `variant` and, once it has finished, with its
    cases and repeats.

    Args:
        client: The client. If it has no history, its runs don't get labels.
        name: The evaluation's name.
        more: Additional labels.
        variables_from_env: Whether the runs read missing variables from the environment.
    """

    def __init__(self, client: Any, name: str, more: Mapping[str, str] | None, variables_from_env: bool) -> None:
        self._history: Any = getattr(client, "history", None)
        self._server: Any = self._history and {"server": client.url, "is_embedded": client._recorder.is_embedded}
        self._environ = os.environ if variables_from_env else {}
        self._held_blocks: dict[str, list[tuple[PlannedVariant, ItemBlock]]] = {}
        """Each variant's first block, held back because `map` records its run again when it creates the next run."""
        # Pass on explicit labels even if there's no history, so that `map` raises an error explaining the problem.
        self._common_labels = None if self._history is None and more is None else {"eval": name, **(more or {})}

    def get_batch_labels(self, variant: PlannedVariant) -> dict[str, str] | None:
        """Return the labels for a variant's batch."""
        return None if self._common_labels is None else {**self._common_labels, "variant": variant.name}

    def label_finished_block(self, variant: PlannedVariant, block: ItemBlock) -> None:
        """Label a finished block's runs with the cases and repeats of its items."""
        if self._history is None:
            return
        is_first = variant.name not in self._held_blocks
        self._held_blocks.setdefault(variant.name, []).append((variant, block))
        if not is_first:
            self._label_held_blocks(variant.name)

    def label_remaining_blocks(self) -> None:
        """Label the remaining runs, all of which have finished."""
        for name in self._held_blocks:
            self._label_held_blocks(name)

    def _label_held_blocks(self, name: str) -> None:
        held, self._held_blocks[name] = self._held_blocks[name], []
        for variant, block in held:
            for run_id, items in block.items_by_run.items():
                repeats = [item.repeat for item in items]
                labels = dict(self.get_batch_labels(variant) or {}, case=_format_range(items[0].case, items[-1].case))
                labels["repeat"] = _format_range(min(repeats), max(repeats))
                values = add_env_variables(variant.variables, parse_declared_variables(variant.flow), self._environ)
                about = {**self._server, **variant.arguments_for_map, "variables": values or None, "labels": labels}
                self._history.record(run_id, **about, omitted=("input",))
                self._history.update(run_id, status="completed" if all(item.is_success for item in items) else "failed")


def _format_range(first: object, last: object) -> str:
    return str(first) if first == last else f"{first}..{last}"
