"""`stepflow convert`: flows between YAML, JSON and Python, and back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from stepflow_cli.codegen.canonical import canonical
from stepflow_cli.codegen.components import builtin_stubs, stubs_of
from stepflow_cli.codegen.conversion import convert_flow
from stepflow_cli.errors import Problem
from stepflow_client.flows.flow_argument import load_flow

from tests.cli.codegen_components import COMPONENTS
from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.flows.valid import VALID

ROOT = Path(__file__).parents[2]
STUBS = builtin_stubs() | stubs_of(COMPONENTS)

_ORDER = """\
# What people write.
name: price order
description: |-
  Prices an order.

  In two steps, with "quotes".
version: "2"
schemas:
  properties:
    input:
      type: object
      properties:
        sku: {type: string}
        to: {type: object, properties: {city: {type: string}}, required: [city]}
        others: {type: array, items: {type: string}}
        gift: {type: boolean}
      required: [sku, to, others, gift]
    output:
      type: object
      properties:
        total: {type: number}
        text: {type: string, description: What to say.}
      required: [total, text]
    variables:
      type: object
      properties:
        tone: {type: string, default: friendly, description: How to say it.}
        api-key: {type: string, is_secret: true, env_var: API_KEY}
      required: [api-key]
steps:
  - id: price
    component: /shop/price
    input:
      sku: {$input: $.sku}
      to: {$input: $.to}
    onError: {action: retry, maxRetries: 2}
  - id: first prompt
    component: /builtin/create_messages
    input:
      user_prompt: {$if: {$input: gift}, then: {$coalesce: [{$step: price, path: note}, none]}, else: {$step: price, path: "$.tags[0]"}}
      system_instructions: {$variable: tone}
    metadata: {shown: true}
  - id: others
    component: /builtin/map
    input:
      items: {$input: $.others}
      workflow:
        $literal:
          steps:
            - {id: price, component: /shop/price, input: {sku: {$input: $}}}
          output: {$step: price, path: $.eur}
      max_concurrency: 2
  - id: turns
    component: /builtin/iterate
    input:
      initial_input: {n: 1}
      flow:
        $literal:
          output: {result: {$input: $.n}}
  - id: kept
    component: /builtin/put_blob
    input: {data: {$literal: {$step: nothing}}, blob_type: data}
    mustExecute: true
    onError: {action: useDefault}
  - id: unknown
    component: /other/thing
    input: [{$variable: $.api-key}, {$step: "first prompt", path: "$.messages[0].content"}]
output:
  total: {$step: price, path: $.eur}
  text: {$if: {$step: others, path: "$.results[0].result"}, then: {$step: turns, path: result}, else: {$step: unknown, path: "$['a b'][0].c"}}
test:
  cases:
    - name: tea
      description: The usual.
      input: {sku: tea, to: {city: Rome}, others: [], gift: false}
      output: {outcome: success, result: {total: 3, text: none}}
    - name: broken
      input: {sku: 5}
      output: {outcome: failed, error: {code: COMPONENT_FAILED, message: none}}
examples:
  - name: coffee
    input: {sku: coffee, to: {city: Oslo}, others: [tea], gift: true}
metadata: {team: shop}
"""


@pytest.fixture
def order(stepflow: Stepflow) -> Stepflow:
    """A folder with a flow of every construct, and the components that it calls."""
    (stepflow.folder / "order.yaml").write_text(_ORDER)
    (stepflow.folder / "lock.json").write_text(json.dumps(COMPONENTS))
    (stepflow.folder / "stepflow.toml").write_text('components = "lock.json"\n')
    return stepflow


def test_to_python_and_back(order: Stepflow, golden: Golden) -> None:
    done = order("convert", "order.yaml", "--to", "python")
    (order.folder / "order.py").write_text(done.stdout)
    back = order("convert", "order.py:price_order", "--to", "yaml")
    golden(done, back)
    assert (done.code, done.stderr, back.code, back.stderr) == (0, "", 0, "")
    assert canonical(yaml.safe_load(back.stdout)) == canonical(yaml.safe_load(_ORDER))
    # The flow of what was written is written the same.
    (order.folder / "back.yaml").write_text(back.stdout)
    assert order("convert", "back.yaml", "--to", "python").stdout == done.stdout


def test_between_files(order: Stepflow) -> None:
    assert order("convert", "order.yaml", "-O", "order.json").code == 0
    assert json.loads((order.folder / "order.json").read_text()) == yaml.safe_load(_ORDER)
    assert order("convert", "order.json", "-O", "again.yaml").code == 0
    assert load_flow(order.folder / "again.yaml") == yaml.safe_load(_ORDER)
    assert order("convert", "-", "--to", "json", stdin=_ORDER).stdout == (order.folder / "order.json").read_text()
    assert order("convert", "order.yaml", "-O", "order.py").code == 0
    for source, file in (("order.yaml", "order.json"), ("order.yaml", "order.py"), ("order.json", "again.yaml")):
        done = order("convert", source, "-O", file, "--check")
        assert (done.code, done.stderr) == (0, f"stepflow: {file} is up to date\n")
    (order.folder / "order.json").write_text("{}")
    done = order("convert", "order.yaml", "-O", "order.json", "--check")
    assert (done.code, done.stdout) == (1, "")
    assert "hint: write it again: stepflow convert order.yaml --to json -O order.json\n" in done.stderr


@pytest.mark.exhaustive
def test_type_checkers_accept_what_is_written(order: Stepflow) -> None:
    assert order("convert", "order.yaml", "-O", "order.py").code == 0
    assert order("convert", str(ROOT / "examples" / "fan_out.yaml"), "-O", "fan_out.py").code == 0
    (order.folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard", "pythonVersion": "3.11"}')
    mypy = ["mypy", "--strict", "--python-version", "3.11", "order.py", "fan_out.py"]
    for command in (mypy, ["pyright", "--pythonpath", sys.executable], ["ruff", "check", "--isolated", "."]):
        done = subprocess.run([sys.executable, "-m", *command], cwd=order.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def _flow(*steps: Mapping[str, Any], output: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": "f", "steps": list(steps), "output": {"$input": "$"} if output is None else output, **more}


def _step(name: str, given: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": name, "component": "/a/b", "input": given, **more}


_SAME = {
    "names of Python": _flow(
        *(_step(name, {"a": 1}) for name in ("class", "flow", "list", "given", "a b", "1", "f", "b", "builtin", "日本")),
        output=[{"$step": name} for name in ("class", "flow", "list", "given", "a b", "1", "f", "b", "builtin", "日本")],
    ),
    "names that differ in case or spelling": _flow(
        _step("a-b"), _step("a_b"), _step("A_B"), output=[{"$step": "a-b"}, {"$step": "a_b"}, {"$step": "A_B"}]
    ),
    "names of arguments": _flow(_step("a", {"step": 1, "on_error": 2}), _step("b", {"x-y": 1, "class": 2})),
    "whole inputs": _flow(_step("a", {"$input": "$"}), _step("b", [1]), _step("c"), _step("d", "text"), _step("e", 0)),
    "nulls": _flow(_step("a", {"k": None, "l": [None]}), output=[None, {"$if": True, "then": None, "else": None}]),
    "data": _flow(_step("a", {"text": "a\n\"b\"'c'\\\t\x1b\u202e", "float": 1.5, "big": 2**53, "no": False})),
    "literals": _flow(_step("a", {"$literal": {"$input": "$"}}), output={"$literal": {"$literal": 1}}),
    "odd keys": _flow(_step("a", {"$x": 1, "": {"$steps": 2}}), output={"{{ x }}": "{$input: $.a}"}),
    "paths": _flow(output=[{"$input": path} for path in ("$.a.b[0]", "$['x y']", "$.class", "$.__x", "$[0]", "name", "")]),
    "no output": {"name": "f", "steps": [_step("a", {"b": 1}, mustExecute=True)]},
    "no input": _flow(output=1),
    "conditions": _flow(output={"$if": {"$if": {"$input": "a"}, "then": True}, "then": 1, "else": {"$coalesce": []}}),
    "a sub-flow that is data": _flow(
        {"id": "m", "component": "/builtin/map", "input": {"items": [], "workflow": {"$literal": {"name": "n", "output": 1}}}}
    ),
    "a sub-flow of sub-flows": _flow(
        {
            "id": "m",
            "component": "/builtin/map",
            "input": {
                "items": {"$input": "$"},
                "workflow": {
                    "$literal": {
                        "steps": [
                            {
                                "id": "m",
                                "component": "/builtin/map",
                                "input": {"items": {"$input": "$"}, "workflow": {"$literal": {"output": {"$input": "$.a"}}}},
                            }
                        ],
                        "output": {"$step": "m", "path": "$.results"},
                    }
                },
            },
        },
        output={"$step": "m"},
    ),
    "a default for a typed output": _flow(
        {"id": "p", "component": "/shop/price", "input": {"sku": "a"}, "onError": {"action": "useDefault", "defaultValue": {"eur": 1}}},
        output={"$step": "p", "path": "eur"},
    ),
    "more than a schema says": _flow(
        {"id": "p", "component": "/shop/price", "input": {"sku": "a", "more": 1}},
        output=[{"$step": "p", "path": "more"}, {"$input": "$.more"}],
        schemas={"properties": {"input": {"type": "object", "properties": {"sku": {"type": "string"}}}}},
    ),
    "the configuration of tests": _flow(test={"config": {"plugins": {}}, "cases": [{"name": "a", "input": None}]}),
    "a description that no docstring can be": _flow(description=" a\n   b\\\"\"\" "),
    "variables": _flow(
        output=[{"$variable": "$.o.k"}, {"$variable": "class", "default": {"$input": "$"}}],
        schemas={
            "properties": {
                "variables": {
                    "type": "object",
                    "properties": {"o": {"type": "object"}, "class": {"type": "integer", "minimum": 1}},
                    "required": ["o", "class"],
                }
            }
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", _SAME)
def test_python_gives_the_same_flow(name: str) -> None:
    assert convert_flow(_SAME[name], "f", STUBS).differences == []


_OTHER: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no name": ({"output": 1}, ["name is new"]),
    "an undeclared variable": (_flow(output={"$variable": "v"}), ["schemas is new"]),
    "a variable that is optional": (
        _flow(
            output={"$variable": "v"}, schemas={"properties": {"variables": {"properties": {"v": {"type": "string"}}}}}
        ),
        ["schemas.properties.variables.required is new"],
    ),
    "types of steps": (_flow(schemas={"properties": {"steps": {"properties": {}}}}), ["schemas is gone"]),
    "shared types": (
        _flow(schemas={"$defs": {"T": {"type": "string"}}, "properties": {"input": {"$ref": "#/$defs/T"}}}),
        ["schemas.$defs is gone"],
    ),
}


@pytest.mark.parametrize("name", _OTHER)
def test_where_python_gives_another_flow(name: str) -> None:
    flow, differences = _OTHER[name]
    assert convert_flow(flow, "f", STUBS).differences == differences


def test_what_servers_ignore_is_left_out() -> None:
    flow = _flow(
        {"id": "a", "component": "/builtin/noop", "skip": True, "onError": {"action": "fail", "else": 1}},
        output={"$step": "a", "default": 1},
        schema="https://stepflow.org/schemas/v1/flow.json",
        outputs=1,
        test={"servers": {}, "cases": [{"name": "a", "input": 1, "tags": ["b"]}]},
    )
    converted = convert_flow(flow, "f", STUBS)
    assert converted.ignored == [
        *("output.default", "outputs", "schema", "steps[0].onError.else", "steps[0].skip", "test.servers"),
    ]
    # Servers ignore tags too, but the command does not.
    assert converted.differences == ["test.cases[0].tags is gone"]


_NEVER = {
    "servers refuse $from": _flow(output={"$from": "a"}),
    "steps: steps is a list, not a number": {"name": "f", "steps": 5},
    "steps[0]: a step is a mapping, not a number": _flow(5),  # type: ignore[arg-type]
    "steps[0]: a step needs 'component'": _flow({"id": "a"}),
    "test: test is an object, not a number": _flow(test=5),
    "examples[0]: an example is a mapping, not a number": _flow(examples=[1]),
    "schemas: schemas is an object, not a list": _flow(schemas=[1]),
    "two steps have the id 'a'": _flow(_step("a"), _step("a"), output={"$step": "a"}),
    "step 'b' is read before it, or where it is not known": _flow(_step("a", {"$step": "b"}), _step("b")),
    "servers reject the path '$.a[*]'": _flow(output={"$input": "$.a[*]"}),
    "a condition is no expression, and neither true nor false": _flow(output={"$if": 0, "then": 1}),
    "a $coalesce is no list": _flow(output={"$coalesce": 1}),
    "there is no action 'skip'": _flow(_step("a", onError={"action": "skip"})),
    "the test case 'a' expects null": _flow(
        test={"cases": [{"name": "a", "input": 1, "output": {"outcome": "success", "result": None}}]}
    ),
}


@pytest.mark.parametrize("reason", _NEVER)
def test_what_cannot_be_written(reason: str) -> None:
    with pytest.raises(Problem) as raised:
        convert_flow(_NEVER[reason], "f", STUBS)
    assert raised.value.message == f"the flow cannot be written in Python: {reason}"


def test_valid_flows() -> None:
    """Nearly all flows that servers run are the same in Python; these differ, or cannot be written."""
    found: dict[str, int] = {}
    for flow, _ in VALID:
        try:
            outcome = ", ".join(convert_flow(flow, "f", STUBS).differences) or "same"
        except Problem as problem:
            outcome = problem.message.removeprefix("the flow cannot be written in Python: ")
        found[outcome] = found.get(outcome, 0) + 1
    same = found.pop("same")
    assert (same, len(VALID) - same) == (len(VALID) - sum(found.values()), sum(found.values()))
    assert found == _NOT_THE_SAME


_NOT_THE_SAME = {
    "a condition is no expression, and neither true nor false": 1,
    "name is new": 2,
    "schemas is gone": 1,
    "schemas is new": 2,
    "schemas.$defs is gone": 1,
    "schemas.properties.variables.required[0], schemas.properties.variables.required[1] is new, "
    "schemas.properties.variables.required[2] is new": 1,
}


def test_wrong_calls(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "odd.yaml").write_text("{name: f, outputs: 1, output: {$from: a}}\n")
    (stepflow.folder / "more.yaml").write_text("{name: f, outputs: 1, output: 1}\n")
    (stepflow.folder / "nameless.yaml").write_text("output: 1\n")
    (stepflow.folder / "flows.py").write_text("flow = {'name': 'f', 'output': 1}\n")
    words: list[list[str]] = [
        ["no.yaml"],
        ["flows.py"],
        ["flows:flwo"],
        ["odd.yaml", "--to", "python"],
        ["more.yaml", "-O", "more.py"],
        ["nameless.yaml", "-O", "nameless.py"],
        ["hello.yaml", "--to", "toml"],
        ["hello.yaml", "--check"],
        ["hello.yaml", "--to", "json", "--components", "lock.json"],
        ["flows:flow", "--to", "json"],
    ]
    golden(*(stepflow("convert", *each) for each in words))
