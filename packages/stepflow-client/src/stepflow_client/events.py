"""What happens in a run, as events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from ._reading import PLAIN, Reading
from .types import ExecutionStatus, _Model, _Status

__all__ = [
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


class RunEvent(_Model):
    """What all events have."""

    wire_name: ClassVar[str] = ""
    """What the server calls the event."""
    type: str
    """What happened: `run_created`, `step_started`, `step_completed`, `run_completed`, ..."""
    run_id: str
    """The run it happened in; with `include_sub_runs` it may be one below the run that was asked for."""
    sequence_number: int
    """The server's number; several events can share one."""
    timestamp: datetime | None = None
    cursor: str
    """Give it to `run_events(since=...)`, in another process too, to go on behind this event."""
    inferred: bool = False
    """True if the client concluded it from the state of the run: the server has no stream, or sends no such event."""


class RunCreatedEvent(RunEvent):
    """The run was created."""

    wire_name = "RunCreated"
    type: str = "run_created"
    flow_id: str | None = None
    item_count: int = 1


class StepsNeededEvent(RunEvent):
    """The steps that an item's output needs were found."""

    wire_name = "StepsNeeded"
    type: str = "steps_needed"
    item_index: int = 0
    step_ids: list[str] = Field(default_factory=list)


class StepReadyEvent(RunEvent):
    """A step has all its inputs."""

    wire_name = "StepReady"
    type: str = "step_ready"
    item_index: int = 0
    step_index: int | None = None
    """The step's place in the flow, from 0; a number of the server's own where the event is inferred (before 0.12)."""
    step_id: str | None = None


class StepStartedEvent(RunEvent):
    """A step was given to its component."""

    wire_name = "StepStarted"
    type: str = "step_started"
    item_index: int = 0
    step_index: int | None = None
    step_id: str | None = None
    attempt: int = 1
    """From 1; more after a retry, or after the server was started again."""


class StepCompletedEvent(RunEvent):
    """A step ended, in success or failure.

    Why a step failed is not in the event; `get_run_items` and `get_run_steps` say it.
    """

    wire_name = "StepCompleted"
    type: str = "step_completed"
    item_index: int = 0
    step_index: int | None = None
    step_id: str | None = None
    status: _Status = ExecutionStatus.COMPLETED
    output: Any = None
    """The step's output, with `include_results` and in success."""


class RunCompletedEvent(RunEvent):
    """The run ended. It is the last event."""

    wire_name = "RunCompleted"
    type: str = "run_completed"
    status: _Status = ExecutionStatus.COMPLETED


class SubRunCreatedEvent(RunEvent):
    """A step created a run of its own; `run_id` is the new run."""

    wire_name = "SubRunCreated"
    type: str = "sub_run_created"
    parent_run_id: str | None = None
    flow_id: str | None = None
    item_count: int = 1


class UnknownEvent(RunEvent):
    """An event of a newer server."""

    data: dict[str, Any] = Field(default_factory=dict)
    """What the server sent with it."""


_KINDS: dict[str, type[RunEvent]] = {
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


def read_event(run_id: str, answer: Mapping[str, Any], cursor: str, reading: Reading = PLAIN) -> RunEvent:
    """Read one event of the server's stream.

    Args:
        run_id: The run that was asked for, for an event that names none.
        answer: The decoded frame.
        cursor: The event's cursor.
        reading: How answers about the run are read. Outputs are data; whatever else an event says holds no secrets.
    """
    ((name, data),) = answer["event"].items()
    common = {
        "run_id": data.get("runId", run_id),
        "sequence_number": answer["sequenceNumber"],
        "timestamp": answer.get("timestamp"),
        "cursor": cursor,
    }
    kind = _KINDS.get(name)
    if kind is None:
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        return UnknownEvent.model_validate({**common, "type": snake, "data": reading.secrets.hide_in(data)})
    fields = {key: value for key, value in data.items() if key not in ("runId", "result", "type", "cursor")}
    if "result" in data:
        fields["output"] = reading.step_output(data["result"])
    return kind.model_validate({**fields, **common})
