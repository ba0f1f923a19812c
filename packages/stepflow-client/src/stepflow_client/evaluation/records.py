"""The variants of an evaluation, its cases, and what is known of each case, variant and repeat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from ..types.outcomes import Outcome
from ..types.shown import Record

if TYPE_CHECKING:
    from .._codec.requests import Variables
    from ..flows.flow_argument import FlowSource

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

    def item(self, place: int, variant: str, repeat: int, **more: Any) -> EvaluationItem:
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
