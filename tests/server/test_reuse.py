"""`rerun` that keeps unchanged steps or executes a single step. The worker counts executions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, Keep, UnsupportedByServerError
from stepflow_client.flows import flow_of_step

from tests.server.flows import unique
from tests.server.test_rerun import COUNT, counting_step, has_step_outputs, pop_executions, run

pytestmark = pytest.mark.anyio


def four_steps(file: Path) -> dict[str, Any]:
    """Return a flow of four steps: a reads the input, b a variable, c reads a, and d reads b and c."""
    steps = [
        {**counting_step(file, "a", {"$input": "$.n"}), "mustExecute": True},
        counting_step(file, "b", {"$variable": "tone"}),
        counting_step(file, "c", {"$step": "a"}),
        counting_step(file, "d", [{"$step": "b"}, {"$step": "c"}]),
    ]
    tone = {"type": "string", "default": "warm"}
    schemas = {"type": "object", "properties": {"variables": {"type": "object", "properties": {"tone": tone}}}}
    return {"name": unique("four"), "schemas": schemas, "steps": steps, "output": {"$step": "d"}}


async def test_only_changed_steps_are_executed(recorded: Any, release: str, tmp_path: Path) -> None:
    file = tmp_path / "counted"
    flow = four_steps(file)
    run_id = await run(recorded, flow, {"n": 1, "other": 1})
    pop_executions(file)
    if not has_step_outputs(release):
        with pytest.raises(UnsupportedByServerError):
            await recorded.rerun(run_id, keep="unchanged")
        return
    edited = {**flow, "steps": [*flow["steps"][:3], counting_step(file, "d", {"$step": "c"})]}
    default = {**flow, "schemas": {"properties": {"variables": {"properties": {"tone": {"default": "cold"}}}}}}
    silent = {**flow, "steps": [{**flow["steps"][0], "metadata": {"x": 1}, "mustExecute": False}, *flow["steps"][1:]]}
    cases: list[tuple[dict[str, Any], str, Any]] = [
        ({}, "", ["warm", 1]),
        ({"flow": silent}, "", ["warm", 1]),
        ({"flow": edited}, "d", 1),
        ({"flow": default}, "bd", ["cold", 1]),
        ({"variables": {"tone": "warm"}}, "", ["warm", 1]),
        ({"variables": {"tone": "dry"}}, "bd", ["dry", 1]),
        ({"input": {"n": 1, "other": 2}}, "", ["warm", 1]),
        ({"input": {"n": 2}}, "acd", ["warm", 2]),
        ({"overrides": {"c": {"input": {"value": 3}}}}, "cd", ["warm", 3]),
        # The override makes c read b as well.
        (
            {"overrides": {"c": {"input": {"value": {"$step": "b"}}}}, "keep": Keep("unchanged", before="b")},
            "bcd",
            ["warm", "warm"],
        ),
        ({"keep": Keep("unchanged", before="c")}, "cd", ["warm", 1]),
    ]
    for chosen, executed, output in cases:
        again = await recorded.rerun(run_id, **{"keep": "unchanged", **chosen}, timeout=60)
        assert (again.result.output, pop_executions(file)) == (output, dict.fromkeys(executed, 1)), chosen
        assert list(again.plan.outdated) == []


async def test_inputs_that_differ_only_in_hidden_secrets_count_as_changed(
    recorded: Any, release: str, tmp_path: Path
) -> None:
    if not has_step_outputs(release):
        return
    file = tmp_path / "counted"
    run_id = await run(recorded, four_steps(file), {"n": "*** of https://me:pa55@host"})
    pop_executions(file)
    for text in ("*** of https://me:other@host", "*x* of https://me:pa55@host"):
        again = await recorded.rerun(run_id, input={"n": text}, keep="unchanged")
        assert (again.result.output, pop_executions(file)) == (["warm", text], dict.fromkeys("acd", 1))
    # Without secret variables, asterisks in an input are taken literally.
    starred = await run(recorded, four_steps(file), {"n": "*** 1"})
    assert (await recorded.rerun(starred)).result.output == ["warm", "*** 1"]
    for text, executed in (("*** 1", []), ("*** 2", ["a", "c", "d"])):
        again = await recorded.rerun(starred, input={"n": text}, keep="unchanged")
        assert (again.result.output, again.plan.items[0].executed) == (["warm", text], executed)


async def test_a_repeated_override_counts_as_unchanged(recorded: Any, release: str, tmp_path: Path) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    change = {"a": {"input": {"value": 5}}}
    run_id = await run(recorded, four_steps(file), {"n": 1}, overrides=change)
    pop_executions(file)
    for chosen in ({"keep": "unchanged"}, {"keep": Keep(before="d")}):
        again = await recorded.rerun(run_id, overrides=change, **chosen, timeout=60)
        assert (again.result.output, pop_executions(file).keys() - {"d"}) == (["warm", 5], set())


async def test_inherit_selects_the_recorded_arguments(recorded: Any, release: str, tmp_path: Path) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    change = {"c": {"input": {"value": 5}}}
    run_id = await run(recorded, four_steps(file), {"n": 1}, variables={"tone": "dry"}, overrides=change)
    pop_executions(file)
    cases: list[tuple[tuple[str, ...], str, Any, list[str]]] = [
        (("input", "variables", "overrides"), "", ["dry", 5], ["input", "variables", "overrides"]),
        (("input", "overrides"), "bd", ["warm", 5], ["input", "overrides"]),
        (("input",), "bcd", ["warm", 1], ["input"]),
    ]
    for inherit, executed, output, taken in cases:
        again = await recorded.rerun(run_id, keep="unchanged", inherit=inherit, timeout=60)
        assert (again.result.output, set(pop_executions(file))) == (output, set(executed)), inherit
        assert set(again.plan.recorded) <= set(taken)
    with pytest.raises(InvalidArgumentError, match="inherit"):
        await recorded.plan_rerun(run_id, inherit=("labels",))
    with pytest.raises(InvalidArgumentError, match="input"):
        await recorded.rerun(run_id, inherit=())


async def test_a_step_whose_override_reads_an_executed_step_is_executed_again(
    recorded: Any, release: str, tmp_path: Path
) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    run_id = await run(recorded, four_steps(file), {"n": 1}, overrides={"c": {"input": {"value": {"$step": "b"}}}})
    pop_executions(file)
    again = await recorded.rerun(run_id, keep=Keep(before="b"), variables={"tone": "dry"}, timeout=60)
    assert (again.result.output, pop_executions(file)) == (["dry", "dry"], {"b": 1, "c": 1, "d": 1})


async def test_without_a_history_steps_that_read_a_given_input_are_executed(
    client: Any, release: str, tmp_path: Path
) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    run_id = await run(client, four_steps(file), {"n": 1})
    pop_executions(file)
    same = await client.rerun(run_id, keep="unchanged", timeout=60)
    assert (same.result.output, pop_executions(file), list(same.plan.unknown)) == (["warm", 1], {}, ["overrides"])
    again = await client.rerun(run_id, keep="unchanged", input={"n": 1}, timeout=60)
    assert (again.result.output, pop_executions(file)) == (["warm", 1], {"a": 1, "c": 1, "d": 1})


async def test_a_single_step(recorded: Any, release: str, tmp_path: Path) -> None:
    file = tmp_path / "counted"
    flow = four_steps(file)
    run_id = await run(recorded, flow, {"n": 1})
    pop_executions(file)
    alone = await recorded.run(flow_of_step(flow, "d"), {"file": str(file), "name": "d", "value": "mine"}, timeout=60)
    assert (alone.output, pop_executions(file)) == ("mine", {"d": 1})
    if not has_step_outputs(release):
        with pytest.raises(UnsupportedByServerError):
            await recorded.rerun(run_id, keep=Keep(all_except="d"))
        return
    cases: list[tuple[dict[str, Any], str, Any, list[str]]] = [
        ({}, "d", ["warm", 1], []),
        ({}, "c", 1, []),
        ({"input": {"n": 2}}, "a", 2, []),
        ({"input": {"n": 2}}, "c", 1, ["a"]),
        ({"flow": {**flow, "steps": [counting_step(file, "a", 0), *flow["steps"][1:]]}}, "c", 1, ["a"]),
        ({"overrides": {"d": {"input": {"value": 7}}}}, "d", 7, []),
        ({"overrides": {"b": {"input": {"value": 1}}}}, "d", ["warm", 1], ["b"]),
    ]
    for chosen, step, output, outdated in cases:
        again = await recorded.rerun(run_id, keep=Keep(all_except=step), **chosen, timeout=60)
        assert (again.result.output, pop_executions(file)) == (output, {step: 1}), chosen
        assert list(again.plan.outdated) == outdated
    assert (await recorded.get_run_arguments(again.result.run_id)).rerun_of == run_id


async def test_a_single_step_without_known_inputs(client: Any, release: str, tmp_path: Path) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    flow = four_steps(file)
    flow["steps"][1]["input"] = {"$input": "missing"}
    run_id = await run(client, flow, {"n": 1})
    pop_executions(file)
    with pytest.raises(InvalidArgumentError, match="step 'd' reads step 'b', for which run") as raised:
        await client.rerun(run_id, keep=Keep(all_except="d"))
    assert "an input for the step" in (raised.value.hint or "")
    with pytest.raises(InvalidArgumentError, match="no step 'dd'"):
        await client.rerun(run_id, keep=Keep(all_except="dd"))
    assert pop_executions(file) == {}


@pytest.mark.parametrize(
    "chosen",
    [
        {"keep": "unchanged", "force": True},
        {"keep": Keep(all_except="a"), "force": True},
        {"keep": "summarize"},
        {"keep": None},
    ],
)
async def test_wrong_values_of_keep(client: Any, chosen: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError) as wrong:
        await client.rerun("00000000-0000-7000-8000-000000000000", **chosen)
    hint = "to keep the steps before a step, pass keep=Keep(before='summarize')"
    assert wrong.value.hint == (hint if chosen["keep"] == "summarize" else None)


@pytest.mark.parametrize(
    "chosen",
    [
        {"all_except": "a", "before": "b"},
        {"all_except": "a", "steps": "unchanged"},
        {"all_except": "a", "succeeded_items": True},
        {"before": "b", "steps": "nothing"},
        {"before": 1},
        {"steps": "succeeded"},
        {"succeeded_items": "yes"},
    ],
)
def test_arguments_of_keep_that_exclude_each_other(chosen: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        Keep(**chosen)


async def test_steps_are_kept_per_item(recorded: Any, release: str, tmp_path: Path) -> None:
    if not has_step_outputs(release):
        pytest.skip("the outputs of steps cannot be read")
    file = tmp_path / "counted"
    run_id = await run(recorded, four_steps(file), [{"n": 1}, {"n": 2}, {"n": 3}])
    pop_executions(file)
    again = await recorded.rerun(run_id, keep="unchanged", input=[{"n": 1}, {"n": 5}, {"n": 3}], timeout=60)
    assert [each.output for each in again.results] == [["warm", n] for n in (1, 5, 3)]
    assert (pop_executions(file), len(again.run_ids)) == ({"a": 1, "c": 1, "d": 1}, 3)


def test_the_flow_of_a_step() -> None:
    flow = {
        "name": "f",
        "schemas": {"properties": {"input": {"type": "object"}}},
        "steps": [{"id": "a", "component": COUNT, "input": {"x": {"$step": "b"}}, "onError": {"action": "retry"}}],
    }
    assert flow_of_step(flow, "a") == {
        "name": "f/a",
        "steps": [{"id": "a", "component": COUNT, "input": {"$input": "$"}, "onError": {"action": "retry"}}],
        "output": {"$step": "a"},
    }
    with pytest.raises(InvalidArgumentError, match="no step 'b'"):
        flow_of_step(flow, "b")
