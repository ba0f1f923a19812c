"""What is said of a run that failed: the step that failed first, and the steps that did not run because of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, LogConfig, NotFoundError, RunAccount, StepflowRuntime
from stepflow_client.history import History

from tests import releases
from tests.server.conftest import either
from tests.server.flows import going_on, unique
from tests.server.planted_failures import BATCH, INPUT, PLANTED, Planted

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def failing_server(release: str) -> Iterator[StepflowRuntime]:
    """A server with the builtin components that tries a failing one only once."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(release)))
        started = StepflowRuntime.start(
            config={**releases.builtin_config(release), "retry": {"transportMaxRetries": 0}},
            log_config=LogConfig(level="error"),
        )
    with started as server:
        yield server


def tells(release: str) -> bool:
    """Whether servers of the release report errors and outputs of the steps of each item."""
    return releases.number(release) >= (0, 12)


async def account_of(client: Any, name: str, planted: Planted) -> tuple[RunAccount, Any]:
    flow = {"name": unique(name.replace(" ", "-")), "steps": planted.steps, "output": planted.output}
    run_id = await client.submit(flow, BATCH if planted.is_batch else INPUT)
    results = await client.get_results(run_id, timeout=30)
    return await client.explain_run(run_id), results[1 if planted.is_batch else 0]


@pytest.mark.parametrize(
    ("name", "recorded"),
    # The history has inputs and variables; for other flows they make no difference.
    [(name, False) for name in PLANTED]
    + [(name, True) for name, planted in PLANTED.items() if planted.refused or name == "undefined variable"],
)
async def test_the_cause_and_what_did_not_run_because_of_it(
    name: str, recorded: bool, failing_server: StepflowRuntime, release: str, tmp_path: Path
) -> None:
    planted = PLANTED[name]
    settings = {"history": History(tmp_path / "history.db")} if recorded else {}
    async with either("sync" if recorded else "async", failing_server.url, **settings) as client:
        account, result = await account_of(client, name, planted)
    assert account.item_index == (1 if planted.is_batch else 0)
    assert result.is_failed == (planted.kind is not None)
    error = result.error
    if tells(release):
        assert (account.kind, account.cause) == (planted.kind, planted.cause)
        assert (error.step_id if error else None) == planted.cause
        assert account.not_run == dict(planted.not_run)
        assert {step.step_id: step.state for step in account.steps} == {
            step["id"]: planted.state_of(step["id"]) for step in planted.steps
        }
        children = {step.step_id: tuple(each.index for each in step.failed_children) for step in account.steps}
        assert {name: found for name, found in children.items() if found} == dict(planted.failed_children)
    else:
        # What it does not know, it says; nothing that it says is wrong.
        assert account.cause in (planted.cause, None)
        assert (error.step_id if error else None) in (planted.cause, None)
        assert account.kind == planted.kind or (account.kind == "unknown" and account.unknown)
        for step in account.steps:
            assert step.state in (planted.state_of(step.step_id), "unknown")
            assert step.because_of in (planted.not_run.get(step.step_id), None)
        if any(step.state == "unknown" for step in account.steps):
            assert account.unknown
    if planted.refused and (recorded or not planted.is_batch) and account.cause:
        assert account.hint is not None
        assert planted.refused in account.hint


async def test_a_cancelled_run_tells_what_may_still_be_executing(worker_runtime: StepflowRuntime, release: str) -> None:
    async with either("async", worker_runtime.url) as client, going_on(client, seconds=2.0) as run_id:
        await client.cancel_run(run_id)
        account = await client.explain_run(run_id)
    assert account.kind == "cancelled"
    # Before 0.12, servers do not tell which steps have started.
    assert account.may_be_executing == ["only"]
    assert account.text == "cancelled; may still be executing: only"
    assert bool(account.unknown) is not tells(release)


async def test_items_and_runs_that_do_not_exist(failing_server: StepflowRuntime) -> None:
    run_id = await failing_server.submit({"steps": [], "output": 1}, [{}, {}])
    await failing_server.wait_run(run_id)
    assert (await failing_server.explain_run(run_id)).text == "completed"
    with pytest.raises(InvalidArgumentError, match="has items 0 to 1"):
        await failing_server.explain_run(run_id, item_index=2)
    with pytest.raises(NotFoundError):
        await failing_server.explain_run("00000000-0000-4000-8000-000000000000")
