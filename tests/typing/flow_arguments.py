"""Values that mypy and pyright accept as a flow, and values that both reject.

An ignore comment on a correct line makes `make types` fail.
"""

# mypy: warn-unused-ignores
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import attrs
import msgspec
from flows_in_python import Order, ideal
from pydantic import BaseModel
from stepflow_client import (
    FlowResult,
    FlowSource,
    Outcome,
    RunDetails,
    RunHandle,
    RunItem,
    StepDetails,
    StepflowClient,
    StepflowExecutor,
    StepflowRuntime,
    StoredFlow,
    StoreFlowResponse,
    SyncRunHandle,
    SyncStepflowClient,
    ValidationResult,
    read_inputs,
)
from stepflow_client.drawing import draw
from stepflow_client.evaluation import FlowScore, Variant, evaluate, sync_evaluate
from stepflow_client.flow_models import FlowModel, TypedFlow
from stepflow_client.flows import check, flow_of_step, infer
from stepflow_client.testing import run_mocked
from stepflow_client.tools import FlowTools, SyncFlowTools


class Step(BaseModel):
    id: str
    component: str


class PydanticFlow(BaseModel):
    steps: list[Step] | None = None
    output: Any = None


@dataclass
class DataFlow:
    steps: list[Step] = field(default_factory=list[Step])


@attrs.frozen
class AttrsFlow:
    steps: tuple[Step, ...] = ()


class PackedFlow(msgspec.Struct):
    steps: list[dict[str, Any]]


class Builder:
    def build(self) -> PydanticFlow:
        return PydanticFlow()


class Own:
    def __flow__(self) -> Mapping[str, Any]:
        return {"output": 1}


class Keys(TypedDict):
    steps: list[Any]
    output: int


class Input(BaseModel):
    text: str


class CodegenInput(FlowModel):
    text: str


@dataclass
class DataInput:
    text: str


@attrs.define
class AttrsInput:
    text: str


class PackedInput(msgspec.Struct):
    text: str


def flows(
    path: os.DirEntry[str],
    parsed: dict[str, object],
    stored: StoredFlow,
    response: StoreFlowResponse,
    typed: TypedFlow[Input, Input, Any],
) -> list[FlowSource]:
    files: list[FlowSource] = ["flow.yaml", Path("flow.yaml"), path]
    mappings: list[FlowSource] = [{"output": 1}, parsed, Keys(steps=[], output=1)]
    objects: list[FlowSource] = [PydanticFlow(), DataFlow(), AttrsFlow(), PackedFlow([]), Builder(), Own()]
    return [*files, *mappings, *objects, ideal, typed, stored, response]


async def accepted(client: StepflowClient, runtime: StepflowRuntime, executor: StepflowExecutor) -> None:
    response = await client.store_flow("flow.yaml")
    stored = await client.get_flow(response)
    flows: list[FlowSource] = [stored, response, ideal, PydanticFlow(), {"steps": []}]
    for flow in flows:
        await client.run(flow, Input(text="a"))
        await runtime.submit(flow)
        await executor.validate(flow)
        await client.rerun("id", flow=flow)
    run = await client.create_run(response, {"n": 1})
    await client.get_flow_variables(stored)
    await client.delete_flow(run)
    await client.store_flow(await client.get_run_flow(run))
    FlowTools(client, [stored, "flow.yaml", ideal])
    FlowTools(client, {"first": stored, "second": PydanticFlow()})


async def rejected(client: StepflowClient, runtime: StepflowRuntime, run: RunDetails, handle: RunHandle[Any]) -> None:
    await client.run(run)  # type: ignore[arg-type]
    await client.run(Input(text="a"), "flow.yaml")  # type: ignore[arg-type]
    await client.submit(run)  # type: ignore[arg-type]
    await client.start_run(run)  # type: ignore[arg-type]
    client.map(run, [1])  # type: ignore[arg-type]
    await client.rerun("id", flow=run)  # type: ignore[arg-type]
    await client.validate(run)  # type: ignore[arg-type]
    await client.check(run)  # type: ignore[arg-type]
    await client.store_flow(run)  # type: ignore[arg-type]
    await client.find_run(run, idempotency_key="key")  # type: ignore[arg-type]
    await runtime.run(handle)  # type: ignore[arg-type]
    await evaluate(client, run)  # type: ignore[arg-type]
    FlowTools(client, run)  # type: ignore[arg-type]
    FlowTools(client, [run])  # type: ignore[list-item]
    await client.get_flow(handle)  # type: ignore[arg-type]


def rejected_by_the_sync_client(client: SyncStepflowClient, run: RunDetails, handle: SyncRunHandle[Any]) -> None:
    client.run(run)  # type: ignore[arg-type]
    client.submit(run)  # type: ignore[arg-type]
    client.start_run(run)  # type: ignore[arg-type]
    client.map(run, [1])  # type: ignore[arg-type]
    client.rerun("id", flow=handle)  # type: ignore[arg-type]
    client.validate(run)  # type: ignore[arg-type]
    client.check(run)  # type: ignore[arg-type]
    client.store_flow(run)  # type: ignore[arg-type]
    client.find_run(run, idempotency_key="key")  # type: ignore[arg-type]
    sync_evaluate(client, run)  # type: ignore[arg-type]
    SyncFlowTools(client, run)  # type: ignore[arg-type]
    run_mocked(client, run, mocks={})  # type: ignore[arg-type]


def rejected_without_a_server(run: RunDetails) -> None:
    check(run)  # type: ignore[arg-type]
    infer(run)  # type: ignore[arg-type]
    draw(run)  # type: ignore[arg-type]
    flow_of_step(run, "a")  # type: ignore[arg-type]
    FlowScore(run)  # type: ignore[arg-type]
    Variant(flow=run)  # type: ignore[arg-type]
    read_inputs("rows.csv", flow=run)  # type: ignore[arg-type]
    TypedFlow[Any, Any, Any](run)  # type: ignore[arg-type]


def accept_flow(flow: FlowSource) -> None: ...


def not_flows(
    result: FlowResult, outcome: Outcome, item: RunItem, step: StepDetails, validation: ValidationResult, order: Order
) -> None:
    accept_flow(result)  # type: ignore[arg-type]
    accept_flow(outcome)  # type: ignore[arg-type]
    accept_flow(item)  # type: ignore[arg-type]
    accept_flow(step)  # type: ignore[arg-type]
    accept_flow(validation)  # type: ignore[arg-type]
    accept_flow(order)  # type: ignore[arg-type]
    accept_flow(CodegenInput(text="a"))  # type: ignore[arg-type]
    accept_flow(DataInput("a"))  # type: ignore[arg-type]
    accept_flow(AttrsInput("a"))  # type: ignore[arg-type]
    accept_flow(PackedInput("a"))  # type: ignore[arg-type]
    accept_flow(b"flow.yaml")  # type: ignore[arg-type]
    accept_flow(5)  # type: ignore[arg-type]
    accept_flow(None)  # type: ignore[arg-type]
    accept_flow(["flow.yaml"])  # type: ignore[arg-type]
    accept_flow(PydanticFlow)  # type: ignore[arg-type]
