"""Random flows with random failures: accounts match what happened, however much the server reports."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from stepflow_client import ExecutionStatus, FlowError, RunAccount, StepDetails
from stepflow_client._runs.explanation import explain_item
from stepflow_client._runs.failure_causes import ItemRecord
from stepflow_client.flows.interpreter import NOT_KNOWN, Failure, Interpreter
from stepflow_client.types.statuses import NO_REASON

RUN = "00000000-0000-4000-8000-000000000001"
INPUT = {"yes": 1, "null": None}


def expression(rng: random.Random, names: list[str], depth: int = 0) -> Any:
    """Return a random expression that may read the steps."""
    kinds = ["literal", "input", "missing"] + ["step"] * (4 if names else 0) + ["nested"] * (2 if depth < 3 else 0)
    match rng.choice(kinds):
        case "literal":
            return rng.choice([0, None, "x", False])
        case "input":
            return {"$input": rng.choice(["$.yes", "$.null"])}
        case "missing":
            return {"$input": "$.nope"} if rng.random() < 0.2 else 1
        case "step":
            path = {"path": "$.nope"} if rng.random() < 0.1 else {}
            return {"$step": rng.choice(names), **path}
    inner = [expression(rng, names, depth + 1) for _ in range(3)]
    return rng.choice(
        [
            {"$if": inner[0], "then": inner[1], "else": inner[2]},
            {"$coalesce": inner},
            inner,
            {"a": inner[0], "b": inner[1]},
        ]
    )


def random_flow(rng: random.Random) -> dict[str, Any]:
    names: list[str] = []
    steps = []
    for number in range(rng.randint(1, 7)):
        component = rng.choice(["/x/good", "/x/good", "/x/null", "/x/bad"])
        steps.append({"id": f"s{number}", "component": component, "input": expression(rng, names)})
        if rng.random() < 0.15:
            steps[-1]["mustExecute"] = True
        names.append(f"s{number}")
    return {"steps": steps, "output": [expression(rng, names), {"$step": names[-1]}]}


class Executed:
    """An executed flow with its evaluation and failure."""

    def __init__(self, seed: int, *, unique: bool) -> None:
        self.flow = random_flow(random.Random(seed))
        self.calls = 0
        self.unique = unique
        self.evaluation = Interpreter(self.flow, INPUT, {}, self.call)
        self.failure: Failure | None = None
        try:
            self.evaluation.run()
        except Failure as failure:
            self.failure = failure

    def call(self, component: str, step_input: Any) -> Any:
        self.calls += 1
        if component == "/x/bad":
            raise Failure(3, f"boom {self.calls}" if self.unique else "boom", is_own=True)
        return None if component == "/x/null" else {"value": 1}

    def root(self, name: str) -> str:
        failure = self.evaluation.steps[name].failure
        return name if failure is None or failure.step is None else self.root(failure.step)

    @property
    def cause(self) -> str | None:
        return None if self.failure is None or self.failure.step is None else self.root(self.failure.step)

    def steps(self, *, errors: bool, outputs: bool) -> Iterator[StepDetails]:
        for name, run in self.evaluation.steps.items():
            message = run.failure.message if run.failure is not None else None
            yield StepDetails(
                step_id=name,
                status=ExecutionStatus.COMPLETED if message is None else ExecutionStatus.FAILED,
                output=run.output if outputs else None,
                error=None if message is None else FlowError(message=message if errors else NO_REASON),
            )

    def account(self, *, errors: bool, outputs: bool, knows_input: bool) -> RunAccount:
        status = ExecutionStatus.COMPLETED if self.failure is None else ExecutionStatus.FAILED
        record = ItemRecord(
            self.flow,
            status,
            None if self.failure is None else FlowError(message=self.failure.message),
            list(self.steps(errors=errors, outputs=outputs)),
            INPUT if knows_input else NOT_KNOWN,
            {} if knows_input else NOT_KNOWN,
        )
        return explain_item(RUN, 0, record)


def actual_state(run: Executed, name: str) -> str:
    evaluated = run.evaluation.steps.get(name)
    if evaluated is None:
        return "not_needed"
    if evaluated.failure is None:
        return "completed"
    return "failed" if evaluated.failure.step is None else "not_run"


SEEDS = range(600)


@pytest.mark.parametrize("knows_input", [True, False])
def test_with_step_errors_and_outputs_the_account_is_exact(knows_input: bool) -> None:
    failed = 0
    for seed in SEEDS:
        run = Executed(seed, unique=True)
        account = run.account(errors=True, outputs=True, knows_input=knows_input)
        failed += run.cause is not None
        if not knows_input and run.failure is not None and not run.failure.message.startswith("boom"):
            # Two expressions may fail with the same message; only the input shows which one did.
            continue
        assert account.cause == run.cause, seed
        if knows_input:
            states = {step.step_id: step.state for step in account.steps}
            assert states == {name: actual_state(run, name) for name in states}, seed
            for name, cause in account.not_run.items():
                assert cause == run.root(name), seed
    assert failed > len(SEEDS) / 5


@pytest.mark.parametrize("unique", [True, False])
def test_without_step_errors_and_outputs_the_account_is_never_wrong(unique: bool) -> None:
    known = 0
    for seed in SEEDS:
        run = Executed(seed, unique=unique)
        account = run.account(errors=False, outputs=False, knows_input=True)
        assert account.cause in (run.cause, None), seed
        known += account.cause is not None
        assert account.cause is not None or account.kind in (None, "output", "unknown"), seed
        if account.kind == "output":
            assert run.cause is None, seed
        for step in account.steps:
            assert step.state in (actual_state(run, step.step_id), "unknown"), (seed, step)
            assert step.because_of is None or actual_state(run, step.because_of) in ("failed", "not_run"), (seed, step)
    assert known > len(SEEDS) / 10
