"""`output_type` in both clients and the runtime."""

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


async def test_output_type_of_a_batch(client: Any) -> None:
    flow = one_step(ECHO, name=unique("typed"))
    inputs = [Input(1), {"m": 2}, Input(3), {object(): 1}]
    async with client.map(flow, inputs, output_type=Output, ordered=True) as outcomes:
        first, misfit, third, refused = [outcome async for outcome in outcomes]
    assert (first.output, third.unwrap()) == (Output(n=1), Output(n=3))
    assert (misfit.is_failed, misfit.output, refused.is_failed) == (True, None, True)
    assert misfit.error.message.startswith(f"the output of run {misfit.run_id} does not fit Output: $.n: ")
    assert [each["path"] for each in misfit.error.details] == ["$.n"]
    with pytest.raises(OutputTypeError, match=r"does not fit Output: \$\.n") as raised:
        async with client.map(flow, inputs, output_type=Output, ordered=True, on_error="raise") as outcomes:
            assert [outcome.output async for outcome in outcomes] == [Output(n=1)]
    assert raised.value.run_id == raised.value.result.run_id
    with pytest.raises(InvalidArgumentError, match="output_type"):
        client.map(flow, inputs, output_type=object())
