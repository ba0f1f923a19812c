"""Runs with their arguments, items and steps, as well as run lists and history entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal, overload

from .._data.secrets import has_hidden_part
from .model_base import Listing, Model, Records, Shown, field, frozen_model
from .results import FlowErrorOrNone, FlowResult
from .run_explanation import FailedItems, RunAccount, StepAccount, format_state
from .statuses import ExecutionStatus, parse_status

__all__ = [
    "CreateRunResponse", "HistoryEntry", "ItemCounts", "ListItemsResponse", "ListRunsResponse", "ListStepsResponse",
    "RunArguments", "RunDetails", "RunItem", "RunItems", "RunSnapshot", "SnapshotPart", "StepDetails",
]  # fmt: skip


@frozen_model(kw_only=False)
class HistoryEntry(Model):
    """A run and its original arguments. For reruns, see also `rerun_of`, `kept` and `rerun_items`."""

    run_id: str
    """The run ID, or `pending:...` until the server confirms that the run exists."""
    created_at: datetime
    """When the run was recorded, in UTC."""
    server: str | None = None
    """The server URL, without credentials."""
    flow_id: str | None = None
    flow_file: str | None = None
    """The flow file's absolute path, if the flow came from a file."""
    status: str | None = None
    """The last known status, or None if it hasn't been updated since the start. The status of a batch that spans
    several runs becomes `completed` or `failed` once all of the outcomes have been read."""
    labels: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None
    omitted: tuple[str, ...] = ()
    """Fields that are None because their value was unavailable (e.g. `map` inputs) or too large to store."""
    flow: Any = field(default=None, repr=False)
    input: Any = field(default=None, repr=False)
    """The input, or the list of inputs for a batch."""
    variables: Any = field(default=None, repr=False)
    """The variables that were passed, with secret values replaced by `***`."""
    overrides: Any = field(default=None, repr=False)
    rerun_of: str | None = None
    """For a rerun, the ID of the earlier run."""
    kept: tuple[str, ...] = ()
    """For a rerun, the IDs of the steps whose outputs were kept. Overrides for these steps have no effect."""
    rerun_items: tuple[int, ...] = ()
    """For a rerun, the indexes of the rerun items within the earlier run, in the order of this run's items."""
    has_more_runs: bool = False
    """Whether this is the first of several runs that `map` started for one batch. Only the first is recorded."""
    is_embedded: bool = False
    """Whether the run used an embedded server, which stops when the program that started it exits."""

    @property
    def is_confirmed(self) -> bool:
        """Whether the run is known to exist.

        If not, the run is still being created, or the client exited or lost the response before the server confirmed
        it. In the latter case, the run may or may not exist.
        """
        return not self.run_id.startswith("pending:")


@frozen_model
class RunArguments(Model, Shown):
    """The arguments that a run was started with, as far as the server or the client's history can provide them."""

    run_id: str
    inputs: list[Any] | None = None
    """The input of each item, or None if neither the server nor the history has the inputs."""
    variables: dict[str, Any] | None = None
    """The variables that were passed, with secret values replaced by `***`, or None if not recorded."""
    overrides: Any = None
    """The step overrides, or None if there were none or they were not recorded."""
    labels: dict[str, str] = field(default_factory=dict)
    """The labels recorded with the run, by name."""
    note: str | None = None
    """The note recorded with the run."""
    is_recorded: bool = False
    """Whether the run is in the client's history."""
    rerun_of: str | None = None
    """For a rerun, the ID of the earlier run."""
    kept: list[str] = field(default_factory=list)
    """For a rerun, the IDs of the steps whose outputs were kept. These steps were not executed."""

    @property
    def hidden(self) -> list[str]:
        """The parts where the history has masked a secret: `inputs`, `variables.NAME`, `overrides`."""
        named = {f"variables.{name}": value for name, value in (self.variables or {}).items()}
        values = {"inputs": self.inputs, **named, "overrides": self.overrides}
        return [name for name, value in values.items() if has_hidden_part(value)]


@frozen_model
class RunItem(Model, Shown):
    """One item of a run."""

    index: int
    """The item's zero-based position in the run's list of inputs."""
    status: ExecutionStatus
    run_id: str = ""
    output: Any = None
    """The flow's output for this input. None if the item did not complete."""
    error: FlowErrorOrNone = None
    """Why the item failed, or None if it didn't."""
    completed_at: datetime | None = None

    @property
    def result(self) -> FlowResult | None:
        """The item's result, or None while it is still running."""
        if not self.status.is_finished:
            return None
        return FlowResult(run_id=self.run_id, status=self.status, output=self.output, error=self.error)


ITEM_COLUMNS = ("index", "status", "output", "error.message")


class RunItems(Records, Sequence[RunItem]):
    """A sequence of a run's items, each decoded on first access.

    Decoding all of them up front would be slow: a response can contain 100,000 items when the caller only needs the
    ones that failed.

    Args:
        entries: Items, or raw values for `read` to convert.
        read: A function that converts a raw value to an item.
    """

    def __init__(self, entries: Iterable[Any], read: Callable[[Any], RunItem] | None = None) -> None:
        """Store the entries. Each is replaced by its decoded item on first access."""
        self._entries = list(entries)
        self._read = read

    def _find_positions_by_status(self, is_chosen: Callable[[ExecutionStatus], object]) -> list[int]:
        """Return the positions of items with a matching status, without decoding any of them."""
        states = (each.status if isinstance(each, RunItem) else parse_status(each["status"]) for each in self._entries)
        return [place for place, status in enumerate(states) if is_chosen(status)]

    def _find_unfinished_positions(self) -> list[int]:
        """Return the positions of items that haven't ended."""
        return self._find_positions_by_status(lambda status: not status.is_finished)

    def _with_replaced_items(self, items: Mapping[int, RunItem]) -> RunItems:
        """Return a copy with the items at some positions replaced."""
        return RunItems([items.get(place, entry) for place, entry in enumerate(self._entries)], self._read)

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
        if self._read is not None and not isinstance(entry, RunItem):
            entry = self._entries[index] = self._read(entry)
        return entry  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # Tools such as debuggers call repr() on everything, and 100,000 items would take seconds.
        return f"<RunItems: {len(self)}>" if len(self) > 20 else repr(list(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (RunItems, (list(self),))

    @property
    def __pydantic_serializer__(self) -> Any:
        # Pydantic serializes only the standard sequences.
        from pydantic import PlainSerializer, TypeAdapter

        return TypeAdapter(Annotated[Any, PlainSerializer(list, return_type=list[RunItem])]).serializer


@frozen_model
class ListItemsResponse(Listing[RunItem]):
    """A run's items, in input order. Iterate over the response, index it, or use `items`."""

    run_id: str
    _shown: ClassVar = (*ITEM_COLUMNS, "items")
    items: Sequence[RunItem]
    """A sequence of `RunItem`, each decoded from the response on first access."""


# Statuses that are also step states.
_KNOWN_STATES = ("completed", "running", "cancelled")


@frozen_model
class StepDetails(StepAccount, Shown):
    """A single step of an item, and its state.

    Servers report steps that never ran as `failed`. In a snapshot that includes items, steps and flow, the `state` of
    such steps is `not_run`. Anywhere else, the state of every failed step is `unknown`.
    """

    status: ExecutionStatus  # pyright: ignore[reportGeneralTypeIssues]  # it is required here
    item_index: int = 0
    step_index: int | None = None
    output: Any = None
    """The step's output, if the server returns it (0.12 and newer)."""
    is_default: bool | None = None
    """Whether the step failed and fell back to its `onError` default, or None if unknown."""
    updated_at: datetime | None = None
    started_at: datetime | None = None
    """When the step was first dispatched to its component. This field and the next three are only set by
    `get_run_steps(include_times=True)` (0.12 and newer)."""
    completed_at: datetime | None = None
    """When the step ended, or None while it is running."""
    duration: float | None = None
    """Number of seconds between the step's first start and its end, including retries and the delays between them."""
    attempts: int | None = None
    """How many times the step was started."""

    def __post_init__(self) -> None:
        if self.state == "unknown" and self.status.value in _KNOWN_STATES:
            object.__setattr__(self, "state", self.status.value)


@frozen_model
class ListStepsResponse(Listing[StepDetails]):
    """A run's steps, grouped by item and then in flow order. Iterate over the response, index it, or use `steps`."""

    _shown: ClassVar = ("item_index", "step_id", "component", "status", "output", "error.message", "steps")
    _timed: ClassVar = (*_shown[:4], "started_at", "duration", "attempts", *_shown[4:])
    run_id: str
    steps: list[StepDetails]

    def _get_shown_columns(self) -> Sequence[str]:
        return self._timed if any(step.started_at is not None for step in self.steps) else self._shown


@frozen_model
class ItemCounts(Model):
    """How many of a run's items are in each state. Note that servers don't count items until the run has ended."""

    total: int = 0
    completed: int = 0
    running: int = 0
    failed: int = 0
    cancelled: int = 0


@frozen_model
class RunDetails(Model, Shown):
    """A run and its current state."""

    _derived: ClassVar = ("duration",)
    run_id: str
    """A UUID string."""
    flow_id: str
    flow_name: str | None = None
    status: ExecutionStatus
    items: ItemCounts = ItemCounts()
    created_at: datetime | None = None
    completed_at: datetime | None = None
    root_run_id: str | None = None
    """The ID of the root run. Same as `run_id` unless a step created this run."""
    parent_run_id: str | None = None
    """The ID of the run whose step created this run, or None for a root run."""
    orchestrator_id: str | None = None
    """The ID of the server process executing the run, if reported."""
    failed_in_sub_runs: int | None = None
    """For a completed run, how many sub-run items failed even though the steps that started them completed. None if the
    run's steps were not read."""
    account: RunAccount | None = None
    """Why the run (or the first failed item of a batch) did not succeed. Set by `snapshot` if requested."""
    failures: list[FailedItems] | None = None
    """A batch's failed items grouped by reason: at most 5 groups, largest first. Set together with `account`."""

    def __post_init__(self) -> None:
        counts = self.items
        if self.status is ExecutionStatus.CANCELLED and counts.running:
            # Servers leave a cancelled run's items marked as running forever.
            counts = replace(counts, running=0, cancelled=counts.cancelled + counts.running)
            object.__setattr__(self, "items", counts)

    @property
    def is_finished(self) -> bool:
        """True if the status is final.

        Note that a server may mark a run as failed while it is still executing the run. In that case, `items.running`
        isn't zero, and `wait_run` and `get_result` keep waiting until the run has actually ended or is considered lost.
        """
        return self.status.is_finished

    @property
    def duration(self) -> float | None:
        """Number of seconds from creation to end (by the server's clock), or None if the run hasn't ended."""
        if self.created_at is None or self.completed_at is None:
            return None
        return max(0.0, (self.completed_at - self.created_at).total_seconds())

    @property
    def text(self) -> str:
        """The status in words, e.g. `completed, 2 failed in sub-runs`."""
        return format_state(self.status.value, failed_children=self.failed_in_sub_runs or 0)


CreateRunResponse = RunDetails
"""The type returned by `create_run`: a newly created run."""


@frozen_model
class ListRunsResponse(Listing[RunDetails]):
    """Runs, newest first. Iterate over the response, index it, or use `runs`."""

    _shown: ClassVar = ("run_id", "flow_name", "status", "items.total", "created_at", "runs")
    runs: list[RunDetails]


SnapshotPart = Literal["items", "steps", "flow", "arguments", "account", "counts"]
"""An optional part of a snapshot, read only when requested."""


@frozen_model(kw_only=False)
class RunSnapshot(Model, Shown):
    """A run at one moment: its state plus any parts that were requested. All other parts are None."""

    details: RunDetails
    """The run and its state."""
    items: Sequence[RunItem] | None = field(default=None, repr=False)
    """The items, in input order. A failed item's error comes from the step that caused it."""
    steps: Sequence[StepDetails] | None = field(default=None, repr=False)
    """The steps that were started, by item, or None if not requested or not reported by the server. Limited to a single
    item if only that item, or its account, was requested."""
    flow: Mapping[str, Any] | None = field(default=None, repr=False)
    """The flow as its author wrote it, or an empty mapping if the server doesn't have it."""
    arguments: RunArguments | None = field(default=None, repr=False)
    """The arguments that the run was started with, if the server or the client's history has them."""
    counts: ItemCounts | None = None
    """How many items are in each state."""
    has_all_steps: bool = True
    """False if step states may be stale (servers before 0.12 don't update them when a run is cancelled)."""

    _stored: Mapping[str, Any] | None = field(default=None, repr=False)
    """The flow as stored, including metadata added by the client that started the run."""

    @property
    def run_id(self) -> str:
        """The run ID."""
        return self.details.run_id

    @property
    def account(self) -> RunAccount | None:
        """Why an item failed and what happened to each of its steps. Same as `details.account`."""
        return self.details.account
