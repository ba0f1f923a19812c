"""The variants of an evaluation, its cases, and what is known of each case, variant and repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

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
