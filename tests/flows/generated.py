"""Random flows of every construct, random changes to them, and flows with what they declare."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from tests.flows.mutations import mutated, with_odd_part

__all__ = ["GIVEN", "VARIABLES", "Generated", "declared", "generated"]

GIVEN = {"n": "N", "o": {"k": "K"}, "l": ["L", "M"], "flag": True, "none": None}
"""The input of the generated flows."""
VARIABLES = {"t": "T"}
"""Their variables."""

_INPUT = {
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
    """A text of a flow."""

    kind: str
    """`valid`, `token` for a changed token, `part` for an odd value in place of another."""
    text: str


def generated(number: int, seed: int) -> Iterator[Generated]:
    """Yield a third of valid flows, a third with a token changed, and a third with a part that is something odd."""
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


def _step(name: str, component: str, given: Any) -> dict[str, Any]:
    # It always runs, so that no condition waits for it.
    return {"id": name, "component": f"/builtin/{component}", "input": given, "mustExecute": True}


class _Maker:
    """Makes one flow. Its output reads all steps, so that it fails if one of them does."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.messages: list[str] = []
        """The steps with messages, which later ones may read."""
        self.others: list[str] = []
        self.is_inner = False

    def flow(self) -> dict[str, Any]:
        """Return a flow."""
        chance = self.chance
        steps = [step for index in range(chance.randint(1, 4)) for step in self.steps(f"s{index}")]
        made: dict[str, Any] = {"name": "f", "description": "d", "steps": steps}
        made["schemas"] = {"$defs": _DEFS, "properties": {"input": _INPUT, "variables": chance.choice(_VARIABLES)}}
        if chance.random() < 0.3 and self.messages:
            made["schemas"]["properties"]["steps"] = {"properties": {self.messages[0]: _MESSAGES}}
        if chance.random() < 0.3:
            made["test"] = chance.choice([None, {"cases": []}, {"cases": [{"name": "c", "input": GIVEN}]}])
        if chance.random() < 0.2:
            made |= {"metadata": {"k": [1, None]}, "version": "1.0", "examples": [{"name": "e", "input": GIVEN}]}
        made["output"] = self.output()
        return made

    def inner(self, *, is_turn: bool = False, is_checked: bool = False) -> dict[str, Any]:
        """Return a sub-flow, whose steps may be in any order unless servers check it; its input is a text."""
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
        """Return a step with any builtin component, with those that it needs before it."""
        before: list[dict[str, Any]] = []
        match self.chance.randrange(8):
            case 0:
                given: Any = {"data": self.value(), "blob_type": "data"}
                component = "put_blob"
            case 1:
                component, given = "map", {"items": self.items(), "workflow": {"$literal": self.inner()}}
            case 2:
                component = "iterate"
                given = {"initial_input": self.words(), "flow": {"$literal": self.inner(is_turn=True)}}
            case 3:
                stored = {"data": {"$literal": self.inner(is_checked=True)}, "blob_type": "flow"}
                before = [_step(f"{name}_flow", "put_blob", stored)]
                component = "eval"
                given = {"flow_id": {"$step": f"{name}_flow", "path": "$.blob_id"}, "input": self.words()}
            case 4:
                component, given = "map", {"items": self.items(), "workflow": self.opened()}
            case _:
                return [self.message(name)]
        self.others.append(name)
        return [*before, _step(name, component, given)]

    def message(self, name: str) -> dict[str, Any]:
        """Return a step that makes messages."""
        made = _step(name, "create_messages", {"user_prompt": self.words()})
        if self.chance.random() < 0.3:
            made["input"]["system_instructions"] = self.words()
        if self.chance.random() < 0.3:
            made["onError"] = self.chance.choice(_HANDLERS)
        if self.chance.random() < 0.1:
            made["metadata"] = {"x": 1}
        self.messages.append(name)
        return made

    def opened(self) -> dict[str, Any]:
        """Return a sub-flow to which a variable of the outer flow is handed."""
        given = {"user_prompt": {"$literal": {"$input": "$"}}, "system_instructions": {"$variable": "t"}}
        step = {"id": "x", "component": "/builtin/create_messages", "input": given}
        return {"name": "g", "description": "d", "steps": [step], "output": {"$literal": {"$step": "x"}}}

    def items(self) -> Any:
        return self.chance.choice([[self.words(), self.words()], {"$input": "$.l"}])

    def words(self, depth: int = 0) -> Any:
        """Return an expression that gives a text."""
        # No step waits for one in a default.
        plain = ["x", "costs $5, {{ y }}", {"$literal": "l"}, {"$variable": "absent", "default": {"$coalesce": ["d"]}}]
        read = [{"$input": path} for path in (["$", None, ""] if self.is_inner else ["n", "$.n", "$.o.k", "$.l[0]"])]
        read += [{"$step": each, "path": "$.messages[0].content"} for each in self.messages]
        read += [] if self.is_inner else [{"$variable": "t"}, {"$variable": "$.t"}]
        if depth < 2 and self.chance.random() < 0.3:
            inner = self.words(depth + 1)
            return self.chance.choice([
                {"$if": self.condition(), "then": inner, "else": self.words(depth + 1)},
                {"$coalesce": [None, inner]},
                {"$coalesce": [inner, "unused"]},
            ])  # fmt: skip
        return self.chance.choice(plain + read)

    def condition(self) -> Any:
        conditions: list[Any] = [True, False, None, {"$literal": 0}, {"$input": "$"}]
        conditions += [{"$step": each} for each in self.messages]
        return self.chance.choice(
            conditions if self.is_inner else [*conditions, {"$input": "$.none"}, {"$input": "$.flag"}]
        )

    def value(self, depth: int = 0) -> Any:
        """Return any expression."""
        match self.chance.randrange(6 if depth < 3 else 3):
            case 0:
                return self.words()
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
        made: Any = {"value": self.value()}
        made |= {f"of {each}": {"$step": each} for each in [*self.messages, *self.others]}
        return self.chance.choice([made, [made], {"$if": self.condition(), "then": made, "else": made}])


_UNSET: list[Any] = [
    {"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": ["string", "null"]}, {"type": "object"},
    {"type": "array"}, {}, {"enum": ["a", "b"]}, {"type": "string", "enum": ["a"]}, {"$ref": "#/$defs/T"},
    {"$ref": "#/$defs/T", "default": "d"}, {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, {"oneOf": [{"type": "string"}]},
    {"type": ["string", "integer"]}, {"type": "null"}, {"allOf": [{"type": "string"}]},
    {"type": "string", "default": "d"},
]  # fmt: skip
"""Schemas of variables that runs do not set."""


def declared(number: int, seed: int) -> Iterator[Generated]:
    """Yield flows with variables, optional inputs, sub-flows, limits and conditions; their runs set no variable."""
    chance = random.Random(seed)
    for _ in range(number):
        yield Generated("declared", _text(_Declared(chance).flow()))


class _Declared:
    """Makes one flow. About half of its parts fail for a reason that its text shows."""

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

    def step(self, component: str, given: Any) -> dict[str, Any]:
        """Add a step, and return the expression that reads it."""
        name = f"s{len(self.steps)}"
        self.steps.append(_step(name, component, given))
        return {"$step": name}

    def around(self, read: dict[str, Any]) -> Any:
        """Return an expression with a read that may fail."""
        return self.chance.choice([
            read,
            [read],
            {"$if": read, "then": read, "else": 1},
            {"$if": {"$input": "$.nowhere"}, "then": read, "else": 2},
            {"$coalesce": [read, 3]},
            {"$coalesce": [4, read]},
        ])  # fmt: skip

    def variable(self) -> Any:
        name = f"v{len(self.variables)}"
        self.variables[name] = self.chance.choice(_UNSET)
        read = {"$variable": self.chance.choice([name, f"$.{name}"])}
        return self.around(self.chance.choice([read, read | {"default": "x"}]))

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
        """Return a read of the output of a sub-flow that reads a variable."""
        self.variables.setdefault("outer", {"type": "string", "default": "d"})
        read = self.chance.choice([{"$variable": "outer"}, {"$variable": "outer", "default": "x"}, {"$input": "$"}])
        flow: dict[str, Any] = {"steps": [], "output": {"result": self.around(read)}}
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
        """Return a read of the output of a stored sub-flow."""
        self.variables.setdefault("outer", {"type": "string", "default": "d"})
        read = self.around(self.chance.choice([{"$variable": "outer"}, {"$variable": "outer", "default": "x"}]))
        flow = {"name": "g", "description": "d", "steps": [], "output": read}
        blob = self.step("put_blob", {"blob_type": "flow", "data": {"$literal": flow}})
        return self.step("eval", {"flow_id": {**blob, "path": "$.blob_id"}, "input": 1})
