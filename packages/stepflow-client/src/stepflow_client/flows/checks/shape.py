"""Keys and types: unknown keys, which servers drop, and missing keys and wrong types, which servers reject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..._base.text import near, nearest
from ...errors import InvalidArgumentError
from ..findings import Findings, Fix
from ..matching import check_expected
from ..source import Node

__all__ = ["check_shape", "no_flow"]

_TYPES: dict[str, tuple[type, ...]] = {"text": (str,), "list": (list,), "object": (dict,), "boolean": (bool,)}
_FLOW = {
    "name": "text", "description": "text", "version": "text", "steps": "list", "output": "", "schemas": "object",
    "test": "object", "examples": "list", "metadata": "object",
}  # fmt: skip
_STEP = {
    "id": "text", "component": "text", "input": "", "onError": "object", "mustExecute": "boolean", "metadata": "object",
}  # fmt: skip
_NOT_NULL = frozenset({"steps", "metadata"})
_NAMES = frozenset({"name", "description", "version", "metadata", "schema", "$schema"})
"""Keys of a flow that other documents have as well."""
_COMMON = frozenset({"apiVersion"})
"""Keys of other documents that look like misspelt ones of flows."""
_ON_ERROR = {"action": "text", "defaultValue": "", "maxRetries": ""}
_TEST = {"configFile": "text", "config": "", "stepflow_config": "", "cases": "list"}
_CASE = {"name": "text", "description": "text", "input": "", "output": "object", "tags": "list"}
_EXAMPLE = {"name": "text", "description": "text", "input": ""}
_SCHEMAS = {"type": "", "$defs": "object", "properties": "object"}
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
}


def _plain(key: str) -> str:
    return key.replace("_", "").replace("-", "").lower()


def check_shape(flow: Node, found: Findings, path: str = "$") -> None:
    """Find wrong keys and types at every level of a flow, except inside expressions."""
    reason = no_flow(flow.value) if isinstance(flow.value, dict) else None
    if reason is not None:
        found.add("no-flow", "error", flow.keys.get("flow", flow), path, *reason)
        return
    if not _mapping(flow, path, "a flow", _FLOW, (), found):
        return
    if "output" not in flow.items:
        found.add("no-output", "warning", flow, path, "the flow has no output: it ends with null and only mustExecute "
                  "steps run", "add output: {$step: id}")  # fmt: skip
    for index, step in _listed(flow.get("steps")):
        _check_step(step, f"{path}.steps[{index}]", found)
    before, found.in_unchecked = found.in_unchecked, True
    for index, example in _listed(flow.get("examples")):
        _mapping(example, f"{path}.examples[{index}]", "an example", _EXAMPLE, ("name", "input"), found)
    test = flow.get("test")
    if test is not None and test.value is not None and _mapping(test, f"{path}.test", "test", _TEST, (), found):
        _check_test(test, f"{path}.test", found)
    found.in_unchecked = before
    schemas = flow.get("schemas")
    if schemas is not None and schemas.value is not None:
        _check_schemas(schemas, f"{path}.schemas", found)


def no_flow(document: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why a document is no flow, though servers make an empty flow of it, and a hint; None if it may be one."""
    if not document or any(key in _FLOW and key not in _NAMES for key in document):
        return None
    if isinstance(document.get("flow"), Mapping):
        return "the flow is below the key 'flow': servers drop it, and run an empty flow", "remove the key 'flow'"
    unknown = [key for key in document if key not in _NAMES]
    # With a misspelt key it is a flow all the same.
    if not unknown or any(_meant(key, _FLOW) or _plain(key) in _EARLIER for key in unknown if key not in _COMMON):
        return None
    shown = ", ".join(map(repr, unknown[:4]))
    return f"this is no flow: it has {shown}, but neither steps nor output", "a flow has steps: [...] and output: ..."


def _meant(key: str, known: Mapping[str, str]) -> str | None:
    """Return the known key that a key is an other spelling of; None if there is none."""
    return next((each for each in known if _plain(each) == _plain(key)), None) or nearest(key, known)


def _listed(node: Node | None) -> Iterator[tuple[int, Node]]:
    return iter(enumerate(node.elements)) if node is not None else iter(())


def _check_step(step: Node, path: str, found: Findings) -> None:
    if not _mapping(step, path, "a step", _STEP, ("id", "component"), found):
        return
    handler = step.get("onError")
    if handler is None or handler.value is None:
        return
    path += ".onError"
    if not _mapping(handler, path, "onError", _ON_ERROR, ("action",), found):
        return
    action = handler.get("action")
    if action is None:
        return
    if action.value not in _ACTIONS:
        found.add("unknown-action", "fatal", action, f"{path}.action", f"there is no action {action.value!r}",
                  near(str(action.value), _ACTIONS, "there are"))  # fmt: skip
    retries = handler.get("maxRetries")
    if retries is not None and retries.value is not None:
        if isinstance(retries.value, bool) or not isinstance(retries.value, int) or not 0 <= retries.value < 2**32:
            found.add("wrong-type", "fatal", retries, f"{path}.maxRetries", "maxRetries is a whole number from 0 on")
        elif action.value != "retry":
            found.add("unused-key", "warning", handler.keys["maxRetries"], f"{path}.maxRetries",
                      f"maxRetries has no effect with action {action.value}", "use action: retry")  # fmt: skip
    if "defaultValue" in handler.items:
        if action.value != "useDefault":
            found.add("unused-key", "warning", handler.keys["defaultValue"], f"{path}.defaultValue",
                      f"defaultValue has no effect with action {action.value}", "use action: useDefault")  # fmt: skip
        _plain_data(handler.items["defaultValue"], f"{path}.defaultValue", "defaultValue", found)


def _plain_data(node: Node, path: str, where: str, found: Findings) -> None:
    for key in ("$step", "$input", "$variable"):
        if key in node.items:
            found.add("not-evaluated", "warning", node.keys[key], path, f"{key} inside of {where} is plain data: it is "
                      "never evaluated", "write the value itself")  # fmt: skip
    for name, child in node.items.items():
        _plain_data(child, f"{path}.{name}", where, found)
    for index, child in enumerate(node.elements):
        _plain_data(child, f"{path}[{index}]", where, found)


def _check_test(test: Node, path: str, found: Findings) -> None:
    if "config" in test.items and "stepflow_config" in test.items:
        found.add("duplicate-key", "fatal", test.keys["stepflow_config"], f"{path}.stepflow_config",
                  "config and stepflow_config are two names of one key", "keep config")  # fmt: skip
    if "configFile" in test.items and "config" in test.items:
        found.add("config-twice", "error", test.keys["config"], f"{path}.config", "a test has config or configFile, "
                  "not both", "keep one")  # fmt: skip
    for index, case in _listed(test.get("cases")):
        where = f"{path}.cases[{index}]"
        if not _mapping(case, where, "a test case", _CASE, ("name", "input"), found):
            continue
        expected = case.get("output")
        if expected is None or not isinstance(expected.value, dict):
            continue
        _check_expected(expected, f"{where}.output", found)


def _check_expected(expected: Node, path: str, found: Findings) -> None:
    outcome = expected.get("outcome")
    if outcome is None or outcome.value not in ("success", "failed"):
        found.add("expected-output", "fatal", outcome or expected, path, "an expected output has outcome: success or "
                  "failed", "write {outcome: success, result: ...}")  # fmt: skip
        return
    needs = "result" if outcome.value == "success" else "error"
    if needs not in expected.items:
        found.add("expected-output", "fatal", expected, path, f"an expected {outcome.value} needs {needs!r}")
    else:
        code = expected.at("error", "code")
        if code is not None and (isinstance(code.value, bool) or not isinstance(code.value, (str, int, dict))):
            found.add("expected-output", "error", code, f"{path}.error.code", "code is a word or a number, not "
                      f"{_kind(code.value)}")  # fmt: skip
        try:
            check_expected(expected.items[needs].value)
        except InvalidArgumentError as error:
            message = error.message.removeprefix("$: ")
            found.add("expected-output", "error", expected.items[needs], f"{path}.{needs}", message, error.hint)
    for key in expected.keys:
        if key not in ("outcome", "result", "error"):
            found.add("unknown-key", "warning", expected.keys[key], f"{path}.{key}", f"an expected output has no "
                      f"{key!r}: servers drop it")  # fmt: skip


def _check_schemas(schemas: Node, path: str, found: Findings) -> None:
    if not isinstance(schemas.value, dict):
        found.add("wrong-type", "fatal", schemas, path, "schemas is an object")
        return
    for key in schemas.items:
        if key in _PROPERTIES:
            is_refused = found.target is not None and found.target >= (0, 11)
            level = "fatal" if is_refused and "properties" not in schemas.items else "error"
            found.add("misplaced-schema", level, schemas.keys[key], f"{path}.{key}", f"schemas.{key} belongs into "
                      "schemas.properties: old servers drop it, 0.11 and newer refuse it",
                      f"write schemas: {{properties: {{{key}: ...}}}}")  # fmt: skip
        elif key not in _SCHEMAS:
            _unknown(schemas, key, f"{path}.{key}", "schemas", _SCHEMAS, found)
    shared = schemas.get("$defs")
    if shared is not None and shared.value is not None and not isinstance(shared.value, dict):
        found.add("wrong-type", "fatal", shared, f"{path}.$defs", f"$defs is an object, not {_kind(shared.value)}",
                  "write $defs: {NAME: ...}")  # fmt: skip
    properties = schemas.get("properties")
    if properties is not None and properties.value is not None:
        if isinstance(properties.value, dict):
            _mapping(properties, f"{path}.properties", "schemas.properties", _PROPERTIES, (), found)
        else:
            found.add("misplaced-schema", "error", properties, f"{path}.properties", "schemas.properties is a mapping, "
                      f"not {_kind(properties.value)}: servers drop it", "write properties: {input: ...}")  # fmt: skip


def _mapping(
    node: Node, path: str, what: str, known: dict[str, str], required: tuple[str, ...], found: Findings
) -> bool:
    if not isinstance(node.value, dict):
        found.add("wrong-type", "fatal", node, path, f"{what} is a mapping, not {_kind(node.value)}")
        return False
    for key, child in node.items.items():
        if key not in known:
            _unknown(node, key, f"{path}.{key}", what, known, found)
            continue
        kind = known[key]
        if child.value is None and key in _NOT_NULL:
            found.add("wrong-type", "fatal", child, f"{path}.{key}", f"servers before 0.11 refuse null for {key}",
                      f"write a value, or remove {key}", before=(0, 11))  # fmt: skip
        if kind and child.value is not None and not isinstance(child.value, _TYPES[kind]):
            level = "error" if key == "examples" else "fatal"
            hint = "put it in quotes" if kind == "text" and not isinstance(child.value, (dict, list)) else None
            found.add("wrong-type", level, child, f"{path}.{key}", f"{key} is {_article(kind)}, not "
                      f"{_kind(child.value)}", hint)  # fmt: skip
    for key in required:
        value = node.items.get(key)
        if value is None or (value.value is None and key != "input"):
            found.add("missing-key", "fatal", value or node, path, f"{what} needs {key!r}", f"add {key}: ...")
    return True


def _unknown(node: Node, key: str, path: str, what: str, known: dict[str, str], found: Findings) -> None:
    at = node.keys[key]
    if key in ("schema", "$schema") and what == "a flow":
        return
    same = next((each for each in known if _plain(each) == _plain(key)), None)
    earlier = _EARLIER.get(_plain(key))
    hint = f"write {same!r}" if same else earlier or near(key, known, f"{what} has")
    guess = same or (None if earlier else nearest(key, known))
    fix = Fix(at.start, at.end, key, guess) if guess and guess not in node.items and at.start >= 0 else None
    found.add("unknown-key", "error" if guess else "warning", at, path, f"{what} has no key {key!r}: servers drop it "
              "in silence", hint, fix)  # fmt: skip


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "a mapping"}
    return names.get(type(value), type(value).__name__)


def _article(kind: str) -> str:
    return "text" if kind == "text" else f"{'an' if kind == 'object' else 'a'} {kind}"
