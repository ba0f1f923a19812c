"""Mistakes in variables, schemas, conditions and limits, with their positions and corrections."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FLOW", "MISTAKES", "Mistake"]

FLOW = """\
name: letters
description: Write letters to people
schemas:
  $defs:
    Person: {type: object, properties: {name: {type: string}}, required: [name]}
  properties:
    input:
      type: object
      properties:
        people: {type: array, items: {$ref: "#/$defs/Person"}}
        urgent: {type: boolean}
        note: {type: string}
      required: [people, urgent]
    variables:
      type: object
      properties:
        tone: {type: string, enum: [formal, friendly], default: formal}
        key: {type: string, is_secret: true, env_var: LETTER_KEY}
        limit: {anyOf: [{type: integer}, {type: "null"}]}
        prefix: {type: string}
      required: [key]
steps:
  - id: draft
    component: /builtin/map
    input:
      items: {$input: $.people}
      max_concurrency: 4
      workflow:
        schemas: {properties: {variables: {properties: {tone: {default: {$variable: tone}}}}}}
        steps:
          $literal:
            - id: ask
              component: /builtin/create_messages
              input: {user_prompt: {$input: $.name}, system_instructions: {$variable: tone}}
        output:
          $literal: {$step: ask, path: "$.messages[0].content"}
  - id: refine
    component: /builtin/iterate
    input:
      initial_input: {$step: draft, path: $.results}
      max_iterations: 3
      flow:
        $literal:
          steps: []
          output: {result: {$input: $}}
  - id: wait
    component: /builtin/sleep
    input: {duration_ms: 5}
  - id: save
    component: /builtin/put_blob
    input: {data: {$step: refine, path: $.result}, blob_type: data}
output:
  kind: {$if: {$input: $.urgent}, then: urgent, else: {$variable: prefix}}
  blob: {$step: save, path: $.blob_id}
  key: {$variable: key}
  limit: {$variable: limit, default: 10}
  waited: {$step: wait}
"""
"""A flow without a mistake."""


class Mistake(NamedTuple):
    """A change that adds a mistake to the flow; `«` marks the position at which it must be reported."""

    right: str
    wrong: str
    rule: str
    hint: str = ""
    """Part of the message or hint; empty if `--fix` must restore the flow."""
    level: str = "error"

    @property
    def marked(self) -> str:
        """The flow with the mistake and its mark."""
        assert FLOW.count(self.right) == 1, self.right
        return FLOW.replace(self.right, self.wrong)


_KEY = "key: {type: string, is_secret: true, env_var: LETTER_KEY}"
_TONE = "tone: {type: string, enum: [formal, friendly], default: formal}"
_PERSON = "Person: {type: object, properties: {name: {type: string}}, required: [name]}"
_LIMIT = 'limit: {anyOf: [{type: integer}, {type: "null"}]}'
_NOTE = "note: {type: string}"
_READ = "limit: {$variable: limit, default: 10}"
_URGENT = "{$if: {$input: $.urgent}, then: urgent, else: {$variable: prefix}}"
_INNER = "          output: {result: {$input: $}}\n"


def _key(wrong: str, rule: str = "unknown-key", hint: str = "") -> Mistake:
    return Mistake(_KEY, f"key: {{type: string, {wrong}}}", rule, hint)


_KEYWORDS = [
    _key("«is_secrt: true, env_var: LETTER_KEY"),
    _key("«secret: true, env_var: LETTER_KEY"),
    _key("«isSecret: true, env_var: LETTER_KEY"),
    _key("«is-secret: true, env_var: LETTER_KEY"),
    _key("«is_sercet: true, env_var: LETTER_KEY"),
    _key('is_secret: «"true", env_var: LETTER_KEY', "not-a-schema", "write true or false"),
    _key("is_secret: true, «envVar: LETTER_KEY"),
    _key("is_secret: true, «env_vra: LETTER_KEY"),
    _key("is_secret: true, env_var: «[LETTER_KEY]", "not-a-schema", "write a string"),
    Mistake(_TONE, _TONE.replace("default", "«defualt"), "unknown-key"),
    Mistake(_TONE, _TONE.replace("default", "«deafult"), "unknown-key"),
    Mistake(_TONE, _TONE.replace("default", "«defaults"), "unknown-key"),
    Mistake(_TONE, _TONE.replace("enum", "«enums"), "unknown-key"),
    Mistake(_TONE, _TONE.replace("enum", "«emum"), "unknown-key"),
    Mistake(_TONE, _TONE.replace("[formal, friendly]", "«formal"), "not-a-schema", "write [a, b]"),
    Mistake(_TONE, _TONE.replace("type", "«typ"), "unknown-key"),
    Mistake(_TONE, _TONE.replace("type: string", "type: «str"), "not-a-schema", "did you mean 'string'?"),
    Mistake(_PERSON, _PERSON.replace("required", "«reqired"), "unknown-key"),
    Mistake(_PERSON, _PERSON.replace("required", "«require"), "unknown-key"),
    Mistake(_PERSON, _PERSON.replace("properties", "«propertes"), "unknown-key"),
    Mistake(_PERSON, _PERSON.replace("properties", "«property"), "unknown-key"),
    Mistake(_PERSON, _PERSON.replace("{name: {type: string}}", "«[name]"), "not-a-schema", "write NAME: {type"),
    Mistake(_PERSON, _PERSON.replace("[name]", "«name"), "not-a-schema", "required: [a, b]"),
    Mistake(_PERSON, _PERSON.replace("[name]", "[«nmae]"), "required-undeclared", level="warning"),
    Mistake("items: {$ref:", "«itmes: {$ref:", "unknown-key"),
    Mistake("items: {$ref:", "«item: {$ref:", "unknown-key"),
    Mistake('{$ref: "#/$defs/Person"}', '{«ref: "#/$defs/Person"}', "unknown-key"),
    Mistake('{$ref: "#/$defs/Person"}', '{$ref: «"#/$defs/Persn"}', "dangling-ref", "did you mean 'Person'?"),
    Mistake(_LIMIT, _LIMIT.replace("anyOf", "«anyof"), "unknown-key"),
    Mistake(_NOTE, "note: {type: string, «maxLenght: 5}", "unknown-key", "did you mean 'maxLength'?", "warning"),
    Mistake(_NOTE, "note: {type: string, «additionalproperties: false}", "unknown-key", "'additionalProperties'"),
    Mistake("prefix: {type: string}", "prefix: «true", "not-a-schema", "write {}"),
]

_VALUES = [
    Mistake(_READ, "limit: {$variable: «limit}", "unset-variable", "add a default", "warning"),
    Mistake("else: {$variable: prefix}", "else: {$variable: prefix, «default: x}", "dead-default", "sche", "warning"),
    Mistake("{$step: refine, path: $.result}", "{$input: «$.note}", "optional-input", "'required'", "warning"),
    Mistake(_NOTE, 'note: {type: string, «default: ""}', "dead-default", "else", "warning"),
    Mistake("{$variable: key}", "{$variable: «kye}", "undeclared-variable", "did you mean 'key'?"),
    Mistake("{$input: $.name}", "{$variable: «prefix}", "unset-variable", "default: {$variable: prefix}"),
    Mistake(_INNER, "          output: {result: {$variable: «tone}}\n", "unset-variable", "default: {$variable: tone}"),
    Mistake(_INNER, "          output: {result: {$variable: «nowhere}}\n", "unset-variable", "default"),
]  # fmt: skip

_MAX = "max_iterations: 3"
_ITEMS = "max_concurrency: 4"
_CONDITION = "{$if: {$input: $.urgent},"
_PATH = 'path: "$.messages[0].content"'

_LIMITS = [
    Mistake(_MAX, 'max_iterations: «"3"', "component-input"),
    Mistake(_MAX, "max_iterations: «-1", "component-input", "at least 0"),
    Mistake(_MAX, "max_iterations: «yes", "component-input", "integer"),
    Mistake(_MAX, "max_iterations: «5000000000", "component-input", "at most"),
    Mistake(_MAX, "«max_iteration: 3", "component-input"),
    Mistake(_ITEMS, 'max_concurrency: «"4"', "component-input"),
    Mistake(_ITEMS, "max_concurrency: «-1", "component-input", "at least 0"),
    Mistake(_ITEMS, "max_concurrency: «true", "component-input", "integer"),
    Mistake("duration_ms: 5", "duration_ms: «-5", "component-input", "at least 0"),
    Mistake("duration_ms: 5", 'duration_ms: «"5"', "component-input"),
]

_CONDITIONS = [
    Mistake(_CONDITION, "{$if: «{not: {$input: $.urgent}},", "constant-condition", "swap 'then' and 'else'"),
    Mistake(_CONDITION, "{$if: «{eq: [{$input: $.urgent}, true]},", "constant-condition", "no operators"),
    Mistake(_CONDITION, "{$if: «{$eq: [{$input: $.urgent}, true]},", "constant-condition", "no operators"),
    Mistake(_CONDITION, "{$if: «{condition: {$input: $.urgent}},", "constant-condition", "the condition itself"),
    Mistake(_CONDITION, '{$if: «"false",', "constant-condition", "are true", "warning"),
    Mistake("else: {$variable: prefix}", "«otherwise: {$variable: prefix}", "ignored-key", "write 'else'"),
    Mistake(_PATH, 'path: «"messages[0].content"', "ambiguous-path"),
    Mistake("path: $.result}", "path: «result.text}", "ambiguous-path", "write $.result.text"),
]

_DATA = [
    Mistake("{$step: wait}", "{«$setp: wait}", "unknown-keyword"),
    Mistake("{$step: wait}", "{«step: wait}", "unknown-keyword", "write $step"),
    Mistake("{$step: wait}", '«"{$step: wait}"', "template", "remove the quotes"),
    Mistake("{$step: wait}", '«"{{ steps.wait.x }}"', "template", "write {$step: wait, path: $.x}"),
    Mistake("{$variable: key}", "{«$var: key}", "unknown-keyword", "did you mean '$variable'?"),
    Mistake("{$variable: key}", '«"${LETTER_KEY}"', "template", "write {$variable: LETTER_KEY}", "warning"),
    Mistake("{$input: $.name}", "{«$item: $.name}", "unknown-keyword", "$input is the item"),
    Mistake("    $literal:\n          steps", "    «literal:\n          steps", "unknown-keyword", "write $literal"),
    Mistake("component: /builtin/sleep", "component: «builtin.sleep", "component-slash", "'/builtin/sleep'"),
    Mistake("component: /builtin/sleep", "component: «http://x/noop", "component-slash", "/PREFIX/NAME"),
    Mistake("component: /builtin/sleep", "«uses: /builtin/sleep", "unknown-key", "write 'component'"),
    Mistake("    input: {duration_ms: 5}", "    «with: {duration_ms: 5}", "unknown-key", "write 'input'"),
]

MISTAKES = [*_KEYWORDS, *_VALUES, *_LIMITS, *_CONDITIONS, *_DATA]
