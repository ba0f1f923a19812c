"""Makes findings easy to fix by adding hints with the exact text to write, plus the edits they imply. No I/O."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .._base.suggestions import find_nearest, parse_suggested_name
from ..errors import FlowFileError
from ..flows.expressions import get_keyword
from ..flows.findings import Finding, Fix
from ..flows.graph import FlowSteps
from ..flows.json_schema import JSON_TYPES
from ..flows.reading import parse_yaml
from ..flows.syntax_tree import FlowText, Key, Node
from . import yaml_and_json_edits
from .yaml_and_json_edits import Edit, build_key_addition, build_key_removal, format_inline_like

# A misspelled word must be at least this similar to the suggested name to be fixed automatically.
_MIN_TYPO_SIMILARITY = 0.75
# Hints that show how to write the value of a key.
_SHAPE_HINTS = {
    "steps": "write each step as '- id: NAME', with its component and its input below",
    "onError": "write onError: {action: fail}, or retry, or useDefault",
    "mustExecute": "write true or false, without quotes",
    "examples": "write each example as '- name: NAME', with its input below",
    "cases": "write each case as '- name: NAME', with its input and its output below",
    "tags": "write tags: [a, b]",
    "test": "write test: {cases: [...]}",
    "schemas": "write schemas: {properties: {input: ..., output: ...}}",
    "$defs": "write each definition as NAME: {type: ...}",
    "maxRetries": "write maxRetries: 3",
}
_BOOL_WORDS = {"yes": True, "true": True, "on": True, "y": True, "no": False, "false": False, "off": False, "n": False}
# An empty value of each type.
_ZERO_VALUES: Mapping[str, Any] = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
# The value to add along with a missing key.
_DEFAULT_VALUES: Mapping[str, Any] = {
    "component": "/builtin/noop", "action": "fail", "blob_type": "data", "outcome": "success", "input": {},
    "then": None, "result": None, "name": "unnamed",
}  # fmt: skip


def add_hints_and_fixes(flow: FlowText, findings: Sequence[Finding]) -> list[Finding]:
    """Return a flow's findings with exact hints and fixes added."""
    rewriter = _FindingRewriter(flow)
    better = [rewriter.add_hint_and_fix(finding) for finding in findings]
    # If two keys of a mapping would be renamed to the same key, it isn't clear which one is meant, so rename neither.
    keys = [
        (id(finding.at), finding.fix.text) if finding.fix and finding.key == finding.fix.old else None
        for finding in better
    ]
    number = Counter(keys)
    pairs = zip(better, keys, strict=True)
    return [finding._replace(fix=None) if key and number[key] > 1 else finding for finding, key in pairs]


def _find_enclosing_flow(node: Node | None) -> Node:
    """Return the innermost flow that contains a node, or an empty node if there is none."""
    while node is not None and not node.get("steps"):
        node = node.parent
    return node or Node(None)


def _list_innermost_flow_step_ids(node: Node) -> list[str]:
    """Return the step IDs in the innermost flow that contains a node."""
    ids = (step.get("id") for step in _find_enclosing_flow(node).elements_at("steps"))
    return [node.value for node in ids if node is not None and isinstance(node.value, str)]


def _find_ids_read_in_flow(node: Node) -> list[str]:
    """Return the IDs of all steps read in the innermost flow containing a node."""
    return [str(node.value) for node in _find_enclosing_flow(node).walk() if node.part == "$step"]


def _choose_new_step_id(node: Node) -> str:
    """Return a new step ID, preferably one that is read somewhere but doesn't exist yet."""
    known = _list_innermost_flow_step_ids(node)
    return next((step for step in _find_ids_read_in_flow(node) if step not in known), f"step_{node.line}")


def _find_input_field_schema(node: Node, *path: str) -> Node | None:
    return _find_enclosing_flow(node).at("schemas", "properties", "input", "properties", *path)


class _FindingRewriter:
    """Adds hints and fixes to the findings of one flow."""

    def __init__(self, flow: FlowText) -> None:
        self.text = flow.text
        self._positions: dict[int, dict[str, int]] = {}
        """The positions of the steps by step ID, for each list of steps (keyed by the list's `id()`)."""

    def add_hint_and_fix(self, finding: Finding) -> Finding:
        at, text = finding.at, self.text
        if at is not None:
            match finding.rule:
                case "from-expression" if new := _convert_legacy_from_expression(at):
                    old = text[at.start : at.end] if at.start >= 0 else "#"
                    # Don't replace an expression that might contain comments, which would be lost.
                    fix = None if "#" in old else Fix(at.start, at.end, old, format_inline_like(text, new))
                    finding = finding._replace(hint=f"write {format_inline_like(text, new)}", fix=fix)
                case "undefined-step":
                    finding = self.add_fix_splitting_step_path(finding, at)
                case "unknown-keyword" if parse_suggested_name(finding.hint) == "$from":
                    finding = finding._replace(hint="write $step, $input or $variable")
                case "wrong-type" if finding.hint is None:
                    finding = finding._replace(hint=_SHAPE_HINTS.get(str(at.part)))
        if finding.fix is not None or at is None:
            return finding
        if (name := parse_suggested_name(finding.hint)) is not None:
            fix, is_safe = self.find_rename_fix(finding, at, name)
        else:
            edits, is_safe = self.find_edits_implied_by_hint(finding, at, finding.hint or "")
            fix = yaml_and_json_edits.combine_edits(text, edits)
        return finding._replace(fix=fix) if is_safe else finding._replace(suggestion=fix)

    def find_edits_implied_by_hint(self, finding: Finding, at: Node, hint: str) -> tuple[Sequence[Edit], bool]:
        """Return the edits that a hint implies, along with whether they can be applied without asking the user."""
        text, key, holder = self.text, finding.key or "", at.parent
        match finding.rule:
            case "unknown-keyword" if match := re.fullmatch(r"write (\$\w+)", hint):
                return self.make_replacement_edits(at.keys[key], match[1]), True
            case "template" if match := re.fullmatch(r"write (\{\$.+\}) in place of the text|remove the quotes", hint):
                return self.make_expression_edits(at, match[1] or at.value.strip()), True
            case "type-mismatch" | "possible-mismatch" if match := re.fullmatch(r"write (\{\$.+\})", hint):
                return self.make_expression_edits(at, match[1]), False
            case "wrong-type" if hint == "put it in quotes" and at.original is None:
                return self.make_replacement_edits(at, json.dumps(text[at.start : at.end])), True
            case "wrong-type":
                return self.make_type_correction_edits(at), True
            case "large-integer":
                return self.make_replacement_edits(at, json.dumps(text[at.start : at.end])), False
            case "component-input" if match := re.fullmatch(r"write (\d+) without quotes", hint):
                return self.make_replacement_edits(at, match[1]), True
            case "malformed-path" if isinstance(at.value, str) and re.match(r"\$[A-Za-z_]", at.value):
                return self.make_replacement_edits(at, format_inline_like(text, f"$.{at.value[1:]}")), True
            case "unknown-key" if match := re.fullmatch(r"write schemas: \{properties: \{(\w+): ...\}\}", hint):
                value = {"properties": {match[1]: at.items[key].value}}
                edits = [*build_key_removal(text, at, key), *build_key_addition(text, at, "schemas", value)]
                return edits if "schemas" not in at.items else (), False
            case "missing-key" | "missing-then" | "component-input" | "case-input" if match := re.fullmatch(
                r"add (\S+): (.+)", hint
            ):
                return self.make_key_addition_edits(at, match[1], match[2], finding.rule), False
            case "no-output":
                ids = _list_innermost_flow_step_ids(at)
                return build_key_addition(text, at, "output", {"$step": ids[-1]}) if ids else (), False
            case "unused-variable":
                names = [element.value for element in holder.elements_at("required")] if holder is not None else []
                edits = build_key_removal(text, at, key)
                if holder is not None and key in names:
                    edits += yaml_and_json_edits.build_element_removal(text, holder.items["required"], names.index(key))
                return edits, False
            case "unused-step" if holder is not None and holder.parent is not None:
                if at.value in _find_ids_read_in_flow(at):
                    return build_key_addition(text, holder, "mustExecute", True), False
                return yaml_and_json_edits.build_element_removal(text, holder.parent, int(holder.part)), False
            case "unescaped-subflow":
                return yaml_and_json_edits.build_value_wrapping(text, at, "$literal"), False
            case "component-slash" if match := re.fullmatch(r"write (\S+)", hint):
                return self.make_replacement_edits(at, match[1]), True
            case "later-step" if match := re.fullmatch(r"move '(.+)' before '(.+)'", hint):
                return self.make_step_move_edits(at, match[1], match[2]), True
            case "not-a-schema" if at.value in JSON_TYPES and at.part != "type":
                return self.make_replacement_edits(at, format_inline_like(text, {"type": at.value})), True
            case "misplaced-schema" if at.items and (not key or "properties" not in at.items):
                return yaml_and_json_edits.build_value_wrapping(text, at, "properties"), True
            case "unused-key" if (match := re.fullmatch(r"use action: (\w+)", hint)) and "action" in at.items:
                return self.make_replacement_edits(at.items["action"], match[1]), False
            case "ignored-key" if hint.startswith("keys next to"):
                return build_key_removal(text, at, key), False
            case "ignored-key" if "as the value of $input" in hint and isinstance(at.items[key].value, str):
                whole = at.items["$input"].value in ("$", "", None) and len(at.items) == 2 and at.is_flow
                moved = format_inline_like(text, {"$input": at.items[key].value})
                return self.make_replacement_edits(at, moved) if whole else (), True
            case "expected-output" if hint.startswith("write {outcome"):
                if at.part == "outcome":
                    return self.make_replacement_edits(at, format_inline_like(text, "success")), False
                if "result" in at.items or "error" in at.items:
                    outcome = "success" if "result" in at.items else "failed"
                    return build_key_addition(text, at, "outcome", outcome), False
                expected = format_inline_like(text, {"outcome": "success", "result": at.value})
                return self.make_replacement_edits(at, expected) if at.is_flow else (), False
            case "conditional-stall" | "default-step" if match := re.search(r"set mustExecute: true on '(.+?)'", hint):
                steps = _find_enclosing_flow(at).elements_at("steps")
                named = [step for step in steps if step.get("id") and step.items["id"].value == match[1]]
                return build_key_addition(text, named[0], "mustExecute", True) if named else (), False
            case "duplicate-case":
                return self.make_replacement_edits(at, format_inline_like(text, f"{at.value}_{at.line}")), False
            case "duplicate-id" | "empty-id":
                return self.make_replacement_edits(at, format_inline_like(text, _choose_new_step_id(at))), False
            case "coalesce-list" if at.is_flow:
                return [(at.start, at.start, "["), (at.end, at.end, "]")], False
            case "misplaced-key" if holder is not None and (match := re.match(r"(\w+) belongs to the step", hint)):
                value = at.items[key].value
                return [*build_key_removal(text, at, key), *build_key_addition(text, holder, match[1], value)], False
            case "ambiguous-path" if match := re.fullmatch(r"write (.+)", hint):
                return self.make_replacement_edits(at, format_inline_like(text, match[1])), True
            case "duplicate-key" | "config-twice" if key:
                return build_key_removal(text, at, key), False
        return (), False

    def make_replacement_edits(self, where: Node | Key, new: str) -> Sequence[Edit]:
        """Return the edit that replaces a key or a single-line value."""
        old = self.text[where.start : where.end]
        is_plain = where.start >= 0 and "\n" not in old and old[:1] not in ("&", "!", "*", "|", ">")
        if old[:1] == '"' and isinstance(where, Key):
            new = json.dumps(new)
        return [(where.start, where.end, new)] if is_plain else ()

    def make_expression_edits(self, at: Node, expression: str) -> Sequence[Edit]:
        try:
            value = parse_yaml(expression, "the expression")
        except FlowFileError:
            return ()
        is_known = get_keyword(value) is not None and "NAME" not in value.values()
        return self.make_replacement_edits(at, format_inline_like(self.text, value)) if is_known else ()

    def make_type_correction_edits(self, at: Node) -> Sequence[Edit]:
        value = at.value
        if at.part == "mustExecute" and str(value).lower() in _BOOL_WORDS:
            return self.make_replacement_edits(at, format_inline_like(self.text, _BOOL_WORDS[str(value).lower()]))
        if at.part == "maxRetries" and isinstance(value, str) and value.strip().isdecimal():
            return self.make_replacement_edits(at, value.strip())
        if at.part == "onError" and value in ("fail", "useDefault", "retry"):
            return self.make_replacement_edits(at, format_inline_like(self.text, {"action": value}))
        if at.part == "tags" and isinstance(value, str):
            return self.make_replacement_edits(at, format_inline_like(self.text, [value]))
        return ()

    def make_key_addition_edits(self, at: Node, key: str, wanted: str, rule: str) -> Sequence[Edit]:
        """Return the edit that adds a missing key with an initial value.

        If the key is a field that's missing from a component's input, its value is read from the flow's input.
        """
        is_field = _find_input_field_schema(at) is None or _find_input_field_schema(at, key) is not None
        value = _DEFAULT_VALUES.get(key, {"$input": f"$.{key}" if is_field else "$"})
        if choice := re.match(r"'([^']*)'", wanted):
            value = choice[1]
        value = _choose_new_step_id(at) if key == "id" else value
        if rule == "case-input":
            declared = _find_input_field_schema(at, key, "type")
            value = _ZERO_VALUES.get(str(declared.value)) if declared is not None else None
        if at.value is None and at.part == key and at.parent is not None:
            end = self.text.find(":", at.parent.keys[key].end) + 1
            return [(end, end, f" {format_inline_like(self.text, value)}")]
        if at.start < 0 and at.parent is not None and at.part == "input":
            return build_key_addition(self.text, at.parent, "input", {key: value})
        return build_key_addition(self.text, at, key, value)

    def make_step_move_edits(self, at: Node, later: str, step: str) -> Sequence[Edit]:
        holder = _find_enclosing_flow(at).get("steps")
        if holder is None:
            return ()
        # Look up the positions once per list, since a flow can have thousands of these findings.
        if (positions := self._positions.get(id(holder))) is None:
            steps = FlowSteps({"steps": holder.value}).by_id
            positions = self._positions[id(holder)] = {name: step.index for name, step in steps.items()}
        if later not in positions or step not in positions:
            return ()
        return yaml_and_json_edits.build_element_move(self.text, holder, positions[later], positions[step])

    def find_rename_fix(self, finding: Finding, at: Node, name: str) -> tuple[Fix | None, bool]:
        """Return the fix that renames a misspelled key or name as the hint suggests, and whether the fix is certain."""
        # A name with a dot would have to be quoted in a path.
        if yaml_and_json_edits.format_inline_yaml(name) != name or ("." in name and str(at.value).startswith("$")):
            return None, False
        if finding.key is not None:
            key = at.keys.get(finding.key)
            if key is None or key.start < 0 or name in at.items:
                return None, False
            return Fix(key.start, key.end, finding.key, name), _is_clear_misspelling(finding.key, name)
        old = at.value
        # If the name is followed by a path, it isn't misspelled, and dropping the path would change what is read.
        if not isinstance(old, str) or at.start < 0 or old.startswith((f"{name}.", f"{name}[")):
            return None, False
        others = _list_innermost_flow_step_ids(at) if finding.rule == "undefined-step" else ()
        if not any(_is_clear_misspelling(old, other) for other in others if other != name):
            # If the value is a path, only replace the field, so that the path still starts with `$.`.
            if not old.startswith("$") and _is_clear_misspelling(old, name):
                return Fix(at.start, at.end, old, name), True
            parts = [word for word in re.findall(r"[^.\[\]'\"$]+", old) if _is_clear_misspelling(word, name)]
            if len(parts) == 1 and old.count(parts[0]) == 1:
                return Fix(at.start, at.end, old, old.replace(parts[0], name)), True
        return Fix(at.start, at.end, old, name), False

    def add_fix_splitting_step_path(self, finding: Finding, at: Node) -> Finding:
        holder, steps = at.parent, _list_innermost_flow_step_ids(at)
        names = [step for step in steps if re.match(rf"{re.escape(step)}[.\[]", at.value)]
        if holder is None or "path" in holder.items or not names or at.value in steps:
            return finding
        step = max(names, key=len)
        path = "$" + at.value[len(step) :]
        finding = finding._replace(hint=f"write {format_inline_like(self.text, {'$step': step, 'path': path})}")
        if at.start < 0 or at.original is not None:
            return finding
        if holder.is_flow:
            text = format_inline_like(self.text, {"$step": step, "path": path})[:-1].split(": ", 1)[1]
        else:
            indent = " " * (holder.keys["$step"].column - 1)
            text = f"{format_inline_like(self.text, step)}\n{indent}path: {format_inline_like(self.text, path)}"
        return finding._replace(fix=yaml_and_json_edits.combine_edits(self.text, [(at.start, at.end, text)]))


def _convert_legacy_from_expression(node: Node) -> dict[str, str] | None:
    """Convert a `$from` to the current syntax, e.g. `{$from: {step: a}, path: x}` to `{$step: a, path: $.x}`.

    Return None if it isn't clear what the `$from` means.
    """
    source, path = node.items["$from"].value, node.value.get("path", "")
    if not isinstance(path, str) or not isinstance(source, Mapping) or len(source) != 1:
        return None
    if not {*node.items} <= {"$from", "path"}:
        return None
    path = path if path.startswith("$") or not path else f"$.{path}"
    if source.get("workflow") == "input":
        return {"$input": path or "$"}
    if isinstance(source.get("step"), str):
        return {"$step": source["step"], **({"path": path} if path not in ("", "$") else {})}
    return None


def _is_clear_misspelling(word: Any, name: str) -> bool:
    """Return whether a word is so similar to a name that it is clearly a misspelling of it."""
    one, other = (re.sub("[_-]", "", str(term)).lower() for term in (word, name))
    return one == other or find_nearest(other, [one], _MIN_TYPO_SIMILARITY) is not None
