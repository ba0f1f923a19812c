"""Expressions: parts that servers reject, and keys that do not have the meaning they seem to have."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from ..._base.text import near, nearest
from ..._data.expressions import KEYWORDS, PathError, ambiguity, has_wildcard, keyword_of, parse_path
from ..findings import Findings, Fix
from ..source import Node
from .texts import check_text

__all__ = ["SCHEMA_KEYWORDS", "check_expression"]

SCHEMA_KEYWORDS = (
    "$schema",
    "$id",
    "$ref",
    "$defs",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$comment",
    "$vocabulary",
)
"""Keys of JSON Schema, which flows pass to components as data."""
_BESIDE = {"$if": ("then", "else"), "$step": ("path",), "$variable": ("default",)}


def check_expression(node: Node, path: str, found: Findings, steps: Collection[str] = ()) -> None:
    """Find faults in an expression and in the expressions inside it.

    Args:
        node: The expression.
        path: Its path.
        found: The findings to add to.
        steps: The ids of the steps of the flow.
    """
    word = keyword_of(node.items)
    if word is None:
        _check_plain(node, path, found, steps)
        return
    for key in node.items:
        if key != word and key not in _BESIDE.get(word, ()) and not (word == "$from" and key == "path"):
            _beside(node, word, key, path, found)
    value = node.items[word]
    if word == "$from":
        found.add("from-expression", "fatal", node.keys[word], path, "$from is not read any more (0.13 refuses it)",
                  _without_from(node))  # fmt: skip
    elif word == "$if":
        if "then" not in node.items:
            found.add("missing-then", "fatal", node.keys[word], path, "an $if needs 'then'", "add then: ...")
        _check_condition(value, f"{path}.$if", found)
        for key in ("$if", "then", "else"):
            if key in node.items:
                check_expression(node.items[key], f"{path}.{key}", found, steps)
    elif word == "$coalesce":
        if not isinstance(value.value, list):
            found.add("coalesce-list", "fatal", value, path, "$coalesce takes a list", "write $coalesce: [a, b]")
        for index, each in enumerate(value.elements):
            check_expression(each, f"{path}.$coalesce[{index}]", found, steps)
    elif word != "$literal":
        _check_reference(node, word, path, found)
        if word == "$variable" and "default" in node.items:
            check_expression(node.items["default"], f"{path}.default", found, steps)


def _without_from(node: Node) -> str:
    """Return a hint with what stands for a `$from` today."""
    source, path = node.items["$from"], node.get("path")
    below = f", path: {path.value}" if path is not None and path.value else ""
    if (step := source.get("step")) is not None:
        return f"write {{$step: {step.value}{below}}}"
    if (flow := source.get("workflow")) is not None and flow.value == "input":
        return f"write {{$input: {path.value if path is not None and path.value else '$'}}}"
    return "write $step, $input or $variable"


def _check_plain(node: Node, path: str, found: Findings, steps: Collection[str]) -> None:
    if (word := _forgotten(node, steps)) is not None:
        found.add("unknown-keyword", "warning", node.keys[word], f"{path}.{word}", f"{word!r} without $ is no keyword: "
                  "the object is passed on as data", f"write ${word}")  # fmt: skip
        return
    for key, child in node.items.items():
        if key.startswith("$") and key not in SCHEMA_KEYWORDS:
            is_close = bool(get_close_matches(key.lower(), KEYWORDS, n=1, cutoff=0.85))
            found.add("unknown-keyword", "error" if is_close else "warning", node.keys[key], f"{path}.{key}",
                      f"{key!r} is no keyword: the object is passed on as data",
                      near(key, KEYWORDS, "expressions are"))  # fmt: skip
        check_expression(child, f"{path}.{key}", found, steps)
    for index, child in enumerate(node.elements):
        check_expression(child, f"{path}[{index}]", found, steps)
    if isinstance(node.value, str):
        check_text(node, path, found)


def _forgotten(node: Node, steps: Collection[str]) -> str | None:
    """Return the keyword of an expression without its `$`; None if the object may be data."""
    keys = node.items.keys()
    if keys in ({"step"}, {"step", "path"}):
        return "step" if isinstance(node.items["step"].value, str) and node.items["step"].value in steps else None
    if len(keys) == 1 and (word := next(iter(keys))) in ("input", "variable"):
        value = node.items[word].value
        return word if isinstance(value, str) and value.startswith(("$.", "$[")) else None
    if keys in ({"if", "then"}, {"if", "then", "else"}):
        return "if" if keyword_of(node.items["if"].items) is not None else None
    return None


def _beside(node: Node, word: str, key: str, path: str, found: Findings) -> None:
    at = node.keys[key]
    if key in KEYWORDS:
        found.add("two-keywords", "error", at, path, f"{word} and {key} in one object: only {word} is read",
                  "keep one of them")  # fmt: skip
        return
    allowed = _BESIDE.get(word, ())
    hint = near(key, allowed, f"beside {word}") if allowed else f"nothing beside {word} is read"
    if word == "$input" and key == "path":
        hint, allowed = "write the path as the value of $input", ()
    guess = nearest(key, allowed)
    fix = Fix(at.start, at.end, key, guess) if guess and guess not in node.items and at.start >= 0 else None
    found.add("ignored-key", "warning" if not guess else "error", at, f"{path}.{key}",
              f"{key!r} beside {word} is ignored", hint, fix)  # fmt: skip


def _check_condition(value: Node, path: str, found: Findings) -> None:
    if value.value is not None and not isinstance(value.value, (bool, dict)):
        found.add("constant-condition", "warning", value, path, "this condition is always true: only null, false and a "
                  "failed condition are false", "0, empty text and empty lists are true")  # fmt: skip


def _check_reference(node: Node, word: str, path: str, found: Findings) -> None:
    value = node.items[word]
    if word == "$step":
        if not isinstance(value.value, str):
            found.add("step-not-text", "fatal", value, path, "$step takes the id of a step, as text")
        if "path" in node.items:
            _check_path(node.items["path"], f"{path}.path", "path", found)
        return
    _check_path(value, path, word, found)
    is_empty = value.value is None or (isinstance(value.value, str) and value.value.strip() in ("", "$"))
    if word == "$variable" and is_empty:
        found.add("variable-name", "error", value, path, "a $variable needs a name: this fails at run time")


def _check_path(node: Node, path: str, word: str, found: Findings) -> None:
    if node.value is None:
        return
    if not isinstance(node.value, str):
        found.add("path-not-text", "fatal", node, path, f"{word} takes a path as text, such as $.name")
        return
    try:
        parse_path(node.value)
    except PathError as error:
        found.add("malformed-path", "fatal", node, path, f"the path {node.value!r} is refused: {error}",
                  "write $.name[0]['other name']")  # fmt: skip
        return
    reason = ambiguity(node.value)
    if reason:
        # Servers from 0.10 on can store a flow unchanged.
        found.add("ambiguous-path", "warning", node, path, reason, before=None if has_wildcard(node.value) else (0, 10))
