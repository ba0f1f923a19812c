"""What a rerun keeps of an earlier run and what it executes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import InvalidArgumentError

if TYPE_CHECKING:
    from .types import FlowResult

__all__ = ["RerunItem", "RerunPlan", "RerunResult"]


@dataclass(frozen=True, slots=True)
class RerunItem:
    """One item that is run again."""

    index: int
    """Its place in the earlier run, from 0."""
    kept: Mapping[str, Any] = field(repr=False)
    """The outputs of the steps that are not executed again, by step id."""
    executed: Sequence[str]
    """The other steps of the flow; those that its output needs are executed."""


@dataclass(frozen=True, slots=True)
class RerunPlan:
    """What a rerun will do; nothing has been started."""

    run_id: str
    """The earlier run."""
    flow: Mapping[str, Any] = field(repr=False)
    """The flow that is run."""
    items: Sequence[RerunItem]
    """The items that are run again, in the order of their inputs."""
    total: int
    """How many items the earlier run has; the results of the others are kept."""
    unknown: Sequence[str] = ()
    """What the executed steps may have used that is not known (`variables`, `overrides`): not given, nor recorded."""
    recorded: Sequence[str] = ()
    """What is taken from the history of the client: `input`, `variables`, `overrides`. Values that are given go first.
    """


@dataclass(frozen=True, slots=True)
class RerunResult:
    """The results of a rerun, with those that were kept."""

    plan: RerunPlan
    results: Sequence[FlowResult]
    """A result for each item of the earlier run, in the order of their inputs; `run_id` is the run it comes from."""

    @property
    def run_ids(self) -> list[str]:
        """The runs that were created, each once, in the order of the items."""
        indexes = [item.index for item in self.plan.items]
        return list(dict.fromkeys(self.results[index].run_id for index in indexes))

    @property
    def result(self) -> FlowResult:
        """The result of a run of one item.

        Raises:
            InvalidArgumentError: If the earlier run is a batch; `results` has them all.
        """
        if len(self.results) != 1:
            raise InvalidArgumentError(f"run {self.plan.run_id} is a batch of {len(self.results)} items: use results")
        return self.results[0]
