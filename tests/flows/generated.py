"""Random flows with every construct, random changes to them, and flows that declare variables, fields and limits."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from tests.flows.mutations import mutated, with_odd_part

__all__ = ["INPUT", "VARIABLES", "Generated", "declared", "generated"]

INPUT = {"n": "N", "o": {"k": "K"}, "l": ["L", "M"], "flag": True, "none": None}
"""The input of the generated flows."""
VARIABLES = {"t": "T"}
"""The variables of the generated flows."""

_INPUT_SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"$ref": "#/$defs/a~1b"},
        "o": {"type": "object", "properties": {"k": {"type": "string"}}, "required": ["k"]},
        "l": {"type": "array", "items": {"type": "string"}},
        "flag": {"type": "boolean"},
        "none": {"type": ["string", "null"]},
    },
    "required": ["n", "o", "l", "flag", "none"],
}
_DEFS = {"a/b": {"type": "string"}, "V": {"type": "object", "properties": {"t": {"type": "string"}}, "required": ["t"]}}
_VARIABLES: list[Any] = [
    {"$ref": "#/$defs/V"},
    {"allOf": [{"$ref": "#/$defs/V"}, {"properties": {"u": {"type": "string", "default": None}}}]},
    {"type": "object", "patternProperties": {"^t": {"type": "string"}}},
    {"properties": {"t": {"type": "string"}}, "required": ["t"]},
]
_MESSAGES = {
    "$defs": {"M": {"type": "object", "properties": {"role": {"type": "string"}, "content": {"type": "string"}}}},
    "type": "object",
    "properties": {"messages": {"type": "array", "items": {"$ref": "#/$defs/M"}}},
}
_HANDLERS: list[Any] = [
    {"action": "fail"},
    {"action": "retry", "maxRetries": 1},
    {"action": "useDefault", "defaultValue": {"messages": [{"role": "user", "content": "d"}]}},
    {"action": "useDefault"},
]


class Generated(NamedTuple):
    """The text of a generated flow."""

    kind: str
    """`valid`, `token` (with a changed token), or `part` (with an odd value in place of another)."""
    text: str


def generated(number: int, seed: int) -> Iterator[Generated]:
    """Yield valid flows, flows with a changed token, and flows with an odd part, in equal numbers."""
    chance = random.Random(seed)
    for index in range(number):
        flow = _Maker(chance).flow()
        match index % 3:
            case 0:
                yield Generated("valid", _text(flow))
            case 1:
                yield Generated("token", next(iter(mutated([_text(flow)], 1, chance.randrange(2**30)))))
            case _:
                yield Generated("part", _text(with_odd_part(flow, chance)))


def _text(flow: Any) -> str:
    return str(yaml.safe_dump(flow, sort_keys=False))


def _step(name: str, component: str, step_input: Any) -> dict[str, Any]:
    # The step always runs, so that no condition stalls on it.
    return {"id": name, "component": f"/builtin/{component}", "input": step_input, "mustExecute": True}


class _Maker:
    """Generates one flow. Its output reads all steps, so the flow fails if any step does."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.messages: list[str] = []
        """The steps that output messages, which later steps may read."""
        self.others: list[str] = []
        self.is_inner = False

    def flow(self) -> dict[str, Any]:
        chance = self.chance
        steps = [step for index in range(chance.randint(1, 4)) for step in self.steps(f"s{index}")]
        result: dict[str, Any] = {"name": "f", "description": "d", "steps": steps}
        result["schemas"] = {
            "$defs": _DEFS,
            "properties": {"input": _INPUT_SCHEMA, "variables": chance.choice(_VARIABLES)},
        }
        if chance.random() < 0.3 and self.messages:
            result["schemas"]["properties"]["steps"] = {"properties": {self.messages[0]: _MESSAGES}}
        if chance.random() < 0.3:
            result["test"] = chance.choice([None, {"cases": []}, {"cases": [{"name": "c", "input": INPUT}]}])
        if chance.random() < 0.2:
            result |= {"metadata": {"k": [1, None]}, "version": "1.0", "examples": [{"name": "e", "input": INPUT}]}
        result["output"] = self.output()
        return result

    def inner(self, *, is_turn: bool = False, is_checked: bool = False) -> dict[str, Any]:
        """Return a sub-flow with a string as input. Its steps are in random order unless servers check them."""
        maker = _Maker(self.chance)
        maker.is_inner = True
        steps = [maker.message(f"i{index}") for index in range(self.chance.randint(0, 3))]
        output = maker.output()
        if is_turn:
            output = self.chance.choice([{"result": output}, {"$if": True, "then": {"result": output}}])
        if not is_checked:
            self.chance.shuffle(steps)
        return {"name": "g", "description": "d", "steps": steps, "output": output}

    def steps(self, name: str) -> list[dict[str, Any]]:
        """Return a step with a random builtin component, preceded by the steps that it needs."""
        before: list[dict[str, Any]] = []
        match self.chance.randrange(8):
            case 0:
                step_input: Any = {"data": self.value(), "blob_type": "data"}
                component = "put_blob"
            case 1:
                component, step_input = "map", {"items": self.items(), "workflow": {"$literal": self.inner()}}
            case 2:
                component = "iterate"
                step_input = {"initial_input": self.text(), "flow": {"$literal": self.inner(is_turn=True)}}
            case 3:
                stored = {"data": {"$literal": self.inner(is_checked=True)}, "blob_type": "flow"}
                before = [_step(f"{name}_flow", "put_blob", stored)]
                component = "eval"
                step_input = {"flow_id": {"$step": f"{name}_flow", "path": "$.blob_id"}, "input": self.text()}
            case 4:
                component, step_input = "map", {"items": self.items(), "workflow": self.unescaped()}
            case _:
                return [self.message(name)]
        self.others.append(name)
        return [*before, _step(name, component, step_input)]

    def message(self, name: str) -> dict[str, Any]:
        """Return a step that outputs messages."""
        result = _step(name, "create_messages", {"user_prompt": self.text()})
        if self.chance.random() < 0.3:
            result["input"]["system_instructions"] = self.text()
        if self.chance.random() < 0.3:
            result["onError"] = self.chance.choice(_HANDLERS)
        if self.chance.random() < 0.1:
            result["metadata"] = {"x": 1}
        self.messages.append(name)
        return result

    def unescaped(self) -> dict[str, Any]:
        """Return a sub-flow into which the outer flow inserts a variable."""
        step_input = {"user_prompt": {"$literal": {"$input": "$"}}, "system_instructions": {"$variable": "t"}}
        step = {"id": "x", "component": "/builtin/create_messages", "input": step_input}
        return {"name": "g", "description": "d", "steps": [step], "output": {"$literal": {"$step": "x"}}}

    def items(self) -> Any:
        return self.chance.choice([[self.text(), self.text()], {"$input": "$.l"}])

    def text(self, depth: int = 0) -> Any:
        """Return an expression whose value is a string."""
        # Servers do not wait for steps in a default.
        constants = [
            "x",
            "costs $5, {{ y }}",
            {"$literal": "l"},
            {"$variable": "absent", "default": {"$coalesce": ["d"]}},
        ]
        references = [
            {"$input": path} for path in (["$", None, ""] if self.is_inner else ["n", "$.n", "$.o.k", "$.l[0]"])
        ]
        references += [{"$step": each, "path": "$.messages[0].content"} for each in self.messages]
        references += [] if self.is_inner else [{"$variable": "t"}, {"$variable": "$.t"}]
        if depth < 2 and self.chance.random() < 0.3:
            inner = self.text(depth + 1)
            return self.chance.choice([
                {"$if": self.condition(), "then": inner, "else": self.text(depth + 1)},
                {"$coalesce": [None, inner]},
                {"$coalesce": [inner, "unused"]},
            ])  # fmt: skip
        return self.chance.choice(constants + references)

    def condition(self) -> Any:
        conditions: list[Any] = [True, False, None, {"$literal": 0}, {"$input": "$"}]
        conditions += [{"$step": each} for each in self.messages]
        return self.chance.choice(
            conditions if self.is_inner else [*conditions, {"$input": "$.none"}, {"$input": "$.flag"}]
        )

    def value(self, depth: int = 0) -> Any:
        match self.chance.randrange(6 if depth < 3 else 3):
            case 0:
                return self.text()
            case 1:
                return {"$step": self.chance.choice(self.others)} if self.others else 1.5
            case 2:
                return self.chance.choice([1, None, True, "t", {}, [], {"step": "x", "y": 1}, {"$ref": "#/x"}])
            case 3:
                return [self.value(depth + 1) for _ in range(self.chance.randint(0, 3))]
            case 4:
                return {name: self.value(depth + 1) for name in ("a", "b.c", "d e")[: self.chance.randint(0, 3)]}
            case _:
                return {"$coalesce": [self.value(depth + 1), self.value(depth + 1)]}

    def output(self) -> Any:
        result: Any = {"value": self.value()}
        result |= {f"of {each}": {"$step": each} for each in [*self.messages, *self.others]}
        return self.chance.choice([result, [result], {"$if": self.condition(), "then": result, "else": result}])


_UNSET: list[Any] = [
    {"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": ["string", "null"]}, {"type": "object"},
    {"type": "array"}, {}, {"enum": ["a", "b"]}, {"type": "string", "enum": ["a"]}, {"$ref": "#/$defs/T"},
    {"$ref": "#/$defs/T", "default": "d"}, {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, {"oneOf": [{"type": "string"}]},
    {"type": ["string", "integer"]}, {"type": "null"}, {"allOf": [{"type": "string"}]},
    {"type": "string", "default": "d"},
]  # fmt: skip
"""Schemas of variables that the runs do not set."""


def declared(number: int, seed: int) -> Iterator[Generated]:
    """Yield flows with variables, optional inputs, sub-flows, limits and conditions; their runs set no variable."""
    chance = random.Random(seed)
    for _ in range(number):
        yield Generated("declared", _text(_Declared(chance).flow()))


class _Declared:
    """Generates one flow. About half of its parts fail for a reason that the text of the flow shows."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.variables: dict[str, Any] = {}
        self.steps: list[dict[str, Any]] = []

    def flow(self) -> dict[str, Any]:
        """Return a flow whose output reads all parts."""
        parts = self.chance.choices([self.variable, self.field, self.limited, self.inner, self.stored], k=2)
        output = {f"p{index}": part() for index, part in enumerate(parts)}
        properties = {"input": {"type": "object", "properties": {"n": {}, "o": {}, "l": {}, "a": {"default": 1}},
                                "required": ["n", "o", "l"]},
                      "variables": {"type": "object", "properties": self.variables}}  # fmt: skip
        schemas = {"$defs": {"T": {"type": "string"}}, "properties": properties}
        return {"name": "f", "description": "d", "schemas": schemas, "steps": self.steps, "output": output}

    def step(self, component: str, step_input: Any) -> dict[str, Any]:
        """Add a step and return a reference to it."""
        name = f"s{len(self.steps)}"
        self.steps.append(_step(name, component, step_input))
        return {"$step": name}

    def around(self, reference: dict[str, Any]) -> Any:
        """Return an expression around a reference that may fail."""
        return self.chance.choice([
            reference,
            [reference],
            {"$if": reference, "then": reference, "else": 1},
            {"$if": {"$input": "$.nowhere"}, "then": reference, "else": 2},
            {"$coalesce": [reference, 3]},
            {"$coalesce": [4, reference]},
        ])  # fmt: skip

    def variable(self) -> Any:
        name = f"v{len(self.variables)}"
        self.variables[name] = self.chance.choice(_UNSET)
        reference = {"$variable": self.chance.choice([name, f"$.{name}"])}
        return self.around(self.chance.choice([reference, reference | {"default": "x"}]))

    def field(self) -> Any:
        path = self.chance.choice(["n", "$.o.k", "o.k", "l[0]", "$.l[1]", "$.a"])
        return self.around({"$input": path})

    def limited(self) -> Any:
        limit = self.chance.choice([0, 1, 7, 2**32 - 1, 2**32, -1, "3", "yes", True, None, [], {"$input": "$.l"}])
        flow = {"$literal": {"steps": [], "output": {"result": 1}}}
        match self.chance.randrange(3):
            case 0:
                return self.step("iterate", {"initial_input": 1, "max_iterations": limit, "flow": flow})
            case 1:
                return self.step("map", {"items": [1], "max_concurrency": limit, "workflow": flow})
            case _:
                return self.step("sleep", {"duration_ms": limit if limit in (0, 1, 7, -1, "3", "yes") else True})

    def inner(self) -> Any:
        """Return a reference to the output of a sub-flow that reads a variable."""
        self.variables.setdefault("outer", {"type": "string", "default": "d"})
        reference = self.chance.choice(
            [{"$variable": "outer"}, {"$variable": "outer", "default": "x"}, {"$input": "$"}]
        )
        flow: dict[str, Any] = {"steps": [], "output": {"result": self.around(reference)}}
        schema = self.chance.choice([None, {"outer": self.chance.choice(_UNSET[:9])}])
        if schema is not None:
            flow["schemas"] = {"properties": {"variables": {"type": "object", "properties": schema}}}
        if self.chance.random() < 0.2:
            passed = {"properties": {"variables": {"properties": {"outer": {"default": {"$variable": "outer"}}}}}}
            flow = {"schemas": passed, "steps": {"$literal": []}, "output": {"$literal": flow["output"]}}
        else:
            flow = {"$literal": flow}
        if self.chance.random() < 0.5:
            return self.step("iterate", {"initial_input": 1, "flow": flow})
        return self.step("map", {"items": [1, 2], "workflow": flow})

    def stored(self) -> Any:
        """Return a reference to the output of a stored sub-flow."""
        self.variables.setdefault("outer", {"type": "string", "default": "d"})
        reference = self.around(self.chance.choice([{"$variable": "outer"}, {"$variable": "outer", "default": "x"}]))
        flow = {"name": "g", "description": "d", "steps": [], "output": reference}
        blob = self.step("put_blob", {"blob_type": "flow", "data": {"$literal": flow}})
        return self.step("eval", {"flow_id": {**blob, "path": "$.blob_id"}, "input": 1})
