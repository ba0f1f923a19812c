"""Overrides and variables are checked against the flow; only runs that servers would fail too are refused."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client._codec.call_checks import parse_declared_variables
from stepflow_client._data.wire import PLAIN, unify_overrides
from stepflow_client.flows.graph import FlowSteps
from stepflow_client.flows.run_requirements import (
    RunRequirements,
    check_variables,
    find_required_reads,
    find_requirements,
    find_unknown_fields,
)

from tests.unit.both_twins import TWINS, Server, call_with_handler


def make_requirements(
    output: Any, *steps: dict[str, Any], required: tuple[str, ...] = ("key",), **properties: Any
) -> RunRequirements:
    declared = {"key": {"type": "string", "env_var": "API_KEY"}, **properties}
    schemas = {"properties": {"variables": {"properties": declared, "required": list(required)}}}
    flow = {"schemas": schemas, "steps": [{"component": "/a", **step} for step in steps], "output": output}
    return find_requirements(flow, parse_declared_variables(flow))


def test_clients_keep_decoders_only_for_runs_that_need_one() -> None:
    assert make_requirements(None).make_hiding_decoder({}) is PLAIN
    assert make_requirements(None).make_hiding_decoder({"key": "open sesame"}) is PLAIN
    assert make_requirements({"b": 1, "a": 2}).make_hiding_decoder({"key": "open sesame"}) == PLAIN._replace(
        like={"b": 1, "a": 2}
    )
    secret = make_requirements(None, key={"type": "string", "is_secret": True})
    assert secret.make_hiding_decoder({"key": "open sesame"}).secrets.hide_in("open sesame") == "***"


KEY = {"$variable": "key"}
FIRST = {"id": "first", "input": {"deep": [1, {"key": KEY}]}}


@pytest.mark.parametrize(
    ("output", "steps"),
    [
        (KEY, []),
        ([{"a": {"$variable": "$.key"}}], []),
        ({"$variable": "$.key.part[0]"}, []),
        ({"$variable": "$['key']"}, []),
        ({"$variable": ' $["key"].x'}, []),
        ({"$coalesce": [KEY, 1]}, []),
        ({"$step": "first"}, [FIRST]),
        ({"a": {"$step": "second", "path": "$.x"}}, [FIRST, {"id": "second", "input": {"$step": "first"}}]),
        # Servers run this step even if the output does not need it, so it is certain to fail.
        (1, [{**FIRST, "mustExecute": True}]),
        # onError does not catch a failure to evaluate the step's input.
        ({"$step": "first"}, [{**FIRST, "onError": {"action": "useDefault"}}]),
    ],
)
def test_a_required_variable_that_every_run_reads_must_be_set(output: Any, steps: list[dict[str, Any]]) -> None:
    requirements = make_requirements(output, *steps)
    with pytest.raises(InvalidArgumentError, match="the flow requires the variable 'key', which is not set"):
        requirements.check_variables({}, None)
    for variables in ({"key": "x"}, {"key": None}):
        requirements.check_variables(variables, None)


def test_a_variable_may_be_called_none() -> None:
    requirements = make_requirements([{"$input": "$"}, {"$step": "s"}], {"id": "s"}, required=("None",))
    requirements.check_variables({}, None)


@pytest.mark.parametrize(
    ("output", "steps"),
    [
        (1, []),
        (None, [FIRST]),
        (1, [FIRST]),
        ({"$variable": "key", "default": 1}, []),
        ({"$variable": "other"}, []),
        ({"$literal": KEY}, []),
        ({"$input": "$.a", "x": KEY}, []),
        ({"$coalesce": [{"$input": "$.a"}, KEY]}, []),
        ({"$coalesce": []}, []),
        ({"$if": {"$input": "$.a"}, "then": KEY}, []),
        # A condition that fails is false.
        ({"$if": {"$step": "first"}, "then": 1, "else": 2}, [FIRST]),
        ({"$step": "no such step"}, [FIRST]),
        ({"$variable": 5}, []),
        ({"$step": ["first"]}, [FIRST]),
    ],
)
def test_a_required_variable_that_may_not_be_read_can_be_unset(output: Any, steps: list[dict[str, Any]]) -> None:
    make_requirements(output, *steps).check_variables({}, None)


def test_variables_with_defaults_and_of_overridden_steps_can_be_unset() -> None:
    make_requirements(KEY, required=()).check_variables({}, None)
    make_requirements(KEY, key={"type": "string", "default": "x"}).check_variables({}, None)
    # The flow does not show what an overridden step reads.
    requirements = make_requirements({"$step": "first"}, FIRST)
    requirements.check_variables({}, unify_overrides({"first": {"input": {"deep": 1}}}))
    with pytest.raises(InvalidArgumentError):
        requirements.check_variables({}, unify_overrides({"second": {"input": 1}}))


def test_the_hint_suggests_the_nearest_name() -> None:
    requirements = make_requirements([KEY, {"$variable": "tone"}], required=("key", "tone"))
    for variables, hint in (
        ({"kee": 1, "tone": 1}, "did you mean 'kee'?"),
        ({"tone": 1}, "add key to the variables, or read API_KEY from the environment"),
        ({"key": 1, "tones": 1}, "did you mean 'tones'?"),
        ({"key": 1}, "add tone to the variables"),
    ):
        with pytest.raises(InvalidArgumentError) as caught:
            requirements.check_variables(variables, None)
        assert caught.value.hint == hint
    with pytest.raises(InvalidArgumentError, match="requires the variables 'key', 'tone', which are not set"):
        requirements.check_variables({}, None)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"frist": {"input": 1}}, r"unknown step 'frist' \(did you mean 'first'\?\)"),
        ({"x": {}}, r"unknown step 'x' \(it has first, second\)"),
        ({"steps": {"secnd": {"value": {}}}}, r"did you mean 'second'\?"),
        ({"first": {"inputs": 1}}, r"the unknown key 'inputs' \(did you mean 'input'\?\)"),
        ({"first": {"on_error": 1}}, r"did you mean 'onError'\?"),
        ([{"first": {}}, {"second": {"zzz": 1}}], r"the unknown key 'zzz' \(a step has id, component,"),
    ],
)
def test_overrides_of_unknown_steps_or_keys_are_refused(overrides: Any, message: str) -> None:
    requirements = make_requirements(1, FIRST, {"id": "second"})
    with pytest.raises(InvalidArgumentError, match=message):
        requirements.check_overrides(unify_overrides(overrides))


def test_valid_overrides_are_accepted() -> None:
    requirements = make_requirements(1, FIRST, {"id": "second"})
    change = {"id": "first", "component": "/b", "input": {"any": 1}, "onError": None, "mustExecute": True}
    for overrides in (None, {}, {"first": {**change, "metadata": {"x": 1}}}, [{"first": change}, {"second": {}}]):
        requirements.check_overrides(unify_overrides(overrides))
    with pytest.raises(InvalidArgumentError, match="it has no steps"):
        make_requirements(1).check_overrides(unify_overrides({"first": {}}))


@pytest.mark.parametrize(
    "flow", [{}, {"steps": 5}, {"steps": [1, {"id": 5}, {}]}, {"schemas": [], "output": {"$if": 1}}]
)
def test_malformed_flows_are_left_to_the_server(flow: dict[str, Any]) -> None:
    find_requirements(flow, {}).check_variables({}, None)


MAP = {
    "id": "each",
    "component": "/builtin/map",
    "input": {"workflow": {"$literal": {"output": {"$variable": "inner"}}}},
}


@pytest.mark.parametrize(
    ("flow", "names"),
    [
        ({"output": {"$variable": "tone"}}, ["tone"]),
        ({"steps": [{"id": "a", "input": [{"$variable": "$.tone.deep"}]}]}, ["tone"]),
        ({"output": {"$variable": "tone", "default": {"$variable": "$['other']"}}}, ["tone", "other"]),
        ({"schemas": {"properties": {"variables": {"properties": {"tone": {}}}}}}, ["tone"]),
        ({"steps": [MAP], "output": {"$variable": "tone"}}, ["tone", "inner"]),
    ],
)
def test_an_unknown_variable_is_refused(flow: dict[str, Any], names: list[str]) -> None:
    check_variables(flow, dict.fromkeys(names))
    with pytest.raises(InvalidArgumentError, match="the flow has no variable 'tnoe'") as caught:
        check_variables(flow, dict.fromkeys([*names, "tnoe"]))
    assert caught.value.hint == "did you mean 'tone'?"
    # An overridden step may read it.
    check_variables(flow, {"tnoe": 1}, {"a": {"input": {"$variable": "tnoe"}}})


@pytest.mark.parametrize(
    "flow",
    [
        {"output": 1},
        {"output": {"$literal": {"$variable": "tone"}}},
        {
            "schemas": {
                "properties": {"variables": {"properties": {"tone": {}}, "additionalProperties": {"type": "string"}}}
            }
        },
        {"schemas": {"properties": {"variables": {"$ref": "#/$defs/V"}}}, "output": {"$variable": "tone"}},
    ],
)
def test_any_variable_is_accepted_by_a_flow_that_names_none_or_allows_others(flow: dict[str, Any]) -> None:
    check_variables(flow, {"tnoe": 1})


DECLARED = {
    "schemas": {
        "$defs": {"Mood": {"enum": ["kind", "curt"]}},
        "properties": {
            "variables": {
                "properties": {
                    "mood": {"$ref": "#/schemas/$defs/Mood"},
                    "turns": {"type": "integer", "minimum": 1},
                    "server": {"type": "object", "properties": {"port": {"type": "integer"}}},
                    "key": {"type": "string", "is_secret": True, "minLength": 4},
                }
            }
        },
    },
    "output": {"$variable": "mood", "default": "kind"},
}


@pytest.mark.parametrize(
    ("variables", "message", "hint"),
    [
        (
            {"mood": "kidn"},
            "'mood' does not match the flow's schema: 'kidn' is not one of the allowed",
            "did you mean 'kind'?",
        ),
        ({"turns": 0}, "'turns' does not match the flow's schema: the schema expects at least 1, not 0", None),
        ({"server": {"port": "80"}}, r"'server' .*: the schema expects integer, not string \(at \$.port\)", None),
        (
            {"key": "abc"},
            "variable 'key' does not match the flow's schema$",
            "its value is not shown because it is secret",
        ),
    ],
)
def test_a_value_that_does_not_match_its_schema_is_refused(
    variables: dict[str, Any], message: str, hint: str | None
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_variables(DECLARED, variables)
    assert re.search(message, caught.value.message)
    assert caught.value.hint == hint
    check_variables(DECLARED, variables, check_values=False)
    with pytest.raises(InvalidArgumentError) as caught:
        find_requirements(DECLARED, parse_declared_variables(DECLARED)).check_variables(variables, None)
    assert (caught.value.hint or "").endswith("use check_input=False to send it anyway")


def test_values_that_match_their_schemas_are_accepted() -> None:
    check_variables(DECLARED, {"mood": "curt", "turns": 1.0, "server": {}, "key": "abcd"})
    check_variables(DECLARED, {"turns": None})
    check_variables({"output": {"$variable": "x"}}, {"x": 1})


def test_unread_fields_are_reported_with_the_fields_that_are_read() -> None:
    maybe = {"$if": {"$input": "$.c"}, "then": {"$input": "$.a.y"}}
    output = [{"$input": "$.a.x"}, maybe, {"$input": "$.b.y"}, {"$input": "$.whole"}]
    value = {"a": {"x": 1, "zzz": 2}, "b": {"y": 1}, "whole": {"any": 1}, "qqq": 5, "c": True}
    unread = [(each.path, each.hint) for each in find_unknown_fields({"output": output}, value)]
    assert unread == [
        ("$.a.zzz", "fields are: x (required), y"),
        ("$.qqq", "fields are: a (required), c, b (required), whole (required)"),
    ]
    assert find_unknown_fields({"output": {"$input": "$"}}, value) == []
    assert find_unknown_fields({"output": 1}, value) == []


@pytest.mark.parametrize(
    ("output", "steps", "fields"),
    [
        ({"a": {"$input": "$.x"}, "b": {"$input": "y"}}, [], ["$.x", "y"]),
        ({"$step": "first"}, [{"id": "first", "input": {"$input": "$.x"}}], ["$.x"]),
        (1, [{"id": "first", "input": {"$input": "$.x"}}], []),
        ({"$if": {"$step": "first"}, "then": 1}, [{"id": "first", "input": {"$input": "$.x"}}], []),
        ({"$coalesce": [{"$input": "$.x"}, {"$input": "$.y"}]}, [], ["$.x"]),
        ({"$variable": "v", "default": {"$input": "$.x"}}, [], []),
        ({"$literal": {"$input": "$.x"}}, [], []),
    ],
)
def test_input_fields_that_every_run_reads(output: Any, steps: list[dict[str, Any]], fields: list[str]) -> None:
    reads = find_required_reads(FlowSteps({"steps": steps, "output": output}))
    assert [each.path for each in reads if each.kind == "input"] == fields


# Both clients, before any request except the one that detects the release

ID = "0123456789abcdef" * 4
SCHEMAS = {"properties": {"variables": {"properties": {"key": {"env_var": "API_KEY"}}, "required": ["key"]}}}
FLOW = {"schemas": SCHEMAS, "steps": [{"id": "first", "component": "/a", "input": KEY}], "output": {"$step": "first"}}


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variables": {"key": 1}, "overrides": {"frist": {}}}, "did you mean 'first'"),
        ({"variables": {"key": 1}, "overrides": {"first": {"Input": 1}}}, "did you mean 'input'"),
        ({}, "requires the variable 'key'"),
        ({"variables": {"key": 1, "kye": 2}}, "the flow has no variable 'kye' .did you mean 'key'"),
        ({"variables_from_env": True}, "requires the variable 'key', which is not set .API_KEY is not set"),
    ],
)
def test_nothing_is_sent_for_an_invalid_run(
    twin: str, arguments: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("API_KEY", raising=False)
    server = Server()
    for operation in (lambda c: c.run(FLOW, 1, **arguments), lambda c: c.submit(FLOW, [1, 2], **arguments)):
        with pytest.raises(ValueError, match=message):
            call_with_handler(twin, server, operation)
    assert set(server.request_lines) <= {"GET /health"}


@pytest.mark.parametrize("twin", TWINS)
def test_variables_come_from_the_environment(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "5")
    server = Server()
    assert call_with_handler(twin, server, lambda c: c.run(FLOW, 1, variables_from_env=True)).is_success
    assert json.loads(server.requests[-1].content)["variables"] == {"key": 5}


@pytest.mark.parametrize("twin", TWINS)
def test_a_run_by_flow_id_is_checked_if_the_flow_is_known(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("API_KEY", raising=False)
    server = Server()
    server.responses["POST /blobs"] = httpx.Response(200, json={"blobId": ID})
    server.responses[f"GET /flows/{ID}"] = httpx.Response(200, json={"flowId": ID, "flow": FLOW, "allExamples": []})
    # The flow is not known, so the server decides.
    assert call_with_handler(twin, server, lambda c: c.run(ID, 1)).is_success
    assert server.request_lines[1:] == ["POST /runs"]
    # The flow is fetched for its variables.
    with pytest.raises(InvalidArgumentError, match="requires the variable 'key'"):
        call_with_handler(twin, server, lambda c: c.run(ID, 1, variables_from_env=True))
    assert server.request_lines[3:] == [f"GET /flows/{ID}"]
    # The flow was stored before.
    for operation in (lambda c: c.create_run(ID, 1), lambda c: c.run(ID, 1), lambda c: c.submit(ID, 1)):
        with pytest.raises(InvalidArgumentError, match="requires the variable 'key'"):
            call_with_handler(twin, server, StoreFirst(operation))
    assert server.request_lines.count("POST /runs") == 1


class StoreFirst:
    """Stores the flow, then calls another operation."""

    def __init__(self, operation: Any) -> None:
        self.operation = operation

    def __call__(self, client: Any) -> Any:
        stored = client.store_flow(FLOW)
        if not inspect.isawaitable(stored):
            return self.operation(client)

        async def store_and_call() -> Any:
            await stored
            return await self.operation(client)

        return store_and_call()


@pytest.mark.parametrize("twin", TWINS)
def test_a_flow_id_refers_to_a_stored_flow(twin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    server = Server()
    server.responses[f"GET /flows/{ID}"] = httpx.Response(200, json={"flowId": ID, "flow": FLOW, "allExamples": []})
    call_with_handler(twin, server, lambda c: c.submit(ID, [1, 2], max_concurrency=2))
    assert json.loads(server.requests[-1].content)["flowId"] == ID
    assert call_with_handler(twin, server, lambda c: c.validate(ID)).is_valid
    assert server.request_lines[-2:] == [f"GET /flows/{ID}", "POST /flows"]
    for operation, message in (
        (lambda c: c.store_flow(ID), r"store_flow\(\) needs the flow itself, not a flow ID"),
        (lambda c: c.run(ID, private_copy=True), "private_copy=True needs the flow itself, not a flow ID"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            call_with_handler(twin, server, operation)
    # Everything else is a path.
    for path in (Path(ID), f"./{ID}", ID.upper(), ID[1:], f"{ID}0", f"{ID}.yaml"):
        with pytest.raises(FileNotFoundError):
            call_with_handler(twin, server, lambda c, path=path: c.run(path))
    # The name of an existing file is a path too.
    Path(ID).write_text("steps: []\noutput: from the file\n")
    request_count = len(server.requests)
    call_with_handler(twin, server, lambda c: c.run(ID))
    assert b"from the file" in server.requests[request_count + 1].content


@pytest.mark.parametrize(
    ("keywords", "is_open"),
    [
        ({}, False),
        ({"additionalProperties": False}, False),
        ({"additionalProperties": None}, False),
        ({"additionalProperties": True}, True),
        ({"additionalProperties": {}}, True),
        ({"patternProperties": {"^x": {}}}, True),
    ],
)
def test_undeclared_variables_need_additional_properties(keywords: dict[str, Any], is_open: bool) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, **keywords}
    flow = {"schemas": {"properties": {"variables": schema}}, "output": {"$variable": "a"}}
    if is_open:
        check_variables(flow, {"a": "x", "other": 1})
        return
    check_variables(flow, {"a": "x"})
    with pytest.raises(InvalidArgumentError, match="the flow has no variable 'other'"):
        check_variables(flow, {"a": "x", "other": 1})
