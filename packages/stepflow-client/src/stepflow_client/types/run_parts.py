"""The arguments, items and steps of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, overload

from .._data.secrets import is_hidden
from .account import StepAccount
from .models import Listing, Model, field, record
from .results import FlowErrorOrNone, FlowResult
from .shown import Records, Shown
from .statuses import ExecutionStatus, read_status

__all__ = ["ListItemsResponse", "ListStepsResponse", "RunArguments", "RunItem", "RunItems", "StepDetails"]


@record
class RunArguments(Model, Shown):
    """The arguments that a run was started with, as far as the server or the client's history has them."""

    run_id: str
    inputs: list[Any] | None = None
    """The input of each item; None if neither the server nor the history has them."""
    variables: dict[str, Any] | None = None
    """The given variables, with `***` in place of secret values; None if they are not recorded."""
    overrides: Any = None
    """The changes to steps; None if there were none, or if neither the server nor the history has them."""
    labels: dict[str, str] = field(default_factory=dict)
    """The labels the run was recorded with, by name."""
    note: str | None = None
    """The note the run was recorded with."""
    is_recorded: bool = False
    """Whether the run is in the history."""
    rerun_of: str | None = None
    """The id of the earlier run, if the run was started by `rerun`."""
    kept: list[str] = field(default_factory=list)
    """The ids of the steps whose outputs a rerun kept: they were not executed."""

    @property
    def hidden(self) -> list[str]:
        """Names of the parts in which the history has masked a secret: `inputs`, `variables.NAME`, `overrides`."""
        named = {f"variables.{name}": value for name, value in (self.variables or {}).items()}
        values = {"inputs": self.inputs, **named, "overrides": self.overrides}
        return [name for name, value in values.items() if is_hidden(value)]


@record
class RunItem(Model, Shown):
    """One item of a run."""

    index: int
    """The position of its input in the run's list of inputs, from 0."""
    status: ExecutionStatus
    run_id: str = ""
    output: Any = None
    """The output of the flow for this input; also None if the item did not complete."""
    error: FlowErrorOrNone = None
    """The reason for the failure; None if the item did not fail."""
    completed_at: datetime | None = None

    @property
    def result(self) -> FlowResult | None:
        """The result of the item; None while it is running."""
        if not self.status.is_finished:
            return None
        return FlowResult(run_id=self.run_id, status=self.status, output=self.output, error=self.error)


ITEM_COLUMNS = ("index", "status", "output", "error.message")


class RunItems(Records, Sequence[RunItem]):
    """The items of a run: a sequence that reads each item when it is first accessed.

    A response may contain 100,000 items, while a caller may need only the failed ones.

    Args:
        entries: Items, or values that `read` converts to items.
        read: A function that converts an entry to an item.
    """

    def __init__(self, entries: Iterable[Any], read: Callable[[Any], RunItem] | None = None) -> None:
        """Store the entries. An item replaces its entry when it is first accessed."""
        self._entries = list(entries)
        self._read = read

    def _places(self, is_chosen: Callable[[ExecutionStatus], object]) -> list[int]:
        """Return the positions of items with a wanted status, without reading the items that have not been accessed."""
        return [
            place
            for place, entry in enumerate(self._entries)
            if is_chosen(entry.status if isinstance(entry, RunItem) else read_status(entry["status"]))
        ]

    def _unfinished(self) -> list[int]:
        """Return the positions of the items that have not ended."""
        return self._places(lambda status: not status.is_finished)

    def _replaced(self, items: Mapping[int, RunItem]) -> RunItems:
        """Return a copy with other items at some positions."""
        changed = RunItems(self._entries, self._read)
        for place, item in items.items():
            changed._entries[place] = item
        return changed

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> RunItem: ...
    @overload
    def __getitem__(self, index: slice) -> list[RunItem]: ...
    def __getitem__(self, index: int | slice) -> RunItem | list[RunItem]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self._entries)))]
        entry = self._entries[index]
        if isinstance(entry, RunItem) or self._read is None:
            return entry  # type: ignore[no-any-return]
        item = self._entries[index] = self._read(entry)
        return item

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # Some print what they are given without being asked to; 100,000 items would take seconds.
        return f"<RunItems: {len(self)}>" if len(self) > 20 else repr(list(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (RunItems, (list(self),))


@record
class ListItemsResponse(Listing[RunItem]):
    """The items of a run, in the order of their inputs: iterate over it, index it, or use `items`."""

    run_id: str
    _shown: ClassVar = (*ITEM_COLUMNS, "items")
    items: Sequence[RunItem]
    """A sequence of `RunItem`; each one is read from the response when it is first accessed."""

    def _entries(self) -> Sequence[RunItem]:
        return self.items


# The statuses that are states of steps too.
_KNOWN_STATES = ("completed", "running", "cancelled")


@record
class StepDetails(StepAccount, Shown):
    """One step of one item and its state.

    The server's status of a step that was not run is `failed`. Its `state` is `not_run` in a snapshot with items,
    steps and flow; elsewhere, the state of a failed step is `unknown`.
    """

    status: ExecutionStatus  # pyright: ignore[reportGeneralTypeIssues]  # it is required here
    item_index: int = 0
    step_index: int | None = None
    output: Any = None
    """The step's output, if the server returns it (0.12 and newer)."""
    is_default: bool | None = None
    """Whether the step failed and its `onError` default is its output; None if that is not known."""
    updated_at: datetime | None = None
    started_at: datetime | None = None
    """When the step was first passed to its component. This field and the next three are set by
    `get_run_steps(include_times=True)` (0.12 and newer)."""
    completed_at: datetime | None = None
    """When the step ended; None while it is running."""
    duration: float | None = None
    """Seconds from the first start to the end, including all attempts and the waits between them."""
    attempts: int | None = None
    """Number of times the step was started."""

    def __post_init__(self) -> None:
        if self.state == "unknown" and self.status.value in _KNOWN_STATES:
            object.__setattr__(self, "state", self.status.value)


@record
class ListStepsResponse(Listing[StepDetails]):
    """The steps of a run, by item, then in the order of the flow: iterate over it, index it, or use `steps`."""

    _shown: ClassVar = ("item_index", "step_id", "component", "status", "output", "error.message", "steps")
    _timed: ClassVar = (*_shown[:4], "started_at", "duration", "attempts", *_shown[4:])
    run_id: str
    steps: list[StepDetails]

    def _entries(self) -> Sequence[StepDetails]:
        return self.steps

    def _columns(self) -> Sequence[str]:
        return self._timed if any(step.started_at is not None for step in self.steps) else self._shown
