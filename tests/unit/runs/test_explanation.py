"""The account of an item, derived from its steps, flow and error; tests/server covers real servers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from weakref import WeakSet

import pytest
from stepflow_client import ErrorCode, ExecutionStatus, FlowError, RunAccount, RunDetails, StepDetails
from stepflow_client._runs import explanation
from stepflow_client._runs.component_input_hints import find_run_error_hint, may_component_return
from stepflow_client._runs.explanation import (
    add_states_to_snapshot as with_states,
    explain_item,
    explain_items,
    find_component_needing_schema,
    iter_failed_sub_run_items,
    iter_item_records,
)
from stepflow_client._runs.failure_causes import ItemRecord
from stepflow_client.flows.interpreter import NOT_KNOWN, apply_overrides_if_valid
from stepflow_client.types import ItemCounts, RunArguments, RunItem
from stepflow_client.types.run_explanation import StepAccount, format_state, get_displayed_step_state
from stepflow_client.types.runs import RunSnapshot
from stepflow_client.types.statuses import NO_REASON, NO_ROUTE

RUN = "00000000-0000-4000-8000-000000000001"
MESSAGES = "/builtin/create_messages"


def step(name: str, status: str = "failed", message: str | None = None, **more: Any) -> StepDetails:
    """Return a step as a server lists it; before 0.12, without an error message."""
    error = FlowError(message=message or NO_REASON, code=more.pop("code", None)) if status == "failed" else None
    return StepDetails(step_id=name, status=ExecutionStatus(status), error=error, **more)


def flow(output: Any, *steps: tuple[str, Any], **more: Any) -> dict[str, Any]:
    definitions = [
        {"id": name, "component": "/x/y", "input": step_input, **more.get(name, {})} for name, step_input in steps
    ]
    return {"steps": definitions, "output": output}


def explain(content: Any, message: str | None, *steps: StepDetails, **more: Any) -> RunAccount:
    named = more.pop("named", None)
    error = None if message is None else FlowError(message=message, code=more.pop("code", None), step_id=named)
    status = more.pop("status", ExecutionStatus.COMPLETED if error is None else ExecutionStatus.FAILED)
    return explain_item(RUN, 0, ItemRecord(content, status, error, steps, **more))


def hint_of(content: Any, step_id: str, flow_input: Any, variables: Any) -> str | None:
    return find_run_error_hint(FlowError(message="it failed", step_id=step_id), content, flow_input, variables)


def s(name: str, path: str | None = None) -> dict[str, Any]:
    return {"$step": name} if path is None else {"$step": name, "path": path}


def states(account: RunAccount) -> dict[str, str]:
    return {each.step_id: each.state for each in account.steps}


CHAIN = flow(s("c"), ("a", 1), ("b", s("a")), ("c", s("b")))


def test_a_failure_is_traced_to_its_cause() -> None:
    account = explain(CHAIN, "boom", step("c", message="boom"), step("a", message="boom"), step("b", message="boom"))
    assert (account.kind, account.cause) == ("step", "a")
    assert account.not_run == {"b": "a", "c": "a"}
    assert (account.failed, account.completed, account.not_needed) == (["a"], [], [])
    assert account.text == "step 'a' failed: boom"
    assert [each.text for each in account.steps] == ["failed", "not run (a failed)", "not run (a failed)"]
    # The error of a step that was not run is not its own.
    assert [each.error is None for each in account.steps] == [False, True, True]


def test_a_reader_with_another_error_has_failed_itself() -> None:
    content = flow(s("b"), ("a", 1), ("b", {"$if": s("a"), "then": s("a"), "else": 1}))
    account = explain(content, "other", step("a", message="boom"), step("b", message="other"))
    assert account.cause == "b"
    assert account.failed == ["a", "b"]
    assert account.not_run == {}


def test_the_condition_of_a_branch_inherits_no_failure_even_with_the_same_message() -> None:
    content = flow(s("b"), ("a", 1), ("b", {"$if": s("a"), "then": 1, "else": {"$input": "x"}}))
    assert explain(content, "boom", step("a", message="boom"), step("b", message="boom")).cause == "b"


def test_a_branch_that_was_not_taken_inherits_no_failure_even_with_the_same_message() -> None:
    missing = {"$input": "$.nope"}
    content = flow(s("b"), ("a", missing), ("b", {"$if": {"$input": "$.p"}, "then": s("a"), "else": missing}))
    error = "Input path $.nope not found"
    account = explain(content, error, step("a", message=error), step("b", message=error), input={"p": None})
    assert (account.cause, account.failed) == ("b", ["a", "b"])


def test_an_alternative_that_was_not_reached_inherits_no_failure() -> None:
    content = flow([s("b")], ("x", 1), ("a", 1), ("b", {"$coalesce": [s("x"), s("a")]}), a={"mustExecute": True})
    steps = [step("x", "completed", output=3), step("a", message="boom"), step("b", message="boom")]
    assert explain(content, "boom", *steps).cause == "b"


def test_errors_decide_if_the_flow_reads_unknown_values() -> None:
    content = flow(s("c"), ("a", 1), ("b", 1), ("c", {"$if": {"$input": "p"}, "then": s("a"), "else": s("b")}))
    steps = [step("a", message="one"), step("b", message="two"), step("c", message="two")]
    account = explain(content, "two", *steps)
    assert account.cause == "b"
    assert account.not_run == {"c": "b"}


def test_a_reader_of_a_failed_step_was_not_run_even_with_an_equal_error() -> None:
    missing = {"$input": "$.nope"}
    content = flow(s("b"), ("a", missing), ("b", {"own": missing, "read": s("a")}))
    error = "Input path $.nope not found"
    account = explain(content, error, step("a", message=error), step("b", message=error), input={})
    assert (account.cause, account.not_run) == ("a", {"b": "a"})


@pytest.mark.parametrize("message", ["two", "Path $.x not found"])
def test_a_step_with_another_error_is_not_the_cause(message: str) -> None:
    account = explain(flow(s("a"), ("a", 1)), message, step("a", message="one"))
    assert (account.kind, account.cause, account.failed) == ("unknown" if message == "two" else "output", None, ["a"])


def test_an_item_that_failed_without_an_error_has_no_cause() -> None:
    account = explain(CHAIN, None, step("a"), status=ExecutionStatus.FAILED)
    assert (account.kind, account.cause) == (None, None)


@pytest.mark.parametrize("steps", [[], [step("z", "completed")]])
def test_a_successful_step_named_in_the_message_is_not_the_cause(steps: list[StepDetails]) -> None:
    account = explain({}, "no", *steps, step("b", message='step "z" failed'))
    assert (account.not_run, account.failed) == ({}, ["b"])


# Before 0.12: no errors of steps


@pytest.mark.parametrize(
    ("message", "step_message", "expected"),
    [
        ('step "a" failed', "boom", "boom"),
        ('step "a" failed', NO_REASON, 'step "a" failed'),
        ('step "a" failed', 'step "b" failed', 'step "a" failed'),
        ("boom", "boom", "boom"),
    ],
)
def test_the_step_error_is_shown_if_it_is_more_specific(message: str, step_message: str, expected: str) -> None:
    account = explain({}, message, step("a", message=step_message))
    assert account.error is not None
    assert (account.error.message, account.error.step_id) == (expected, "a")


def test_of_two_failed_steps_the_one_with_the_same_error_is_the_cause() -> None:
    content = flow({"x": s("a"), "y": s("b")}, ("a", 1), ("b", 1))
    assert explain(content, "boom", step("a"), step("b", message="other")).cause == "a"


def test_without_the_flow_a_generic_error_has_no_cause() -> None:
    assert explain({}, NO_REASON, step("a")).kind == "unknown"
    assert explain({}, "boom", step("a", message="boom")).cause == "a"
    assert explain({}, "boom", step("a", message="boom"), step("b", message="boom")).kind == "unknown"


@pytest.mark.parametrize("message", ["boom", "Input path $.p not found"])
def test_the_only_failed_step_is_the_cause_even_without_an_error(message: str) -> None:
    assert explain(flow(s("a"), ("a", {"$input": "p"})), message, step("a")).cause == "a"


def test_without_errors_of_steps_certain_reads_decide() -> None:
    account = explain(CHAIN, "boom", step("a"), step("b"), step("c"))
    assert account.cause == "a"
    assert account.not_run == {"b": "a", "c": "a"}
    assert account.unknown == ()


def test_without_errors_of_steps_a_conditional_read_stays_unknown() -> None:
    content = flow(s("c"), ("a", 1), ("c", {"$if": {"$input": "p"}, "then": s("a"), "else": 2}))
    account = explain(content, "boom", step("a"), step("c"))
    assert account.cause is None
    assert account.kind == "unknown"
    assert states(account) == {"a": "failed", "c": "unknown"}
    assert account.unknown == ("which step caused the failure", "whether c failed or did not run")
    # The input shows which branch was taken.
    assert explain(content, "boom", step("a"), step("c"), input={"p": None}).cause == "c"
    assert explain(content, "boom", step("a"), step("c"), input={"p": 1}).cause == "a"


def test_the_step_of_a_sub_flow_is_not_named() -> None:
    inner = {"steps": [{"id": "a", "component": "/x/y"}], "output": s("a")}
    turns = {"flow": {"$literal": inner}, "initial_input": 1}
    content = flow([s("a"), s("turns")], ("a", 1), ("turns", turns), turns={"component": "/builtin/iterate"})
    steps = [step("a", "completed"), step("turns")]
    assert explain(content, "boom", *steps, named="a").cause == "turns"
    assert explain(content, "boom", named="a", has_steps=False).cause is None
    account = explain(CHAIN, "boom", named="a", has_steps=False)
    assert account.cause == "a"
    assert [each.error and each.error.message for each in account.steps] == ["boom", None, None]


def test_two_steps_that_may_both_be_the_cause_stay_unknown() -> None:
    content = flow({"x": s("a"), "y": s("b")}, ("a", 1), ("b", 1))
    assert explain(content, "boom", step("a"), step("b")).kind == "unknown"
    assert explain(content, "boom", step("a"), step("b"), named="b").cause == "b"


# Failed outputs, stalled, cancelled, running and lost items


def test_a_failed_output() -> None:
    content = flow(s("a", "$.x"), ("a", 1), ("m", 1), m={"mustExecute": True})
    steps = [step("a", "completed", output={}), step("m", message="Path $.x not found")]
    account = explain(content, "Path $.x not found", *steps)
    assert (account.kind, account.cause, account.failed) == ("output", None, ["m"])
    assert account.text == "the output of the flow failed: Path $.x not found"
    # The message may come from the step or from the output.
    unnamed = explain(content, "Path $.x not found", step("a", "completed"), step("m"))
    assert unnamed.cause is None


def test_a_step_that_the_server_did_not_start() -> None:
    content = flow({"$if": s("a"), "then": s("t")}, ("a", 1), ("t", 1))
    account = explain(content, "Step t not completed", step("a", "completed", output=1))
    assert account.kind == "stall"
    assert account.not_run == {"t": None}
    assert account.steps[1].text == "not run (the server did not start it)"
    assert explain(content, "Step t not completed", has_steps=False).kind == "stall"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Step t not completed", "stall"),
        ("Path $.x not found", "output"),
        ("boom", "unknown"),
        ("Step a not completed", "unknown"),
    ],
)
def test_without_step_outputs_the_message_determines_what_failed(message: str, kind: str) -> None:
    content = flow({"$if": s("a"), "then": s("t")}, ("a", 1), ("t", 1))
    assert explain(content, message, step("a", "completed")).kind == kind


@pytest.mark.parametrize("has_steps", [True, False])
def test_a_cancelled_run(has_steps: bool) -> None:
    steps = [step("a", "completed"), step("b", "running")] if has_steps else []
    account = explain(CHAIN, None, *steps, status=ExecutionStatus.CANCELLED, has_steps=has_steps)
    assert (account.kind, account.cause) == ("cancelled", None)
    assert account.may_be_executing == (["b"] if has_steps else ["a", "b", "c"])
    assert states(account)["c"] == ("not_started" if has_steps else "unknown")
    assert bool(account.unknown) is not has_steps
    executing = "which steps may still be executing (cancelling a run does not stop its steps)"
    assert (executing in account.unknown) is not has_steps
    ended = explain(CHAIN, "boom", has_steps=False)
    assert "this server does not report the steps of this item" in ended.unknown
    assert executing not in ended.unknown


def test_a_running_and_a_lost_item_have_steps_that_did_not_start() -> None:
    running = explain(CHAIN, None, step("a", "running"), status=ExecutionStatus.RUNNING)
    assert (running.kind, states(running)) == (None, {"a": "running", "b": "not_started", "c": "not_started"})
    assert running.may_be_executing == []
    lost = explain(CHAIN, "gone", step("a", "running"), code=ErrorCode.LOST)
    assert (lost.kind, states(lost)["b"], lost.text) == ("lost", "not_started", "lost: gone")


def test_the_message_names_the_step_only_if_that_step_failed() -> None:
    for name, state in (("a", "completed"), ("gone", "failed")):
        steps = [step("a", "completed"), step("b", message=f'step "{name}" failed')]
        assert {each.step_id: each.state for each in explain({}, "boom", *steps).steps}["b"] == "failed", state


def test_without_step_errors_a_step_with_no_failed_dependency_is_the_cause() -> None:
    content = flow(s("b"), ("a", 1), ("b", {"$if": {"$input": "p"}, "then": s("a"), "else": 1}))
    account = explain(content, "boom", step("a", "completed", output=1), step("b"))
    assert (account.kind, account.cause) == ("step", "b")


def test_an_unknown_flow() -> None:
    named = explain({}, 'step "b" failed', step("c", message='step "b" failed'), step("b", message='step "b" failed'))
    assert (named.cause, named.not_run) == ("b", {"c": "b"})
    assert len(named.unknown) == 1
    times = {"a": "2026-11-27T01:00:00Z", "b": "2026-11-27T01:00:01Z"}
    timed = [step(name, message="boom", updated_at=time) for name, time in reversed(times.items())]
    assert explain({}, "boom", *timed).cause == "a"
    assert explain({}, "boom", step("a"), step("b")).kind == "unknown"


@pytest.mark.parametrize("output", [{"$step": 5}, {"$if": s("a")}, {"$step": "a", "path": 3}, {"$coalesce": 5}])
def test_invalid_expressions_do_not_raise(output: Any) -> None:
    account = explain(flow(output, ("a", output)), "boom", step("a", message="boom"))
    assert account.kind in ("step", "unknown")


# Step outputs


@pytest.mark.parametrize(
    ("component", "default", "output", "expected"),
    [
        (MESSAGES, "sorry", "sorry", True),
        (MESSAGES, {"messages": []}, {"messages": []}, None),
        (MESSAGES, "sorry", {"messages": []}, False),
        ("/python/echo", "sorry", "sorry", None),
        (MESSAGES, None, None, None),
    ],
)
def test_default_outputs_are_detected(component: str, default: Any, output: Any, expected: bool | None) -> None:
    rule = {"component": component, "onError": {"action": "useDefault", "defaultValue": default}}
    account = explain(flow(s("a"), ("a", 1), a=rule), None, step("a", "completed", output=output))
    assert account.steps[0].is_default is expected
    assert bool(account.unknown) is (expected is None)
    assert account.steps[0].text == ("completed with its default" if expected else "completed")


def test_failed_items_of_sub_runs() -> None:
    failed = {"outcome": "failed", "error": {"code": "X", "message": 'step "in" failed'}}
    output = {"results": [{"outcome": "success", "result": 1}, failed], "successful": 1, "failed": 1}
    runs_flows = {"component": "/builtin/map"}
    account = explain(flow(s("m"), ("m", 1), m=runs_flows), None, step("m", "completed", output=output))
    assert [each.to_dict() for each in account.steps[0].failed_children] == [
        {"index": 1, "message": 'step "in" failed', "step_id": "in"}
    ]
    assert account.steps[0].text == "completed, 1 failed in sub-runs"


@pytest.mark.parametrize(
    ("result", "messages"),
    [
        ({"outcome": "failed", "error": {"message": "no"}}, ["no"]),
        ({"outcome": "failed", "error": {"message": ""}}, [NO_REASON]),
        ({"outcome": "failed", "error": "text"}, [NO_REASON]),
        ({"outcome": "success", "result": 1}, []),
        (None, []),
    ],
)
def test_the_sub_run_of_eval_may_have_failed(result: Any, messages: list[str]) -> None:
    content = flow(s("m"), ("m", 1), m={"component": "/builtin/eval"})
    account = explain(content, None, step("m", "completed", output={"result": result}))
    assert [(each.index, each.message, each.step_id) for each in account.steps[0].failed_children] == [
        (0, message, None) for message in messages
    ]


def test_only_builtin_map_has_sub_runs() -> None:
    failed = {"outcome": "failed", "error": {"message": "no"}}
    output = {"results": [failed], "successful": 0, "failed": 1}
    account = explain(flow(s("m"), ("m", 1)), None, step("m", "completed", output=output))
    assert account.steps[0].text == "completed"


def test_a_kept_step_that_nothing_needs_is_kept() -> None:
    record = ItemRecord(CHAIN, ExecutionStatus.COMPLETED, None, [], kept=["a"])
    account = explain_item("run", 0, record)
    assert [each.text for each in account.steps] == ["kept", "not needed", "not needed"]
    assert states(account)["a"] == "completed"


# Hints


def test_the_hint_names_the_rejected_field() -> None:
    content = flow(s("a"), ("a", {"user_prompt": {"$input": "name"}}), a={"component": MESSAGES})
    account = explain(content, 'step "a" failed', step("a", message='step "a" failed'), input={"name": 5})
    assert account.hint is not None
    assert "(at $.user_prompt)" in account.hint
    assert "an input schema" in account.hint
    assert explain(content, 'step "a" failed', step("a", message='step "a" failed')).hint is None
    literal = flow(s("a"), ("a", {"user_prompt": 5}), a={"component": MESSAGES})
    assert str(hint_of(literal, "a", NOT_KNOWN, NOT_KNOWN)).endswith("to find this before a run, check the flow")
    assert hint_of(content, "a", {"name": "x"}, {}) is None
    assert hint_of(content, "other", {"name": 5}, {}) is None


def test_the_hint_names_the_missing_input_field() -> None:
    content = flow(s("a"), ("a", {"user_prompt": {"$input": "name"}, "else": {"$input": "$.other.deep"}}))
    flow_input = {"nam": "x", "other": {}}
    hint = "the flow reads 'name' from its input, which has nam, other; write name instead of nam"
    assert hint_of(content, "a", flow_input, {}) == hint
    failed = step("a", message="Input path $.name not found")
    assert explain(content, "Input path $.name not found", failed, input=flow_input).hint == hint
    assert hint_of(content, "a", {}, {}) == "the flow reads 'name' from its input, which is empty; add name: ..."
    # Nested fields are not checked.
    assert hint_of(content, "a", {"name": "x", "other": {}}, {}) is None
    assert hint_of(content, "a", [], {}) is None
    optional = flow(s("a"), ("a", {"$coalesce": [1, {"$input": "name"}]}))
    assert hint_of(optional, "a", {}, {}) is None


@pytest.mark.parametrize(
    "step_input",
    [
        {"$if": {"$input": "name"}, "then": 1, "else": s("x")},
        {"read": s("x"), "other": {"$variable": "name"}},
        {"$coalesce": [s("x"), {"$input": "name"}]},
    ],
)
def test_conditionally_read_fields_are_not_reported_as_missing(step_input: Any) -> None:
    assert hint_of(flow(s("a"), ("x", 1), ("a", step_input)), "a", {}, NOT_KNOWN) is None


@pytest.mark.parametrize(
    ("component", "hint"),
    [
        ("/builtin/create_mesages", f"unknown component /builtin/create_mesages; did you mean {MESSAGES}?"),
        ("/builtin/something_else_entirely", None),
        ("/python/create_messages", None),
        (MESSAGES, None),
    ],
)
def test_a_misspelled_builtin_component(component: str, hint: str | None) -> None:
    content = flow(s("a"), ("a", 1), a={"component": component})
    assert explain(content, NO_ROUTE, step("a", message=NO_ROUTE)).hint == hint


def test_a_silent_worker_may_have_too_large_an_output() -> None:
    message = "timed out: no heartbeat received (worker presumed crashed)"
    account = explain(flow(s("a"), ("a", 1)), message, step("a", message=message, component="/python/a"))
    assert "larger than 4 MB" in str(account.hint)
    assert "blobs" in str(account.hint)


def test_the_schema_of_another_component_is_needed_only_if_the_error_is_not_specific() -> None:
    only = flow(s("a"), ("a", 1))
    bare = explain(only, 'step "a" failed', step("a", message='step "a" failed', component="/x/y"))
    assert find_component_needing_schema(bare) == "/x/y"
    own = step("a", message='step "a" failed', component="/builtin/eval")
    assert find_component_needing_schema(explain(only, 'step "a" failed', own)) is None, "the schema is already known"
    unexplained = explain(only, "boom", step("a", message="other", component="/x/y"))
    assert (unexplained.cause, find_component_needing_schema(unexplained)) == (None, None)
    rejected = step("a", message="boom", component="/x/y", code=ErrorCode.INVALID_INPUT)
    invalid_input = explain(only, "boom", rejected, code=ErrorCode.INVALID_INPUT)
    assert find_component_needing_schema(invalid_input) == "/x/y"
    assert find_component_needing_schema(explain(only, None, step("a", "completed", component="/x/y"))) is None
    assert find_component_needing_schema(explain(only, "boom", step("a", message="boom", component="/x/y"))) is None
    record = ItemRecord(only, ExecutionStatus.FAILED, bare.error, [step("a", message='step "a" failed')])
    with_schema = explain_item(RUN, 0, record, {"/x/y": {"type": "object"}})
    assert str(with_schema.hint).startswith("component /x/y rejects its input: the schema expects object")


def test_a_hint_does_not_show_the_rejected_value() -> None:
    step_input = {"data": 1, "blob_type": {"$variable": "kind"}}
    content = flow(s("a"), ("a", step_input), a={"component": "/builtin/put_blob"})
    hint = str(hint_of(content, "a", {}, {"kind": "hunter2"}))
    assert "the value is not one of the allowed values (at $.blob_type)" in hint
    assert "hunter2" not in hint


def test_what_a_builtin_component_may_return() -> None:
    assert may_component_return("/python/any", 5)
    assert not may_component_return(MESSAGES, 5)


# Values


def test_the_overrides_of_a_run_are_part_of_its_flow() -> None:
    changed = apply_overrides_if_valid(CHAIN, {"steps": {"b": {"value": {"input": 3}}}})
    assert [each["input"] for each in changed["steps"]] == [1, 3, s("b")]
    assert apply_overrides_if_valid(CHAIN, {"unknown": {"input": 3}}) == CHAIN
    assert apply_overrides_if_valid(CHAIN, None) == CHAIN


def test_several_items() -> None:
    items = [
        RunItem(index=0, status=ExecutionStatus.COMPLETED),
        RunItem(index=1, status=ExecutionStatus.FAILED, error=FlowError(message="boom")),
        RunItem(index=2, status=ExecutionStatus.RUNNING),
    ]
    steps = [step(name, message="boom", item_index=1) for name in "abc"]
    run = RunDetails(run_id=RUN, flow_id="f", status=ExecutionStatus.CANCELLED)
    snapshot = RunSnapshot(details=run, items=items, steps=steps, flow=CHAIN)
    accounts = explain_items(snapshot)
    assert [accounts[index].kind for index in range(3)] == [None, "step", "cancelled"]
    assert accounts[1].not_run == {"b": "a", "c": "a"}
    assert accounts[0].not_needed == ["a", "b", "c"]
    assert [each.text for each in with_states(snapshot).steps or ()] == [
        "failed",
        "not run (a failed)",
        "not run (a failed)",
    ]


def snapshot_of(status: str, *steps: StepDetails, **arguments: Any) -> RunSnapshot:
    """Return a run of two items with three steps: one with a default, one with sub-runs, and one with neither."""
    default = {"onError": {"action": "useDefault", "defaultValue": 5}}
    content = flow(s("p"), ("d", 1), ("m", 1), ("p", {"$variable": "v"}), d=default, m={"component": "/builtin/map"})
    run = RunDetails(run_id=RUN, flow_id="f", status=ExecutionStatus(status))
    items = [RunItem(index=index, status=ExecutionStatus(status)) for index in range(2)]
    recorded = RunArguments(run_id=RUN, **arguments)
    return RunSnapshot(details=run, items=items, steps=list(steps), flow=content, arguments=recorded)


@pytest.mark.parametrize(("status", "failed_in_sub_runs"), [("completed", 1), ("cancelled", None)])
def test_defaults_and_failed_sub_runs_are_marked(status: str, failed_in_sub_runs: int | None) -> None:
    failed = {"results": [{"outcome": "failed", "error": {"message": "no"}}, {"outcome": "success"}]}
    completed = with_states(
        snapshot_of(
            status,
            step("d", "completed", output=5, component=MESSAGES),
            step("d", "completed", output=6, item_index=1),
            step("m", "completed", output=failed, component="/builtin/map", item_index=1),
            step("p", "completed", output=7),
        )
    )
    assert completed.details.failed_in_sub_runs == failed_in_sub_runs
    marks = [
        (each.step_id, each.item_index, each.is_default, len(each.failed_children)) for each in completed.steps or ()
    ]
    assert marks == [("d", 0, None, 0), ("d", 1, False, 0), ("m", 1, False, 1), ("p", 0, False, 0)]


def test_steps_without_a_default_need_no_explanation(monkeypatch: pytest.MonkeyPatch) -> None:
    explained_items: list[int] = []

    def record_call(run_id: str, index: int, record: ItemRecord, schemas: Any) -> RunAccount:
        explained_items.append(index)
        return explain_item(run_id, index, record, schemas)

    monkeypatch.setattr(explanation, "explain_item", record_call)
    snapshot = with_states(snapshot_of("completed", step("p", "completed"), step("d", "completed", item_index=1)))
    assert [each.is_default for each in snapshot.steps or ()] == [False, None]
    with_states(snapshot_of("completed", step("p", "failed"), step("p", "running", item_index=1)))
    with_states(snapshot_of("completed", step("m", "completed", item_index=1)))
    assert explained_items == [1, 0, 1]


def test_without_the_steps_or_the_flow_nothing_is_added() -> None:
    snapshot = snapshot_of("completed", step("d", "completed"))
    for part in ("steps", "flow"):
        without = replace(snapshot, **{part: None})
        assert with_states(without) == without


def test_arguments_with_hidden_secrets_are_used_for_display_only() -> None:
    snapshot = snapshot_of("completed", inputs=[{"n": 1}, {"key": "***"}], variables={"v": "***"})
    records = [dict(iter_item_records(snapshot)), dict(iter_item_records(snapshot, is_masked=True))]
    assert [record.input for record in records[0].values()] == [{"n": 1}, NOT_KNOWN]
    assert [record.input for record in records[1].values()] == [{"n": 1}, {"key": "***"}]
    assert [each[0].variables for each in records] == [NOT_KNOWN, {"v": "***"}]


def test_unrecorded_arguments_are_unknown() -> None:
    (_, first), (_, second) = iter_item_records(snapshot_of("completed", inputs=[None], variables={"v": 1}))
    assert (first.input, second.input, first.variables) == (None, NOT_KNOWN, {"v": 1})
    (_, unknown), _ = iter_item_records(replace(snapshot_of("completed"), arguments=None))
    assert (unknown.input, unknown.variables, unknown.has_steps) == (NOT_KNOWN, NOT_KNOWN, True)
    for outdated in ({"steps": None}, {"has_all_steps": False}):
        (_, record), _ = iter_item_records(replace(snapshot_of("completed"), **outdated))
        assert not record.has_steps


@pytest.mark.parametrize(
    ("status", "items", "counts"),
    [
        ("recovery_failed", ["completed", "failed"], (0, 2)),
        ("recovery_failed", ["completed", "running"], (1, 1)),
        ("completed", ["completed", "failed"], (1, 1)),
    ],
)
def test_lost_items_count_as_failures(status: str, items: list[str], counts: tuple[int, int]) -> None:
    run = RunDetails(
        run_id=RUN,
        flow_id="f",
        status=ExecutionStatus(status),
        items=ItemCounts(total=3, completed=1, running=1, failed=1),
    )
    listed = [RunItem(index=index, status=ExecutionStatus(each)) for index, each in enumerate(items)]
    counted = with_states(RunSnapshot(details=run, items=listed)).details.items
    assert (counted.running, counted.failed) == counts
    assert with_states(RunSnapshot(details=run)).details == run


def test_snapshots_have_step_states_and_sub_run_failures() -> None:
    content = flow(s("m"), ("m", 1), ("d", 1), ("n", 1))
    content["steps"][0]["component"] = "/builtin/map"
    content["steps"][1]["onError"] = {"action": "useDefault", "defaultValue": 7}
    failed = {"outcome": "failed", "error": {"message": "no"}}
    steps = [step("m", "completed", output={"results": [failed, failed]}), step("d", "completed", output=7)]
    steps += [step("n", "completed"), step("n", message="boom", item_index=1)]
    items = [
        RunItem(index=0, status=ExecutionStatus.COMPLETED),
        RunItem(index=1, status=ExecutionStatus.FAILED, error=FlowError(message="boom")),
    ]
    run = RunDetails(run_id=RUN, flow_id="f", status=ExecutionStatus.COMPLETED)
    snapshot = RunSnapshot(details=run, items=items, steps=steps, flow=content)
    explained = with_states(snapshot)
    assert explained.details.failed_in_sub_runs == 2
    assert [(each.state, each.is_default) for each in explained.steps or ()] == [
        ("completed", False), ("completed", None), ("completed", False), ("failed", False),
    ]  # fmt: skip
    # Without all three parts, nothing is added.
    for missing in ("items", "steps", "flow"):
        part: Any = {missing: None}
        assert with_states(replace(snapshot, **part)).steps == (None if missing == "steps" else steps)
    other = with_states(replace(snapshot, details=replace(run, status=ExecutionStatus.FAILED)))
    assert other.details.failed_in_sub_runs is None


@pytest.mark.parametrize(
    ("component", "output", "children"),
    [
        ("/builtin/map", {"results": [{"outcome": "failed"}, 5, {"outcome": "success"}]}, [(0, NO_REASON, None)]),
        ("/builtin/map", {"results": [{"outcome": "failed", "error": {"message": ""}}]}, [(0, NO_REASON, None)]),
        ("/builtin/map", {"results": {"outcome": "failed"}}, []),
        ("/builtin/eval", {"result": {"outcome": "failed", "error": {"message": "no"}}}, [(0, "no", None)]),
        ("/builtin/eval", {"results": [{"outcome": "failed"}]}, []),
        ("/x/y", {"results": [{"outcome": "failed"}], "result": {"outcome": "failed"}}, []),
        ("/builtin/map", [{"outcome": "failed"}], []),
        (None, None, []),
    ],
)
def test_sub_run_failures_are_read_from_the_output(component: Any, output: Any, children: Any) -> None:
    failures = [(each.index, each.message, each.step_id) for each in iter_failed_sub_run_items(component, output)]
    assert failures == children


def test_unknown_facts_are_listed() -> None:
    default = {"component": "/x/y", "onError": {"action": "useDefault", "defaultValue": 1}}
    content = flow([s("a"), s("b")], ("a", 1), ("b", 1), a=default)
    unread = explain(content, None, status=ExecutionStatus.CANCELLED, has_steps=False)
    assert unread.unknown == (
        "this server does not report the steps of this item",
        "which steps may still be executing (cancelling a run does not stop its steps)",
    )
    assert explain(content, None, status=ExecutionStatus.CANCELLED).unknown == ()
    assert explain({}, "boom", step("a"), step("b")).unknown == (
        "this run's flow, and therefore which step reads which",
        "which step caused the failure",
        "whether a, b failed or did not run",
    )
    done = explain(content, None, step("a", "completed"), step("b", "completed"))
    assert done.unknown == ("whether the output of a is its default",)
    retried = flow(s("a"), ("a", 1), a={**default, "onError": {"action": "retry", "defaultValue": 1}})
    assert explain(retried, None, step("a", "completed", output=1)).unknown == ()


def test_states_of_unfinished_steps() -> None:
    steps = [step("a", "cancelled"), step("b", "paused"), step("c", "running")]
    account = explain(CHAIN, None, *steps, status=ExecutionStatus.CANCELLED)
    assert states(account) == {"a": "cancelled", "b": "unknown", "c": "running"}


def test_masked_arguments_are_unknown_except_for_display() -> None:
    run = RunDetails(run_id=RUN, flow_id="f", status=ExecutionStatus.COMPLETED)
    arguments = RunArguments(run_id=RUN, inputs=[{"a": "***"}, 1], variables={"v": "***"}, kept=["a"])
    items = [RunItem(index=index, status=ExecutionStatus.RUNNING) for index in range(3)]
    snapshot = RunSnapshot(details=run, items=items, steps=[], flow=CHAIN, arguments=arguments)
    hidden = [record for _, record in iter_item_records(snapshot)]
    assert [record.input for record in hidden] == [NOT_KNOWN, 1, NOT_KNOWN]
    assert {record.status for record in hidden} == {ExecutionStatus.COMPLETED}
    assert hidden[0].variables is NOT_KNOWN
    shown = [record for _, record in iter_item_records(snapshot, is_masked=True)]
    assert [record.input for record in shown] == [{"a": "***"}, 1, NOT_KNOWN]
    assert (shown[0].variables, shown[0].kept) == ({"v": "***"}, ["a"])


def test_a_large_batch_is_explained_item_by_item(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: WeakSet[ItemRecord] = WeakSet()
    max_alive = 0

    class CountedRecord(ItemRecord):
        def __post_init__(self) -> None:
            nonlocal max_alive
            super().__post_init__()
            alive.add(self)
            max_alive = max(max_alive, len(alive))

    monkeypatch.setattr(explanation, "ItemRecord", CountedRecord)
    items = [RunItem(index=index, status=ExecutionStatus.COMPLETED) for index in range(100)]
    run = RunDetails(run_id=RUN, flow_id="f", status=ExecutionStatus.COMPLETED)
    accounts = explain_items(RunSnapshot(details=run, items=items, steps=[], flow=CHAIN))
    assert list(accounts) == list(range(100))
    assert 0 < max_alive <= 2


def test_accounts_are_json_and_html() -> None:
    content = flow(s("b"), ("a", 1), ("b", s("a")), ("c", s("a")))
    account = explain(content, "<boom>", step("a", message="<boom>"), step("b", message="<boom>"))
    record = account.to_dict()
    assert record["cause"] == "a"
    assert [each["state"] for each in record["steps"]] == ["failed", "not_run", "not_needed"]
    assert record["steps"][1]["status"] == "failed"
    html = account._repr_html_()
    assert "not run (a failed)" in html
    assert "<boom>" not in html
    assert account.step("x") is None
    assert format_state("recovery_failed") == "recovery failed"
    assert StepAccount("a", "unknown").text == "unknown"


@pytest.mark.parametrize(
    ("account", "text", "state"),
    [
        (StepAccount("a", "unknown", status=ExecutionStatus.FAILED), "failed or not run", "failed"),
        (StepAccount("a", "unknown", status=ExecutionStatus.PAUSED), "paused", "paused"),
        (StepAccount("a", "unknown", status=ExecutionStatus.RECOVERY_FAILED), "recovery failed", "recovery_failed"),
        (StepAccount("a", "not_run", status=ExecutionStatus.FAILED, because_of="b"), "not run (b failed)", "not_run"),
        (StepAccount("a", "completed", is_kept=True), "kept", "completed"),
        (StepAccount("a", "completed", is_default=True), "completed with its default", "completed"),
    ],
)
def test_the_displayed_text_and_state_of_a_step(account: StepAccount, text: str, state: str) -> None:
    assert (account.text, get_displayed_step_state(account)) == (text, state)
