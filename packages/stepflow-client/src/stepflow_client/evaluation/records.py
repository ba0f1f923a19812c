"""What an evaluation runs and knows: its cases, its variants with their flows and arguments, and each repeat."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .._cases.flow_cases import parse_tests
from .._codec import requests
from .._data.arguments import check_mapping, check_text, check_texts, wrong
from .._data.flow_declarations import get_declared_schema
from .._data.values import LOCAL_DEPTH, check_json, encode, encode_plain, merge_overrides
from .._records.inputs import read_inputs
from .._rules.chunks import get_input_key
from .._runs.client_metadata import remove_cases
from ..errors import FlowFileError, InvalidArgumentError
from ..flows.reading import FlowSource, load_flow
from ..flows.source import FlowText
from ..types.models import Record
from ..types.results import Outcome

if TYPE_CHECKING:
    from .._codec.requests import Variables

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
        rows = _read_file_rows(cases, content, expected)
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


def _read_file_rows(path: str | os.PathLike[str], content: Mapping[str, Any], expected: str) -> Iterator[_Row]:
    with read_inputs(path, flow=content, on_bad_line="stop") as rows:
        yield from _parse_rows(rows, content, expected)


def _parse_rows(rows: Iterable[Any], content: Mapping[str, Any], expected: str) -> Iterator[_Row]:
    schema = get_declared_schema(content, "input")
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


ScoreValue: TypeAlias = float | bool | str
"""A score: a number, true or false, or a label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What one of the compared variants changes. `Variant()` is the flow as it is.

    Example:
        ```python
        variants = {"now": Variant(), "formal": Variant(variables={"tone": "formal"}), "v2": Variant(flow="v2.yaml")}
        ```
    """

    flow: FlowSource | None = None
    """Another flow: a path or its content. None, the default: the flow of the evaluation."""
    variables: Variables | None = None
    """Values of variables, which replace those of the evaluation by name."""
    overrides: Any = None
    """Changes to steps, as for `run`."""


@dataclass(frozen=True, slots=True)
class EvaluationCase(Record):
    """One case of an evaluation."""

    name: str
    """The name of the case, or its number from 0."""
    input: Any
    expected: Any = None
    """The expected output; None if the case has none."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of the case, such as its language."""
    tags: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationItem(Record):
    """What is known of one case, variant and repeat."""

    case: str
    """The name of the case, or its number from 0."""
    variant: str
    repeat: int = 0
    """The number of the repeat, from 0."""
    input: Any = None
    expected: Any = None
    """The expected output; None if the case has none."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The metadata of the case."""
    tags: Sequence[str] = ()
    """The tags of the case."""
    status: str = "completed"
    """The status, as outcomes have it: `completed`, `failed` or `cancelled`, for example."""
    output: Any = None
    error: str | None = None
    """The message of a failure."""
    run_id: str | None = None
    """The id of the run; None for an input that could not be sent."""
    item_index: int | None = None
    """The index of the item within the run, if the run has several items."""
    duration: float | None = None
    """Seconds from the start of the item's first step to the end of its last step. None if they are not reported."""
    scores: Mapping[str, ScoreValue] = field(default_factory=dict)
    """The scores by name, such as `exact.category`."""
    score_errors: Mapping[str, str] = field(default_factory=dict)
    """The messages of scores that failed, by the name of the score."""

    @property
    def is_success(self) -> bool:
        """True if the item completed."""
        return self.status == "completed"


@dataclass(frozen=True, slots=True)
class WorstCase(Record):
    """A case in which a variant is worse than another one, or bad."""

    case: str
    score: str
    value: float | None
    """The score of the variant, as the mean over the repeats; None if it has none, because its items failed."""
    before: float | None
    """The score of the variant that it is compared with; None without one."""
    item: EvaluationItem
    """The worst repeat of the variant, with its run id."""
    compared: EvaluationItem | None = None
    """The first repeat of the variant that it is compared with."""

    @property
    def run_id(self) -> str | None:
        """The run of the variant."""
        return self.item.run_id


ScoreColumns = Mapping[str, Sequence[ScoreValue | None]]
"""Scores by name: a value for each item, None for an item without it."""
ErrorColumns = Mapping[str, Sequence[str | None]]
"""Messages of scores that failed, by the name of the score."""


@dataclass(slots=True)
class Block:
    """Items of a variant that ended together, with consecutive numbers. Most never become `EvaluationItem` objects."""

    variant: int
    first: int
    """The number of the first item."""
    cases: Sequence[EvaluationCase]
    """The case of each item."""
    statuses: list[str]
    outputs: list[Any]
    errors: list[str | None]
    run_ids: list[str | None]
    indexes: list[int | None]
    """The index of each item within its run."""
    durations: list[float | None]

    def __len__(self) -> int:
        return len(self.statuses)

    @property
    def successes(self) -> list[int]:
        """The places of the items that completed."""
        return [place for place, status in enumerate(self.statuses) if status == "completed"]

    @property
    def runs(self) -> dict[str, list[int]]:
        """The places of the items of each run. If items were run again, there are several."""
        runs: dict[str, list[int]] = {}
        for place, run_id in enumerate(self.run_ids):
            if run_id is not None:
                runs.setdefault(run_id, []).append(place)
        return runs

    def build_item(self, place: int, variant: str, repeat: int, **more: Any) -> EvaluationItem:
        """Return an item.

        Args:
            place: Its place.
            variant: The name of the variant.
            repeat: The number of repeats of each case.
            more: More fields of the item.
        """
        case = self.cases[place]
        return EvaluationItem(
            case=case.name,
            variant=variant,
            repeat=(self.first + place) % repeat,
            input=case.input,
            expected=case.expected,
            metadata=case.metadata,
            tags=case.tags,
            status=self.statuses[place],
            output=self.outputs[place],
            error=self.errors[place],
            run_id=self.run_ids[place],
            item_index=self.indexes[place],
            duration=self.durations[place],
            **more,
        )


def build_block(variant: int, cases: Sequence[EvaluationCase], outcomes: Sequence[Outcome]) -> Block:
    """Return the block of outcomes with consecutive indexes."""
    errors = [outcome.error.message if outcome.error is not None else None for outcome in outcomes]
    for place, outcome in enumerate(outcomes):
        if not outcome.is_success and errors[place] is None:
            errors[place] = f"the run was {outcome.status.value}"
    return Block(
        variant,
        outcomes[0].index,
        cases,
        [outcome.status.value for outcome in outcomes],
        [outcome.output for outcome in outcomes],
        errors,
        [outcome.run_id for outcome in outcomes],
        [outcome.item_index for outcome in outcomes],
        [None] * len(outcomes),
    )


class LazyItems:
    """Items that are read again each time, because they may not fit into memory.

    Args:
        read: Returns the items.
    """

    def __init__(self, read: Callable[[], Iterator[EvaluationItem]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[EvaluationItem]:
        """Yield the items."""
        return self._read()


class ItemResults(NamedTuple):
    """What a report keeps of some items of a variant: neither inputs nor outputs."""

    variant: str
    cases: Sequence[str]
    """The name of the case of each item."""
    repeats: int
    """Largest number of repeats of a case."""
    statuses: Sequence[str]
    errors: Sequence[str | None]
    run_ids: Sequence[str | None]
    durations: Sequence[float | None]
    scores: ScoreColumns
    score_errors: ErrorColumns

    @classmethod
    def from_item(cls, item: EvaluationItem) -> ItemResults:
        """Return the results of one item."""
        scores = {name: [value] for name, value in item.scores.items()}
        failed = {name: [message] for name, message in item.score_errors.items()}
        columns = [item.status], [item.error], [item.run_id], [item.duration]
        return cls(item.variant, [item.case], item.repeat + 1, *columns, scores, failed)


class BlockScores(NamedTuple):
    """The scores of consecutive items by one function."""

    variant: int
    number: int
    """The number of the first item."""
    length: int
    """Number of items."""
    key: str
    scores: ScoreColumns
    errors: ErrorColumns


# Number of items of a variant for which `map` makes enough runs by itself.
_MANY = 5_000


@dataclass(frozen=True, slots=True)
class PlannedVariant:
    """A variant with its flow and its arguments."""

    name: str
    flow: dict[str, Any]
    """The content of the flow, without its test cases."""
    variables: dict[str, Any]
    overrides: dict[str, Any] | None
    """The changes by step id."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The flow, the variables and the overrides, as `map` takes them."""
        overrides = None if self.overrides is None else {"steps": self.overrides}
        return {"flow": self.flow, "variables": self.variables or None, "overrides": overrides}

    @property
    def settings_digest(self) -> str:
        """A digest of the flow and the arguments. Secrets cannot be read from it."""
        settings = [self.flow, self.variables, self.overrides]
        return hashlib.sha256(encode(check_json(settings, "the variant", max_depth=LOCAL_DEPTH))).hexdigest()


def plan_variants(flow: Mapping[str, Any], variants: Any, variables: Any, overrides: Any) -> list[PlannedVariant]:
    """Return the variants of an evaluation.

    Args:
        flow: The content of the flow.
        variants: The variants by name, as the caller gave them; None for the flow as it is.
        variables: The variables of all variants.
        overrides: The overrides of all variants.

    Raises:
        FlowFileError: If the flow of a variant cannot be read.
        InvalidArgumentError: If there is no variant, or if one of them is no `Variant`.
    """
    by_name = check_mapping({"flow": Variant()} if variants is None else variants, "variants")
    if not by_name:
        raise InvalidArgumentError("variants is empty", hint="leave it out to evaluate the flow as it is")
    common = requests.parse_run_variables(variables)
    planned = []
    for name, variant in by_name.items():
        check_text(name, "the name of a variant")
        if not isinstance(variant, Variant):
            raise wrong(f"variant {name!r}", "a Variant", variant)
        content = flow if variant.flow is None else load_flow(variant.flow)
        values = requests.parse_run_variables(variant.variables)
        changes = merge_overrides([part for part in (overrides, variant.overrides) if part is not None])
        planned.append(PlannedVariant(name, remove_cases(content), {**common, **values}, changes))
    return planned


def limit_concurrency(most: int | None, variants: int) -> int | None:
    """Return the `max_concurrency` of each of several variants: the same for all, so that none is faster."""
    return None if most is None else max(1, most // variants)


def choose_chunk_size(items: int, variants: int) -> int | None:
    """Return the number of items of one run; None leaves it to `map`.

    Times are compared by run. The runs of `map` are too few for that, unless there are thousands of items.
    """
    return None if variants == 1 or items >= _MANY else max(2, min(items // 24, 32))


class RunLabels:
    """Labels the runs of an evaluation: all by `eval` and `variant`, and those that have ended by their items too.

    Args:
        client: The client; without a history, it has no labels.
        name: The name of the evaluation.
        repeat: The number of repeats of each case.
        more: Labels that the caller adds.
    """

    def __init__(self, client: Any, name: str, repeat: int, more: Mapping[str, str] | None) -> None:
        self._history = getattr(client, "history", None)
        self._server = getattr(client, "url", None)
        self._repeat = repeat
        # Without a history, `map` refuses labels, and says why.
        self._held: dict[str, tuple[PlannedVariant, Block] | None] = {}
        """The first block of each variant. `map` records its first run again when it creates the next."""
        self.common = None if self._history is None and more is None else {"eval": name, **(more or {})}

    def get_labels(self, variant: PlannedVariant) -> dict[str, str] | None:
        """Return the labels of the batch of a variant."""
        return None if self.common is None else {**self.common, "variant": variant.name}

    def record(self, variant: PlannedVariant, block: Block) -> None:
        """Record the run of a block that has ended, with the cases and repeats of its items."""
        if variant.name not in self._held:
            self._held[variant.name] = variant, block
            return
        self._record_held(variant.name)
        self._record_runs(variant, block)

    def end(self) -> None:
        """Record the runs that are left; all have ended."""
        for name in self._held:
            self._record_held(name)

    def _record_held(self, name: str) -> None:
        held, self._held[name] = self._held[name], None
        if held is not None:
            self._record_runs(*held)

    def _record_runs(self, variant: PlannedVariant, block: Block) -> None:
        labels = self.get_labels(variant)
        if self._history is None or labels is None:
            return
        for run_id, places in block.runs.items():
            repeats = [(block.first + place) % self._repeat for place in places]
            labels["case"] = _format_first_and_last(block.cases[places[0]].name, block.cases[places[-1]].name)
            labels["repeat"] = _format_first_and_last(min(repeats), max(repeats))
            self._history.record(
                run_id, server=self._server, omitted=("input",), labels=dict(labels), **variant.arguments
            )
            has_failed = any(block.statuses[place] != "completed" for place in places)
            self._history.update(run_id, status="failed" if has_failed else "completed")


def _format_first_and_last(first: object, last: object) -> str:
    return str(first) if first == last else f"{first}..{last}"
