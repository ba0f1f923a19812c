"""Shape rules: unknown keys (which servers ignore), and missing keys and wrong types (which they reject)."""

from __future__ import annotations

from typing import Any

from .._base.suggestions import find_nearest, suggest_or_list
from ..errors import InvalidArgumentError
from ..flows.expressions import REFERENCE_KEYWORDS
from ..flows.findings import Findings
from ..flows.reading import explain_not_a_flow
from ..flows.syntax_tree import Node

_CLASSES_BY_KIND: dict[str, tuple[type, ...]] = {
    "text": (str,), "a list": (list,), "an object": (dict,), "a boolean": (bool,),
}  # fmt: skip
_FLOW = {
    "name": "text", "description": "text", "version": "text", "steps": "a list", "output": "", "schemas": "an object",
    "test": "an object", "examples": "a list", "metadata": "an object",
}  # fmt: skip
_STEP = {
    "id": "text", "component": "text", "input": "", "onError": "an object", "mustExecute": "a boolean",
    "metadata": "an object",
}  # fmt: skip
_ON_ERROR = {"action": "text", "defaultValue": "", "maxRetries": ""}
_TEST = {"configFile": "text", "config": "", "stepflow_config": "", "cases": "a list"}
_CASE = {
    "name": "text", "description": "text", "input": "", "variables": "an object", "output": "an object",
    "tags": "a list", "mocks": "an object",
}  # fmt: skip
_EXAMPLE = {"name": "text", "description": "text", "input": ""}
_SCHEMAS = {"type": "", "$defs": "an object", "properties": "an object"}
_PROPERTIES = {"input": "", "output": "", "variables": "", "steps": ""}
_ACTIONS = ("fail", "useDefault", "retry")

_KEY_HINTS = {
    "skip": "a step runs only if something needs it; put the condition into an $if where its output is read",
    **dict.fromkeys(("skipif", "onskip"), "put the condition into an $if where the step's output is read"),
    "defaultoutput": "write onError: {action: useDefault, defaultValue: ...}",
    "dependson": "a step waits for the steps that its input reads with {$step: id}",
    "inputschema": "write schemas: {properties: {input: ...}}",
    "outputschema": "write schemas: {properties: {output: ...}}",
    "variablesschema": "write schemas: {properties: {variables: ...}}",
    "transform": "read the part with {$step: id, path: $.x}",
    "defaults": "give each case its whole input",
    "environments": "use test.configFile",
    "includes": "use a file for each flow",
    "timeout": "no release supports it",
    "retry": "write onError: {action: retry, maxRetries: 3}",
    **dict.fromkeys(("uses", "run"), "write 'component'"),
    **dict.fromkeys(("with", "inputs"), "write 'input'"),
}

_CASE_KEY_HINTS = {
    "skip": "to skip a case, use stepflow test -k 'not NAME'",
    "timeout": "to limit the cases of a file, use stepflow test --timeout",
    **dict.fromkeys(
        ("expect", "expected", "expectedoutput", "result"), "write output: {outcome: success, result: ...}"
    ),
    "error": "write output: {outcome: failed, error: {code: ..., message: ...}}",
    "mock": "write mocks: {STEP: {outcome: success, result: ...}}",
}


def check_flow_shape(flow: Node, findings: Findings) -> None:
    """Report invalid keys and types at every level of a flow, except inside steps and expressions."""
    reason = explain_not_a_flow(flow.value) if isinstance(flow.value, dict) else None
    if reason is not None:
        # Leave out apiVersion, which is a sign of other kinds of documents but is similar to one of a flow's keys.
        keys = [key for key, node in flow.items.items() if key not in {*_FLOW, "apiVersion"} and not _is_empty(node)]
        # If it's just a typo, report the typo instead.
        if not any(find_nearest(key, _FLOW) or _fold_key(key) in {*_KEY_HINTS, *map(_fold_key, _FLOW)} for key in keys):
            findings.add("no-flow", "error", flow, *reason, key="flow" if "flow" in flow.items else None)
            return
    if not _check_entries(flow, "a flow", _FLOW, (), findings):
        return
    if "output" not in flow.items:
        findings.add("no-output", "warning", flow, "the flow has no output: it returns null and only mustExecute "
                     "steps run", "add output: {$step: id}")  # fmt: skip
    with findings.treat_as_read_at_run_time(True):
        for example in flow.elements_at("examples"):
            _check_entries(example, "an example", _EXAMPLE, ("name", "input"), findings)
        test = _get_non_null_child(flow, "test")
        if test is not None and _check_entries(test, "test", _TEST, (), findings):
            _check_test_section(test, findings)
    schemas = flow.get("schemas")
    if schemas is not None and isinstance(schemas.value, dict):
        _check_schemas_section(schemas, findings)


def check_step_shape(step: Node, findings: Findings) -> None:
    """Report invalid keys and types in a step."""
    if not _check_entries(step, "a step", _STEP, ("id", "component"), findings):
        return
    handler = _get_non_null_child(step, "onError")
    if handler is None or not _check_entries(handler, "onError", _ON_ERROR, ("action",), findings):
        return
    action, retries = handler.get("action"), _get_non_null_child(handler, "maxRetries")
    if action is None:
        return
    if action.value not in _ACTIONS:
        findings.add("unknown-action", "fatal", action, f"unknown action {action.value!r}",
                     suggest_or_list(str(action.value), _ACTIONS, "there are"))  # fmt: skip
    elif action.value == "retry" and findings.target is not None and findings.target < (0, 11):
        findings.add("unused-key", "warning", action, "retry has no effect on servers before 0.11")
    if retries is not None and not (type(retries.value) is int and 0 <= retries.value < 2**32):
        findings.add("wrong-type", "fatal", retries, "maxRetries must be an integer >= 0")
    for key, wanted in (("maxRetries", "retry"), ("defaultValue", "useDefault")):
        if key in handler.items and action.value != wanted:
            findings.add("unused-key", "warning", handler, f"{key} has no effect with action {action.value}",
                         f"use action: {wanted}", key=key)  # fmt: skip
    default = handler.get("defaultValue")
    for node in default.walk(below_aliases=True) if default is not None else ():
        for key in REFERENCE_KEYWORDS:
            if key in node.items:
                findings.add("not-evaluated", "warning", node, f"{key} inside defaultValue is plain data: it is "
                             "never evaluated", "write the value itself", key=key)  # fmt: skip


def _get_non_null_child(node: Node, key: str) -> Node | None:
    """Return a key's value, or None if the key is missing or its value is null."""
    value = node.get(key)
    return value if value is not None and value.value is not None else None


def _is_empty(node: Node) -> bool:
    return node.value in (None, {}, [])


def _fold_key(key: str) -> str:
    return key.replace("_", "").replace("-", "").lower()


def _check_test_section(test: Node, findings: Findings) -> None:
    if "config" in test.items and "stepflow_config" in test.items:
        findings.add("duplicate-key", "fatal", test, "config and stepflow_config are two names for the same key",
                     "keep config", key="stepflow_config")  # fmt: skip
    if "configFile" in test.items and "config" in test.items:
        findings.add("config-twice", "error", test, "a test cannot have both config and configFile", "keep one",
                     key="config")  # fmt: skip
    for case in test.elements_at("cases"):
        if not _check_entries(case, "a test case", _CASE, ("name", "input"), findings):
            continue
        expected = case.get("output")
        if expected is not None and isinstance(expected.value, dict):
            _check_expected_output(expected, findings)
        elif expected is not None and expected.value is None:
            findings.add("expected-output", "warning", expected, "output: null expects nothing", "write {outcome: "
                         "success, result: null} to expect null")  # fmt: skip
        for mock in case.items_at("mocks").values():
            for outcome in mock.elements or (mock,):
                _check_mock_outcome(outcome, findings)
        for tag in case.elements_at("tags"):
            if not isinstance(tag.value, str):
                findings.add("wrong-type", "error", tag, "tags must be a list of strings, not "
                             f"{_name_json_type(tag.value)}")  # fmt: skip


def _check_mock_outcome(node: Node, findings: Findings) -> None:
    from ..flows.expected_results import parse_error_code

    outcome, error = node.get("outcome"), node.get("error")
    if outcome is not None and outcome.value == "success" and "result" in node.items:
        _check_outcome_keys(node, "a mock", ("outcome", "result"), findings)
    elif outcome is not None and outcome.value == "failed" and error is not None and error.items:
        _check_outcome_keys(node, "a mock", ("outcome", "error"), findings)
        _check_outcome_keys(error, "the error of a mock", ("code", "message"), findings)
        code = error.get("code")
        try:
            parse_error_code(str(code.value) if code is not None else "COMPONENT_FAILED")
        except InvalidArgumentError as unknown:
            findings.add("mock", "error", code or node, unknown.message, unknown.hint)
    else:
        findings.add("mock", "error", node, "a mock must be an outcome, or a list of outcomes", "write {outcome: "
                     "success, result: ...} or {outcome: failed, error: {code: ..., message: ...}}")  # fmt: skip


def _check_expected_output(expected: Node, findings: Findings) -> None:
    from ..flows.expected_results import check_matchers

    outcome = expected.get("outcome")
    if outcome is None or outcome.value not in ("success", "failed"):
        message = "an expected output needs outcome: success or failed"
        findings.add("expected-output", "fatal", outcome or expected, message, "write {outcome: success, result: ...}")
        return
    key = "result" if outcome.value == "success" else "error"
    _check_outcome_keys(expected, f"an expected {outcome.value}", ("outcome", key), findings)
    value = expected.get(key)
    if value is None:
        findings.add("expected-output", "fatal", expected, f"an expected {outcome.value} needs {key!r}")
        return
    if key == "error":
        if not isinstance(value.value, dict):
            findings.add("expected-output", "fatal", value, "an error must be an object with code, message or data")
            return
        _check_outcome_keys(value, "an expected error", ("code", "message", "data"), findings)
        if all(item.value is None for item in value.items.values()):
            findings.add("expected-output", "error", value, "an expected error needs a code, a message or data",
                         "write {message: {$any: true}} to expect any failure")  # fmt: skip
        code = value.get("code")
        if code is not None and (isinstance(code.value, bool) or not isinstance(code.value, (str, int, dict))):
            message = f"code must be a word or an integer, not {_name_json_type(code.value)}"
            findings.add("expected-output", "error", code, message)
    try:
        check_matchers(value.value)
    except InvalidArgumentError as error:
        findings.add("expected-output", "error", value, error.message.removeprefix("$: "), error.hint)


def _check_outcome_keys(node: Node, what: str, known: tuple[str, ...], findings: Findings) -> None:
    """Report unknown keys in an outcome, since they have no effect."""
    for key in node.items:
        if key not in known:
            hint = suggest_or_list(key, known, f"{what} has")
            findings.add("unknown-key", "error", node, f"unknown key {key!r} in {what}: it is ignored", hint, key=key)


def _check_schemas_section(schemas: Node, findings: Findings) -> None:
    for key in schemas.items:
        if key in _PROPERTIES:
            level = "error"
            if findings.target is not None and findings.target < (0, 11):
                level = "warning"
            elif findings.target is not None and "properties" not in schemas.items:
                level = "fatal"
            findings.add("misplaced-schema", level, schemas, f"schemas.{key} must be in schemas.properties: servers "
                         "before 0.11 ignore it, newer ones reject it", f"write schemas: {{properties: {{{key}: "
                         "...}}", key=key)  # fmt: skip
        elif key not in _SCHEMAS:
            _report_unknown_key(schemas, key, "schemas", _SCHEMAS, findings)
    shared, properties = _get_non_null_child(schemas, "$defs"), _get_non_null_child(schemas, "properties")
    if shared is not None and not isinstance(shared.value, dict):
        findings.add("wrong-type", "fatal", shared, f"$defs must be an object, not {_name_json_type(shared.value)}",
                     "write $defs: {NAME: ...}")  # fmt: skip
    if properties is not None and isinstance(properties.value, dict):
        _check_entries(properties, "schemas.properties", _PROPERTIES, (), findings)
    elif properties is not None:
        findings.add("misplaced-schema", "error", properties, "schemas.properties must be a mapping, not "
                     f"{_name_json_type(properties.value)}: servers ignore it",
                     "write properties: {input: ...}")  # fmt: skip


def _check_entries(node: Node, what: str, known: dict[str, str], required: tuple[str, ...], findings: Findings) -> bool:
    """Check a mapping's keys and value types. Return False if it isn't a mapping."""
    if not isinstance(node.value, dict):
        findings.add("wrong-type", "fatal", node, f"{what} must be a mapping, not {_name_json_type(node.value)}")
        return False
    for key, child in node.items.items():
        if key not in known:
            _report_unknown_key(node, key, what, known, findings)
            continue
        kind = known[key]
        is_older = findings.target is None or findings.target < (0, 11)
        if child.value is None and key in ("steps", "metadata") and is_older:
            level = "warning" if findings.target is None else "fatal"
            findings.add("wrong-type", level, child, f"servers before 0.11 reject null for {key}",
                         f"write a value, or remove {key}")  # fmt: skip
        if kind and child.value is not None and not isinstance(child.value, _CLASSES_BY_KIND[kind]):
            # This isn't an error in examples and tests, because those are never sent to servers.
            level = "fatal" if key not in ("examples", "test") else "warning" if _is_empty(child) else "error"
            hint = "put it in quotes" if kind == "text" and not isinstance(child.value, (dict, list)) else None
            findings.add("wrong-type", level, child, f"{key} must be {kind}, not {_name_json_type(child.value)}", hint)
    for key in required:
        value = node.items.get(key)
        if value is None or (value.value is None and key != "input"):
            findings.add("missing-key", "fatal", value or node, f"{what} needs {key!r}", f"add {key}: ...")
    return True


def _report_unknown_key(node: Node, key: str, what: str, known: dict[str, str], findings: Findings) -> None:
    if key in ("schema", "$schema") and what == "a flow":
        return
    same = {_fold_key(name): name for name in known}.get(_fold_key(key))
    earlier = (_CASE_KEY_HINTS if known is _CASE else _KEY_HINTS).get(_fold_key(key))
    hint = f"write {same!r}" if same else earlier or suggest_or_list(key, known, f"{what} has")
    is_meant = same or earlier or find_nearest(key, known)
    level = "error" if is_meant and not _is_empty(node.items[key]) else "warning"
    message = f"unknown key {key!r} in {what}: servers silently ignore it"
    findings.add("unknown-key", level, node, message, hint, key=key)


def _name_json_type(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return names.get(type(value), type(value).__name__)
