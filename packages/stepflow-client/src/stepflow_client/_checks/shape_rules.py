"""Keys and types: unknown keys, which servers drop, and missing keys and wrong types, which servers reject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from .._base.text import near, nearest
from ..errors import InvalidArgumentError
from ..flows.findings import Findings
from ..flows.flow_argument import why_no_flow
from ..flows.source import Node

_TYPES: dict[str, tuple[type, ...]] = {
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
_NOT_NULL = frozenset({"steps", "metadata"})
_COMMON = frozenset({"apiVersion"})
"""Keys of other documents that look like misspelt ones of flows."""
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

_EARLIER = {
    "skip": "a step runs only if something needs it; put the condition into an $if where its output is read",
    "skipif": "put the condition into an $if where the step's output is read",
    "onskip": "put the condition into an $if where the step's output is read",
    "defaultoutput": "write onError: {action: useDefault, defaultValue: ...}",
    "dependson": "a step waits for the steps that its input names with {$step: id}",
    "inputschema": "write schemas: {properties: {input: ...}}",
    "outputschema": "write schemas: {properties: {output: ...}}",
    "variablesschema": "write schemas: {properties: {variables: ...}}",
    "transform": "name the part with {$step: id, path: $.x}",
    "defaults": "give each case its whole input",
    "environments": "use test.configFile",
    "includes": "use a file for each flow",
    "timeout": "no release has it",
    "retry": "write onError: {action: retry, maxRetries: 3}",
    "uses": "write 'component'",
    "run": "write 'component'",
    "with": "write 'input'",
    "inputs": "write 'input'",
}

_EXPECTS = "write output: {outcome: success, result: ...}"
_EARLIER_IN_CASES = {
    "skip": "stepflow test -k 'not NAME' leaves a case out",
    "timeout": "stepflow test --timeout limits the cases of a file",
    "expect": _EXPECTS,
    "expected": _EXPECTS,
    "expectedoutput": _EXPECTS,
    "result": _EXPECTS,
    "error": "write output: {outcome: failed, error: {code: ..., message: ...}}",
    "mock": "write mocks: {STEP: {outcome: success, result: ...}}",
}


def _plain(key: str) -> str:
    return key.replace("_", "").replace("-", "").lower()


def check_shape(flow: Node, found: Findings) -> None:
    """Find wrong keys and types at every level of a flow, except inside its steps and expressions."""
    reason = why_no_flow(flow.value) if isinstance(flow.value, dict) else None
    if reason is not None and not _has_misspelt_key(flow):
        found.add("no-flow", "error", flow, *reason, key="flow" if "flow" in flow.items else None)
        return
    if not _mapping(flow, "a flow", _FLOW, (), found):
        return
    if "output" not in flow.items:
        found.add("no-output", "warning", flow, "the flow has no output: it ends with null and only mustExecute steps "
                  "run", "add output: {$step: id}")  # fmt: skip
    with found.unchecked(True):
        for example in _listed(flow.get("examples")):
            _mapping(example, "an example", _EXAMPLE, ("name", "input"), found)
        test = flow.get("test")
        if _is_given(test) and _mapping(test, "test", _TEST, (), found):
            _check_test(test, found)
    schemas = flow.get("schemas")
    if _is_given(schemas):
        _check_schemas(schemas, found)


def check_step_shape(step: Node, found: Findings) -> None:
    """Find wrong keys and types in a step."""
    if _mapping(step, "a step", _STEP, ("id", "component"), found):
        handler = step.get("onError")
        if _is_given(handler) and _mapping(handler, "onError", _ON_ERROR, ("action",), found):
            _check_handler(handler, found)


def _is_given(node: Node | None) -> TypeGuard[Node]:
    return node is not None and node.value is not None


def _listed(node: Node | None) -> Sequence[Node]:
    return node.elements if node is not None else ()


def _has_misspelt_key(flow: Node) -> bool:
    """Return whether a flow has an unknown key that is an error by itself."""
    unknown = [key for key, node in flow.items.items() if key not in {*_FLOW, *_COMMON} and _is_lost(node)]
    return any(_meant(key, _FLOW) or _plain(key) in _EARLIER for key in unknown)


def _is_lost(node: Node) -> bool:
    # Without a value, nothing is lost.
    return node.value not in (None, {}, [])


def _meant(key: str, known: Mapping[str, str]) -> str | None:
    """Return the known key that a key is an other spelling of; None if there is none."""
    return next((each for each in known if _plain(each) == _plain(key)), None) or nearest(key, known)


def _check_handler(handler: Node, found: Findings) -> None:
    action = handler.get("action")
    if action is None:
        return
    if action.value not in _ACTIONS:
        found.add("unknown-action", "fatal", action, f"there is no action {action.value!r}",
                  near(str(action.value), _ACTIONS, "there are"))  # fmt: skip
    retries = handler.get("maxRetries")
    if _is_given(retries) and not (type(retries.value) is int and 0 <= retries.value < 2**32):
        found.add("wrong-type", "fatal", retries, "maxRetries is a whole number from 0 on")
    for key, wanted in (("maxRetries", "retry"), ("defaultValue", "useDefault")):
        if key in handler.items and action.value != wanted:
            found.add("unused-key", "warning", handler, f"{key} has no effect with action {action.value}",
                      f"use action: {wanted}", key=key)  # fmt: skip
    if "defaultValue" in handler.items:
        _plain_data(handler.items["defaultValue"], "defaultValue", found)


def _plain_data(node: Node, where: str, found: Findings) -> None:
    for key in ("$step", "$input", "$variable"):
        if key in node.items:
            found.add("not-evaluated", "warning", node, f"{key} inside of {where} is plain data: it is never evaluated",
                      "write the value itself", key=key)  # fmt: skip
    for child in (*node.items.values(), *node.elements):
        _plain_data(child, where, found)


def _check_test(test: Node, found: Findings) -> None:
    if "config" in test.items and "stepflow_config" in test.items:
        found.add("duplicate-key", "fatal", test, "config and stepflow_config are two names of one key", "keep config",
                  key="stepflow_config")  # fmt: skip
    if "configFile" in test.items and "config" in test.items:
        found.add("config-twice", "error", test, "a test has config or configFile, not both", "keep one", key="config")
    for case in _listed(test.get("cases")):
        if _mapping(case, "a test case", _CASE, ("name", "input"), found):
            expected = case.get("output")
            if expected is not None and isinstance(expected.value, dict):
                _check_expected(expected, found)
            elif expected is not None and expected.value is None:
                found.add("expected-output", "warning", expected, "output: null expects nothing", "write {outcome: "
                          "success, result: null} to expect null")  # fmt: skip
            mocks = case.get("mocks")
            for mock in mocks.items.values() if mocks is not None else ():
                _check_mock(mock, found)
            for tag in _listed(case.get("tags")):
                if not isinstance(tag.value, str):
                    found.add("wrong-type", "error", tag, f"tags is a list of texts, this is {_kind(tag.value)}")


def _check_mock(mock: Node, found: Findings) -> None:
    from ..flows.error_codes import error_code

    for each in mock.elements or (mock,):
        outcome, error = each.get("outcome"), each.at("error")
        is_success = outcome is not None and outcome.value == "success" and "result" in each.items
        is_failure = outcome is not None and outcome.value == "failed" and error is not None and error.items
        if not is_success and not is_failure:
            found.add("mock", "error", each, "a mock is an outcome, or a list of outcomes", "write {outcome: success, "
                      "result: ...} or {outcome: failed, error: {code: ..., message: ...}}")  # fmt: skip
            continue
        _known(each, "a mock", ("outcome", "result" if is_success else "error"), found)
        if error is None or not is_failure:
            continue
        _known(error, "the error of a mock", ("code", "message"), found)
        code = error.get("code")
        try:
            error_code(str(code.value) if code is not None else "COMPONENT_FAILED")
        except InvalidArgumentError as unknown:
            found.add("mock", "error", code or each, unknown.message, unknown.hint)


def _check_expected(expected: Node, found: Findings) -> None:
    outcome = expected.get("outcome")
    if outcome is None or outcome.value not in ("success", "failed"):
        found.add("expected-output", "fatal", outcome or expected, "an expected output has outcome: success or failed",
                  "write {outcome: success, result: ...}")  # fmt: skip
        return
    needs = "result" if outcome.value == "success" else "error"
    if needs not in expected.items:
        found.add("expected-output", "fatal", expected, f"an expected {outcome.value} needs {needs!r}")
    elif needs == "error" and not isinstance(expected.items[needs].value, dict):
        found.add("expected-output", "fatal", expected.items[needs], "an expected error is an object with code, "
                  "message or data")  # fmt: skip
    else:
        _check_expected_value(expected.items[needs], found, is_error=needs == "error")
    _known(expected, f"an expected {outcome.value}", ("outcome", needs), found)


def _check_expected_value(value: Node, found: Findings, *, is_error: bool) -> None:
    from ..flows.matching import check_expected

    if is_error:
        _known(value, "an expected error", ("code", "message", "data"), found)
        if all(each.value is None for each in value.items.values()):
            found.add("expected-output", "error", value, "an expected error names its code, its message or its data",
                      "write {message: {$any: true}} to expect any failure")  # fmt: skip
        code = value.get("code")
        if code is not None and (isinstance(code.value, bool) or not isinstance(code.value, (str, int, dict))):
            found.add("expected-output", "error", code, f"code is a word or a number, not {_kind(code.value)}")
    try:
        check_expected(value.value)
    except InvalidArgumentError as error:
        message = error.message.removeprefix("$: ")
        found.add("expected-output", "error", value, message, error.hint)


def _known(node: Node, what: str, known: tuple[str, ...], found: Findings) -> None:
    """Find unknown keys: what they say is not compared, and not used."""
    for key in node.items:
        if key not in known:
            hint = near(key, known, f"{what} has")
            found.add("unknown-key", "error", node, f"{what} has no {key!r}: it is ignored", hint, key=key)


def _check_schemas(schemas: Node, found: Findings) -> None:
    if not isinstance(schemas.value, dict):
        found.add("wrong-type", "fatal", schemas, "schemas is an object")
        return
    for key in schemas.items:
        if key in _PROPERTIES:
            is_old = found.target is not None and found.target < (0, 11)
            is_refused = found.target is not None and "properties" not in schemas.items
            level = "warning" if is_old else "fatal" if is_refused else "error"
            found.add("misplaced-schema", level, schemas, f"schemas.{key} belongs into schemas.properties: old servers "
                      "drop it, 0.11 and newer refuse it", f"write schemas: {{properties: {{{key}: ...}}}}",
                      key=key)  # fmt: skip
        elif key not in _SCHEMAS:
            _unknown(schemas, key, "schemas", _SCHEMAS, found)
    shared = schemas.get("$defs")
    if _is_given(shared) and not isinstance(shared.value, dict):
        found.add("wrong-type", "fatal", shared, f"$defs is an object, not {_kind(shared.value)}",
                  "write $defs: {NAME: ...}")  # fmt: skip
    properties = schemas.get("properties")
    if _is_given(properties) and isinstance(properties.value, dict):
        _mapping(properties, "schemas.properties", _PROPERTIES, (), found)
    elif _is_given(properties):
        found.add("misplaced-schema", "error", properties, f"schemas.properties is a mapping, not "
                  f"{_kind(properties.value)}: servers drop it", "write properties: {input: ...}")  # fmt: skip


def _mapping(node: Node, what: str, known: dict[str, str], required: tuple[str, ...], found: Findings) -> bool:
    if not isinstance(node.value, dict):
        found.add("wrong-type", "fatal", node, f"{what} is a mapping, not {_kind(node.value)}")
        return False
    for key, child in node.items.items():
        if key not in known:
            _unknown(node, key, what, known, found)
            continue
        kind = known[key]
        if child.value is None and key in _NOT_NULL:
            found.add("wrong-type", "fatal", child, f"servers before 0.11 refuse null for {key}",
                      f"write a value, or remove {key}", before=(0, 11))  # fmt: skip
        if kind and child.value is not None and not isinstance(child.value, _TYPES[kind]):
            # Servers are not sent examples and tests.
            level = "fatal" if key not in ("examples", "test") else "error" if _is_lost(child) else "warning"
            hint = "put it in quotes" if kind == "text" and not isinstance(child.value, (dict, list)) else None
            found.add("wrong-type", level, child, f"{key} is {kind}, not {_kind(child.value)}", hint)
    for key in required:
        value = node.items.get(key)
        if value is None or (value.value is None and key != "input"):
            found.add("missing-key", "fatal", value or node, f"{what} needs {key!r}", f"add {key}: ...")
    return True


def _unknown(node: Node, key: str, what: str, known: dict[str, str], found: Findings) -> None:
    if key in ("schema", "$schema") and what == "a flow":
        return
    same = next((each for each in known if _plain(each) == _plain(key)), None)
    earlier = (_EARLIER_IN_CASES if known is _CASE else _EARLIER).get(_plain(key))
    hint = f"write {same!r}" if same else earlier or near(key, known, f"{what} has")
    level = "error" if _is_lost(node.items[key]) and (same or earlier or nearest(key, known)) else "warning"
    found.add("unknown-key", level, node, f"{what} has no key {key!r}: servers drop it in silence", hint, key=key)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return names.get(type(value), type(value).__name__)
