"""Findings: a position in a file, the name of the rule, and how to fix the fault. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..errors import FlowFileError
from .expressions import KEYWORDS, write_path
from .json_schema import Mismatch
from .nodes import Key, Node

TYPE_RULES = frozenset({"input-conflict", "possible-mismatch", "type-mismatch", "untyped-output"})
"""The names of the rules that apply only if types are checked."""

RULES = TYPE_RULES | {
    "ambiguous-path", "case-input", "case-output", "coalesce-list", "component-input", "component-slash",
    "conditional-stall", "config-twice", "constant-condition", "cycle", "dangling-ref", "dead-default", "default-step",
    "default-type", "duplicate-case", "duplicate-id", "duplicate-key", "empty-id", "expected-output", "from-expression",
    "ignored-key", "iterate-output", "large-integer", "later-step", "malformed-path", "merge-key", "misplaced-key",
    "misplaced-schema", "missing-key", "missing-then", "mock", "no-flow", "no-output", "not-a-schema", "not-evaluated",
    "optional-input", "path-not-text", "required-undeclared", "schema-of-unknown-step", "self-reference",
    "step-not-text", "syntax", "template", "two-keywords", "unchecked-pattern", "undeclared-variable", "undefined-step",
    "unescaped-subflow", "unknown-action", "unknown-component", "unknown-input", "unknown-key", "unknown-keyword",
    "unknown-output-path", "unset-variable", "unused-key", "unused-step", "unused-variable", "variable-name",
    "variable-path", "wrong-type",
}  # fmt: skip
"""The names of all rules."""

_REFERENCES = ("$step", "$input", "$variable")


class Fix(NamedTuple):
    """A safe change: the characters of the file from `start` up to `end` become `text`."""

    start: int
    end: int
    old: str
    """The text between them, or the text inside of the quotes there, which are kept."""
    text: str


class Finding(NamedTuple):
    """One fault in a flow file."""

    rule: str
    level: str
    """`fatal`: servers refuse the flow. `error`: it will likely fail. `warning`: it may behave unexpectedly."""
    message: str
    path: str
    line: int
    column: int
    hint: str | None = None
    fix: Fix | None = None
    suggestion: Fix | None = None
    """The change that the hint suggests, if it is less clear than a fix: for a person to confirm."""
    start: int = -1
    end: int = -1
    """The range of characters in the file, without the key of a value; -1 if it is unknown."""
    excerpt: str = ""
    file: str = ""
    at: Node | None = None
    """The value in the tree, or the mapping with the key; None once all rules are done."""
    key: str | None = None
    """The key of the mapping, if the fault is there."""
    of_types: bool = False
    """Whether only the check of types finds it."""


def make_syntax_finding(name: str, error: FlowFileError) -> Finding:
    """Return the error of a text that cannot be parsed as a finding; `name` is its name in the message."""
    rule = "duplicate-key" if "appears twice" in error.message else "syntax"
    message = re.sub(r" \(line \d+, column \d+\)$", "", error.message.removeprefix(f"{name} "))
    return Finding(rule, "fatal", message, "$", error.line or 1, error.column or 1, error.hint)


Release = tuple[int, int]
"""The first two numbers of a release."""


class Findings:
    """Collects the findings of the rules, each fault once; `target` is the release that the flow is for, or None."""

    def __init__(self, target: Release | None = None) -> None:
        self.target = target
        self.all: dict[tuple[str, int, int, str], Finding] = {}
        self.in_unchecked = False
        """Whether servers read the flow only when it runs, so that none of its faults makes them reject it."""
        self.of_types = False
        """Whether types are being checked."""

    @contextmanager
    def unchecked(self, is_unchecked: bool) -> Iterator[None]:
        """If `is_unchecked`, treat what is checked meanwhile as a flow that servers read only when it runs."""
        before, self.in_unchecked = self.in_unchecked, self.in_unchecked or is_unchecked
        yield
        self.in_unchecked = before

    def add(
        self,
        rule: str,
        level: str,
        at: Node,
        message: str,
        hint: str | None = None,
        *,
        key: str | None = None,
        before: Release | None = None,
    ) -> None:
        """Add a fault of a value, or of a key of it.

        Args:
            rule: The name of the rule.
            level: `fatal`, `error` or `warning`.
            at: The value, or the mapping with the key.
            message: One sentence that describes the fault.
            hint: How to fix it.
            key: The key, if the fault is there.
            before: The release from which on this is no fault. It is at most a warning if no target is known.
        """
        if before is not None and self.target is None:
            level = "warning"
        elif before is not None and self.target is not None and self.target >= before:
            return
        level = "error" if level == "fatal" and self.in_unchecked else level
        where = at if key is None else at.keys.get(key) or at.merges[0][0]
        # As servers do, name the expression and not its keyword.
        holder = at.parent if key is None and at.parent is not None and at.part in _REFERENCES else at
        path = holder.path if key is None or key in KEYWORDS else write_path([key], at.path)
        # An alias has the position of what it refers to.
        span = where if isinstance(where, Key) or where.original is None else where.original
        finding = Finding(
            rule, level, message, path, where.line, where.column, hint,
            start=span.start, end=span.end, at=at, key=key, of_types=self.of_types,
        )  # fmt: skip
        self.all.setdefault((rule, where.line, where.column, path), finding)

    def add_mismatch(self, rule: str, level: str, root: Node, wrong: Mismatch, prefix: str = "") -> None:
        """Add the place where the value of a node does not match a schema."""
        self.add(rule, level, root.at(*wrong.parts) or root, prefix + wrong.message, wrong.hint, key=wrong.key)
