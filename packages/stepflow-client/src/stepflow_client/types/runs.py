"""Runs and lists of runs, their arguments, items and steps, and the entries of the history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Literal, overload

from .._data.secrets import is_hidden
from .account import FailedItems, RunAccount, StepAccount, state_text
from .models import Listing, Model, Records, Shown, field, record
from .results import FlowErrorOrNone, FlowResult
from .statuses import ExecutionStatus, read_status

__all__ = [
    "CreateRunResponse", "HistoryEntry", "ItemCounts", "ListItemsResponse", "ListRunsResponse", "ListStepsResponse",
    "RunArguments", "RunDetails", "RunItem", "RunItems", "RunSnapshot", "SnapshotPart", "StepDetails",
]  # fmt: skip


@record(kw_only=False)
class HistoryEntry(Model):
    """A run and what the caller started it with; what a rerun added is in `rerun_of`, `kept` and `rerun_items`."""

    run_id: str
    """The id of the run; `pending:...` if its creation is not confirmed."""
    created_at: datetime
    """When the run was recorded, in UTC."""
    server: str | None = None
    """The URL of the server, without credentials."""
    flow_id: str | None = None
    flow_file: str | None = None
    """The absolute path of the flow's file, if the flow was a file."""
    status: str | None = None
    """The last known status; None if it was never updated after the start. That of a batch of several runs is
    `completed` or `failed`, once all its outcomes were read."""
    labels: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None
    omitted: tuple[str, ...] = ()
    """Names of the fields that are None because their values were too large to store, or because they are unknown: the
    inputs of `map`."""
    flow: Any = field(default=None, repr=False)
    input: Any = field(default=None, repr=False)
    """The input; for a batch, the list of inputs."""
    variables: Any = field(default=None, repr=False)
    """The given variables, with `***` in place of secret values."""
    overrides: Any = field(default=None, repr=False)
    rerun_of: str | None = None
    """The id of the earlier run, if the run was started by `rerun`."""
    kept: tuple[str, ...] = ()
    """The ids of the steps whose outputs a rerun kept. Their overrides, if any, had no effect on it."""
    rerun_items: tuple[int, ...] = ()
    """The indexes, in the earlier run, of the items that were run again, in the order of this run's items."""
    has_more_runs: bool = False
    """Whether the run is the first of several runs of a batch that `map` started. The others are not recorded."""
    is_embedded: bool = False
    """Whether the server is an embedded one, which stops with the program that started it."""

    @property
    def is_confirmed(self) -> bool:
        """Whether the run exists. If not, it is being created, or the process ended, or lost the response, meanwhile:
        the run may or may not exist."""
        return not self.run_id.startswith("pending:")


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


@record
class ItemCounts(Model):
    """Numbers of a run's items by state. Servers count the items of a run only when the run ends."""

    total: int = 0
    completed: int = 0
    running: int = 0
    failed: int = 0
    cancelled: int = 0


@record
class RunDetails(Model, Shown):
    """A run and its state."""

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
    """The id of the run at the top of the tree that this run belongs to; its own id if it was not created by a step."""
    parent_run_id: str | None = None
    """The id of the run whose step created this run; None for a root run."""
    orchestrator_id: str | None = None
    """The id of the server process that executes the run, if the server reports it."""
    failed_in_sub_runs: int | None = None
    """Number of items of sub-runs that failed although the steps that started them completed, in a completed run; None
    if the steps of the run were not read."""
    account: RunAccount | None = None
    """Why the run did not succeed; that of its first failed item if it is a batch. Set by `snapshot`, on request."""
    failures: list[FailedItems] | None = None
    """The failed items of a batch by reason, the largest of at most 5 groups first; set together with `account`."""

    def __post_init__(self) -> None:
        counts = self.items
        if self.status is ExecutionStatus.CANCELLED and counts.running:
            # A cancelled run never ends its items on the server.
            counts = replace(counts, running=0, cancelled=counts.cancelled + counts.running)
            object.__setattr__(self, "items", counts)

    @property
    def is_finished(self) -> bool:
        """True if the status is final.

        A server may mark a run as failed that it is still executing, while `items.running` is not zero; `wait_run` and
        `get_result` wait until that is settled.
        """
        return self.status.is_finished

    @property
    def duration(self) -> float | None:
        """Seconds from the creation of the run to its end, by the server's clock; None for a run that has not ended."""
        if self.created_at is None or self.completed_at is None:
            return None
        return max(0.0, (self.completed_at - self.created_at).total_seconds())

    @property
    def text(self) -> str:
        """The status in words: `completed, 2 failed in sub-runs`."""
        return state_text(self.status.value, failed_children=self.failed_in_sub_runs or 0)


CreateRunResponse = RunDetails
"""What `create_run` returns: a run that was just created."""


@record
class ListRunsResponse(Listing[RunDetails]):
    """Runs, newest first: iterate over it, index it, or use `runs`."""

    _shown: ClassVar = ("run_id", "flow_name", "status", "items.total", "created_at", "runs")
    runs: list[RunDetails]

    def _entries(self) -> Sequence[RunDetails]:
        return self.runs


SnapshotPart = Literal["items", "steps", "flow", "arguments", "account", "counts"]
"""A part of a snapshot that is read only if it is requested."""


@record(kw_only=False)
class RunSnapshot(Model, Shown):
    """A run at one moment: its state, and the parts that were requested. The other parts are None."""

    details: RunDetails
    """The run and its state."""
    items: Sequence[RunItem] | None = field(default=None, repr=False)
    """The items, in the order of their inputs. Failed items have the error of the step that failed first."""
    steps: Sequence[StepDetails] | None = field(default=None, repr=False)
    """The steps that were started, by item; None as well if the server does not report them. Only the steps of one item
    if that item, or only its account, was requested."""
    flow: Mapping[str, Any] | None = field(default=None, repr=False)
    """The flow as its author wrote it; empty if the server does not have it."""
    arguments: RunArguments | None = field(default=None, repr=False)
    """The arguments that the run was started with, as far as the server or the client's history has them."""
    counts: ItemCounts | None = None
    """Numbers of items by state."""
    has_all_steps: bool = True
    """False if the states of the steps may be old: servers before 0.12 do not update those of a cancelled run."""

    _stored: Mapping[str, Any] | None = field(default=None, repr=False)
    """The flow as it is stored, with the metadata of the client that runs it."""

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.details.run_id

    @property
    def account(self) -> RunAccount | None:
        """Why an item of the run failed, and what became of its steps: the same as `details.account`."""
        return self.details.account
