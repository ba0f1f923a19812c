"""An evaluation that a test kills: three variants, two repeats, a score in Python and a flow as a judge.

    python -m tests.server.evaluation_program URL FOLDER CASES

The worker counts the runs of each variant and case in FOLDER/runs and the runs of the judge in FOLDER/judged; the
Python score counts its calls in FOLDER/called. The evaluation is in FOLDER/eval.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from stepflow_client import StepflowClient
from stepflow_client.evaluation import EvaluationItem, FlowScore, Variant, evaluate

VARIANTS = ("one", "two", "three")
REPEAT = 2


def flow(file: Path, variant: str) -> dict[str, Any]:
    """Return a flow that counts its runs for each variant and case."""
    step_input = {"file": str(file), "name": {"$input": f"$.{variant}"}, "value": {"$input": "$.id"}}
    steps = [{"id": "answer", "component": "/python/count", "input": step_input}]
    return {"name": "counted", "steps": steps, "output": {"case": {"$step": "answer"}, "name": step_input["name"]}}


def judge(file: Path) -> dict[str, Any]:
    """Return a judge that counts its runs for each variant and case."""
    step_input = {"file": str(file), "name": {"$input": "$.output.name"}, "value": {"$input": "$.output.case"}}
    return {"steps": [{"id": "judge", "component": "/python/count", "input": step_input}], "output": {"$step": "judge"}}


async def main(url: str, folder: Path, count: int) -> None:
    called = os.open(folder / "called", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def own(item: EvaluationItem) -> bool:
        os.write(called, f"{item.variant}-{item.case}-{item.repeat}\n".encode())
        return bool(item.output["case"] == item.input["id"])

    cases = [{"id": number, **{name: f"{name}-{number}" for name in VARIANTS}} for number in range(count)]
    async with StepflowClient(url) as client:
        await evaluate(
            client,
            flow(folder / "runs", "one"),
            cases,
            variants={name: Variant(flow=flow(folder / "runs", name)) for name in VARIANTS},
            scores=[own, FlowScore(judge(folder / "judged"), name="flow")],
            repeat=REPEAT,
            journal=folder / "eval",
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
