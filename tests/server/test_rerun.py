"""Reruns execute each step that they do not keep exactly once, and no other step. The worker counts executions."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import (
    ConflictError,
    IdempotencyConflictError,
    InvalidArgumentError,
    Keep,
    NotFoundError,
    ResultCache,
    StepflowClient,
    StepflowRuntime,
    UnsupportedByServerError,
)

from tests import releases
from tests.server.flows import slow_run, unique

pytestmark = pytest.mark.anyio

COUNT = "/python/count"
ODD: dict[str, Any] = {"$step": "a", "none": None, "list": [None, {"$literal": {"x": None}}], "n": 2, "f": 0.5}
"""An output that a pin must return unevaluated and with its nulls."""


def counting_step(file: Path, step: str, value: Any = None, **more: Any) -> dict[str, Any]:
    """Return a step that counts its executions; `more` is additional input."""
    return {"id": step, "component": COUNT, "input": {"file": str(file), "name": step, "value": value, **more}}


def six_steps(file: Path) -> dict[str, Any]:
    """Return a flow of six steps in a row that outputs all their outputs; the third has an odd output."""
    steps = [
        counting_step(file, "a", {"$input": "$.n"}),
        counting_step(file, "b", {"a": {"$step": "a"}}),
        counting_step(file, "c", {"$literal": ODD}, b={"$step": "b"}),
        counting_step(file, "d", {"c": {"$step": "c"}}),
        counting_step(file, "e", "old", d={"$step": "d"}),
        counting_step(file, "f", [{"$step": "e"}, {"$step": "d", "path": "$.c.none"}]),
    ]
    return {"name": unique("six"), "steps": steps, "output": {each: {"$step": each} for each in "abcdef"}}


def pop_executions(file: Path) -> dict[str, int]:
    """Return how often each step was executed, and reset the counts."""
    counts = dict(Counter(file.read_text().split())) if file.exists() else {}
    file.unlink(missing_ok=True)
    return counts


def has_step_outputs(release: str) -> bool:
    """Return whether clients can read step outputs."""
    return releases.number(release) >= (0, 12)


async def run(client: Any, flow: Any, value: Any, **more: Any) -> Any:
    """Run a flow to its end and return the run's ID."""
    run_id = await client.submit(flow, value, **more)
    await client.wait_run(run_id, timeout=60)
    return run_id


async def test_rerun_before_a_step_executes_it_and_all_later_steps(client: Any, release: str, tmp_path: Path) -> None:
    file = tmp_path / "counted"
    flow = six_steps(file)
    run_id = await run(client, flow, {"n": 1})
    before = (await client.get_result(run_id)).output
    assert pop_executions(file) == dict.fromkeys("abcdef", 1)
    change = {"e": {"input": {"value": "new"}}}
    if not has_step_outputs(release):
        with pytest.raises(UnsupportedByServerError) as refused:
            await client.rerun(run_id, keep=Keep(before="d"), overrides=change)
        assert "0.12" in (refused.value.hint or "")
        assert pop_executions(file) == {}
        return
    plan = await client.plan_rerun(run_id, keep=Keep(before="d"), overrides=change)
    assert [(sorted(item.kept), list(item.executed)) for item in plan.items] == [(["a", "b", "c"], ["d", "e", "f"])]
    assert pop_executions(file) == {}
    again = await client.rerun(run_id, keep=Keep(before="d"), overrides=change, timeout=60)
    assert pop_executions(file) == {"d": 1, "e": 1, "f": 1}
    assert before["c"] == ODD
    assert again.result.raise_for_failure().output == {**before, "e": "new", "f": ["new", None]}
    assert again.run_ids == [again.result.run_id] != [run_id]


async def test_a_step_that_only_kept_steps_read_is_neither_executed_nor_required(
    client: Any, release: str, tmp_path: Path
) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    steps = [
        counting_step(file, "a", {"$input": "$.n"}),
        counting_step(file, "b", {"$step": "a"}),
        counting_step(file, "c"),
    ]
    flow = {"name": unique("needed"), "steps": steps, "output": {"$step": "c"}}
    steps[2]["input"]["value"] = {"$step": "b"}
    # With the override, `b` does not read `a`, so `a` does not run and has no output to keep.
    run_id = await run(client, flow, {"n": 1}, overrides={"b": {"input": {"value": 2}}})
    assert pop_executions(file) == {"b": 1, "c": 1}
    # No history has the input, but the rerun does not need it.
    again = await client.rerun(
        run_id, keep=Keep(before="c"), overrides={"b": {"input": {"value": 2}}}, force=True, timeout=60
    )
    assert [(list(item.kept), list(item.executed)) for item in again.plan.items] == [(["b"], ["c"])]
    assert (again.result.output, pop_executions(file)) == (2, {"c": 1})


async def test_rerun_of_a_changed_flow(client: Any, release: str, tmp_path: Path) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    flow = six_steps(file)
    run_id = await run(client, flow, {"n": 1})
    pop_executions(file)
    changed = {**flow, "steps": [*flow["steps"][:4], counting_step(file, "e", "changed"), flow["steps"][5]]}
    again = await client.rerun(run_id, keep=Keep(before="e"), flow=changed, timeout=60)
    assert again.result.output["f"] == ["changed", None]
    assert pop_executions(file) == {"e": 1, "f": 1}
    changed["steps"][1] = counting_step(file, "b", "changed")
    for refused in ({"flow": changed}, {"overrides": {"b": {"input": {"value": 1}}}}):
        with pytest.raises(InvalidArgumentError, match="step 'b' is kept"):
            await client.rerun(run_id, keep=Keep(before="e"), **refused)
    assert pop_executions(file) == {}
    forced = await client.rerun(run_id, keep=Keep(before="e"), flow=changed, force=True, timeout=60)
    assert forced.result.output["b"] == {"a": 1}
    assert pop_executions(file) == {"e": 1, "f": 1}


async def test_rerun_only_missing_executes_added_steps(client: Any, release: str, tmp_path: Path) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    flow = six_steps(file)
    run_id = await run(client, flow, {"n": 1})
    pop_executions(file)
    added = {**flow, "steps": [*flow["steps"], counting_step(file, "g", {"$step": "f"})], "output": {"$step": "g"}}
    again = await client.rerun(run_id, keep="completed", flow=added, timeout=60)
    assert again.result.output == ["old", None]
    assert pop_executions(file) == {"g": 1}


async def test_rerun_keeps_maps_defaults_and_steps_that_must_execute(client: Any, release: str, tmp_path: Path) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    inner = {"steps": [counting_step(file, "inner", {"$input": "$"})], "output": {"$step": "inner"}}
    mapped = {"workflow": {"$literal": inner}, "items": [1, 2, 3]}
    defaulted = {
        **counting_step(file, "defaulted", fails=True),
        "onError": {"action": "useDefault", "defaultValue": {"d": None}},
    }
    steps = [
        {"id": "map", "component": "/builtin/map", "input": mapped},
        defaulted,
        {**counting_step(file, "must"), "mustExecute": True},
        counting_step(file, "last", [{"$step": "map", "path": "$.successful"}, {"$step": "defaulted"}]),
    ]
    flow = {"name": unique("kinds"), "steps": steps, "output": {"last": {"$step": "last"}, "map": {"$step": "map"}}}
    run_id = await run(client, flow, None)
    before = (await client.get_result(run_id)).raise_for_failure().output
    assert pop_executions(file)["inner"] == 3
    again = await client.rerun(run_id, keep=Keep(before="last"), timeout=60)
    assert again.result.raise_for_failure().output == before
    assert pop_executions(file) == {"last": 1}


async def test_rerun_of_failed_items_of_a_batch(client: Any, release: str, tmp_path: Path) -> None:
    file = tmp_path / "counted"
    if releases.number(release) < (0, 11):
        pytest.skip("each failure restarts the worker there, and the steps of the other items run again")
    number, failing = 400, 15
    step = counting_step(file, "only", {"$input": "$.n"}, fails={"$input": "$.fails"})
    flow = {"name": unique("batch"), "steps": [step], "output": {"$step": "only"}}
    inputs = [{"n": n, "fails": n % 27 == 5} for n in range(number)]
    assert sum(each["fails"] for each in inputs) == failing
    run_id = await client.submit(flow, inputs)
    await client.wait_run(run_id, timeout=240)
    pop_executions(file)
    corrected = [{**each, "fails": False} for each in inputs]
    again = await client.rerun(run_id, keep="succeeded", input=corrected, timeout=120)
    assert pop_executions(file) == {"only": failing}
    assert [result.output for result in again.results] == list(range(number))
    assert len(again.run_ids) == 1
    assert {result.run_id for result in again.results} == {run_id, *again.run_ids}


async def test_rerun_of_a_batch_keeps_outputs_item_by_item(client: Any, release: str, tmp_path: Path) -> None:
    file = tmp_path / "counted"
    first = counting_step(file, "first", {"$input": "$.n"})
    second = counting_step(file, "second", {"$step": "first"}, fails={"$input": "$.fails"})
    flow = {"name": unique("items"), "steps": [first, second], "output": [{"$step": "first"}, {"$step": "second"}]}
    inputs = [{"n": n, "fails": n in (1, 3)} for n in range(5)]
    run_id = await run(client, flow, inputs)
    pop_executions(file)
    corrected = [{**each, "fails": False} for each in inputs]
    again = await client.rerun(run_id, keep="succeeded", input=corrected, timeout=120)
    assert [result.output for result in again.results] == [[n, n] for n in range(5)]
    counted_again = pop_executions(file)
    if releases.number(release) >= (0, 11):
        # Before, each failure restarts the worker, and the steps of the other items may run again late.
        assert counted_again == ({"second": 2} if has_step_outputs(release) else {"first": 2, "second": 2})
    if has_step_outputs(release):
        everything = await client.rerun(run_id, keep=Keep(before="second"), input=corrected, timeout=120)
        assert [result.output for result in everything.results] == [[n, n] for n in range(5)]
        assert pop_executions(file) == {"second": 5}


async def test_rerun_refuses_unknown_steps_missing_inputs_and_running_runs(client: Any, tmp_path: Path) -> None:
    file = tmp_path / "counted"
    run_id = await run(client, six_steps(file), {"n": 1})
    pop_executions(file)
    with pytest.raises(InvalidArgumentError, match="no step 'dd'") as unknown:
        await client.rerun(run_id, keep=Keep(before="dd"))
    assert "'d'" in (unknown.value.hint or "")
    with pytest.raises(InvalidArgumentError, match="read the flow's input"):
        await client.rerun(run_id)
    with pytest.raises(NotFoundError):
        await client.rerun("00000000-0000-7000-8000-000000000000", keep="succeeded")
    assert (await client.rerun(run_id, keep="succeeded")).results == await client.get_results(run_id)
    async with slow_run(client) as running:
        with pytest.raises(ConflictError, match="has not ended"):
            await client.rerun(running, keep="succeeded")
    assert pop_executions(file) == {}


async def test_reruns_of_reruns_of_a_batch(recorded: Any, client: Any, release: str, tmp_path: Path) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    first = counting_step(file, "first", {"$input": "$.n"})
    second = counting_step(file, "second", {"$step": "first"}, fails={"$input": "$.fails"})
    third = counting_step(file, "third", {"$step": "second"})
    flow = {"name": unique("again"), "steps": [first, second, third], "output": {"$step": "third"}}
    inputs = [{"n": n, "fails": n in (1, 3)} for n in range(4)]
    batch = await run(recorded, flow, inputs)
    pop_executions(file)
    # They fail again, in separate runs because they keep different outputs.
    again = await recorded.rerun(batch, keep="succeeded", timeout=60)
    assert (len(again.run_ids), pop_executions(file)) == (2, {"second": 2})
    one = again.results[3].run_id
    arguments = await recorded.get_run_arguments(one)
    assert (arguments.inputs, arguments.rerun_of, arguments.kept) == ([inputs[3]], batch, ["first"])
    reported = await client.get_run_arguments(one)
    assert (reported.rerun_of, reported.kept, reported.is_recorded) == (batch, ["first"], False)
    # A client without this history does not know the input of either run.
    corrected = await client.rerun(one, keep="succeeded", input={"n": 3, "fails": False}, timeout=60)
    assert (corrected.result.output, pop_executions(file)) == (3, {"second": 1, "third": 1})
    with_other = await recorded.rerun(one, keep=Keep(before="second"), input={"n": 7, "fails": False}, timeout=60)
    assert (with_other.result.output, list(with_other.plan.outdated)) == (3, ["first"])
    everything = await recorded.rerun(with_other.result.run_id, timeout=60)
    assert (everything.result.output, list(everything.plan.outdated)) == (7, [])
    assert list(everything.plan.recorded) == ["input"]
    pop_executions(file)
    # `first` of the third run is still the output of the batch's item 3.
    for n, outdated in ((3, []), (7, ["first", "second"])):
        new = {"n": n, "fails": False}
        plan = await recorded.plan_rerun(with_other.result.run_id, keep=Keep(before="third"), input=new)
        assert (list(plan.items[0].kept), list(plan.outdated)) == (["first", "second"], outdated)
    assert pop_executions(file) == {}


async def test_kept_steps_are_marked_and_show_their_original_component(
    client: Any, release: str, tmp_path: Path
) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    flow = six_steps(tmp_path / "counted")
    flow["steps"][0] = {"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": "x"}}
    first = await run(client, flow, {"n": 1})
    again = (await client.rerun(first, keep=Keep(before="c"), timeout=60)).result.run_id
    # A rerun of a rerun keeps the same steps.
    for run_id, kept in (
        (first, ""),
        (again, "ab"),
        ((await client.rerun(again, keep=Keep(before="c"))).result.run_id, "ab"),
    ):
        components = {step["id"]: step["component"] for step in flow["steps"]}
        steps = (await client.get_run_steps(run_id)).steps
        assert {step.step_id: (step.is_kept, step.component) for step in steps} == {
            name: (name in kept, component) for name, component in components.items()
        }
        account = await client.explain_run(run_id)
        assert [step.text for step in account.steps] == ["kept" if name in kept else "completed" for name in components]
        assert [step.component for step in account.steps] == list(components.values())
        one = await client.get_run_step(run_id, "b")
        assert (one.is_kept, one.component) == ("b" in kept, COUNT)


async def test_a_rerun_of_a_run_with_a_key_is_another_run(client: Any, release: str, tmp_path: Path) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    flow = six_steps(file)
    run_id = await run(client, flow, {"n": 1}, idempotency_key="once")
    again = await client.rerun(run_id, keep=Keep(before="f"), timeout=60)
    assert again.result.run_id != run_id
    found = await client.find_run(flow, idempotency_key="once")
    assert (found.run_id, (await client.get_run_flow(again.result.run_id)).flow["steps"][0]["id"]) == (run_id, "a")
    compared = await client.compare_runs(run_id, again.result.run_id)
    assert compared.is_same
    assert pop_executions(file) == dict.fromkeys("abcde", 1) | {"f": 2}


async def test_simultaneous_reruns_with_one_key_execute_once(
    recorded: Any, worker_runtime: StepflowRuntime, release: str, tmp_path: Path
) -> None:
    """Two clients start each of twenty reruns at the same time, and each rerun has one run."""
    file = tmp_path / "counted"
    flow = {
        "name": unique("clicked"),
        "steps": [counting_step(file, "a"), counting_step(file, "b", {"$step": "a"})],
        "output": 1,
    }
    flow["steps"] = [{**step, "mustExecute": True} for step in flow["steps"]]
    options: dict[str, Any] = {"idempotency_key": "click", "input": {}}
    if has_step_outputs(release):
        options["keep"] = Keep(before="b")
    run_ids = await asyncio.gather(*(run(recorded, flow, {}) for _ in range(20)))
    pop_executions(file)
    async with StepflowClient(worker_runtime.url) as other:
        starts = [each.handle(run_id).start_rerun(**options) for run_id in run_ids for each in (recorded, other)]
        started = [handle.run_id for (handle,) in await asyncio.gather(*starts)]
        assert started[::2] == started[1::2]
        assert len({*started, *run_ids}) == 40
        results = [await other.rerun(run_id, **options) for run_id in run_ids]
    assert [each.run_id for each in results] == started[::2]
    assert pop_executions(file) == {"b": 20} | ({} if has_step_outputs(release) else {"a": 20})
    again = [recorded._recorder.find_history_entry(run_id) for run_id in started[::2]]
    assert [(entry.rerun_of, list(entry.kept)) for entry in again] == [
        (run_id, ["a"] if has_step_outputs(release) else []) for run_id in run_ids
    ]


async def test_a_rerun_key_refuses_different_arguments(client: Any, release: str, tmp_path: Path) -> None:
    file = tmp_path / "counted"
    flow = six_steps(file)
    run_id = await run(client, flow, [{"n": 1}, {"n": 2}], idempotency_key="key")
    clicked: dict[str, Any] = {"idempotency_key": "key", "input": [{"n": 1}, {"n": 2}]}
    first = await client.rerun(run_id, items=[0], **clicked)
    assert first.run_id != run_id
    assert (await client.rerun(run_id, items=[0], **clicked)).run_id == first.run_id
    pop_executions(file)
    others: list[dict[str, Any]] = [{"items": [1]}, {}, {"items": [0], "overrides": {"f": {"input": {"value": 2}}}}]
    if has_step_outputs(release):
        others.append({"items": [0], "keep": Keep(before="f")})
    for other in others:
        with pytest.raises(IdempotencyConflictError) as refused:
            await client.rerun(run_id, **clicked | other)
        assert refused.value.run_id == first.run_id
    assert pop_executions(file) == {}
    nothing = await client.rerun(run_id, keep="succeeded", **clicked)
    with pytest.raises(InvalidArgumentError, match="created 0 runs: use run_ids"):
        _ = nothing.run_id


async def test_the_result_cache_ignores_reruns(client: Any, tmp_path: Path) -> None:
    file = tmp_path / "counted"
    flow = {
        "name": unique("cached"),
        "steps": [counting_step(file, "only", {"$input": "$.n"})],
        "output": {"$step": "only"},
    }
    cache = ResultCache(tmp_path / "results.db")
    first = await client.run(flow, {"n": 1}, cache=cache)
    again = await client.rerun(first.run_id, input={"n": 2}, timeout=60)
    cached = await client.run(flow, {"n": 1}, cache=cache)
    assert (again.result.output, cached.run_id) == (2, first.run_id)
    assert pop_executions(file) == {"only": 2}


async def test_selected_items_run_in_one_run(client: Any, tmp_path: Path) -> None:
    """A rerun of some items keeps the results of the others; `start_rerun` does not wait for the new run."""
    file = tmp_path / "calls"
    flow = {"name": unique("chosen"), "steps": [counting_step(file, "a", {"$input": "$.n"})], "output": {"$step": "a"}}
    inputs = [{"n": number} for number in range(4)]
    run_id = await run(client, flow, inputs)
    pop_executions(file)
    plan = await client.plan_rerun(run_id, input=inputs, items=[3, 1])
    assert [item.index for item in plan.items] == [1, 3]
    (handle,) = await client.start_rerun(run_id, input=inputs, items=[3, 1])
    assert [each.output for each in await client.get_results(handle.run_id, timeout=60)] == [1, 3]
    assert pop_executions(file) == {"a": 2}
    again = await client.rerun(run_id, input=inputs, items=[2])
    assert [each.run_id == run_id for each in again.results] == [True, True, False, True]
    with pytest.raises(InvalidArgumentError, match="no item 4"):
        await client.start_rerun(run_id, input=inputs, items=[4])
    assert await client.start_rerun(run_id, keep="succeeded", input=inputs) == []
