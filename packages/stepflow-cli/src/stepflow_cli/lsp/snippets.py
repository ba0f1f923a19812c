"""Snippets: the lines that usually follow a key, with placeholders. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from stepflow_client.flows.expressions import Path
from stepflow_client.flows.file import parse_yaml

from .text import DocumentText

_STEP = "id: ${1:name}\ncomponent: ${2:/builtin/noop}\ninput: $3"
_CASE = "name: ${1:usual}\ninput: {$2}\noutput: {outcome: success, result: $3}"
_OBJECT = "type: object\nproperties:\n  ${1:name}: {type: ${2:string}}\nrequired: [${1:name}]"


def _nest(key: str, body: str) -> str:
    """Return a body in the lines below a key."""
    return f"{key}:\n  " + body.replace("\n", "\n  ")


def to_list_element(body: str) -> str:
    """Return a body as the element of a list."""
    return "- " + body.replace("\n", "\n  ")


FLOW = """\
name: ${1:my_flow}
schemas:
  properties:
    input:
      type: object
      properties:
        ${2:question}: {type: ${3:string}}
      required: [${2:question}]
steps:
  - id: ${4:ask}
    component: ${5:/builtin/create_messages}
    input:
      user_prompt: {\\$input: \\$.${2:question}}
output: {\\$step: ${4:ask}}
"""
"""A whole flow, for an empty file."""
ELEMENTS: Mapping[Path, str] = {("steps",): _STEP, ("test", "cases"): _CASE}
"""The elements of lists, by the path of the list in its flow."""
_KEYS: Mapping[tuple[Path, str], str] = {
    # All elements of a list have index 0 here.
    ((), "schemas"): _nest("schemas", _nest("properties", _nest("input", _OBJECT))),
    ((), "steps"): _nest("steps", to_list_element(_STEP)),
    ((), "test"): _nest("test", _nest("cases", to_list_element(_CASE))),
    ((), "examples"): _nest("examples", to_list_element("name: ${1:usual}\ninput: {$2}")),
    (("schemas", "properties"), "input"): _nest("input", _OBJECT),
    (("schemas", "properties"), "output"): _nest("output", _OBJECT),
    (("schemas", "properties"), "variables"): _nest("variables", _OBJECT),
    (("steps", 0), "onError"): "onError: {action: ${1:retry}, maxRetries: ${2:3}}",
    (("test",), "cases"): _nest("cases", to_list_element(_CASE)),
    (("test", "cases", 0), "output"): "output: {outcome: ${1:success}, result: $2}",
}
_EXPRESSIONS = {"$if": "\\$if: $1\nthen: $2\nelse: $3", "$coalesce": "\\$coalesce: [$1]"}
_PLACEHOLDER = re.compile(r"\$(?:\d|\{\d:([^}]*)\})|\\(\$)")


def get_key_snippet(path: Path, key: str, *, is_expression: bool, is_first: bool) -> str:
    """Return the lines that start with a key of a flow; empty if there is no snippet for the key.

    Args:
        path: The path of the mapping.
        key: The key.
        is_expression: Whether the mapping is an expression.
        is_first: Whether the mapping has no other keys.
    """
    element = ELEMENTS.get(path[:-1], "") if path and is_first else ""
    if element.startswith(f"{key}:"):
        return element
    place = tuple(0 if isinstance(part, int) else part for part in path), key
    return _KEYS.get(place) or (_EXPRESSIONS.get(key, "") if is_expression else "")


def expand_snippet(body: str, text: DocumentText, start: int, *, is_json: bool, is_supported: bool) -> tuple[str, bool]:
    """Return the text to insert for a snippet, and whether it has placeholders.

    Args:
        body: The snippet.
        text: The text.
        start: The offset at which it is inserted.
        is_json: Whether the text is JSON, in which snippets have no placeholders.
        is_supported: Whether the editor supports snippets. It then indents their lines like the line of the cursor.
    """
    plain = _PLACEHOLDER.sub(lambda match: match[1] or match[2] or "", body)
    if is_json:
        return json.dumps(parse_yaml(plain, "snippet"), indent=2), False
    before = text.text[text.text.rfind("\n", 0, start) + 1 : start]
    own = len(before) - len(before.lstrip(" "))
    indent = " " * (len(before) - own if is_supported else len(before))
    return (body if is_supported else plain).replace("\n", f"\n{indent}"), is_supported
