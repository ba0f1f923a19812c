"""What happens in a run, as events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

from pydantic import Field
from pydantic.alias_generators import to_snake

from ._codec.reading import PLAIN, Reading
from ._models import Model
from .types import ExecutionStatus, _Status

__all__ = [
    "HeartbeatEvent",
    "RunCompletedEvent",
    "RunCreatedEvent",
    "RunEvent",
    "StepCompletedEvent",
    "StepReadyEvent",
    "StepStartedEvent",
    "StepsNeededEvent",
    "SubRunCreatedEvent",
    "UnknownEvent",
]


class _Event(Model):
    """What all events have."""

    wire_name: ClassVar[str] = ""
    """What the server calls the event."""
    if not TYPE_CHECKING:
        # Each event declares its own; here it only gets its place, the first.
        type: str
    run_id: str
    """The run it happened in; with `include_sub_runs` it may be one below the run that was asked for."""
    sequence_number: int
    """The server's number; several events can share one."""
    timestamp: datetime | None = None
    cursor: str
    """Return it to `run_events(since=...)`, in another process too, to go on behind this event."""
    inferred: bool = False
    """True if the client concluded it from the state of the run: the server has no stream, or sends no such event."""


class RunCreatedEvent(_Event):
    """The run was created."""

    wire_name = "RunCreated"
    type: Literal["run_created"] = "run_created"
    flow_id: str | None = None
    item_count: int = 1


class StepsNeededEvent(_Event):
    """The steps that an item's output needs were found."""

    wire_name = "StepsNeeded"
    type: Literal["steps_needed"] = "steps_needed"
    item_index: int = 0
    step_ids: list[str] = Field(default_factory=list)


class StepReadyEvent(_Event):
    """A step has all its inputs."""

    wire_name = "StepReady"
    type: Literal["step_ready"] = "step_ready"
    item_index: int = 0
    step_index: int | None = None
    """The step's place in the flow, from 0; a number of the server's own where the event is inferred (before 0.12)."""
    step_id: str | None = None


class StepStartedEvent(_Event):
    """A step was given to its component."""

    wire_name = "StepStarted"
    type: Literal["step_started"] = "step_started"
    item_index: int = 0
    step_index: int | None = None
    step_id: str | None = None
    attempt: int = 1
    """From 1; more after a retry, or after the server was started again."""


class StepCompletedEvent(_Event):
    """A step ended, in success or failure.

    Why a step failed is not in the event; `get_run_items` and `get_run_steps` say it.
    """

    wire_name = "StepCompleted"
    type: Literal["step_completed"] = "step_completed"
    item_index: int = 0
    step_index: int | None = None
    step_id: str | None = None
    status: _Status = ExecutionStatus.COMPLETED
    output: Any = None
    """The step's output, with `include_results` and in success."""


class RunCompletedEvent(_Event):
    """The run ended. It is the last event."""

    wire_name = "RunCompleted"
    type: Literal["run_completed"] = "run_completed"
    status: _Status = ExecutionStatus.COMPLETED


class SubRunCreatedEvent(_Event):
    """A step created a run of its own; `run_id` is the new run."""

    wire_name = "SubRunCreated"
    type: Literal["sub_run_created"] = "sub_run_created"
    parent_run_id: str | None = None
    flow_id: str | None = None
    item_count: int = 1


class HeartbeatEvent(_Event):
    """Nothing has happened for as long as `run_events(heartbeat=...)` says; the client is there and listens.

    `cursor` and `sequence_number` are those of the event before it, `timestamp` is the client's clock.
    """

    type: Literal["heartbeat"] = "heartbeat"


class UnknownEvent(_Event):
    """An event of a newer server."""

    type: Literal["unknown"] = "unknown"
    name: str
    """What happened, written as the other types are: `item_completed` for the server's `ItemCompleted`."""
    data: dict[str, Any] = Field(default_factory=dict)
    """What the server sent with it."""


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

_KINDS: dict[str, type[_Known]] = {
    kind.wire_name: kind
    for kind in (
        RunCreatedEvent,
        StepsNeededEvent,
        StepReadyEvent,
        StepStartedEvent,
        StepCompletedEvent,
        RunCompletedEvent,
        SubRunCreatedEvent,
    )
}


_LARGEST_NUMBER = 10**18
"""Beyond what a cursor holds."""
_OWN = frozenset({*_Event.model_fields, "type", "result"})
"""What is not taken over from an event's data as it stands there."""


def sequence_number(answer: Mapping[str, Any]) -> int:
    """Return the number of an event.

    Raises:
        ValueError: If it is not a number that a server gives.
    """
    number = answer["sequenceNumber"]
    if type(number) is not int or not 0 <= number < _LARGEST_NUMBER:
        raise ValueError(f"sequenceNumber: {number!r} is not a sequence number")
    return number


def read_event(run_id: str, answer: Mapping[str, Any], cursor: str, reading: Reading = PLAIN) -> RunEvent:
    """Read one event of the server's stream.

    Args:
        run_id: The run that was asked for, for an event that names none.
        answer: The decoded frame.
        cursor: The event's cursor.
        reading: How responses about the run are read. Outputs are data; whatever else an event says holds no secrets.
    """
    ((name, data),) = answer["event"].items()
    common = {
        "run_id": data.get("runId", run_id),
        "sequence_number": sequence_number(answer),
        "timestamp": answer.get("timestamp"),
        "cursor": cursor,
    }
    kind = _KINDS.get(name)
    if kind is None:
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        return UnknownEvent.model_validate({**common, "name": snake, "data": reading.secrets.hide_in(data)})
    fields = {key: value for key, value in data.items() if to_snake(key) not in _OWN}
    if "result" in data:
        fields["output"] = reading.step_output(data["result"])
    return kind.model_validate({**fields, **common})
