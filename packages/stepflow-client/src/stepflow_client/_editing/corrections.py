"""The exact text to write in place of a fault: as a hint, as a fix where it is clear, and corrected files. Pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .._base.text import meant, nearest
from ..flows.expressions import keyword_of
from ..flows.findings import Finding, Fix
from ..flows.source import FlowText, Node
from .text_edits import Edit, apply, one_line

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
_MOST_ROUNDS = 100

Find = Callable[[FlowText], Sequence[Finding]]
"""A function that returns the findings of a flow."""


class Corrected(NamedTuple):
    """A corrected flow."""

    flow: FlowText
    found: Sequence[Finding]
    """The findings that are left."""
    number: int = 0
    """The number of corrections."""


def corrected(flow: FlowText, find: Find) -> Corrected:
    """Correct a flow until nothing is left that can be corrected; the rest of its text is unchanged.

    A correction is only made if the flow then has no more findings, and none that are more severe. A second call with
    the result changes nothing.
    """
    state = Corrected(flow, find(flow))
    for _ in range(_MOST_ROUNDS):
        better = _improved(state, find)
        if better is None:
            break
        state = better
    return state


def _improved(state: Corrected, find: Find) -> Corrected | None:
    """Return a flow with more corrections; None if none is possible.

    Fixes are tried with those that they make possible; each alone without them, too.
    """
    fixes = _fixes(state)
    choices = [(each, _MOST_ROUNDS) for each in _parts(fixes)] + [([each], 1) for each in fixes]
    attempts = (_settled(state, chosen, find, rounds) for chosen, rounds in choices)
    return next((each for each in attempts if each is not None and not _is_worse(each, state)), None)


def _parts(fixes: list[Fix]) -> Iterator[list[Fix]]:
    """Yield all fixes, then halves, quarters and so on, down to each alone: few of them are harmful."""
    waiting = [fixes] if fixes else []
    for part in waiting:
        yield part
        middle = len(part) // 2
        waiting += [part[:middle], part[middle:]] if middle else []


def _settled(state: Corrected, fixes: Collection[Fix], find: Find, rounds: int) -> Corrected | None:
    """Return the flow with these fixes, and with those of the findings that they reveal; None if nothing changes."""
    before = state.flow.text
    old = {(each.old, each.text) for each in _fixes(state)}
    for _ in range(rounds):
        edits = [edit for fix in fixes if (edit := edit_of(state.flow.text, fix)) is not None]
        flow = FlowText(apply(state.flow.text, edits), state.flow.name)
        state = Corrected(flow, find(flow), state.number + len(edits))
        fixes = [each for each in _fixes(state) if (each.old, each.text) not in old]
        if flow.error is not None or not fixes:
            break
    return state if state.flow.text != before else None


def _fixes(state: Corrected) -> list[Fix]:
    """Return the fixes of a flow's findings in the order of the file, without those that overlap an earlier one."""
    chosen: list[Fix] = []
    for fix in sorted({each.fix for each in state.found if each.fix is not None}):
        if edit_of(state.flow.text, fix) is not None and (not chosen or fix.start >= chosen[-1].end):
            chosen.append(fix)
    return chosen


def edit_of(text: str, fix: Fix) -> Edit | None:
    """Return the edit of a fix; None if the text is written in another way, with escapes for example."""
    written = text[fix.start : fix.end]
    if written == fix.old:
        return fix.start, fix.end, fix.text
    if len(written) > 1 and written[0] == written[-1] and written[0] in "'\"" and written[1:-1] == fix.old:
        return fix.start + 1, fix.end - 1, fix.text
    return None


def _is_worse(new: Corrected, old: Corrected) -> bool:
    levels = ({"fatal"}, {"fatal", "error"}, {"fatal", "error", "warning"})
    return new.flow.error is not None or any(_count(new, each) > _count(old, each) for each in levels)


def _count(state: Corrected, levels: Collection[str]) -> int:
    return sum(each.level in levels for each in state.found)


def with_rewrites(flow: FlowText, found: Sequence[Finding]) -> list[Finding]:
    """Return the findings of a flow with exact hints and with fixes. Findings that only repeat another are left out."""
    rewriter = _Rewriter(flow)
    better = [rewriter.rewritten(each) for each in found if not _is_repeated(each)]
    # Two keys of one mapping cannot both become the same key, and it is not clear which of them is meant.
    keys = [(id(each.at), each.fix.text) if each.fix and each.key else None for each in better]
    number = Counter(keys)
    return [
        each._replace(fix=None) if key and number[key] > 1 else each for each, key in zip(better, keys, strict=True)
    ]


def _is_repeated(finding: Finding) -> bool:
    """Return whether a finding goes away with the exact rewrite of another."""
    at = finding.at if finding.rule == "ignored-key" else None
    return at is not None and keyword_of(at.items) == "$from" and _old_reference(at) is not None


def _steps_around(node: Node | None) -> list[str]:
    """Return the ids of the steps of the innermost flow around a node."""
    listed: Node | None = None
    while node is not None and not (listed := node.get("steps")):
        node = node.parent
    ids = (each.get("id") for each in listed.elements) if listed is not None else ()
    return [each.value for each in ids if each is not None and isinstance(each.value, str)]


class _Rewriter:
    """Rewrites the findings of one flow."""

    def __init__(self, flow: FlowText) -> None:
        self.text = flow.text
        self.is_json = flow.text.lstrip()[:1] == "{"

    def rewritten(self, finding: Finding) -> Finding:
        match finding.rule:
            case "from-expression":
                finding = self.of_old_reference(finding)
            case "undefined-step":
                finding = self.of_dotted_step(finding)
            case "unknown-keyword" if meant(finding.hint) == "$from":
                finding = finding._replace(hint="write $step, $input or $variable")
            case "wrong-type":
                finding = self.of_wrong_type(finding)
        if finding.fix is None and (name := meant(finding.hint)) is not None:
            fix = self.renamed(finding, name)
            return finding._replace(fix=fix, suggestion=self.suggested(finding, name) if fix is None else None)
        return finding

    def suggested(self, finding: Finding, name: str) -> Fix | None:
        """Return the change to the name that a hint suggests, which may not be meant; None if it is impossible."""
        at, key = finding.at, finding.key
        if at is None or one_line(name) != name:
            return None
        if key is not None:
            where = at.keys.get(key)
            is_free = where is not None and where.start >= 0 and name not in at.items
            return Fix(where.start, where.end, key, name) if where is not None and is_free else None
        return Fix(at.start, at.end, at.value, name) if isinstance(at.value, str) and at.start >= 0 else None

    def renamed(self, finding: Finding, name: str) -> Fix | None:
        """Return the fix that corrects a misspelt key or name; None if it is not certain."""
        at = finding.at
        if at is None or one_line(name) != name:
            return None
        if finding.key is not None:
            key, old = at.keys[finding.key], finding.key
            is_free = key.start >= 0 and name not in at.items
            return Fix(key.start, key.end, old, name) if is_free and _is_clear(old, name) else None
        old, others = at.value, _steps_around(at) if finding.rule == "undefined-step" else ()
        if not isinstance(old, str) or at.start < 0 or any(_is_clear(old, each) for each in others if each != name):
            return None
        if _is_clear(old, name):
            return Fix(at.start, at.end, old, name)
        parts = [each for each in re.findall(r"[\w-]+", old) if _is_clear(each, name)]
        if len(parts) != 1 or old.count(parts[0]) != 1:
            return None
        return Fix(at.start, at.end, old, old.replace(parts[0], name))

    def of_old_reference(self, finding: Finding) -> Finding:
        at = finding.at
        if at is None or (new := _old_reference(at)) is None:
            return finding
        text = self.written(new)
        written = self.text[at.start : at.end] if at.start >= 0 else "#"
        fix = None if "#" in written else Fix(at.start, at.end, written, text)
        return finding._replace(hint=f"write {text}", fix=fix)

    def of_dotted_step(self, finding: Finding) -> Finding:
        at, holder = finding.at, finding.at and finding.at.parent
        if at is None or holder is None or "path" in holder.items:
            return finding
        steps = _steps_around(at)
        names = [each for each in steps if re.match(rf"{re.escape(each)}[.\[]", at.value)]
        if not names or at.value in steps:
            return finding
        step = max(names, key=len)
        path = "$" + at.value[len(step) :]
        finding = finding._replace(hint=f"write {self.written({'$step': step, 'path': path})}")
        if at.start < 0 or at.original is not None:
            return finding
        if holder.is_flow:
            text = self.written({"$step": step, "path": path})[1:-1].split(": ", 1)[1]
        else:
            newline = "\r\n" if "\r\n" in self.text else "\n"
            indent = " " * (holder.keys["$step"].column - 1)
            text = f"{self.written(step)}{newline}{indent}path: {self.written(path)}"
        return finding._replace(fix=Fix(at.start, at.end, self.text[at.start : at.end], text))

    def of_wrong_type(self, finding: Finding) -> Finding:
        at = finding.at
        if at is None or finding.hint != _IN_QUOTES:
            return finding if finding.hint or at is None else finding._replace(hint=_SHAPES.get(str(at.part)))
        if at.start < 0 or at.original is not None:
            return finding
        written = self.text[at.start : at.end]
        is_plain = written and "\n" not in written and written[0] not in "&!"
        return finding._replace(fix=Fix(at.start, at.end, written, json.dumps(written)) if is_plain else None)

    def written(self, value: Any) -> str:
        """Return a value in one line."""
        return json.dumps(value, ensure_ascii=False) if self.is_json else one_line(value)


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
    return one == other or nearest(other, [one], _CLEAR) is not None
