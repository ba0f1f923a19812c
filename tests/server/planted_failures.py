"""Flows with one planted failure each, and the expected explanation of their runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MESSAGES = "/builtin/create_messages"
CONTENT = "$.messages[0].content"


@dataclass(frozen=True)
class Planted:
    """A flow that fails, or one of whose steps fails."""

    steps: list[dict[str, Any]]
    output: Any
    cause: str | None
    """The step that fails first and makes the item fail."""
    not_run: Mapping[str, str | None] = field(default_factory=dict)
    failed: tuple[str, ...] = ()
    """The steps that fail themselves, if there are others than the cause."""
    not_needed: tuple[str, ...] = ()
    kind: str | None = "step"
    failed_children: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    is_batch: bool = False
    """Whether the flow runs on three inputs, the second of which fails."""
    rejected_field: str | None = None
    """The input field that the component of the cause rejects."""

    def state_of(self, step: str) -> str:
        """Return the expected state of a step."""
        if step in self.not_run:
            return "not_run"
        if step in self.not_needed:
            return "not_needed"
        return "failed" if step in (self.failed or (self.cause,)) else "completed"


def good(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "component": MESSAGES, "input": {"user_prompt": "hello"}, **more}


def bad(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "component": MESSAGES, "input": {"user_prompt": 5}, **more}


def reads(name: str, source: str, path: str = CONTENT, **more: Any) -> dict[str, Any]:
    return {"id": name, "component": MESSAGES, "input": {"user_prompt": {"$step": source, "path": path}}, **more}


def joins(name: str, *sources: str) -> dict[str, Any]:
    """Return a step that reads the outputs of other steps."""
    value = {source: {"$step": source} for source in sources}
    return {"id": name, "component": "/builtin/put_blob", "input": {"data": value, "blob_type": "data"}}


def takes(name: str, value: Any, **more: Any) -> dict[str, Any]:
    return {"id": name, "component": MESSAGES, "input": {"user_prompt": value}, **more}


def step(name: str, path: str | None = None) -> dict[str, Any]:
    return {"$step": name} if path is None else {"$step": name, "path": path}


INNER = {"steps": [takes("inner", {"$input": "$"})], "output": step("inner")}
TURN = {"steps": [takes("inner", {"$input": "$"})], "output": {"result": step("inner")}}


def maps(name: str, items: list[Any]) -> dict[str, Any]:
    return {"id": name, "component": "/builtin/map", "input": {"items": items, "workflow": {"$literal": INNER}}}


def iterates(name: str, value: Any) -> dict[str, Any]:
    return {
        "id": name,
        "component": "/builtin/iterate",
        "input": {"initial_input": value, "flow": {"$literal": TURN}},
    }


def evaluates(name: str, stored: str, value: Any) -> dict[str, Any]:
    flow = {"flow_id": {"$step": stored, "path": "$.blob_id"}, "input": value}
    return {"id": name, "component": "/builtin/eval", "input": flow}


def stores(name: str) -> dict[str, Any]:
    data = {"data": {"$literal": INNER}, "blob_type": "flow"}
    return {"id": name, "component": "/builtin/put_blob", "input": data}


PLANTED: dict[str, Planted] = {
    "chain": Planted(
        [good("a"), bad("b"), reads("c", "b"), reads("d", "c")],
        [step("a"), step("d")],
        cause="b",
        not_run={"c": "b", "d": "b"},
        rejected_field="$.user_prompt",
    ),
    "fan-out": Planted(
        [bad("a"), *(reads(f"r{number}", "a") for number in range(12)), good("z")],
        [step("z"), *(step(f"r{number}") for number in range(12))],
        cause="a",
        not_run={f"r{number}": "a" for number in range(12)},
    ),
    "diamond": Planted(
        [good("a"), reads("left", "a"), reads("right", "a", "$.nope"), joins("join", "left", "right")],
        step("join"),
        cause="right",
        not_run={"join": "right"},
    ),
    "two independent failures": Planted(
        [bad("a"), bad("b"), reads("c", "a"), reads("d", "b")],
        [step("d"), step("c")],
        cause="b",
        failed=("a", "b"),
        not_run={"c": "a", "d": "b"},
    ),
    "same message twice": Planted(
        [takes("a", {"$input": "$.nope"}, mustExecute=True), takes("b", {"$input": "$.nope"}), reads("c", "b")],
        step("c"),
        cause="b",
        failed=("a", "b"),
        not_run={"c": "b"},
    ),
    "map that reads a failure": Planted(
        [bad("a"), maps("m", ["x", "y"]) | {"input": {"items": step("a"), "workflow": {"$literal": INNER}}}],
        step("m"),
        cause="a",
        not_run={"m": "a"},
    ),
    "map with failed items": Planted(
        [maps("m", ["x", 5, "y", 6])],
        step("m"),
        cause=None,
        kind=None,
        failed_children={"m": (1, 3)},
    ),
    "reader of a failed map item": Planted(
        [maps("m", ["x", 5]), reads("r", "m", "$.results[1].result.messages[0].content"), reads("s", "r")],
        step("s"),
        cause="r",
        not_run={"s": "r"},
        failed_children={"m": (1,)},
    ),
    "iterate": Planted(
        [iterates("turns", 5), reads("r", "turns", "$.result.messages[0].content")],
        step("r"),
        cause="turns",
        not_run={"r": "turns"},
    ),
    "iterate with the name of another step": Planted(
        [good("inner"), iterates("turns", 5), joins("r", "inner", "turns")],
        step("r"),
        cause="turns",
        not_run={"r": "turns"},
    ),
    "eval": Planted(
        [stores("stored"), evaluates("run", "stored", 5), reads("r", "run", "$.result.result.messages[0].content")],
        step("r"),
        cause="r",
        failed_children={"run": (0,)},
    ),
    "default that a reader cannot use": Planted(
        [
            bad("a", onError={"action": "useDefault", "defaultValue": {"messages": []}}),
            reads("b", "a"),
            reads("c", "b"),
        ],
        step("c"),
        cause="b",
        not_run={"c": "b"},
    ),
    "default does not catch what a step reads": Planted(
        [bad("a"), reads("b", "a", onError={"action": "useDefault", "defaultValue": "x"}), reads("c", "b")],
        step("c"),
        cause="a",
        not_run={"b": "a", "c": "a"},
    ),
    "retry": Planted(
        [bad("a", onError={"action": "retry", "maxRetries": 0}), reads("b", "a")],
        step("b"),
        cause="a",
        not_run={"b": "a"},
    ),
    "mustExecute fails, the output does not read it": Planted(
        [bad("a", mustExecute=True), reads("x", "a", mustExecute=True), good("b")],
        step("b"),
        cause=None,
        kind=None,
        failed=("a",),
        not_run={"x": "a"},
    ),
    "mustExecute fails, the output fails otherwise": Planted(
        [bad("a", mustExecute=True), good("b")],
        step("b", "$.nope"),
        cause=None,
        kind="output",
        failed=("a",),
    ),
    "condition fails": Planted(
        [bad("a"), good("b")],
        {"$if": step("a"), "then": step("a"), "else": "no"},
        cause=None,
        kind=None,
        failed=("a",),
        not_needed=("b",),
    ),
    "then": Planted(
        [bad("a"), good("b")],
        {"$if": {"$input": "$.yes"}, "then": step("a"), "else": step("b")},
        cause="a",
        not_needed=("b",),
    ),
    "else": Planted(
        [good("a"), bad("b"), reads("c", "b")],
        {"$if": {"$input": "$.no"}, "then": step("a"), "else": step("c")},
        cause="b",
        not_run={"c": "b"},
        not_needed=("a",),
    ),
    "coalesce reaches a failure": Planted(
        [bad("a"), good("b")],
        {"$coalesce": [{"$input": "$.null"}, step("a"), step("b")]},
        cause="a",
        not_needed=("b",),
    ),
    "coalesce stops before a failure": Planted(
        [bad("a"), good("b")],
        {"$coalesce": [{"$input": "$.yes"}, step("a")]},
        cause=None,
        kind=None,
        not_needed=("a", "b"),
    ),
    "missing input path": Planted(
        [takes("a", {"$input": "$.nope"}), reads("b", "a")],
        step("b"),
        cause="a",
        not_run={"b": "a"},
    ),
    "undefined variable": Planted(
        [takes("a", {"$variable": "nope"}), reads("b", "a")],
        step("b"),
        cause="a",
        not_run={"b": "a"},
    ),
    "no route": Planted(
        [good("a"), {"id": "b", "component": "/nowhere/x", "input": step("a")}, reads("c", "b")],
        step("c"),
        cause="b",
        not_run={"c": "b"},
    ),
    "unknown component": Planted(
        [good("a"), {"id": "b", "component": "/builtin/nope", "input": step("a")}, reads("c", "b")],
        step("c"),
        cause="b",
        not_run={"c": "b"},
    ),
    "conditional stall": Planted(
        [good("a"), good("t")],
        {"$if": step("a"), "then": step("t")},
        cause=None,
        kind="stall",
        not_run={"t": None},
    ),
    "output expression": Planted([good("a")], [step("a"), step("a", "$.nope")], cause=None, kind="output"),
    "output reads a missing input": Planted([good("a")], [step("a"), {"$input": "$.nope"}], cause=None, kind="output"),
    "batch": Planted(
        [takes("a", {"$input": "$.prompt"}), reads("b", "a"), good("c")],
        [step("b"), step("c")],
        cause="a",
        not_run={"b": "a"},
        is_batch=True,
        rejected_field="$.user_prompt",
    ),
}
INPUT = {"yes": True, "no": False, "null": None}
BATCH = [{"prompt": "x"}, {"prompt": 5}, {"prompt": "y"}]
