"""Findings from the checks. Each has a rule, a position in the file and possibly a suggested fix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..errors import FlowFileError
from .expressions import KEYWORDS, REFERENCE_KEYWORDS, format_path
from .json_schema import Mismatch
from .syntax_tree import Key, Node

TYPE_RULES = frozenset({"input-conflict", "possible-mismatch", "type-mismatch", "untyped-output"})
"""Rules that only apply when types are checked."""

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
"""All rule names."""


class Fix(NamedTuple):
    """A safe edit that replaces the file's characters from `start` up to `end` with `text`."""

    start: int
    end: int
    old: str
    """The text being replaced, without any surrounding quotes (which are kept)."""
    text: str


class Finding(NamedTuple):
    """A problem found in a flow file."""

    rule: str
    level: str
    """`fatal`: servers reject the flow. `error`: it will likely fail. `warning`: it may behave unexpectedly."""
    message: str
    path: str
    line: int
    column: int
    hint: str | None = None
    fix: Fix | None = None
    suggestion: Fix | None = None
    """The edit suggested by the hint, if it isn't safe to apply without confirmation."""
    start: int = -1
    end: int = -1
    """The range of characters in the file, excluding the value's key. -1 if unknown."""
    excerpt: str = ""
    file: str = ""
    at: Node | None = None
    """The value's node, or the mapping that contains the key. Set to None once all rules have run."""
    key: str | None = None
    """The mapping key, if the finding is about the key itself."""
    is_type_finding: bool = False
    """Whether the finding is reported only by type checking."""


def make_syntax_finding(name: str, error: FlowFileError) -> Finding:
    """Convert a parse error to a finding, removing `name` from the start of its message."""
    rule = "duplicate-key" if "appears twice" in error.message else "syntax"
    message = re.sub(r" \(line \d+, column \d+\)$", "", error.message.removeprefix(f"{name} "))
    return Finding(rule, "fatal", message, "$", error.line or 1, error.column or 1, error.hint)


Release = tuple[int, int]
"""The first two numbers of a release, e.g. `(0, 13)`."""


class Findings:
    """Collects the findings of all rules, without duplicates. `target` is the release that the flow targets, if
    known."""

    def __init__(self, target: Release | None = None) -> None:
        self.target = target
        self.all: dict[tuple[str, int, int, str], Finding] = {}
        self.is_unchecked_by_server = False
        """Whether servers read this part of the flow only at run time, so problems in it don't cause a rejection."""
        self.is_checking_types = False
        """Whether types are currently being checked."""

    @contextmanager
    def treat_as_read_at_run_time(self, is_unchecked: bool) -> Iterator[None]:
        """If `is_unchecked`, treat everything in this block as a flow that servers read only at run time."""
        before = self.is_unchecked_by_server
        self.is_unchecked_by_server |= is_unchecked
        yield
        self.is_unchecked_by_server = before

    def add(
        self, rule: str, level: str, at: Node, message: str, hint: str | None = None, *, key: str | None = None
    ) -> None:
        """Add a finding about a value or one of its keys.

        Args:
            rule: The rule's name.
            level: `fatal`, `error` or `warning`.
            at: The value, or the mapping that contains the key.
            message: One sentence describing the problem.
            hint: How to fix it.
            key: The key, if the problem is with the key itself.
        """
        level = "error" if level == "fatal" and self.is_unchecked_by_server else level
        where = at if key is None else at.keys.get(key) or at.merges[0][0]
        # As servers do, name the expression rather than its keyword.
        holder = at.parent if key is None and at.parent is not None and at.part in REFERENCE_KEYWORDS else at
        path = holder.path if key is None or key in KEYWORDS else format_path([key], at.path)
        # If this is an alias, mark the text that it refers to.
        span = where if isinstance(where, Key) or where.original is None else where.original
        finding = Finding(
            rule, level, message, path, where.line, where.column, hint,
            start=span.start, end=span.end, at=at, key=key, is_type_finding=self.is_checking_types,
        )  # fmt: skip
        self.all.setdefault((rule, where.line, where.column, path), finding)

    def add_mismatch(self, rule: str, level: str, root: Node, wrong: Mismatch, prefix: str = "") -> None:
        """Add a finding for a value that doesn't match its schema."""
        self.add(rule, level, root.at(*wrong.parts) or root, prefix + wrong.message, wrong.hint, key=wrong.key)
