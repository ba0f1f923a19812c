"""The exact text to write in place of a fault, as a hint, and as a fix where only one correction is possible. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from functools import cached_property
from typing import Any

from .._base.text import meant
from .._data.expressions import keyword_of
from .findings import Finding, Fix
from .source import FlowText, Key, Node

__all__ = ["with_rewrites"]

_SAFE = re.compile(r"[$/\w][\w$/.-]*")
"""Names that need no quotes."""
_CLEAR = 0.75
"""Minimum similarity of a word and the name that it is a misspelling of, for a fix."""
_SHAPES = {
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
"""How to write the values of keys, by key."""
_IN_QUOTES = "put it in quotes"


def with_rewrites(flow: FlowText, found: Sequence[Finding]) -> list[Finding]:
    """Return the findings of a flow with exact hints and with fixes. Findings that only repeat another are left out."""
    rewriter = _Rewriter(flow)
    better = [rewriter.rewritten(each) for each in found if not rewriter.is_repeated(each)]
    # Two keys of one mapping cannot both become the same key, and it is not clear which of them is meant.
    keys = [rewriter.new_key(each) for each in better]
    number = Counter(keys)
    return [
        replace(each, fix=None) if key and number[key] > 1 else each for each, key in zip(better, keys, strict=True)
    ]


class _Rewriter:
    """Rewrites the findings of one flow."""

    def __init__(self, flow: FlowText) -> None:
        self.text, self.root = flow.text, flow.root
        self.is_json = flow.text.lstrip()[:1] == "{"

    @cached_property
    def holders(self) -> dict[int, Node]:
        """The mapping or list that holds a node, by the id of the node; the mapping of a key, by minus its offset."""
        found: dict[int, Node] = {}
        for node in self.root.walk():
            found |= {-key.start: node for key in node.keys.values() if key.start >= 0}
            if node.original is None:
                found |= {id(child): node for child in (*node.items.values(), *node.elements)}
        return found

    @cached_property
    def keys(self) -> dict[tuple[int, int], Key]:
        """The keys by line and column."""
        return {
            (key.line, key.column): key for node in self.root.walk() for key in node.keys.values() if key.start >= 0
        }

    def holder(self, at: Node | Key | None) -> Node | None:
        return self.holders.get(-at.start if isinstance(at, Key) else id(at))

    def steps(self, node: Node | None) -> list[str]:
        """Return the ids of the steps of the innermost flow around a node."""
        listed: Node | None = None
        while node is not None and not (listed := node.get("steps")):
            node = self.holder(node)
        ids = (each.get("id") for each in listed.elements) if listed is not None else ()
        return [each.value for each in ids if each is not None and isinstance(each.value, str)]

    def is_repeated(self, finding: Finding) -> bool:
        """Return whether a finding goes away with the exact rewrite of another."""
        holder = self.holder(finding.at) if finding.rule == "ignored-key" else None
        return holder is not None and keyword_of(holder.items) == "$from" and _old_reference(holder) is not None

    def new_key(self, finding: Finding) -> tuple[int, str] | None:
        """Return the mapping in which a fix renames a key, and the new key; None for other fixes."""
        if finding.fix is None or not isinstance(finding.at, Key):
            return None
        return id(self.holder(finding.at)), finding.fix.text

    def rewritten(self, finding: Finding) -> Finding:
        if isinstance(finding.at, Node) and finding.at.start < 0:
            # Only the line and the column of the key are known.
            finding = replace(finding, at=self.keys.get((finding.line, finding.column), finding.at))
        match finding.rule:
            case "from-expression":
                finding = self.of_old_reference(finding)
            case "undefined-step":
                finding = self.of_dotted_step(finding)
            case "unknown-keyword" if meant(finding.hint) == "$from":
                finding = replace(finding, hint="write $step, $input or $variable")
            case "wrong-type":
                finding = self.of_wrong_type(finding)
            case "component-input":
                finding = self.of_misplaced_key(finding)
        if finding.fix is None and (name := meant(finding.hint)) is not None:
            return replace(finding, fix=self.renamed(finding, name))
        fix = finding.fix
        if finding.rule in ("unknown-key", "ignored-key") and fix is not None and not _is_clear(fix.old, fix.text):
            return replace(finding, fix=None)
        return finding

    def renamed(self, finding: Finding, name: str) -> Fix | None:
        """Return the fix that corrects a misspelt key or name; None if it is not certain."""
        at = finding.at
        if at is None or at.start < 0 or not _SAFE.fullmatch(name):
            return None
        if isinstance(at, Key):
            old, holder = self.text[at.start : at.end].strip("'\""), self.holder(at)
            is_free = holder is not None and name not in holder.items
            return Fix(at.start, at.end, old, name) if is_free and _is_clear(old, name) else None
        old = at.value
        if not isinstance(old, str) or (finding.rule == "undefined-step" and not self.is_only(at, name)):
            return None
        if _is_clear(old, name):
            return Fix(at.start, at.end, old, name)
        parts = [each for each in re.findall(r"[\w-]+", old) if _is_clear(each, name)]
        if len(parts) != 1 or old.count(parts[0]) != 1:
            return None
        return Fix(at.start, at.end, old, old.replace(parts[0], name))

    def is_only(self, at: Node, name: str) -> bool:
        """Return whether no other step is nearly as similar to the id of a reference."""
        return not any(_is_clear(at.value, each) for each in self.steps(at) if each != name)

    def of_old_reference(self, finding: Finding) -> Finding:
        holder = self.holder(finding.at)
        new = _old_reference(holder) if holder is not None else None
        if holder is None or new is None:
            return finding
        text = self.mapping(new)
        written = self.text[holder.start : holder.end] if holder.start >= 0 else "#"
        fix = None if "#" in written else Fix(holder.start, holder.end, written, text)
        return replace(finding, hint=f"write {text}", fix=fix)

    def of_dotted_step(self, finding: Finding) -> Finding:
        at, holder = finding.at, self.holder(finding.at)
        if not isinstance(at, Node) or holder is None or "path" in holder.items:
            return finding
        names = [each for each in self.steps(at) if re.match(rf"{re.escape(each)}[.\[]", at.value)]
        if not names or at.value in self.steps(at):
            return finding
        step = max(names, key=len)
        path = "$" + at.value[len(step) :]
        hint = f"write {self.mapping({'$step': step, 'path': path})}"
        key = holder.keys["$step"]
        if at.start < 0 or at.original is not None:
            return replace(finding, hint=hint)
        if holder.is_flow:
            text = self.mapping({"$step": step, "path": path})[1:-1].split(": ", 1)[1]
        else:
            newline = "\r\n" if "\r\n" in self.text else "\n"
            text = f"{self.scalar(step)}{newline}{' ' * (key.column - 1)}path: {self.scalar(path)}"
        return replace(finding, hint=hint, fix=Fix(at.start, at.end, self.text[at.start : at.end], text))

    def of_wrong_type(self, finding: Finding) -> Finding:
        at = finding.at
        if finding.hint == _IN_QUOTES and isinstance(at, Node) and at.start >= 0 and at.original is None:
            written = self.text[at.start : at.end]
            is_plain = written and "\n" not in written and written[0] not in "&!"
            return replace(finding, fix=Fix(at.start, at.end, written, json.dumps(written)) if is_plain else None)
        name = finding.path.rpartition(".")[2]
        return finding if finding.hint else replace(finding, hint=_SHAPES.get(name))

    def of_misplaced_key(self, finding: Finding) -> Finding:
        """Explain a key of the step that is indented into its input."""
        name = finding.path.rpartition(".")[2]
        plain = name.replace("_", "").lower()
        for key in ("onError", "mustExecute", "component"):
            if plain == key.lower():
                return replace(finding, hint=f"{key} belongs to the step: write it beside input, not inside of it")
        return finding

    def mapping(self, value: Mapping[str, str]) -> str:
        """Return a mapping in braces."""
        if self.is_json:
            return json.dumps(value, ensure_ascii=False)
        return "{" + ", ".join(f"{key}: {self.scalar(each)}" for key, each in value.items()) + "}"

    def scalar(self, value: str) -> str:
        return value if _SAFE.fullmatch(value) and not self.is_json else json.dumps(value, ensure_ascii=False)


def _old_reference(node: Node) -> dict[str, str] | None:
    """Return what a `$from` is now: `{$from: {step: a}, path: x}` is `{$step: a, path: $.x}`; None if it is unclear."""
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


def _is_clear(word: Any, name: str) -> bool:
    """Return whether a word is a misspelling of a name: not only similar, but hardly anything else."""
    one, other = (re.sub("[_-]", "", str(each)).lower() for each in (word, name))
    return one == other or SequenceMatcher(None, one, other).ratio() >= _CLEAR
