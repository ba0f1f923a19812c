"""A flow that is read again after each edit has the tree and the findings of one that is read for the first time."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from stepflow_client import FlowFileError
from stepflow_client.flows.checker import find_in
from stepflow_client.flows.file import parse_yaml
from stepflow_client.flows.known_steps import KnownStep, KnownSteps, facts_of
from stepflow_client.flows.source import FlowText, Node

FLOW = """\
name: x  # c
description: "a
  steps: b"
schemas:
  properties:
    input: {type: object, properties: {q: {type: string}}}
    variables: {type: object, properties: {v: {type: string}}}
steps:
  # first
  - id: a
    component: /builtin/create_messages
    input: {user_prompt: {$input: $.q}, "system_instructions": "b"}

  - id: b
    component: /builtin/noop
    input:
      text: |
        - id: x
          ** foo **
        # no comment

      keep: |+
        abc

  # comment
  - id: c
    component: /builtin/noop
    input:
      q: "multi
        line: #"
      p: {$step: a, path: "$.messages[0].content"}
      e:
  - id: d
    component: /builtin/put_blob
    input: {data: {$step: c, path: $.q}, blob_type: data}
    onError: {action: useDefault, defaultValue: {blob_id: x}}
  -
    id: e
    component: /builtin/map
    input:
      items: [1, {$step: b, path: $.text}]
      workflow: {$literal: {steps: [{id: a, component: /builtin/noop, input: {$input: $}}], output: {$step: a}}}
  - id: f
    component: &same /builtin/noop
    input: {$if: {$step: a}, then: {$step: d, path: $.blob_id}, else: {$variable: v}}
  - {id: g, component: /builtin/noop, input: {
      step: c } }
output:
  a: {$step: g}
  b: {$step: e, path: "$.results[0]"}
  c: {$step: f}
test:
  cases: [{name: t, input: {q: ""}, output: {outcome: success}}]
"""
FLOWS = (
    FLOW, FLOW.replace("- {id: g, component: /builtin", "- {id: g, component: *same #"), FLOW.replace("\n  ", "\n"),
    FLOW.replace("\n", "\r\n"), FLOW.replace("name: x", "name: &same x"), FLOW.replace('"multi', '"multi\n- id: h'),
)  # fmt: skip
VALUE = parse_yaml(FLOW)
JSON_FLOWS = (
    json.dumps(VALUE, indent=2), json.dumps(VALUE, indent="\t").replace("\n", "\r\n"), json.dumps(VALUE),
    json.dumps({"output": 1, **VALUE, "name": "\N{ROCKET}"}, indent=4),
)  # fmt: skip
JSON_PIECES = (
    '"', ",", ":", "{", "}", "[", "]", "null, ", '"steps": [', "NaN", "1e999", "0", "\n", "\r", "\t", "\\ud83d",
    "\u2028", '"id": "c", ', ' "x": 1, ', "{}, ",
)  # fmt: skip
PIECES = (
    "\n", "  ", "- ", ": ", "{", "}", "[", "]", '"', "'", "#", "&same ", "*same", "\t", "\r\n", "\r", "|", "|+\n",
    ">-\n", "steps:\n", "<<: *same\n", "  - id: new\n", "  - ", "  -\n", "- id: z\n", "    component: /builtin/noop\n",
    "{$step: c}", "\N{ROCKET}", "\u00fc", "output: ", "\N{LINE SEPARATOR}", "\x85", "\x00", "---\n", "...\n",
    "%YAML 1.2\n", " #x\n", "\n\n", "!!int x", "!foo ", "    id: twice\n", ".nan", "? a\n", "\ufeff",
)  # fmt: skip
HARMLESS = (
    "x",
    "a b",
    "1",
    " # x\n",
    "\n\n",
    "    metadata: {}\n",
    "  - {id: c, component: /builtin/noop}\n",
    "e",
    "$.",
)


def tree(node: Node) -> Any:
    """Return all that a tree consists of."""
    return (
        repr(node.value), node.line, node.column, node.start, node.end, node.last, node.is_flow, node.path,
        [*node.keys.items()], [(key, tree(each)) for key, each in node.items.items()],
        [tree(each) for each in node.elements], [(key, tree(each)) for key, each in node.merges],
        node.original and node.original.path, [*node.written] if node.keys else [],
    )  # fmt: skip


def state(flow: FlowText) -> Any:
    findings = [find_in(flow, type_check=each) for each in (False, True)]
    try:
        return tree(flow.root), findings
    except FlowFileError as error:
        return error.message, error.line, error.column, error.hint, findings


def edited(source: random.Random, text: str, pieces: tuple[str, ...]) -> str:
    start = source.randrange(len(text) + 1)
    end = min(len(text), start + source.choice((0, 0, 0, 1, 5, 40)))
    new = source.choice(pieces) if source.random() < 0.8 else text[end : end + source.randrange(60)]
    return text[:start] + new + text[end:]


def check_edits(seed: int, number: int, name: str) -> tuple[int, int]:
    """Edit flows, compare after each edit, and return how often steps were known, and how often a text was invalid."""
    source, steps, is_json = random.Random(seed), KnownSteps(), name != "flow.yaml"
    flows, harmful, harmless = (
        (JSON_FLOWS, JSON_PIECES, (" ", "  ", "\n", "")) if is_json else (FLOWS, PIECES, HARMLESS)
    )
    text, known, wrong = flows[0], 0, 0
    for _ in range(number):
        before = source.choice(flows) if source.random() < 0.6 else text
        text = edited(source, before, harmful if source.random() < (0.5 if seed % 2 else 0.1) else harmless)
        flow = FlowText(text, name, steps.read)
        assert state(flow) == state(FlowText(text, name)), text
        wrong += flow.error is not None
        listed = flow.root.get("steps") if flow.error is None else None
        known += any(isinstance(each, KnownStep) for each in (listed.elements if listed is not None else ()))
    return known, wrong


STEPS = "".join(f"  - id: s{n}\n    component: /builtin/noop\n    input: {{x: {n}}}\n" for n in range(6))
TYPED = """\
steps:
  - id: one
    component: /builtin/noop
    input: {text: "1"}
  - id: two
    component: /builtin/create_messages
    input: {user_prompt: {$step: one, path: $.text}}
  - id: data
    component: /builtin/noop
    input: {step: two}
  - id: last
    component: /builtin/noop
    input: {$step: data}
output: [{$step: two}, {$step: last}]
"""
EDITS = {
    "an id in data without a keyword": (TYPED, "id: two", "id: second"),
    "a type that another step reads": (TYPED, '"1"', "1"),
    "the schema of a step": (
        TYPED,
        "steps:\n",
        "schemas: {properties: {steps: {properties: {one: {type: integer}}}}}\nsteps:\n",
    ),
    "a quote that a step closes": (
        f"steps:\n{STEPS}".replace("0}", '0} # "').replace("4}", "4"),
        "steps:",
        'a: "a\nsteps:',
    ),
    "an alias of an anchor in a step": (f"steps:\n{STEPS}", "{x: 0}", "&a {x: 0}\n  - *a"),
    "an alias in a step": (f"steps:\n{STEPS}", "{x: 1}", "[&a 1, *a]"),
    "an alias in the last step": (f"steps:\n{STEPS}", "{x: 5}", "[&a 1, *a]"),
    "a fault below an alias": (f"steps:\n{STEPS}".replace("0}", "&a 0}").replace("4}", "*a}"), "x: 5}", "x: 5"),
    "two faults below a star": (
        f"steps:\n{STEPS}".replace("0}", "'*'}").replace("4}", "!!int a}"),
        "x: 5",
        "x: 5, x: 6",
    ),
    "the list ends": (f"steps:\n{STEPS}output: 1\n", "  - id: s4", "more: 1\n  - id: s4"),
    "the list begins": (f"steps:\n{STEPS}output: 1\n", "steps:\n", "steps:\n  x: 1\n"),
    "another key": (f"steps:\n{STEPS}output: 1\n", "output", "steps: []\noutput"),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edit(case: str) -> None:
    before, old, new = EDITS[case]
    assert old in before
    steps = KnownSteps()
    for text in (before, before.replace(old, new), before):
        assert state(FlowText(text, "flow.yaml", steps.read)) == state(FlowText(text, "flow.yaml"))


def test_only_the_edited_step_is_read_and_checked_again() -> None:
    steps = KnownSteps()
    text = f"steps:\n{STEPS}output: {{$step: s5}}\n"
    before, after = (
        [facts_of(each) for each in steps.read(one, "flow.yaml").items["steps"].elements]
        for one in (text, text.replace("x: 2", "xyz: 2"))
    )
    is_same = [one is not None and one is other for one, other in zip(before, after, strict=True)]
    # The last step is read with what stands behind it.
    assert is_same == [True, True, False, True, True, False]


@pytest.mark.parametrize(("seed", "name"), [(1, "flow.yaml"), (2, "flow.yaml"), (4, "flow.json"), (6, "json.yaml")])
def test_edits(seed: int, name: str) -> None:
    known, wrong = check_edits(seed, 50, name)
    assert known > 4
    assert wrong > 4


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["flow.yaml", "flow.json", "json.yaml"])
@pytest.mark.parametrize("seed", [*range(100, 104)])
def test_many_edits(seed: int, name: str) -> None:
    check_edits(seed, 250, name)
