"""Realistic valid flows, one for each feature and format that the language server supports."""

from __future__ import annotations

PLAIN = """\
name: greet
description: Greets.
steps:
  - id: ask
    component: /builtin/create_messages
    input:
      user_prompt: {$input: $.question}
      system_instructions: "Be short."
  - id: keep
    component: /builtin/put_blob
    input: {data: {$step: ask, path: "$.messages[0].content"}, blob_type: data}
output:
  answer: {$step: ask, path: $.messages}
  id: {$step: keep, path: $.blob_id}
"""

TYPED = """\
name: order
description: With schemas.
schemas:
  properties:
    input:
      type: object
      properties:
        customer: {type: object, properties: {name: {type: string}, tags: {type: array, items: {type: string}}}}
        count: {type: integer, description: How many.}
      required: [customer, count]
    output: {type: object, properties: {name: {type: string}}}
steps:
  - id: first
    component: /builtin/noop
    input: {name: {$input: $.customer.name}, tag: {$input: "$.customer.tags[0]"}}
  - id: second
    component: /builtin/sleep
    input: {duration_ms: {$input: $.count}, passthrough: {$step: first, path: $.name}}
    onError: {action: retry, maxRetries: 2}
output: {name: {$step: second, path: $.passthrough}}
"""

VARIABLES = """\
name: variables
description: Variables, and conditions.
schemas:
  properties:
    variables:
      type: object
      properties:
        model: {type: string, description: The model., default: small}
        limits: {type: object, properties: {most: {type: integer}}, default: {most: 3}}
      required: [model]
steps:
  - id: look
    component: /builtin/noop
    input:
      $if: {$variable: $.limits.most}
      then: {$variable: model}
      else: {$coalesce: [{$variable: "$['model']"}, none]}
output: {$step: look}
"""

MAP = """\
name: each
description: A flow for each element.
steps:
  - id: list
    component: /builtin/noop
    input: {names: [{name: ada}, {name: bob}]}
  - id: greet
    component: /builtin/map
    input:
      items: {$step: list, path: $.names}
      workflow:
        $literal:
          steps:
            - id: list
              component: /builtin/create_messages
              input: {user_prompt: {$input: $.name}}
            - id: keep
              component: /builtin/noop
              input: {$step: list, path: $.messages}
          output: {$step: keep}
output: {$step: greet, path: $.results}
"""

ITERATE = """\
name: turns
description: Again and again.
steps:
  - id: count
    component: /builtin/iterate
    input:
      initial_input: {n: 1}
      flow:
        $literal:
          steps:
            - {id: same, component: /builtin/noop, input: {$input: $}}
          output: {result: {$step: same, path: $.n}}
output: {$step: count, path: $.result}
"""

TESTED = """\
name: tested
description: With cases and an example.
schemas:
  properties:
    input: {type: object, properties: {sku: {type: string}}, required: [sku]}
    steps: {properties: {price: {type: object, properties: {eur: {type: number}}}}}
steps:
  - id: price
    component: /shop/price
    input: {$input: $.sku}
    mustExecute: true
output: {$step: price, path: $.eur}
examples:
  - {name: tea, input: {sku: tea}}
test:
  cases:
    - name: tea
      input: {sku: tea}
      mocks: {price: {outcome: success, result: {eur: 3}}}
      output: {outcome: success, result: 3}
"""

SIGNS = """\
name: "Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{LATIN SMALL LETTER SHARP S}e \N{ROCKET}"
description: \N{ROCKET}\N{ROCKET} before a step.
steps:
  - {metadata: {"\N{ROCKET}": 1}, id: start, component: /builtin/noop, input: {"\N{GRINNING FACE}": 1}}
  - id: "ende \N{ROCKET}"
    component: /builtin/noop
    input: {"\N{ROCKET}\N{ROCKET}": {$step: start, path: "$.\N{GRINNING FACE}"}, other: {$step: start}}
output: {$step: "ende \N{ROCKET}"}
"""

ANCHORS = """\
name: anchors
description: Values that are used twice.
steps:
  - id: one
    component: &noop /builtin/noop
    input: &given {text: hello}
  - id: two
    component: *noop
    input: {given: *given, before: {$step: one, path: $.text}}
output: {$step: two}
"""

WINDOWS = PLAIN.replace("\n", "\r\n")

JSON = """\
{
  "name": "json",
  "description": "The same in JSON.",
  "steps": [
    {
      "id": "ask",
      "component": "/builtin/create_messages",
      "input": {"user_prompt": {"$input": "$.question"}}
    },
    {
      "id": "keep",
      "component": "/builtin/put_blob",
      "input": {"data": {"$step": "ask", "path": "$.messages[0].content"}, "blob_type": "data"}
    }
  ],
  "output": {"$step": "keep", "path": "$.blob_id"}
}
"""

FLOWS = {
    "plain.yaml": PLAIN,
    "typed.yaml": TYPED,
    "variables.yaml": VARIABLES,
    "map.yaml": MAP,
    "iterate.yml": ITERATE,
    "tested.yaml": TESTED,
    "signs.yaml": SIGNS,
    "anchors.yaml": ANCHORS,
    "windows.yaml": WINDOWS,
    "flow.json": JSON,
}
