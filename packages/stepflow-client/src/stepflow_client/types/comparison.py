"""The differences between two runs, as `compare_runs` returns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from .models import Model, field, record
from .runs import RunDetails
from .shown import Shown

__all__ = ["RunComparison", "RunDifference"]


@record(kw_only=False)
class RunDifference(Model):
    """One difference between two runs. Values of secret variables in their flows are replaced by `***`."""

    path: str
    """The path of the difference: `$.status`, `$.flow.steps.ID.input.KEY`, `$.steps.ID.output.KEY`, `$.output`,
    `$.error.message`.

    For batches, the paths of an item begin with `$.items[N]`: `$.items[3].steps.ID.output`.
    """
    kind: Literal["changed", "added", "removed"]
    """`added`: only the second run has the value; `removed`: only the first one has it; `changed`: the values
    differ."""
    a: Any
    """The value in the first run, any JSON value; None for `added`."""
    b: Any
    """The value in the second run, any JSON value; None for `removed`."""
    item_index: int | None = None
    """The index of the item, from 0; None for a difference between the runs as a whole."""
    step_id: str | None = None
    """The id of the step whose status, output or error differs."""
    origin: str | None = None
    """The path of the difference that this one repeats: a step whose output is read here has the same two values."""


@record(kw_only=False)
class RunComparison(Model, Shown):
    """Two runs and their differences."""

    a: RunDetails
    """The first run."""
    b: RunDetails
    """The second run."""
    every_difference: Sequence[RunDifference] = field(repr=False)
    """All differences: status and flow first, then those of each item: its steps in the order of the flow, then its
    output."""
    not_compared: Sequence[str] = ()
    """What was not compared because the server does not return it: always `inputs`; `step outputs` before 0.12."""

    @property
    def differences(self) -> list[RunDifference]:
        """The differences, without those that only repeat the difference of a step whose output they read."""
        return [difference for difference in self.every_difference if difference.origin is None]

    @property
    def is_same(self) -> bool:
        """True if the compared parts are the same. Start times and durations are not compared."""
        return not self.every_difference

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return `differences` as dicts, for example for `pandas.DataFrame`."""
        return [difference.to_dict() for difference in self.differences]
