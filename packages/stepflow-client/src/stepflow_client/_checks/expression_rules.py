"""Expressions: parts that servers reject, keys without the meaning they seem to have, and texts that look like one."""

from __future__ import annotations

import re
from collections.abc import Container

from .._base.text import did_you_mean, near, nearest
from .._editing.text_edits import one_line
from ..flows.expressions import KEYWORDS, PathError, ambiguity, keyword_of, parse_path, write_path
from ..flows.findings import Findings
from ..flows.source import Node

SCHEMA_KEYWORDS = (
    "$schema", "$id", "$ref", "$defs", "$anchor", "$dynamicRef", "$dynamicAnchor", "$comment", "$vocabulary",
)  # fmt: skip
"""Keys of JSON Schema, which flows pass to components as data."""
_BESIDE = {"$if": ("then", "else"), "$step": ("path",), "$variable": ("default",), "$from": ("path",)}

_NAME = r"(?:workflow\.)?(?:inputs?|steps?|variables?|vars?)"
_PATH = r"""(?:\.[\w-]+|\[\d+\]|\[(?:'[^']*'|"[^"]*")\])"""
_READ = rf"""
    \$?\{{\{{\s*\$?(?P<double>{_NAME}{_PATH}*)\s*(?:\|[^{{}}]*)?\}}\}}   # {{{{ input.x }}}} and ${{{{ input.x }}}}
    | \$\{{\s*(?P<single>{_NAME}{_PATH}*)\s*\}}                            # ${{input.x}}
    | (?<![\w$])\$(?P<bare>{_NAME}{_PATH}+)                              # $input.x
    | \A\s*\$(?P<whole>{_NAME})\s*\Z                                     # $input
    """
_QUOTED = r"""\s*\{\s*["']?\$(?:step|input|variable)["']?\s*:[^{}]*\}\s*"""
_OTHER = r"\{\{[^{}]*\$[^{}]*\}\}"
_ENVIRONMENT = r"\s*\$\{(\w+)\}\s*"
_CONSTANT = "0, empty text and empty lists are true"
_ALIASES = {"$var": "$variable", "$vars": "$variable"}
_ITEMS = ("$item", "$items", "$each")
_OUTPUTS = ("output", "outputs", "result")
"""Names for the output of a step in other formats of workflows."""


def check_expression(node: Node, found: Findings, steps: Container[str] = ()) -> None:
    """Find faults in an expression and in the expressions inside it; `steps` are the ids of the steps of the flow."""
    word = keyword_of(node.items)
    if word is None:
        _check_plain(node, found, steps)
        return
    for key in node.items:
        if key != word and key not in _BESIDE.get(word, ()):
            _beside(node, word, key, found)
    value = node.items[word]
    match word:
        case "$from":
            found.add("from-expression", "fatal", node, "$from is not read any more (0.13 refuses it)",
                      "write $step, $input or $variable", key=word)  # fmt: skip
        case "$if":
            if "then" not in node.items:
                found.add("missing-then", "fatal", node, "an $if needs 'then'", "add then: ...", key=word)
            if value.value is not None and not isinstance(value.value, bool) and keyword_of(value.items) is None:
                # An object is meant to be evaluated.
                level, hint = ("error", _of_condition(value)) if value.items else ("warning", _CONSTANT)
                found.add("constant-condition", level, value, "this condition is always true: only null, false and "
                          "a failed condition are false", hint)  # fmt: skip
            for key in ("$if", "then", "else"):
                if key in node.items:
                    check_expression(node.items[key], found, steps)
        case "$coalesce":
            if not isinstance(value.value, list):
                found.add("coalesce-list", "fatal", value, "$coalesce takes a list", "write $coalesce: [a, b]")
            for each in value.elements:
                check_expression(each, found, steps)
        case "$step":
            if not isinstance(value.value, str):
                found.add("step-not-text", "fatal", value, "$step takes the id of a step, as text")
            if "path" in node.items:
                _check_path(node.items["path"], "path", found)
        case "$input" | "$variable":
            _check_path(value, word, found)
            if word == "$variable" and (value.value is None or str(value.value).strip() in ("", "$")):
                found.add("variable-name", "error", value, "a $variable needs a name: this fails at run time")
            if word == "$variable" and "default" in node.items:
                check_expression(node.items["default"], found, steps)


def _check_plain(node: Node, found: Findings, steps: Container[str]) -> None:
    if (word := _forgotten(node, steps)) is not None:
        found.add("unknown-keyword", "error", node, f"{word!r} without $ is no keyword: the object is passed on as "
                  "data", f"write ${word}", key=word)  # fmt: skip
        return
    for key, child in node.items.items():
        if key.startswith("$") and key not in SCHEMA_KEYWORDS:
            hint = _meant(key)
            found.add("unknown-keyword", "error" if hint else "warning", node, f"{key!r} is no keyword: the object is "
                      "passed on as data", hint or f"expressions are: {', '.join(KEYWORDS)}", key=key)  # fmt: skip
        check_expression(child, found, steps)
    for child in node.elements:
        check_expression(child, found, steps)
    if isinstance(node.value, str) and ("$" in node.value or "{{" in node.value):
        _check_text(node, found)


def _meant(key: str) -> str | None:
    """Return a hint with the expression that a key stands for; None if it may be data."""
    if key in _ITEMS:
        return "in the flow of map, $input is the item"
    meant = _ALIASES.get(key) or nearest(key, KEYWORDS, 0.75)
    return did_you_mean(meant) if meant else None


def _of_condition(condition: Node) -> str:
    """Return what to write in place of an object that is no expression."""
    match next(iter(condition.items)).removeprefix("$").lower():
        case "not":
            return "write the condition without 'not', and swap 'then' and 'else'"
        case "condition" | "if" | "test" | "when":
            return "write the condition itself as the value of $if"
        case _:
            return "there are no operators: compare values in a component, and use its output as the condition"


def _forgotten(node: Node, steps: Container[str]) -> str | None:
    """Return the keyword of an expression without its `$`; None if the object may be data."""
    keys = node.items.keys()
    if keys in ({"step"}, {"step", "path"}):
        return "step" if isinstance(node.items["step"].value, str) and node.items["step"].value in steps else None
    if len(keys) == 1 and (word := next(iter(keys))) in ("input", "variable"):
        value = node.items[word].value
        return word if isinstance(value, str) and value.startswith(("$.", "$[")) else None
    if keys == {"literal"}:
        return "literal" if not node.items["literal"].items.keys().isdisjoint(("steps", "output")) else None
    if keys == {"coalesce"}:
        return "coalesce" if any(keyword_of(each.items) for each in node.items["coalesce"].elements) else None
    if keys in ({"if", "then"}, {"if", "then", "else"}):
        return "if" if keyword_of(node.items["if"].items) is not None else None
    return None


def _beside(node: Node, word: str, key: str, found: Findings) -> None:
    if key in KEYWORDS:
        found.add("two-keywords", "error", node, f"{word} and {key} in one object: only {word} is read",
                  "keep one of them", key=key)  # fmt: skip
        return
    allowed = _BESIDE.get(word, ()) if word != "$from" else ()
    hint = near(key, allowed, f"beside {word}") if allowed else f"nothing beside {word} is read"
    if word == "$if" and key == "otherwise":
        hint = "write 'else'"
    if word == "$input" and key == "path":
        hint = "write the path as the value of $input"
    level = "error" if nearest(key, allowed) or hint == "write 'else'" else "warning"
    found.add("ignored-key", level, node, f"{key!r} beside {word} is ignored", hint, key=key)


def _check_path(node: Node, word: str, found: Findings) -> None:
    if node.value is None:
        return
    if not isinstance(node.value, str):
        found.add("path-not-text", "fatal", node, f"{word} takes a path as text, such as $.name")
        return
    try:
        parse_path(node.value)
    except PathError as error:
        found.add("malformed-path", "fatal", node, f"the path {node.value!r} is refused: {error}",
                  "write $.name[0]['other name']")  # fmt: skip
        return
    reason = ambiguity(node.value)
    if reason and node.value.strip().startswith("$"):
        found.add("ambiguous-path", "warning", node, reason)
    elif reason:
        level = "error" if _is_certain(node) else "warning"
        found.add("ambiguous-path", level, node, f"{reason}, or {write_path([node.value])} for the field",
                  f"write $.{node.value.strip()}")  # fmt: skip


def _is_certain(node: Node) -> bool:
    """Return whether a part of an expression is evaluated in each run, and fails it: no branch or condition does."""
    while (holder := node.parent) is not None:
        is_branch = node.part in ("$if", "then", "else", "default") and keyword_of(holder.items) is not None
        if is_branch or (holder.part == "$coalesce" and node.part != 0):
            return False
        node = holder
    return True


def _check_text(node: Node, found: Findings) -> None:
    """Find references written as text, as other formats of workflows have them: text is never evaluated."""
    text = node.value
    read = re.search(_READ, text, re.VERBOSE)
    if read is not None:
        hint = f"write {_written(read[read.lastgroup or 0])} in place of the text"
        is_whole = read[0].strip() == text.strip()
        hint += "" if is_whole else ": a component can put texts together"
        # A component may evaluate templates itself, and a single word may be data.
        level = "error" if is_whole and read.lastgroup != "whole" else "warning"
        found.add("template", level, node, f"text is never evaluated: {read[0].strip()!r} reaches the component as it "
                  "is", hint)  # fmt: skip
    elif re.fullmatch(_QUOTED, text):
        found.add("template", "error", node, f"text is never evaluated: {text.strip()!r} reaches the component as it "
                  "is", "remove the quotes")  # fmt: skip
    elif (name := re.fullmatch(_ENVIRONMENT, text)) is not None:
        hint = f"write {{$variable: {name[1]}}}, and declare the variable with env_var: {name[1]}"
        found.add("template", "warning", node, f"text is never evaluated: {text.strip()!r} reaches the component as it "
                  "is", hint)  # fmt: skip
    elif re.search(_OTHER, text):
        found.add("template", "warning", node, "text is never evaluated: {{ }} reaches the component as it is",
                  "put the expression in place of the text")  # fmt: skip


def _written(reference: str) -> str:
    """Return the expression for a reference such as `input.x` or `steps.a.output.x`."""
    name = re.match(_NAME, reference)
    assert name is not None
    kind, parts = name[0].rpartition(".")[2], re.findall(_PATH, reference[name.end() :])
    if kind.startswith("input"):
        return one_line({"$input": "$" + "".join(parts)})
    if not parts:
        return f"{{${'step' if kind.startswith('step') else 'variable'}: NAME}}"
    first, rest = parts[0].strip(".[]'\""), parts[1:]
    if not kind.startswith("step"):
        return one_line({"$variable": first if not rest else "$" + "".join(parts)})
    rest = rest[1:] if rest and rest[0].strip(".[]'\"") in _OUTPUTS else rest
    return one_line({"$step": first, "path": "$" + "".join(rest)} if rest else {"$step": first})
