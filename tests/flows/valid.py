"""Valid flows that use every documented feature, each with an input for which it runs."""

from __future__ import annotations

from typing import Any

__all__ = ["VALID"]

_NOOP = "/builtin/create_messages"


def _step(name: str, prompt: Any = "x", **more: Any) -> dict[str, Any]:
    return {"id": name, "component": _NOOP, "input": {"user_prompt": prompt}, **more}


def _flow(output: Any, *steps: Any, **more: Any) -> dict[str, Any]:
    return {"name": "f", "description": "d", "steps": list(steps), "output": output, **more}


def _schemas(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


_A, _B = {"$step": "a"}, {"$step": "b"}
_TEXT = {"type": "string"}
_INNER = {"steps": [_step("x", {"$input": "$"})], "output": {"$step": "x"}}
_ROLE = {"$step": "a", "path": "$.messages[0].role"}
_IN = {"type": "object", "properties": {"n": _TEXT, "o": {"type": "object", "properties": {"k": _TEXT}, "required": ["k"]}, "l": {"type": "array", "items": _TEXT}}, "required": ["n", "o", "l"]}  # fmt: skip
_INPUT = {"n": "N", "o": {"k": "K"}, "l": ["L"]}
_TURN = {"steps": [_step("x", "t")], "output": {"result": {"$step": "x", "path": "messages"}}}

_EXPRESSIONS: list[Any] = [
    _A, [_A, 1], {"x": {"y": [_A]}}, {"$step": "a", "path": "messages"}, _ROLE, {"$step": "a", "path": "$"},
    {"$step": "a", "path": "$['messages'][0]"}, {"$step": "a", "path": '$["messages"]'}, {"$step": "a", "path": ""},
    [_A, {"$input": "n"}], [_A, {"$input": "$.n"}], [_A, {"$input": "$"}], [_A, {"$input": "$.o.k"}],
    [_A, {"$input": "$.l[0]"}], [_A, {"$input": None}], [_A, {"$input": ""}], [_A, {"$literal": {"$step": "zzz"}}],
    [_A, {"$literal": {"$literal": 1}}], {"$if": _A, "then": _A, "else": 1}, {"$if": _A, "then": 1},
    {"$if": {"$input": "n"}, "then": _A, "else": {"$input": "o"}}, {"$if": True, "then": _A}, {"$if": None, "then": 2, "else": _A},
    {"$coalesce": [None, _A]}, {"$coalesce": [_A, 1]}, {"$coalesce": [{"$input": "n"}, _A]},
    [_A, {"$coalesce": []}], {"$if": {"$if": _A, "then": True}, "then": _A}, [_A, "text with $step and {{ x }}", 1.5, None],
    [_A, "$.x", "a.b", "[0]"], [_A, {"with.dot": 1, "": 2}], {"$if": {"$step": "a", "path": "messages"}, "then": _A},
]  # fmt: skip

_VARIABLES = {
    "properties": {
        "r": _TEXT,
        "d": {"type": "integer", "default": 3},
        "i": {"type": "boolean"},
        "o": {"type": "object", "properties": {"k": _TEXT}, "default": {"k": "v"}},
        "s": {"type": "string", "is_secret": True, "env_var": "S", "default": "x"},
        "u": {"type": "array"},
    },
    "required": ["r"],
}
_ALL = [{"$variable": name} for name in "rdis"] + [{"$variable": "$.o.k"}, {"$variable": "u", "default": []}, _A]

_WHOLE: list[tuple[dict[str, Any], Any]] = [
    ({"steps": [], "output": None}, None),
    ({"output": 1}, None),
    (_flow({"$input": "$"}), 5),
    (_flow(_A, _step("a", mustExecute=True)), None),
    (_flow(1, _step("a", mustExecute=True)), None),
    (_flow(_A, _step("a", mustExecute=False)), None),
    (_flow(_B, _step("a"), _step("b", _ROLE)), None),
    (_flow(_B, _step("a"), _step("b", {"$if": _ROLE, "then": _ROLE})), None),
    (_flow({"$if": _A, "then": _B}, _step("a"), _step("b", mustExecute=True)), None),
    (_flow([{"$if": _A, "then": _B}, _B], _step("a"), _step("b")), None),
    (_flow({"$if": {"$input": "$"}, "then": _B, "else": _A}, _step("a"), _step("b")), True),
    (_flow(_A, _step("a", onError={"action": "fail"})), None),
    (_flow(_A, _step("a", onError={"action": "retry"})), None),
    (_flow(_A, _step("a", onError={"action": "retry", "maxRetries": 0})), None),
    (_flow(_A, _step("a", onError={"action": "useDefault", "defaultValue": {"x": [1]}})), None),
    (_flow(_A, _step("a", onError={"action": "useDefault"})), None),
    (_flow({"$step": "odd id.ü$"}, _step("odd id.ü$")), None),
    (_flow(_A, _step("a", metadata={"any": ["thing"]}), metadata={"k": 1}, version="1.0"), None),
    (_flow(_A, _step("a"), examples=[{"name": "e", "description": "d", "input": None}]), None),
    (_flow(_A, _step("a"), test={"cases": [{"name": "c", "input": None, "description": "d"}]}), None),
    (
        _flow(
            _A,
            _step("a"),
            test={
                "configFile": "x.yml",
                "cases": [{"name": "c", "input": 1, "output": {"outcome": "success", "result": {"messages": []}}}],
            },
        ),
        None,
    ),
    (
        _flow(
            _A,
            _step("a"),
            test={
                "config": {"plugins": {}},
                "cases": [
                    {
                        "name": "c",
                        "input": 1,
                        "output": {"outcome": "failed", "error": {"code": "TIMEOUT", "message": "m"}},
                    }
                ],
            },
        ),
        None,
    ),
    (_flow(_ALL, _step("a"), schemas=_schemas(variables=_VARIABLES)), None),
    (_flow([_A, {"$variable": "v", "default": 5}], _step("a")), None),
    (_flow([_A, {"$variable": "v", "default": {"$input": "$"}}], _step("a")), 1),
    (
        _flow(_A, _step("a"), schemas={"$defs": {"T": _TEXT}, **_schemas(input={"$ref": "#/$defs/T"}, output={})}),
        "x",
    ),
    (
        _flow(
            [_A, {"$input": "$.q"}],
            _step("a"),
            schemas=_schemas(input={"type": "object", "additionalProperties": _TEXT}),
        ),
        {"q": "1"},
    ),
    (
        _flow(
            {"$step": "a", "path": "$.messages"},
            _step("a"),
            schemas=_schemas(
                steps={"properties": {"a": {"type": "object", "properties": {"messages": {"type": "array"}}}}}
            ),
        ),
        None,
    ),
    (
        _flow(
            _A,
            {"id": "a", "component": "/builtin/map", "input": {"items": ["1", "2"], "workflow": {"$literal": _INNER}}},
        ),
        None,
    ),
    (
        _flow(
            {"$step": "a", "path": "$.results[0]"},
            {
                "id": "a",
                "component": "/builtin/map",
                "input": {"items": {"$input": "$"}, "max_concurrency": 2, "workflow": {"$literal": _INNER}},
            },
        ),
        ["a"],
    ),
    (
        _flow(
            {"$step": "a", "path": "iterations"},
            {
                "id": "a",
                "component": "/builtin/iterate",
                "input": {"initial_input": 0, "max_iterations": 3, "flow": {"$literal": _TURN}},
            },
        ),
        None,
    ),
    (_flow(_A, {"id": "a", "component": "/builtin/put_blob", "input": {"data": {"x": 1}, "blob_type": "data"}}), None),
    (
        _flow(
            _B,
            {"id": "a", "component": "/builtin/put_blob", "input": {"data": 1, "blob_type": "data"}},
            {"id": "b", "component": "/builtin/get_blob", "input": {"blob_id": {"$step": "a", "path": "blob_id"}}},
        ),
        None,
    ),
    (
        _flow(
            {"$step": "b", "path": "result"},
            {"id": "a", "component": "/builtin/put_blob", "input": {"data": {"$literal": _INNER}, "blob_type": "flow"}},
            {
                "id": "b",
                "component": "/builtin/eval",
                "input": {"flow_id": {"$step": "a", "path": "blob_id"}, "input": "q"},
            },
        ),
        None,
    ),
]

VALID: list[tuple[dict[str, Any], Any]] = [
    *((_flow(each, _step("a"), schemas=_schemas(input=_IN)), _INPUT) for each in _EXPRESSIONS),
    *_WHOLE,
]
"""Flows and their inputs; runs of flows that read the variable `r` must set it."""
