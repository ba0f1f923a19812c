"""The events of a run, as `run_events` yields them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

from ._base.basic_errors import InvalidArgumentError
from ._base.text import near
from ._data.arguments import check_texts
from ._data.values import PLAIN, OutputDecoder
from .types.models import Model, decode_model, field, record
from .types.statuses import ExecutionStatus

__all__ = [
    "HeartbeatEvent", "RunCompletedEvent", "RunCreatedEvent", "RunEvent", "StepCompletedEvent", "StepReadyEvent",
    "StepStartedEvent", "StepsNeededEvent", "SubRunCreatedEvent", "UnknownEvent",
]  # fmt: skip


@record
class _Event(Model):
    """The fields that all events have."""

    wire_name: ClassVar[str] = ""
    """The server's name for the event."""
    if not TYPE_CHECKING:
        # Each event declares its own; here it only gets its place, the first.
        type: str
    run_id: str
    """The id of the run the event belongs to; with `include_sub_runs` this can be a run below the requested one."""
    sequence_number: int
    """The server's sequence number; several events can have the same one."""
    timestamp: datetime | None = None
    cursor: str
    """The event's position; pass it to `run_events(after=...)`, in any process, to continue after this event."""
    inferred: bool = False
    """True if the client inferred the event from the state of the run, because the server did not send it."""


@record
class RunCreatedEvent(_Event):
    """The run was created."""

    wire_name = "RunCreated"
    type: Literal["run_created"] = "run_created"
    flow_id: str | None = None
    item_count: int = 1


@record
class StepsNeededEvent(_Event):
    """The steps that an item's output requires were determined."""

    wire_name = "StepsNeeded"
    type: Literal["steps_needed"] = "steps_needed"
    item_index: int = 0
    step_ids: list[str] = field(default_factory=list)


@record
class StepReadyEvent(_Event):
    """All inputs of a step are available."""

    wire_name = "StepReady"
    type: Literal["step_ready"] = "step_ready"
    item_index: int = 0
    step_index: int | None = None
    """The step's position in the flow, from 0."""
    step_id: str | None = None


@record
class StepStartedEvent(_Event):
    """A step was passed to its component."""

    wire_name = "StepStarted"
    type: Literal["step_started"] = "step_started"
    item_index: int = 0
    step_index: int | None = None
    step_id: str | None = None
    attempt: int = 1
    """The number of the attempt, from 1; higher after a retry or a restart of the server."""


@record
class StepCompletedEvent(_Event):
    """A step ended, with success or failure.

    The event does not contain the reason for a failure; `get_run_items` and `get_run_steps` return it.
    """

    wire_name = "StepCompleted"
    type: Literal["step_completed"] = "step_completed"
    item_index: int = 0
    step_index: int | None = None
    step_id: str | None = None
    status: ExecutionStatus = ExecutionStatus.COMPLETED
    output: Any = None
    """The step's output, if the step succeeded and `include_results` is True."""


@record
class RunCompletedEvent(_Event):
    """The run ended. This is the last event."""

    wire_name = "RunCompleted"
    type: Literal["run_completed"] = "run_completed"
    status: ExecutionStatus = ExecutionStatus.COMPLETED


@record
class SubRunCreatedEvent(_Event):
    """A step created a run; `run_id` is the id of the new run."""

    wire_name = "SubRunCreated"
    type: Literal["sub_run_created"] = "sub_run_created"
    parent_run_id: str | None = None
    flow_id: str | None = None
    item_count: int = 1


@record
class HeartbeatEvent(_Event):
    """No event occurred for the time given as `run_events(heartbeat=...)`; the client is still listening.

    `cursor` and `sequence_number` are those of the previous event; `timestamp` is the client's time.
    """

    type: Literal["heartbeat"] = "heartbeat"


@record
class UnknownEvent(_Event):
    """An event that this client does not know, from a newer server."""

    type: Literal["unknown"] = "unknown"
    name: str
    """The name of the event, written like the other types: `item_completed` for the server's `ItemCompleted`."""
    data: dict[str, Any] = field(default_factory=dict)
    """The data that the server sent with the event."""


_Known: TypeAlias = (
    RunCreatedEvent
    | StepsNeededEvent
    | StepReadyEvent
    | StepStartedEvent
    | StepCompletedEvent
    | RunCompletedEvent
    | SubRunCreatedEvent
)

RunEvent: TypeAlias = _Known | HeartbeatEvent | UnknownEvent
"""Any event. `match event.type` and `isinstance` narrow it; `isinstance(event, RunEvent)` works too."""


_KINDS: dict[str, type[_Known]] = {kind.wire_name: kind for kind in get_args(_Known)}
# The first number that is too large for a cursor.
_LARGEST_NUMBER = 10**18
# Fields that are not read from an event's data.
_SEPARATE_FIELDS = frozenset({"cursor", "inferred", "sequenceNumber", "type"})


def check_event_types(types: object) -> frozenset[str]:
    """Return the types of events in a collection.

    Raises:
        InvalidArgumentError: If one of them is not the type of an event.
    """
    names = check_texts(types, "event_types")
    types = [*map(_make_type_name, _KINDS), "unknown"]
    for name in names:
        if name not in types:
            raise InvalidArgumentError(f"there is no event type {name!r}", hint=near(name, types))
    return frozenset(names)


def _make_type_name(name: str) -> str:
    """Return the type of an event with a name of the server: `step_started` for `StepStarted`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def parse_sequence_number(response: Mapping[str, Any]) -> int:
    """Return the sequence number of an event.

    Raises:
        ValueError: If it is not a valid sequence number.
    """
    number = response["sequenceNumber"]
    if type(number) is not int or not 0 <= number < _LARGEST_NUMBER:
        raise ValueError(f"sequenceNumber: {number!r} is not a sequence number")
    return number


def read_event(run_id: str, response: Mapping[str, Any], cursor: str, decoder: OutputDecoder = PLAIN) -> RunEvent:
    """Read one event of the server's stream.

    Args:
        run_id: The requested run, for an event that has no run id.
        response: The decoded frame.
        cursor: The event's cursor.
        decoder: Decodes responses about the run. Outputs are data; the other parts of an event contain no secrets.
    """
    ((name, data),) = response["event"].items()
    common = {"cursor": cursor, "sequence_number": parse_sequence_number(response)}
    fields = {key: value for key, value in data.items() if key not in _SEPARATE_FIELDS}
    fields = {"runId": run_id} | fields | {"timestamp": response.get("timestamp")}
    kind = _KINDS.get(name)
    if kind is None:
        return decode_model(
            UnknownEvent, fields, name=_make_type_name(name), data=decoder.secrets.hide_in(data), **common
        )
    if "result" in data:
        common["output"] = decoder.step_output(data["result"])
    return decode_model(kind, fields, **common)
