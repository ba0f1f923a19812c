"""Runs with an output type, on both clients and the runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from stepflow_client import InvalidArgumentError, OutputTypeError, StepflowRuntime

from tests.server.flows import ECHO, FAIL, one_step, unique

pytestmark = pytest.mark.anyio


@dataclass
class Input:
    n: int


class Output(BaseModel):
    n: int


class Other(BaseModel):
    m: int


async def test_output_type(client: Any) -> None:
    flow = one_step(ECHO, name=unique("typed"))
    result = await client.run(flow, Input(1), output_type=Output)
    assert result.output == Output(n=1)
    with pytest.raises(OutputTypeError, match=r"does not fit Other: \$\.m") as refused:
        await client.run(flow, Input(1), output_type=Other)
    assert (await client.get_result(refused.value.run_id)).output == {"n": 1}
    failed = await client.run(one_step(FAIL, {"message": "broken"}), Input(1), output_type=Output)
    assert (failed.is_failed, failed.output) == (True, None)
    with pytest.raises(InvalidArgumentError, match="output_type"):
        await client.run(flow, Input(1), output_type=object())


async def test_output_type_of_a_runtime(worker_runtime: StepflowRuntime) -> None:
    result = await worker_runtime.run(one_step(ECHO, name=unique("typed")), Input(1), output_type=Output)
    assert result.output == Output(n=1)
