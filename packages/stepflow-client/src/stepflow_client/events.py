"""Run events, as yielded by `run_events`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, get_args

from ._base.error_classes import InvalidArgumentError
from ._base.suggestions import suggest_or_list
from ._data.arguments import check_texts
from ._data.wire import PLAIN, OutputDecoder
from .types.model_base import Model, decode_model, field, frozen_model
from .types.statuses import ExecutionStatus

__all__ = [
    "HeartbeatEvent", "RunCompletedEvent", "RunCreatedEvent", "RunEvent", "StepCompletedEvent", "StepReadyEvent",
    "StepStartedEvent", "StepsNeededEvent", "SubRunCreatedEvent", "UnknownEvent",
]  # fmt: skip


@frozen_model
class _Event(Model):
    """Fields common to all events."""

    wire_name: ClassVar[str] = ""
    """The event name the server uses."""
    if not TYPE_CHECKING:
        # Each event class declares its own type. This declaration just makes `type` the first field.
        type: str
    run_id: str
    """The ID of the event's run. If `include_sub_runs` is True, this may be a sub-run of the requested run."""
    sequence_number: int
    """The server's sequence number. Not unique, since several events can share one."""
    timestamp: datetime | None = None
    cursor: str
    """The event's position. Pass it to `run_events(after=...)`, from any process, to resume after this event."""
    inferred: bool = False
    """True if the client inferred the event from the run's state because the server didn't send it."""


@frozen_model
class RunCreatedEvent(_Event):
    """The run was created."""

    wire_name = "RunCreated"
    type: Literal["run_created"] = "run_created"
    flow_id: str | None = None
    item_count: int = 1


@frozen_model
class StepsNeededEvent(_Event):
    """The server determined which steps are needed for an item's output."""

    wire_name = "StepsNeeded"
    type: Literal["steps_needed"] = "steps_needed"
    item_index: int = 0
    step_ids: list[str] = field(default_factory=list)


@frozen_model
class StepReadyEvent(_Event):
    """All inputs of a step are available."""

    wire_name = "StepReady"
    type: Literal["step_ready"] = "step_ready"
    item_index: int = 0
    step_index: int | None = None
    """The step's zero-based position in the flow."""
    step_id: str | None = None


@frozen_model
class StepStartedEvent(_Event):
    """A step was handed to its component."""

    wire_name = "StepStarted"
    type: Literal["step_started"] = "step_started"
    item_index: int = 0
    step_index: int | None = None
    step_id: str | None = None
    attempt: int = 1
    """The attempt number, starting at 1. Retries and server restarts increase it."""


@frozen_model
class StepCompletedEvent(_Event):
    """A step succeeded or failed.

    The event doesn't say why a step failed; use `get_run_items` or `get_run_steps` to find out.
    """

    wire_name = "StepCompleted"
    type: Literal["step_completed"] = "step_completed"
    item_index: int = 0
    step_index: int | None = None
    step_id: str | None = None
    status: ExecutionStatus = ExecutionStatus.COMPLETED
    output: Any = None
    """The step's output, if it succeeded and `include_results` is True."""


@frozen_model
class RunCompletedEvent(_Event):
    """The run ended. No more events follow."""

    wire_name = "RunCompleted"
    type: Literal["run_completed"] = "run_completed"
    status: ExecutionStatus = ExecutionStatus.COMPLETED


@frozen_model
class SubRunCreatedEvent(_Event):
    """A step created a sub-run, whose ID is `run_id`."""

    wire_name = "SubRunCreated"
    type: Literal["sub_run_created"] = "sub_run_created"
    parent_run_id: str | None = None
    flow_id: str | None = None
    item_count: int = 1


@frozen_model
class HeartbeatEvent(_Event):
    """Nothing happened for `run_events(heartbeat=...)` seconds, but the client is still listening.

    `cursor` and `sequence_number` are copied from the previous event; `timestamp` comes from the client's clock.
    """

    type: Literal["heartbeat"] = "heartbeat"


@frozen_model
class UnknownEvent(_Event):
    """An event of a type that this client doesn't know, sent by a newer server."""

    type: Literal["unknown"] = "unknown"
    name: str
    """The event's name in snake case, like the other types, e.g. `item_completed` for the server's `ItemCompleted`."""
    data: dict[str, Any] = field(default_factory=dict)
    """The event's data, as sent by the server."""


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
"""Any event. Narrow it with `match event.type` or `isinstance`; `isinstance(event, RunEvent)` also works."""


_TYPE_BY_WIRE_NAME: dict[str, type[_Known]] = {kind.wire_name: kind for kind in get_args(_Known)}
# The smallest sequence number that is too large for a cursor.
_SEQUENCE_NUMBER_LIMIT = 10**18
# Event fields whose values don't come from the event's data.
_SEPARATE_FIELDS = frozenset({"cursor", "inferred", "sequenceNumber", "type"})


def check_event_types(types: object) -> frozenset[str]:
    """Return a collection of event types as a set.

    Raises:
        InvalidArgumentError: If any of them isn't an event type.
    """
    names = check_texts(types, "event_types")
    types = [*map(_convert_to_event_type, _TYPE_BY_WIRE_NAME), "unknown"]
    for name in names:
        if name not in types:
            raise InvalidArgumentError(f"unknown event type {name!r}", hint=suggest_or_list(name, types))
    return frozenset(names)


def _convert_to_event_type(name: str) -> str:
    """Return the event type for a server event name, e.g. `step_started` for `StepStarted`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def read_sequence_number(response: Mapping[str, Any]) -> int:
    """Return an event's sequence number.

    Raises:
        ValueError: If the sequence number is invalid.
    """
    number = response["sequenceNumber"]
    if type(number) is not int or not 0 <= number < _SEQUENCE_NUMBER_LIMIT:
        raise ValueError(f"sequenceNumber: {number!r} is not a sequence number")
    return number


def decode_event(run_id: str, response: Mapping[str, Any], cursor: str, decoder: OutputDecoder = PLAIN) -> RunEvent:
    """Decode one event from the server's stream.

    Args:
        run_id: The requested run, for events without a run ID.
        response: The decoded frame.
        cursor: The event's cursor.
        decoder: Decodes outputs, and hides secrets in unknown events. (Other events don't contain secrets.)
    """
    ((name, data),) = response["event"].items()
    common = {"cursor": cursor, "sequence_number": read_sequence_number(response)}
    fields = {key: value for key, value in data.items() if key not in _SEPARATE_FIELDS}
    fields = {"runId": run_id} | fields | {"timestamp": response.get("timestamp")}
    kind = _TYPE_BY_WIRE_NAME.get(name)
    if kind is None:
        common |= {"name": _convert_to_event_type(name), "data": decoder.secrets.hide_in(data)}
        return decode_model(UnknownEvent, fields, **common)
    if "result" in data:
        common["output"] = decoder.restore_step_output(data["result"])
    return decode_model(kind, fields, **common)
