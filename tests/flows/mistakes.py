"""Common mistakes in flow files, with their positions and the required suggestions."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FLOW", "MISTAKES", "Mistake"]

FLOW = """\
name: review
description: Review a product
schemas:
  properties:
    input:
      type: object
      properties: {sku: {type: string}, note: {type: string}}
      required: [sku]
      additionalProperties: false
    variables:
      type: object
      properties: {style: {type: string}}
steps:
  - id: build_prompt
    component: /builtin/create_messages
    input:
      user_prompt: {$input: $.sku}
      system_instructions: {$variable: style}
  - id: save
    component: /builtin/put_blob
    input: {data: {$step: build_prompt, path: "$.messages[0].content"}, blob_type: data}
    onError: {action: retry, maxRetries: 3}
output:
  blob: {$step: save, path: $.blob_id}
test:
  cases:
    - name: one
      input: {sku: tea}
      output: {outcome: success, result: {blob: x}}
"""
"""A flow without a mistake."""


class Mistake(NamedTuple):
    """A change that adds a mistake to the flow; `«` marks the position at which it must be reported."""

    name: str
    right: str
    wrong: str
    suggestion: str
    """Part of the hint; empty if no hint is needed or the parser's message explains the mistake."""

    @property
    def marked(self) -> str:
        """The flow with the mistake and its mark."""
        assert FLOW.count(self.right) == 1, self.name
        return FLOW.replace(self.right, self.wrong)


_DESCRIPTION = "description: Review a product\n"
_PATH = 'path: "$.messages[0].content"'
_SAVE = "  - id: save\n    component: /builtin/put_blob\n"
_PROMPT = "      user_prompt: {$input: $.sku}\n"
_ERROR = "    onError: {action: retry, maxRetries: 3}\n"
_OUTPUT = "output:\n  blob: {$step: save, path: $.blob_id}\n"
_BLOB = "blob: {$step: save, path: $.blob_id}"

_YAML = [
    Mistake("tab", _PROMPT, "«\t\tuser_prompt: {$input: $.sku}\n", "indent with spaces"),
    Mistake("tab after blanks", _PROMPT, "    «\tuser_prompt: {$input: $.sku}\n", "indent with spaces"),
    Mistake("path in braces", _PATH, "path: «$.messages[0].content", 'quote it: "$.messages[0].content"'),
    Mistake("template in braces", "$step: build_prompt,", "$step: «a${x},", 'quote it: "a${x}"'),
    Mistake("colon in text", _DESCRIPTION, "description: «order: prices\n", 'description: "order: prices"'),
    Mistake("no blank behind the colon", _DESCRIPTION, "«description:Review\n", ""),
    Mistake("no colon", _DESCRIPTION, "«description\n", ""),
    Mistake("open brace", "{$input: $.sku}\n", "«{$input: $.sku\n", "write }"),
    Mistake(
        "open brace at the end",
        "{outcome: success, result: {blob: x}}",
        "«{outcome: success, result: {blob: x}",
        "write }",
    ),
    Mistake("open bracket", "required: [sku]", "required: «[sku", "write ]"),
    Mistake("open quote", _DESCRIPTION, "description: «'Review\n", "add a quote"),
    Mistake("open double quote", "path: $.blob_id}", 'path: «"$.blob_id}', "add a quote"),
    Mistake("apostrophe in quotes", _DESCRIPTION, "description: 'It'«s a product'\n", ""),
    Mistake("one brace too many", _BLOB, _BLOB + "«}", ""),
    Mistake("missing comma", "action: retry, maxRetries", "action: retry maxRetries«", ""),
    Mistake("text behind braces", _BLOB, "blob: {$step: save}«.blob_id", ""),
    Mistake("at sign", _DESCRIPTION, "description: «@team\n", '"@team"'),
    Mistake("backtick", _DESCRIPTION, "description: «`x`\n", '"`x`"'),
    Mistake("asterisk", _DESCRIPTION, "description: «*\n", "in quotes"),
    Mistake("undefined alias", _DESCRIPTION, "description: «*all\n", ""),
    Mistake("escape", _DESCRIPTION, 'description: "C:«\\data"\n', ""),
    Mistake("block text", _DESCRIPTION, "description: |«text\n", ""),
    Mistake("missing dash", "  - id: save\n", "    «id: save\n", "add '- ' before it"),
    Mistake("steps as a mapping half way", _SAVE, "  «save:\n    component: /builtin/put_blob\n", "begin each"),
    Mistake("a step that begins with its component", _SAVE, "  «component: /builtin/put_blob\n", "begin each"),
    Mistake(
        "list below a mapping",
        "  - id: build_prompt\n",
        "  first: {id: a}\n  «- id: build_prompt\n",
        "begin each",
    ),
    Mistake(
        "one blank too few", "    component: /builtin/put_blob\n", "   «component: /builtin/put_blob\n", "column 5"
    ),
    Mistake("too deep", "    component: /builtin/put_blob\n", "      «component: /builtin/put_blob\n", "indent it"),
    Mistake(
        "not deep enough", _PROMPT + "      system", "     user_prompt: {$input: $.sku}\n      «system", "column 6"
    ),
    Mistake("list behind its key", "required: [sku]", "required: «- sku", ""),
    Mistake("key twice", _DESCRIPTION, "description: a\n«description: b\n", "line 2"),
    Mistake("second document", "output:\n  blob", "«---\noutput:\n  blob", ""),
    Mistake("template", "{$input: $.sku}\n", "{«{ input.sku }}\n", "in quotes"),
]

_SHAPE = [
    Mistake("steps as a mapping", _OUTPUT, _OUTPUT + "examples: «{a: 1}\n", "- name: NAME"),
    Mistake("misspelt key", "output:\n  blob", "«ouput:\n  blob", "did you mean 'output'?"),
    Mistake("snake case", "onError:", "«on_error:", "write 'onError'"),
    Mistake("misspelt handler", "maxRetries: 3", "«max_retries: 3", "write 'maxRetries'"),
    Mistake("action", "action: retry", "action: «retri", "did you mean 'retry'?"),
    Mistake("action as text", "onError: {action: retry, maxRetries: 3}", "onError: «retry", "onError: {action:"),
    Mistake(
        "handler too deep",
        "blob_type: data}\n" + _ERROR,
        "blob_type: data, «onError: {action: fail}}\n",
        "next to input",
    ),
    Mistake("version", _DESCRIPTION, _DESCRIPTION + "version: «1.0\n", "in quotes"),
    Mistake("yes", _ERROR, "    mustExecute: «yes\n", "true or false"),
    Mistake("no component", _SAVE, "  - «id: save\n", "add component"),
    Mistake("no id", _SAVE, "  - «component: /builtin/put_blob\n", "add id"),
    Mistake("schema at the top", _OUTPUT, _OUTPUT + "«input_schema: {}\n", "schemas: {properties: {input:"),
    Mistake("no outcome", "{outcome: success, result: {blob: x}}", "«{result: {blob: x}}", "outcome: success"),
]

_REFERENCES = [
    Mistake("the input as text", "{$input: $.sku}\n", "«$input\n", "write {$input: $} in place"),
    Mistake("a step as text", _BLOB, "blob: «$steps.save", "write {$step: save} in place"),
    Mistake("an expression in quotes", "{$input: $.sku}\n", "«'{$input: $.sku}'\n", "remove the quotes"),
    Mistake("$coalesce without $", "{$input: $.sku}\n", "{«coalesce: [{$input: $.sku}, a]}\n", "write $coalesce"),
    Mistake("misspelt step", "blob: {$step: save,", "blob: {$step: «svae,", "did you mean 'save'?"),
    Mistake("case of a step", "blob: {$step: save,", "blob: {$step: «Save,", "did you mean 'save'?"),
    Mistake("path in the id", _BLOB, "blob: {$step: «save.blob_id}", "write {$step: save, path: $.blob_id}"),
    Mistake("$steps", "{$step: build_prompt,", "{«$steps: build_prompt,", "did you mean '$step'?"),
    Mistake("$from input", "{$input: $.sku}\n", "{«$from: {workflow: input}, path: sku}\n", "write {$input: $.sku}"),
    Mistake("$from step", _BLOB, "blob: {«$from: {step: save}, path: blob_id}", "write {$step: save, path: $.blob_id}"),
    Mistake("misspelt $from", "{$input: $.sku}\n", "{«$form: {workflow: input}}\n", "$input"),
    Mistake("misspelt path key", "save, path: $.blob_id", "save, «pth: $.blob_id", "did you mean 'path'?"),
    Mistake("path beside $input", "{$input: $.sku}\n", "{$input: $, «path: $.sku}\n", "as the value of $input"),
    Mistake("no dot", "{$input: $.sku}\n", "{$input: «$sku}\n", "$.name"),
    Mistake("negative index", _PATH, 'path: «"$.messages[-1].content"', "$.name[0]"),
    Mistake("bare dots", "path: $.blob_id", "path: «blob.id", ""),
    Mistake("misspelt input", "$.sku}\n", "«$.skku}\n", "did you mean 'sku'?"),
    Mistake("misspelt output", "path: $.blob_id", "path: «$.blobId", "did you mean 'blob_id'?"),
    Mistake("misspelt variable", "{$variable: style}", "{$variable: «stile}", "did you mean 'style'?"),
    Mistake("misspelt component", "/builtin/put_blob", "«/builtin/putblob", "did you mean '/builtin/put_blob'?"),
    Mistake(
        "no slash", "component: /builtin/put_blob", "component: «builtin/put_blob", "did you mean '/builtin/put_blob'?"
    ),
    Mistake("misspelt field", _PROMPT, "      «user_promt: {$input: $.sku}\n", "did you mean 'user_prompt'?"),
    Mistake("blob type", "blob_type: data", "blob_type: «dat", "did you mean 'data'?"),
    Mistake("step twice", "  - id: save\n", "  - id: «build_prompt\n", "rename one"),
    Mistake("a step that reads itself", "{$step: build_prompt,", "{$step: «save,", ""),
    Mistake("type", "properties: {sku: {type: string}", "properties: {sku: {type: «text}", ""),
    Mistake("required", "required: [sku]", "required: [«suk]", "sku"),
    Mistake("case", "input: {sku: tea}", "input: {sku: «5}", ""),
    Mistake("key of a case", "input: {sku: tea}", "input: {sku: tea, «nte: x}", "note"),
]

MISTAKES = [*_YAML, *_SHAPE, *_REFERENCES]
