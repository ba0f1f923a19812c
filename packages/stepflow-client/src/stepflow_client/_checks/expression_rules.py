"""Expression rules: parts that servers reject, misleading keys that have no effect, and references written as text."""

from __future__ import annotations

import re
from collections.abc import Container

from .._base.suggestions import find_nearest, format_did_you_mean, suggest_or_list
from .._editing.yaml_and_json_edits import format_inline_yaml
from ..flows.expressions import KEYWORDS, PathError, explain_ambiguous_path, format_path, get_keyword, parse_path
from ..flows.findings import Findings
from ..flows.syntax_tree import Node

SCHEMA_KEYWORDS = (
    "$schema", "$id", "$ref", "$defs", "$anchor", "$dynamicRef", "$dynamicAnchor", "$comment", "$vocabulary",
)  # fmt: skip
"""JSON Schema keywords to accept in expressions, because flows may pass schemas to components as data."""
_SIBLING_KEYS = {"$if": ("then", "else"), "$step": ("path",), "$variable": ("default",), "$from": ("path",)}

_ROOT = r"(?:workflow\.)?(?:inputs?|steps?|variables?|vars?)"
_PATH_PART = r"""(?:\.[\w-]+|\[\d+\]|\[(?:'[^']*'|"[^"]*")\])"""
_TEMPLATE_REFERENCE = rf"""
    \$?\{{\{{\s*\$?(?P<double>{_ROOT}{_PATH_PART}*)\s*(?:\|[^{{}}]*)?\}}\}}   # {{{{ input.x }}}} and ${{{{ input.x }}}}
    | \$\{{\s*(?P<single>{_ROOT}{_PATH_PART}*)\s*\}}                            # ${{input.x}}
    | (?<![\w$])\$(?P<bare>{_ROOT}{_PATH_PART}+)                              # $input.x
    | \A\s*\$(?P<whole>{_ROOT})\s*\Z                                     # $input
    """
_QUOTED_REFERENCE = r"""\s*\{\s*["']?\$(?:step|input|variable)["']?\s*:[^{}]*\}\s*"""
_OTHER_TEMPLATE = r"\{\{[^{}]*\$[^{}]*\}\}"
_ENVIRONMENT_VARIABLE = r"\s*\$\{(\w+)\}\s*"
# Hints for conditions that are objects with one of these keys.
_CONDITION_HINTS = {
    "not": "write the condition without 'not', and swap 'then' and 'else'",
    **dict.fromkeys(("condition", "if", "test", "when"), "write the condition itself as the value of $if"),
}
_NO_OPERATORS_HINT = "there are no operators: compare values in a component, and use its output as the condition"
_KEYWORD_ALIASES = {"$var": "$variable", "$vars": "$variable"}
# What a step's output is called in other workflow formats.
_OUTPUT_NAMES = ("output", "outputs", "result")


def check_expression(node: Node, findings: Findings, steps: Container[str] = ()) -> None:
    """Report problems in an expression, at any depth. `steps` contains the flow's step IDs."""
    keyword = get_keyword(node.items)
    if keyword is None:
        _check_plain_data(node, findings, steps)
        return
    for key in node.items:
        if key != keyword and key not in _SIBLING_KEYS.get(keyword, ()):
            _report_ignored_key(node, keyword, key, findings)
    value = node.items[keyword]
    match keyword:
        case "$from":
            findings.add("from-expression", "fatal", node, "$from is no longer supported (0.13 rejects it)",
                         "write $step, $input or $variable", key=keyword)  # fmt: skip
        case "$if":
            if "then" not in node.items:
                findings.add("missing-then", "fatal", node, "an $if needs 'then'", "add then: ...", key=keyword)
            if value.value is not None and not isinstance(value.value, bool) and get_keyword(value.items) is None:
                level, hint = "warning", "0, empty text and empty lists are true"
                if value.items:
                    # If there's an object here, the author probably expects it to be evaluated.
                    key = next(iter(value.items)).removeprefix("$").lower()
                    level, hint = "error", _CONDITION_HINTS.get(key, _NO_OPERATORS_HINT)
                findings.add("constant-condition", level, value, "this condition is always true: only null, false and "
                             "a failed condition are false", hint)  # fmt: skip
            for key in ("$if", "then", "else"):
                if key in node.items:
                    check_expression(node.items[key], findings, steps)
        case "$coalesce":
            if not isinstance(value.value, list):
                findings.add("coalesce-list", "fatal", value, "$coalesce expects a list", "write $coalesce: [a, b]")
            for element in value.elements:
                check_expression(element, findings, steps)
        case "$step":
            if not isinstance(value.value, str):
                findings.add("step-not-text", "fatal", value, "$step expects a step ID, as text")
            if "path" in node.items:
                _check_path_syntax(node.items["path"], "path", findings)
        case "$input" | "$variable":
            _check_path_syntax(value, keyword, findings)
            if keyword == "$variable" and (value.value is None or str(value.value).strip() in ("", "$")):
                findings.add("variable-name", "error", value, "a $variable needs a name: this fails at run time")
            if keyword == "$variable" and "default" in node.items:
                check_expression(node.items["default"], findings, steps)


def _check_plain_data(node: Node, findings: Findings, steps: Container[str]) -> None:
    if (name := _find_keyword_without_dollar(node, steps)) is not None:
        findings.add("unknown-keyword", "error", node, f"{name!r} without $ is not a keyword: the object is passed on "
                     "as data", f"write ${name}", key=name)  # fmt: skip
        return
    for key, child in node.items.items():
        if key.startswith("$") and key not in SCHEMA_KEYWORDS:
            similar = _KEYWORD_ALIASES.get(key) or find_nearest(key, KEYWORDS, 0.75)
            hint = format_did_you_mean(similar) if similar else None
            hint = "in the flow of map, $input is the item" if key in ("$item", "$items", "$each") else hint
            findings.add("unknown-keyword", "error" if hint else "warning", node, f"{key!r} is not a keyword: the "
                         "object is passed on as data", hint or f"expressions are: {', '.join(KEYWORDS)}",
                         key=key)  # fmt: skip
        check_expression(child, findings, steps)
    for child in node.elements:
        check_expression(child, findings, steps)
    if isinstance(node.value, str) and ("$" in node.value or "{{" in node.value):
        _report_references_in_plain_text(node, findings)


def _find_keyword_without_dollar(node: Node, steps: Container[str]) -> str | None:
    """Return the keyword that seems to be missing its `$`, or None if the object could be data."""
    keys = node.items.keys()
    name = next(iter(keys), "")
    is_expression = False
    if keys in ({"step"}, {"step", "path"}):
        name = "step"
        is_expression = isinstance(node.items[name].value, str) and node.items[name].value in steps
    elif keys in ({"input"}, {"variable"}):
        is_expression = str(node.items[name].value).startswith(("$.", "$["))
    elif keys == {"literal"}:
        is_expression = not node.items[name].items.keys().isdisjoint(("steps", "output"))
    elif keys == {"coalesce"}:
        is_expression = any(get_keyword(element.items) for element in node.items[name].elements)
    elif keys in ({"if", "then"}, {"if", "then", "else"}):
        name = "if"
        is_expression = get_keyword(node.items[name].items) is not None
    return name if is_expression else None


def _report_ignored_key(node: Node, keyword: str, key: str, findings: Findings) -> None:
    if key in KEYWORDS:
        findings.add("two-keywords", "error", node, f"{keyword} and {key} in one object: only {keyword} is read",
                     "keep one of them", key=key)  # fmt: skip
        return
    allowed = _SIBLING_KEYS.get(keyword, ()) if keyword != "$from" else ()
    hint = suggest_or_list(key, allowed, f"next to {keyword}") if allowed else f"keys next to {keyword} are ignored"
    if keyword == "$if" and key == "otherwise":
        hint = "write 'else'"
    if keyword == "$input" and key == "path":
        hint = "write the path as the value of $input"
    level = "error" if find_nearest(key, allowed) or hint == "write 'else'" else "warning"
    findings.add("ignored-key", level, node, f"{key!r} next to {keyword} is ignored", hint, key=key)


def _check_path_syntax(node: Node, keyword: str, findings: Findings) -> None:
    if node.value is None:
        return
    if not isinstance(node.value, str):
        findings.add("path-not-text", "fatal", node, f"{keyword} expects a path as text, such as $.name")
        return
    try:
        parse_path(node.value)
    except PathError as error:
        findings.add("malformed-path", "fatal", node, f"servers reject the path {node.value!r}: {error}",
                     "write $.name[0]['other name']")  # fmt: skip
        return
    reason = explain_ambiguous_path(node.value)
    if reason and node.value.strip().startswith("$"):
        findings.add("ambiguous-path", "warning", node, reason)
    elif reason:
        level = "error" if _is_always_evaluated(node) else "warning"
        path = f"$.{node.value.strip()}".replace("$..", "$.").replace("$.[", "$[")
        findings.add("ambiguous-path", level, node, f"{reason}; write {path!r} for a path, or "
                     f"{format_path([node.value])} for the field", f"write {path}")  # fmt: skip


def _is_always_evaluated(node: Node) -> bool:
    """Return whether part of an expression is always evaluated, in which case the run fails whenever that part does."""
    while (holder := node.parent) is not None:
        is_branch = node.part in ("$if", "then", "else", "default") and get_keyword(holder.items) is not None
        if is_branch or (holder.part == "$coalesce" and node.part != 0):
            return False
        node = holder
    return True


def _report_references_in_plain_text(node: Node, findings: Findings) -> None:
    """Report references written as text, as in other workflow formats. Stepflow never evaluates text."""
    text, level, hint = node.value, "warning", ""
    shown = repr(text.strip())
    reference = re.search(_TEMPLATE_REFERENCE, text, re.VERBOSE)
    if reference is not None:
        is_whole, shown = reference[0].strip() == text.strip(), repr(reference[0].strip())
        hint = f"write {_convert_reference_to_expression(reference[reference.lastgroup or 0])} in place of the text"
        hint += "" if is_whole else ": use a component to concatenate strings"
        # Otherwise, this is only a warning: the component might evaluate templates itself, and a single word might be
        # data.
        level = "error" if is_whole and reference.lastgroup != "whole" else "warning"
    elif re.fullmatch(_QUOTED_REFERENCE, text):
        level, hint = "error", "remove the quotes"
    elif (name := re.fullmatch(_ENVIRONMENT_VARIABLE, text)) is not None:
        hint = f"write {{$variable: {name[1]}}}, and declare the variable with env_var: {name[1]}"
    elif re.search(_OTHER_TEMPLATE, text):
        shown, hint = "{{ }}", "replace the text with the expression"
    if hint:
        findings.add("template", level, node, f"text is never evaluated: {shown} reaches the component unchanged", hint)


def _convert_reference_to_expression(reference: str) -> str:
    """Translate a reference such as `input.x` or `steps.a.output.x` into an expression."""
    name = re.match(_ROOT, reference)
    assert name is not None
    kind, parts = name[0].rpartition(".")[2], re.findall(_PATH_PART, reference[name.end() :])
    if kind.startswith("input"):
        return format_inline_yaml({"$input": "$" + "".join(parts)})
    if not parts:
        return f"{{${'step' if kind.startswith('step') else 'variable'}: NAME}}"
    first, rest = parts[0].strip(".[]'\""), parts[1:]
    if not kind.startswith("step"):
        return format_inline_yaml({"$variable": first if not rest else "$" + "".join(parts)})
    rest = rest[1:] if rest and rest[0].strip(".[]'\"") in _OUTPUT_NAMES else rest
    return format_inline_yaml({"$step": first, "path": "$" + "".join(rest)} if rest else {"$step": first})
