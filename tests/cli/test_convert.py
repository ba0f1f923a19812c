"""`stepflow convert` converts flows between YAML and JSON."""

from __future__ import annotations

import json

import yaml
from stepflow_client.flows.reading import load_flow

from tests.cli.command import Stepflow
from tests.cli.golden import Golden

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


def test_conversion_between_files(stepflow: Stepflow) -> None:
    (stepflow.folder / "order.yaml").write_text(_ORDER)
    assert stepflow("convert", "order.yaml", "-O", "order.json").code == 0
    assert json.loads((stepflow.folder / "order.json").read_text()) == yaml.safe_load(_ORDER)
    assert stepflow("convert", "order.json", "-O", "again.yaml").code == 0
    assert load_flow(stepflow.folder / "again.yaml") == yaml.safe_load(_ORDER)
    assert stepflow("convert", "-", "--to", "json", stdin=_ORDER).stdout == (stepflow.folder / "order.json").read_text()
    for source, file in (("order.yaml", "order.json"), ("order.json", "again.yaml")):
        done = stepflow("convert", source, "-O", file, "--check")
        assert (done.code, done.stderr) == (0, f"stepflow: {file} is up to date\n")
    (stepflow.folder / "order.json").write_text("{}")
    done = stepflow("convert", "order.yaml", "-O", "order.json", "--check")
    assert (done.code, done.stdout) == (1, "")
    assert "hint: to update it, run stepflow convert order.yaml --to json -O order.json\n" in done.stderr


def test_invalid_arguments(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "flows.py").write_text("flow = {'name': 'f', 'output': 1}\n")
    calls: list[list[str]] = [
        ["no.yaml"],
        ["flows.py"],
        ["flows:flwo"],
        ["hello.yaml", "-O", "hello.py"],
        ["hello.yaml", "--to", "toml"],
        ["hello.yaml", "--check"],
        ["flows:flow", "--to", "json"],
    ]
    golden(*(stepflow("convert", *each) for each in calls))
