"""The findings of the offline checks: a position in a file, the name of the rule, and how to fix the fault. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from .source import Key, Node

__all__ = ["RULES", "TYPE_RULES", "Finding", "Findings", "Fix"]

TYPE_RULES = frozenset({"input-conflict", "possible-mismatch", "type-mismatch", "untyped-output"})
"""The names of the rules that apply only if types are checked."""

RULES = TYPE_RULES | {
    "ambiguous-path", "case-input", "case-output", "coalesce-list", "component-input", "component-slash",
    "conditional-stall", "config-twice", "constant-condition", "cycle", "dangling-ref", "dead-default",
    "default-step", "default-type", "duplicate-case", "duplicate-id", "duplicate-key", "empty-id", "expected-output",
    "from-expression", "ignored-key", "iterate-output", "large-integer", "later-step", "malformed-path", "merge-key",
    "misplaced-schema", "missing-key", "missing-then", "no-flow", "no-output", "not-a-schema", "not-evaluated",
    "optional-input", "path-not-text", "required-undeclared", "schema-of-unknown-step", "self-reference",
    "step-not-text", "syntax", "template", "two-keywords", "undeclared-variable", "undefined-step",
    "unescaped-subflow", "unknown-action", "unknown-component", "unknown-input", "unknown-key", "unknown-keyword",
    "unknown-output-path", "unused-key", "unused-step", "unused-variable", "variable-name", "variable-path",
    "wrong-type",
}  # fmt: skip
"""The names of all rules."""


class Fix(NamedTuple):
    """A safe change: the characters of the file from `start` up to `end` become `text`."""

    start: int
    end: int
    old: str
    """The text between them, or the text inside of the quotes there, which are kept."""
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
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
    excerpt: str = ""
    file: str = ""
    at: Node | Key | None = field(default=None, compare=False, repr=False)
    """The key or the value in the file."""


Release = tuple[int, int]
"""The first two numbers of a release."""


class Findings:
    """Collects the findings of the rules, each fault once.

    Args:
        target: The release of the servers that the flow is for; None for all releases.
    """

    def __init__(self, target: Release | None = None) -> None:
        """Start without findings."""
        self.target = target
        self.all: dict[tuple[str, int, int, str], Finding] = {}
        self.in_unchecked = False
        """Whether the faults are those of a flow that servers read only when it runs: they refuse none of them."""

    def add(
        self,
        rule: str,
        level: str,
        at: Node | Key,
        path: str,
        message: str,
        hint: str | None = None,
        fix: Fix | None = None,
        *,
        before: Release | None = None,
    ) -> None:
        """Add a fault.

        Args:
            rule: The name of the rule.
            level: `fatal`, `error` or `warning`.
            at: The position of the fault.
            path: The path of the fault in the flow.
            message: One sentence that describes the fault.
            hint: How to fix it.
            fix: The change that fixes it, if there is a safe one.
            before: The release from which on this is no fault. It is at most a warning if no target is known.
        """
        if before is not None and self.target is None:
            level = "warning"
        elif before is not None and self.target is not None and self.target >= before:
            return
        level = "error" if level == "fatal" and self.in_unchecked else level
        found = Finding(rule, level, message, path, at.line, at.column, hint, fix, at=at)
        self.all.setdefault((rule, at.line, at.column, path), found)
