"""Checks of components use what a server or configuration reports, and stay silent about unknown components."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from stepflow_client import ComponentInfo
from stepflow_client._codec.responses import add_component_paths_from_routes
from stepflow_client.flows import check
from stepflow_client.flows.components import BUILTINS, ComponentCatalog, convert_to_components
from stepflow_client.types import ComponentList, FailedPlugin

_TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
_ECHO = ComponentInfo(name="echo", plugin="python", input_schema=_TEXT)
_OLD = [ComponentInfo(name=name.rpartition("/")[2]) for name in BUILTINS if not name.endswith(("noop", "sleep"))]


def _check_step(component: str, components: Any, step_input: Any = None) -> list[tuple[str, str, str | None]]:
    flow = {"steps": [{"id": "a", "component": component, "input": step_input}], "output": {"$step": "a"}}
    return [(each.rule or "", each.level.value, each.hint) for each in check(flow, components=components).diagnostics]


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        ("/python/echo", []),
        ("/anything/echo", []),
        ("/python/ehco", [("unknown-component", "warning", "did you mean '/python/echo'?")]),
        ("/builtin/noop", [("unknown-component", "error", "did you mean '/builtin/map'?")]),
    ],
)
def test_names_without_a_prefix_match_any_prefix(component: str, expected: object) -> None:
    findings = _check_step(component, [*_OLD, _ECHO], {"text": "x"})
    assert [each[:2] for each in findings] == [each[:2] for each in expected]  # type: ignore[attr-defined]
    if "ehco" in component:
        assert findings == expected


def test_unknown_paths_are_errors_if_paths_are_known() -> None:
    known = [{"name": "echo", "path": "/python/echo", "input_schema": _TEXT}]
    assert _check_step("/python/ehco", known) == [("unknown-component", "error", "did you mean '/python/echo'?")]
    assert [each[:2] for each in _check_step("/python/echo", known, {"text": 5})] == [("component-input", "error")]


def test_a_failed_plugin_may_have_any_component() -> None:
    listed = ComponentList([_ECHO], [FailedPlugin(plugin="other", error="no worker")])
    assert _check_step("/other/x", listed) == []
    assert [each[0] for each in _check_step("/python/echo", listed, {})] == ["component-input"]


def test_an_ambiguous_component_name_is_not_checked() -> None:
    assert _check_step("/python/echo", [_ECHO, replace(_ECHO, plugin="b")], 5) == []


def test_input_fields_may_be_named_like_step_keys() -> None:
    schema = {"type": "object", "properties": {"onError": {}, "text": {}}}
    known = [{"name": "echo", "path": "/python/echo", "input_schema": schema}]
    assert _check_step("/python/echo", known, {"onError": 1}) == []
    assert _check_step("/python/echo", known, {"$literal": {"must_execute": 1}}) == []
    for key, name in (("must_execute", "mustExecute"), ("mustExecute", "mustExecute")):
        assert _check_step("/python/echo", known, {key: 1}) == [
            ("misplaced-key", "warning", f"{name} belongs to the step: write it next to input, not inside it")
        ]


def test_unknown_components_get_a_suggestion_or_a_list() -> None:
    known = [{"name": f"c{index:02}", "path": f"/python/c{index:02}"} for index in range(14)]
    listed = ", ".join(f"/python/c{index:02}" for index in range(12))
    assert _check_step("/python/x", known)[0][2] == f"components are: {listed}, ..."
    assert _check_step("/python/x", known[:12])[0][2] == f"components are: {listed}"
    assert _check_step("/other/x", [{"name": "a", "path": "/z/a"}])[0][2] is not None
    assert _check_step("/pyhton/shorten", [{"name": "shorten", "path": "/python/shorten"}])[0][2] == (
        "did you mean '/python/shorten'?"
    )
    assert _check_step("python.c01", known)[0] == ("component-slash", "error", "did you mean '/python/c01'?")
    assert _check_step("c01", known)[0] == ("component-slash", "error", "known: /python/c01")


@pytest.mark.parametrize("component", ["//", " / ", "///", " "])
def test_a_component_of_only_slashes_is_not_corrected(component: str) -> None:
    hint = "write /PREFIX/NAME, with the prefix of a route of the server"
    assert _check_step(component, []) == [("component-slash", "error", hint)]


def test_a_component_may_be_listed_with_and_without_a_route() -> None:
    listed = [
        {"name": "echo", "plugin": "a", "path": "/a/echo", "description": "Echo."},
        {"name": "echo", "plugin": "a"},
    ]
    known = convert_to_components(listed)
    assert known is not None
    assert (known.descriptions, known.denied) == ({"/a/echo": "Echo."}, {"echo"})
    catalog = ComponentCatalog(known)
    assert [catalog.is_denied_by_routes(each) for each in ("/a/echo", "/b/echo", "/b/other")] == [False, True, False]
    assert [each[:2] for each in _check_step("/b/echo", listed)] == [("unknown-component", "error")]
    assert _check_step("/a/echo", listed) == []


def test_an_invalid_schema_is_ignored() -> None:
    odd = {"type": "object", "required": [{}, 5], "properties": {"text": {"type": "object", "required": [{}]}}}
    known = [{"name": "echo", "path": "/python/echo", "input_schema": odd}]
    assert _check_step("/python/echo", known, {"text": {"a": 1}}) == []


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        ("/python/echo", ["component-input"]),
        ("/other/echo", []),
        ("/custom/create_messages", []),
        ("/python/create_messages", []),
        ("/builtin/create_messages", ["component-input"]),
    ],
)
def test_components_of_other_plugins_may_have_the_same_name(component: str, expected: list[str]) -> None:
    builtin = ComponentInfo(name="create_messages", plugin="builtin", input_schema=_TEXT)
    for listed in ([builtin, _ECHO], [*_OLD, _ECHO]):
        assert sorted({each[0] for each in _check_step(component, listed, {"text": 5})}) == expected


@pytest.mark.parametrize("reports_plugins", [False, True])
def test_components_that_the_configuration_excludes_are_found(reports_plugins: bool) -> None:
    names = ["create_messages", "put_blob", "load_file"]
    plugin = "builtin" if reports_plugins else None
    listed = ComponentList([ComponentInfo(name=each, plugin=plugin) for each in names], [])
    denied: dict[str, Any] = {"/builtin": [{"plugin": "builtin", "componentDeny": ["/load_*"]}]}
    allowed: dict[str, Any] = {"/builtin": [{"plugin": "builtin", "componentAllow": ["/create_messages", "/put_blob"]}]}
    exact: dict[str, Any] = {"/builtin/{*component}": [{"plugin": "builtin"}], "/builtin/load_file": []}
    for routes in [denied, allowed] if reports_plugins else [exact]:
        known = add_component_paths_from_routes(listed, routes)
        assert [each.path for each in known] == ["/builtin/create_messages", "/builtin/put_blob", None]
        assert [each[:2] for each in _check_step("/builtin/load_file", known, {"path": "x"})] == [
            ("unknown-component", "error")
        ]
        assert _check_step("/builtin/put_blob", known, {"data": 1, "blob_type": "data"}) == []


_LISTED = [{"name": "echo", "path": "/python/echo", "input_schema": _TEXT, "output_schema": _TEXT}]
_DEFAULT = {"action": "useDefault", "defaultValue": 1}


def _describe_findings(step: dict[str, Any], components: Any = None, **more: Any) -> list[str]:
    """Return each finding's level, path and hint."""
    flow = {"name": "f", "description": "d", "steps": [{"id": "a", **step}], "output": {"$step": "a"}, **more}
    findings = check(flow, components=components).diagnostics
    return [f"{each.level.value} {each.path.removeprefix('$.steps[0].')}: {each.hint}" for each in findings]


@pytest.mark.parametrize(
    ("component", "listed", "unlisted"),
    [
        ("https://x/y", "error component: write /PREFIX/NAME, with the prefix of a route of the server", "same"),
        (" /python/echo", "error component: write /python/echo", "same"),
        ("/python//echo/", "error component: write /python/echo", "same"),
        ("python /echo", "error component: write python/echo", "same"),
        ("python/echo", "error component: did you mean '/python/echo'?", "same"),
        ("echo", "error component: known: /python/echo", "error component: did you mean '/echo'?"),
        ("/bulitin/map", "error component: did you mean '/builtin/map'?",
         "warning component: did you mean '/builtin/map'?"),
        ("/builtin/nop", "error component: did you mean '/builtin/noop'?", "same"),
        ("/python/ehco", "error component: did you mean '/python/echo'?", None),
        ("/python/echo", None, None),
    ],
)  # fmt: skip
def test_names_of_components(component: str, listed: str, unlisted: str | None) -> None:
    step = {"component": component, "input": {"text": "x"}}
    assert _describe_findings(step, _LISTED) == [listed] * (listed is not None)
    assert _describe_findings(step) == [listed if unlisted == "same" else unlisted] * (unlisted is not None)


def test_step_keys_in_the_input_of_an_unknown_component_are_reported() -> None:
    findings = _describe_findings({"component": "/builtin/nop", "input": {"onError": 1}})
    assert findings[1:] == ["warning input.onError: onError belongs to the step: write it next to input, not inside it"]


@pytest.mark.parametrize(
    ("step_input", "expected"),
    [
        ({"text": "x", "other": 1}, None),
        ({"text": 5}, "input.text: None"),
        ({"text": "x", "n": "5"}, "input.n: write 5 without quotes"),
        ({"text": "x", "n": "a"}, "input.n: None"),
        ({}, "input: add text: string"),
        (None, "input: fields are: text (string, required), n (integer)"),
    ],
)
def test_an_invalid_input_is_an_error_unless_the_step_has_a_default(step_input: Any, expected: str | None) -> None:
    schema = {**_TEXT, "properties": {"text": {"type": "string"}, "n": {"type": "integer"}}}
    step, known = {"component": "/python/echo", "input": step_input}, [{**_LISTED[0], "input_schema": schema}]
    assert _describe_findings(step, known) == ([] if expected is None else [f"error {expected}"])
    assert _describe_findings({**step, "onError": _DEFAULT}, known) == (
        [] if expected is None else [f"warning {expected}"]
    )


@pytest.mark.parametrize(
    ("path", "by_component", "by_flow"),
    [
        ("$.text", None, "error $.output.path: fields are: own"),
        ("$.own", "warning $.output.path: fields are: text", None),
        ("$.txt", "warning $.output.path: did you mean 'text'?", "error $.output.path: fields are: own"),
        ("$.text.x", "error $.output.path: None", "error $.output.path: fields are: own"),
        ("$", None, None),
    ],
)
def test_paths_into_step_outputs(path: str, by_component: str | None, by_flow: str | None) -> None:
    step, output = {"component": "/python/echo", "input": {"text": "x"}}, {"$step": "a", "path": path}
    assert _describe_findings(step, _LISTED, output=output) == [by_component] * (by_component is not None)
    assert _describe_findings({**step, "onError": _DEFAULT}, _LISTED, output=output) == []
    own = {"properties": {"own": {"type": "string"}}, "additionalProperties": False}
    schemas = {"properties": {"steps": {"properties": {"a": own}}}}
    assert _describe_findings(step, _LISTED, output=output, schemas=schemas) == [by_flow] * (by_flow is not None)


_IF = {"$if": {"$input": "$.a"}}
_WRITE = "write one of: result, next"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"result": 1}, []),
        ({"next": 1}, []),
        ({"$input": "$"}, []),
        ({"$literal": {"next": 1}}, []),
        ({"$literal": {"x": 1}}, [f"error : {_WRITE}"]),
        ({"x": 1}, [f"error : {_WRITE}"]),
        (5, [f"error : {_WRITE}"]),
        ({**_IF, "then": {"result": 1}, "else": {"next": 1}}, []),
        ({**_IF, "then": {"rsult": 1}, "else": {"next": 1}}, ["warning .then: did you mean 'result'?"]),
        ({**_IF, "then": {"result": 1}}, [f"warning .else: {_WRITE}"]),
        ({"$if": True, "then": {"result": 1}}, []),
        ({**_IF, "then": {"x": 1}, "else": {"y": 1}}, [f"error .then: {_WRITE}", f"error .else: {_WRITE}"]),
        ({"$coalesce": [{"$input": "$.a"}, {"result": 1}]}, []),
        ({"$coalesce": [None, {"x": 1}]}, [f"error .$coalesce[1]: {_WRITE}"]),
    ],
)
def test_iterations_must_return_result_or_next(output: Any, expected: list[str]) -> None:
    step_input = {"initial_input": 1, "flow": {"$literal": {"output": output}}}
    findings = _describe_findings({"component": "/builtin/iterate", "input": step_input})
    assert [each.replace("input.flow.$literal.output", "") for each in findings] == expected


def test_unescaped_expressions_of_a_nested_flow_are_evaluated_outside_it() -> None:
    for output, has_finding in (({"$input": "$"}, True), ({"$variable": "x"}, False), (1, False)):
        findings = _describe_findings(
            {"component": "/builtin/map", "input": {"items": [1], "workflow": {"output": output}}}
        )
        assert findings == ["warning input.workflow: write it below $literal:"] * has_finding


def test_ignored_fields_are_errors_if_they_look_misspelled() -> None:
    known = [{**_LISTED[0], "input_schema": {**_TEXT, "additionalProperties": False}}]
    for step_input, expected in (
        ({"text": {"$input": "$.x"}}, []),
        ({"text": "x", "zzz": 1}, ["warning input.zzz: fields are: text (string, required)"]),
        ({"text": "x", "txet": 1}, ["error input.txet: did you mean 'text'?"]),
        (
            {"text": "x", "onError": 1},
            ["warning input.onError: onError belongs to the step: write it next to input, not inside it"],
        ),
    ):
        assert _describe_findings({"component": "/python/echo", "input": step_input}, known) == expected
    (step_finding,) = _describe_findings({"component": "/python/echo"}, known)
    assert step_finding.startswith("error ")


def test_iterations_without_a_result_fail_always_or_with_a_branch() -> None:
    messages = []
    for output in ({"x": 1}, {**_IF, "then": {"result": 1}}):
        step_input = {"initial_input": 1, "flow": {"$literal": {"output": output}}}
        step = {"id": "a", "component": "/builtin/iterate", "input": step_input}
        flow = {"name": "f", "description": "d", "steps": [step], "output": {"$step": "a"}}
        messages += [each.message for each in check(flow).diagnostics]
    message = "iterate needs 'result' or 'next' in the output of its flow"
    assert messages == [message, f"{message}, and fails with this branch"]
