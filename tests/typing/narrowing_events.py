"""How the type of an event narrows: checked by mypy and pyright in `make types`, never run."""

from __future__ import annotations

from typing import Any, Literal, assert_never, assert_type

from stepflow_client import (
    ExecutionStatus,
    HeartbeatEvent,
    RunCompletedEvent,
    RunCreatedEvent,
    RunEvent,
    StepCompletedEvent,
    StepflowClient,
    StepReadyEvent,
    StepsNeededEvent,
    StepStartedEvent,
    SubRunCreatedEvent,
    SyncStepflowClient,
    UnknownEvent,
)


def by_type(event: RunEvent) -> None:
    # Fields of every event.
    assert_type(event.cursor, str)
    assert_type(event.sequence_number, int)
    match event.type:
        case "run_created":
            assert_type(event, RunCreatedEvent)
        case "steps_needed":
            assert_type(event, StepsNeededEvent)
        case "step_ready":
            assert_type(event, StepReadyEvent)
        case "step_started":
            assert_type(event, StepStartedEvent)
        case "step_completed":
            assert_type(event, StepCompletedEvent)
            assert_type(event.output, Any)
        case "sub_run_created":
            assert_type(event, SubRunCreatedEvent)
        case "run_completed":
            assert_type(event, RunCompletedEvent)
            assert_type(event.status, ExecutionStatus)
        case "heartbeat":
            assert_type(event, HeartbeatEvent)
        case "unknown":
            assert_type(event, UnknownEvent)
            assert_type(event.data, dict[str, Any])
        case _:
            assert_never(event)


def by_class(event: RunEvent) -> str | None:
    if isinstance(event, StepStartedEvent | StepCompletedEvent):
        return event.step_id
    if isinstance(event, UnknownEvent):
        assert_type(event.type, Literal["unknown"])
        return event.name
    return None


async def asynchronous(client: StepflowClient) -> None:
    async for event in client.run_events("id", heartbeat=15):
        if event.type == "run_completed":
            assert_type(event, RunCompletedEvent)


def synchronous(client: SyncStepflowClient) -> None:
    for event in client.run_events("id"):
        if event.type == "step_completed":
            assert_type(event.status, ExecutionStatus)
