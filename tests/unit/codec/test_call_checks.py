"""Call arguments are validated and normalized before they are sent."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from stepflow_client._codec import call_checks
from stepflow_client.errors import FlowFileError, InvalidArgumentError, UnsupportedByServerError
from stepflow_client.flows.json_schema import Validator
from stepflow_client.flows.run_requirements import find_requirements
from stepflow_client.types import FlowVariable

RUN_ID = "01900000-0000-7000-8000-00000000000a"


@pytest.mark.parametrize(
    "run_id", [RUN_ID, RUN_ID.upper(), UUID(RUN_ID), f"{{{RUN_ID}}}", f"urn:uuid:{RUN_ID}", RUN_ID.replace("-", "")]
)
def test_run_ids_are_normalized(run_id: str | UUID) -> None:
    assert call_checks.check_run_id(run_id) == RUN_ID


@pytest.mark.parametrize("run_id", [RUN_ID, RUN_ID.upper()])
def test_objects_with_an_id_are_accepted_as_ids(run_id: str) -> None:
    assert call_checks.check_run_id(SimpleNamespace(run_id=run_id)) == RUN_ID
    assert call_checks.check_flow_id(SimpleNamespace(flow_id="f")) == call_checks.check_flow_id("f") == "f"
    for wrong in (SimpleNamespace(flow_id=None), SimpleNamespace(flow_id=".."), 5, ".."):
        with pytest.raises(InvalidArgumentError, match="flow_id"):
            call_checks.check_flow_id(wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="a run ID must be a UUID"):
        call_checks.check_run_id(SimpleNamespace(run_id=None))


@pytest.mark.parametrize("run_id", ["", "x", RUN_ID + "0", RUN_ID[:-1] + "g", "../flows", None, 5, b"x", [], object()])
def test_invalid_run_ids_are_rejected(run_id: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="a run ID must be a UUID"):
        call_checks.check_run_id(run_id)


@pytest.mark.parametrize("value", ["a", "a/b", "ä", " ", "..."])
def test_strings_and_ids_are_accepted(value: str) -> None:
    assert call_checks.check_text(value, "flow_id") == value
    assert call_checks.check_path_id(value, "flow_id") == value


@pytest.mark.parametrize("value", ["", None, 5, b"a", ["a"], "\ud800"])
def test_invalid_strings_are_rejected(value: Any) -> None:
    for check in (call_checks.check_text, call_checks.check_path_id, call_checks.check_header_text):
        with pytest.raises(InvalidArgumentError, match="flow_id"):
            check(value, "flow_id")


@pytest.mark.parametrize("value", [".", ".."])
def test_ids_cannot_change_the_request_path(value: str) -> None:
    with pytest.raises(InvalidArgumentError):
        call_checks.check_path_id(value, "flow_id")


@pytest.mark.parametrize("value", ["a\nb", "ä", "\x00"])
def test_header_values_must_be_printable_ascii(value: str) -> None:
    assert call_checks.check_header_text("a b.txt", "filename") == "a b.txt"
    with pytest.raises(InvalidArgumentError, match="filename"):
        call_checks.check_header_text(value, "filename")


@pytest.mark.parametrize("value", [0, -1, True, False, 1.0, "1", 2**32, [1]])
def test_invalid_max_concurrency_is_rejected(value: Any) -> None:
    assert call_checks.check_concurrency(None) is None
    assert call_checks.check_concurrency(1) == 1
    with pytest.raises(InvalidArgumentError, match="max_concurrency"):
        call_checks.check_concurrency(value)


@pytest.mark.parametrize(
    ("value", "bound"),
    [(-1, "least 0"), (True, "least 0"), (1.0, "least 0"), ("1", "least 0"), (2**32, "most 4294967295")],
)
def test_invalid_limits_are_rejected(value: Any, bound: str) -> None:
    assert call_checks.check_limit(None, "limit") is None
    assert call_checks.check_limit(0, "limit") == 0
    with pytest.raises(InvalidArgumentError, match=f"limit must be an integer of at {bound}, not"):
        call_checks.check_limit(value, "limit")


def test_debug_mode_is_rejected() -> None:
    call_checks.reject_debug_mode(False)
    with pytest.raises(UnsupportedByServerError, match="debug"):
        call_checks.reject_debug_mode(True)


# Inputs and variables


@pytest.mark.parametrize(
    ("value", "inputs"),
    [
        (None, [None]),
        ({"a": 1}, [{"a": 1}]),
        ("text", ["text"]),
        ([1, 2], [1, 2]),
        ((1, 2), [1, 2]),
        ([[1, 2]], [[1, 2]]),
        ([[]], [[]]),
        ([], []),
        ((), []),
        ([None], [None]),
    ],
)
def test_a_list_is_a_batch(value: Any, inputs: list[Any]) -> None:
    assert call_checks.normalize_run_inputs(value, exact_integers=True) == inputs


@pytest.mark.parametrize("value", [{1: 2}, object(), [object()], float("nan")])
def test_invalid_inputs_are_rejected(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="input"):
        call_checks.normalize_run_inputs(value, exact_integers=True)


@pytest.mark.parametrize("value", [[], [1, 2], (1, 2, 3)])
def test_a_single_result_requires_a_single_input(value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="batch of"):
        call_checks.reject_multiple_inputs(value)
    call_checks.reject_multiple_inputs([[1, 2]])
    call_checks.reject_multiple_inputs({"a": 1})


def test_variables_are_a_mapping_or_a_file(tmp_path: Path) -> None:
    assert call_checks.parse_run_variables(None, exact_integers=True) == {}
    assert call_checks.parse_run_variables({"a": (1,)}, exact_integers=True) == {"a": [1]}
    path = tmp_path / "variables.yaml"
    path.write_text("name: no\n")
    assert call_checks.parse_run_variables(path, exact_integers=True) == {"name": "no"}
    assert call_checks.parse_run_variables(str(path), exact_integers=True) == {"name": "no"}
    path.write_text("- 1\n")
    with pytest.raises(InvalidArgumentError, match="not list"):
        call_checks.parse_run_variables(path, exact_integers=True)
    with pytest.raises(FlowFileError, match="does not exist"):
        call_checks.parse_run_variables(tmp_path / "missing.yaml", exact_integers=True)
    with pytest.raises(InvalidArgumentError, match=r"2\*\*53.*\$\.n"):
        call_checks.parse_run_variables({"n": 2**60}, exact_integers=False)


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "5", "5"),
        ({"type": "integer"}, "5", 5),
        ({"type": "number"}, "1.5", 1.5),
        ({"type": "boolean"}, "true", True),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({"type": ["integer", "null"]}, "null", None),
        ({"type": ["string", "integer"]}, "5", "5"),
        ({}, "5", 5),
        ({}, "plain text", "plain text"),
    ],
)
def test_variables_are_read_from_the_environment(schema: dict[str, Any], text: str, value: Any) -> None:
    declared = {"n": FlowVariable(env_var="OWN", value_schema=schema)}
    assert call_checks.add_env_variables({}, declared, {"OWN": text, "STEPFLOW_VAR_N": "other"}) == {"n": value}
    assert call_checks.add_env_variables({}, declared, {"STEPFLOW_VAR_N": text}) == {"n": value}
    assert call_checks.add_env_variables({"n": 1}, declared, {"OWN": text}) == {"n": 1}
    assert call_checks.add_env_variables({}, declared, {}) == {}


def test_a_variable_has_a_default_environment_name() -> None:
    declared = {"api.key-2": FlowVariable()}
    assert call_checks.add_env_variables({}, declared, {"STEPFLOW_VAR_API_KEY_2": "k"}) == {"api.key-2": "k"}


def test_invalid_environment_values_are_not_shown() -> None:
    declared = {"n": FlowVariable(value_schema={"type": "integer"})}
    with pytest.raises(InvalidArgumentError) as caught:
        call_checks.add_env_variables({}, declared, {"STEPFLOW_VAR_N": "hush-hush"})
    assert str(caught.value) == "the environment variable STEPFLOW_VAR_N does not contain JSON of type integer"
    assert "hush" not in repr(caught.value.details)


def test_environment_values_are_parsed_as_one_of_the_types() -> None:
    declared = {"n": FlowVariable(value_schema={"type": ["null", "integer"]}), "m": FlowVariable()}
    with pytest.raises(InvalidArgumentError, match=r"does not contain JSON of type integer or null$"):
        call_checks.add_env_variables({}, declared, {"STEPFLOW_VAR_N": "x"})
    variables = {"n": 1, "other": 2}
    assert call_checks.add_env_variables(variables, declared, {"STEPFLOW_VAR_M": "3"}) == {**variables, "m": 3}
    assert variables == {"n": 1, "other": 2}


FLOW: dict[str, Any] = {
    "schemas": {
        "properties": {"variables": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}}
    },
    "steps": [{"id": "a", "component": "/x", "input": {"$variable": "n"}}],
    "output": {"$step": "a"},
}


@pytest.mark.parametrize(
    ("options", "environ", "expected"),
    [
        ({"variables": {"n": 1}}, {}, {"n": 1}),
        ({"variables_from_env": True}, {"STEPFLOW_VAR_N": "2"}, {"n": 2}),
        ({"variables_from_env": False}, {"STEPFLOW_VAR_N": "2"}, "n"),
        ({"variables_from_env": True}, {}, "n"),
        ({"variables": {"n": "x"}}, {}, {"n": "x"}),
        ({"variables": {"n": "x"}, "check_input": True}, {}, "n"),
        ({"variables": {"n": 1}, "overrides": {"b": {"input": 1}}}, {}, "b"),
    ],
)
def test_calls_are_checked_and_completed_for_the_flow(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], environ: dict[str, str], expected: Any
) -> None:
    monkeypatch.setattr("os.environ", environ)
    call = call_checks.RunCall(FLOW, {"x": (1,)}, max_concurrency=2, **options)
    arguments = call.check_arguments()
    assert (arguments.inputs, arguments.max_concurrency) == ([{"x": [1]}], 2)
    requirements = find_requirements(FLOW, call_checks.parse_declared_variables(FLOW))
    if isinstance(expected, dict):
        assert call.check_and_complete_arguments(arguments, requirements) == arguments._replace(variables=expected)
    else:
        with pytest.raises(InvalidArgumentError, match=f"'?{expected}'?"):
            call.check_and_complete_arguments(arguments, requirements)


@pytest.mark.parametrize(
    ("environ", "hint"), [({}, "N is not set"), (None, "add n to the variables, or read N from the environment")]
)
def test_the_hint_for_a_missing_variable_says_where_to_set_it(environ: dict[str, str] | None, hint: str) -> None:
    schema = {"required": ["n"], "properties": {"n": {"type": "integer", "env_var": "N"}}}
    flow = {**FLOW, "schemas": {"properties": {"variables": schema}}}
    requirements = find_requirements(flow, call_checks.parse_declared_variables(flow))
    arguments = call_checks.parse_run_arguments(None, None, None, None)
    with pytest.raises(InvalidArgumentError, match="requires the variable 'n', which is not set") as caught:
        call_checks.check_and_complete_arguments(arguments, requirements, environ, check_values=False)
    assert caught.value.hint == hint


def test_a_call_keeps_the_original_flow() -> None:
    assert call_checks.RunCall(FLOW).flow_as_passed is FLOW
    assert call_checks.RunCall(FLOW, source="f.yaml").flow_as_passed == "f.yaml"


def test_the_items_of_an_input_are_checked() -> None:
    validator = Validator({"type": "integer"}, {})
    assert call_checks.check_inputs_against_schema(1, validator) == [1]
    assert call_checks.check_inputs_against_schema((1, 2), validator) == [1, 2]
    for wrong in ("x", [1, "x"]):
        with pytest.raises(InvalidArgumentError) as caught:
            call_checks.check_inputs_against_schema(wrong, validator)
        assert "check_input=False" in (caught.value.hint or "")


def test_integers_are_rejected_if_they_would_lose_precision() -> None:
    large = 2**60
    for value, inputs in ((large, [large]), ([large], [large])):
        assert call_checks.normalize_run_inputs(value) == inputs
        with pytest.raises(InvalidArgumentError):
            call_checks.normalize_run_inputs(value, exact_integers=False)
    assert call_checks.normalize_run_inputs({"n": (large,)}) == [{"n": [large]}]
    with pytest.raises(InvalidArgumentError):
        call_checks.normalize_run_inputs({"n": (large,)}, exact_integers=False)


# Flows


def test_flows_round_trip(tmp_path: Path) -> None:
    content = call_checks.flow_to_marshal_bytes(FLOW)
    assert content is not None
    assert call_checks.flow_from_marshal_bytes(content) == FLOW
    text, copy = ("".join(["one", " text"]) for _ in range(2))
    assert call_checks.flow_to_marshal_bytes([text, text]) == call_checks.flow_to_marshal_bytes([text, copy])
    assert call_checks.flow_to_marshal_bytes({"a": tmp_path}) is None
    assert call_checks.hash_flow({"a": tmp_path}) is None


def test_a_changed_file_has_a_new_stamp(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    assert call_checks.get_file_stamp(path) is None
    assert call_checks.get_file_stamp({"steps": []}) is None
    assert call_checks.get_file_stamp("\0") is None
    path.write_text("a")
    stamp = call_checks.get_file_stamp(path)
    assert stamp is not None
    assert call_checks.get_file_stamp(str(path)) == stamp
    path.write_text("ab")
    assert call_checks.get_file_stamp(path) != stamp


def test_different_flows_have_different_digests() -> None:
    assert call_checks.hash_flow({"a": 1}) == call_checks.hash_flow({"a": 1})
    assert call_checks.hash_flow({"a": 1, "b": 2}) != call_checks.hash_flow({"b": 2, "a": 1})
    assert call_checks.hash_flow({"a": 1}) != call_checks.hash_flow({"a": 1.0})
    assert call_checks.hash_flow({"a": 1}) != call_checks.hash_flow({"a": True})


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        ({"action": "retry", "maxRetries": 2}, {"action": "retry"}),
        ({"action": "retry", "maxRetries": 0}, {"action": "retry"}),
        ({"action": "retry", "maxRetries": -1}, {"action": "retry", "maxRetries": -1}),
        ({"action": "retry", "maxRetries": "2"}, {"action": "retry", "maxRetries": "2"}),
        ({"action": "retry", "maxRetries": True}, {"action": "retry", "maxRetries": True}),
        ({"action": "retry", "maxRetries": 2**32}, {"action": "retry", "maxRetries": 2**32}),
        ({"action": "fail"}, {"action": "fail"}),
        ("fail", "fail"),
    ],
)
def test_the_dry_run_omits_valid_retry_counts(handler: Any, expected: Any) -> None:
    flow = {"steps": [{"id": "a", "onError": handler}, {"id": "b"}, "nonsense"], "output": 1}
    stripped = call_checks.remove_valid_max_retries(flow)
    assert stripped == {"steps": [{"id": "a", "onError": expected}, {"id": "b"}, "nonsense"], "output": 1}
    assert flow["steps"][0] == {"id": "a", "onError": handler}


@pytest.mark.parametrize("flow", [{}, {"steps": None}, {"steps": {"a": 1}}, {"steps": "x"}])
def test_malformed_flows_are_checked_unchanged(flow: dict[str, Any]) -> None:
    assert call_checks.remove_valid_max_retries(flow) == flow


def test_messages_show_numbers_as_in_the_flow() -> None:
    message = "invalid type: floating point `2.0`, expected u32; floating point `-3.0`; floating point `2.5`"
    assert call_checks.restore_integers_in_message(message) == (
        "invalid type: number `2`, expected u32; number `-3`; floating point `2.5`"
    )
