"""`explain_run` names the step that made a run fail, and the steps that did not run because of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, LogConfig, NotFoundError, RunAccount, StepflowRuntime
from stepflow_client.history import History

from tests import releases
from tests.server.conftest import open_client
from tests.server.flows import slow_run, unique
from tests.server.planted_failures import BATCH, INPUT, PLANTED, Planted

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def failing_server(release: str) -> Iterator[StepflowRuntime]:
    """A server that does not retry failing builtin components."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(release)))
        started = StepflowRuntime.start(
            config={**releases.builtin_config(release), "retry": {"transportMaxRetries": 0}},
            log_config=LogConfig(level="error"),
        )
    with started as server:
        yield server


def reports_step_outcomes(release: str) -> bool:
    """Return whether servers of the release report step errors and outputs per item."""
    return releases.number(release) >= (0, 12)


async def account_of(client: Any, name: str, planted: Planted) -> tuple[RunAccount, Any]:
    flow = {"name": unique(name.replace(" ", "-")), "steps": planted.steps, "output": planted.output}
    run_id = await client.submit(flow, BATCH if planted.is_batch else INPUT)
    results = await client.get_results(run_id, timeout=30)
    return await client.explain_run(run_id), results[1 if planted.is_batch else 0]


@pytest.mark.parametrize(
    ("name", "recorded"),
    # The inputs and variables in a history make a difference for these flows only.
    [(name, False) for name in PLANTED]
    + [(name, True) for name, planted in PLANTED.items() if planted.rejected_field or name == "undefined variable"],
)
async def test_the_cause_and_the_steps_it_prevented(
    name: str, recorded: bool, failing_server: StepflowRuntime, release: str, tmp_path: Path
) -> None:
    planted = PLANTED[name]
    settings = {"history": History(tmp_path / "history.db")} if recorded else {}
    async with open_client("sync" if recorded else "async", failing_server.url, **settings) as client:
        account, result = await account_of(client, name, planted)
    assert account.item_index == (1 if planted.is_batch else 0)
    assert result.is_failed == (planted.kind is not None)
    error = result.error
    if reports_step_outcomes(release):
        assert (account.kind, account.cause) == (planted.kind, planted.cause)
        assert (error.step_id if error else None) == planted.cause
        assert account.not_run == dict(planted.not_run)
        assert {step.step_id: step.state for step in account.steps} == {
            step["id"]: planted.state_of(step["id"]) for step in planted.steps
        }
        children = {step.step_id: tuple(each.index for each in step.failed_children) for step in account.steps}
        assert {name: indexes for name, indexes in children.items() if indexes} == dict(planted.failed_children)
    else:
        # The account may be incomplete, and then says so, but must not be wrong.
        assert account.cause in (planted.cause, None)
        assert (error.step_id if error else None) in (planted.cause, None)
        assert account.kind == planted.kind or (account.kind == "unknown" and account.unknown)
        for step in account.steps:
            assert step.state in (planted.state_of(step.step_id), "unknown")
            assert step.because_of in (planted.not_run.get(step.step_id), None)
        if any(step.state == "unknown" for step in account.steps):
            assert account.unknown
    if planted.rejected_field and (recorded or not planted.is_batch) and account.cause:
        assert account.hint is not None
        assert planted.rejected_field in account.hint


async def test_the_account_of_a_cancelled_run_lists_steps_that_may_still_be_executing(
    worker_runtime: StepflowRuntime, release: str
) -> None:
    async with open_client("async", worker_runtime.url) as client, slow_run(client, seconds=2.0) as run_id:
        await client.cancel_run(run_id)
        account = await client.explain_run(run_id)
    assert account.kind == "cancelled"
    # Before 0.12, servers do not report which steps have started.
    assert account.may_be_executing == ["only"]
    assert account.text == "cancelled; may still be executing: only"
    assert bool(account.unknown) is not reports_step_outcomes(release)


async def test_items_and_runs_that_do_not_exist(failing_server: StepflowRuntime) -> None:
    run_id = await failing_server.submit({"steps": [], "output": 1}, [{}, {}])
    await failing_server.wait_run(run_id)
    assert (await failing_server.explain_run(run_id)).text == "completed"
    with pytest.raises(InvalidArgumentError, match="has items 0 to 1"):
        await failing_server.explain_run(run_id, item_index=2)
    with pytest.raises(NotFoundError):
        await failing_server.explain_run("00000000-0000-4000-8000-000000000000")
