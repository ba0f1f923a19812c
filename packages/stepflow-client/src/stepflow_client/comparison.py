"""What differs between two runs: the results of `compare_runs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .types import RunDetails

__all__ = ["RunComparison", "RunDifference"]


@dataclass(frozen=True, slots=True)
class RunDifference:
    """One place where two runs differ. Values of secret variables that their flows hold are `***`."""

    path: str
    """Where: `$.status`, `$.flow.steps.ID.input.KEY`, `$.steps.ID.output.KEY`, `$.output`, `$.error.message`.

    Of two batches, what belongs to an item stands below `$.items[N]`: `$.items[3].steps.ID.output`.
    """
    kind: Literal["changed", "added", "removed"]
    """`added` is what only the second run has, `removed` what only the first one has."""
    a: Any
    """The value in the first run, any JSON value; None where it is `added`."""
    b: Any
    """The value in the second run; None where it is `removed`."""
    item: int | None = None
    """The item it belongs to, from 0; None for what belongs to the runs as a whole."""
    step: str | None = None
    """The step whose status, output or error it is."""
    origin: str | None = None
    """The path of the difference that this one repeats: both values are the same in a step that this place reads."""

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as a dict of JSON values."""
        return {name: getattr(self, name) for name in ("path", "kind", "a", "b", "item", "step", "origin")}


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Two runs and where they differ."""

    a: RunDetails
    """The first run."""
    b: RunDetails
    """The second run."""
    every_difference: Sequence[RunDifference] = field(repr=False)
    """All differences: of status and flow, then item by item, its steps in the order of the flow, its output last."""
    not_compared: Sequence[str] = ()
    """What the server does not give back: always `inputs`; `step outputs` on 0.10 and 0.11."""

    @property
    def differences(self) -> list[RunDifference]:
        """The differences without those that only repeat one of a step they read."""
        return [each for each in self.every_difference if each.origin is None]

    @property
    def is_same(self) -> bool:
        """True if nothing that was compared differs. When the runs began and how long they took never counts."""
        return not self.every_difference

    @property
    def durations(self) -> tuple[float | None, float | None]:
        """Seconds that each run took, by the server's clock; None for a run that has not ended."""
        return _seconds(self.a), _seconds(self.b)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return `differences` as dicts, for `pandas.DataFrame` and the like."""
        return [each.to_dict() for each in self.differences]

    def _repr_html_(self) -> str:
        from .drawing.notebook import records_html

        return records_html(self.differences, ("path", "kind", "a", "b"), "differences")


def _seconds(run: RunDetails) -> float | None:
    if run.created_at is None or run.completed_at is None:
        return None
    return max(0.0, (run.completed_at - run.created_at).total_seconds())
