"""Expression keywords, references and paths.

Findings and differences use the same path syntax: `$.steps[0].input["a b"]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

KEYWORDS = ("$literal", "$if", "$coalesce", "$from", "$step", "$input", "$variable")
"""Expression keywords in order of precedence. The first one found in an object wins, and other keys are ignored."""
REFERENCE_KEYWORDS = ("$step", "$input", "$variable")
"""Keywords that read a value from elsewhere."""
_KEYWORD_SET = frozenset(KEYWORDS)

Path = tuple[str | int, ...]
"""Keys and indexes leading to a value."""
_PATH_PART = re.compile(r"\.(?P<name>[^.\[]*)|\[(?P<inner>[^\]]*)\]")
_DIGITS = re.compile(r"\+?[0-9]+")
_PLAIN_NAME = re.compile(r"""[^\s.\[\]"'*]+""")


class PathError(ValueError):
    """Servers reject the path."""


def get_keyword(value: Any) -> str | None:
    """Return the keyword that makes an object (or a node's items) an expression, or None for plain data."""
    if not isinstance(value, Mapping) or _KEYWORD_SET.isdisjoint(value):
        return None
    return next(keyword for keyword in KEYWORDS if keyword in value)


def is_expression(value: Any) -> bool:
    """Return whether a value is an object with an expression keyword."""
    return isinstance(value, Mapping) and not _KEYWORD_SET.isdisjoint(value)


class Branch(NamedTuple):
    """A conditionally evaluated part of an `$if`, `$coalesce` or `$variable`."""

    kind: Literal["condition", "then", "else", "coalesce", "default"]
    number: int = 0
    """The alternative's index, for a `$coalesce`."""
    condition: Any = None
    """The condition that the branch depends on, for a `then` or `else`."""


class Reference(NamedTuple):
    """A `$step`, `$input` or `$variable` within an expression."""

    kind: str
    """`step`, `input` or `variable`."""
    expression: Mapping[str, Any]
    """The object containing the keyword."""
    at: Path
    """Path to that object within the whole expression."""
    field: Path
    """Path to the value's place within the result, i.e. `at` without keywords and branches."""
    branches: tuple[Branch, ...] = ()
    """Enclosing branches, outermost first."""
    after: frozenset[str] = frozenset()
    """Steps read by the conditions and earlier alternatives that decide whether this reference is evaluated."""
    step: str | None = None
    """The ID of the step being read. None for other kinds of reference, or if the ID isn't a string."""

    @property
    def path(self) -> Any:
        """The path as written. For a `$variable`, it starts with the variable's name."""
        return self.expression.get("path") if self.kind == "step" else self.expression[f"${self.kind}"]

    @property
    def variable(self) -> str | None:
        """The name of the variable being read. None for other kinds of reference, or if the path has no name."""
        if self.kind != "variable" or not isinstance(self.path, str):
            return None
        try:
            parts = parse_path(self.path)
        except PathError:
            return None
        return parts[0] if parts and isinstance(parts[0], str) else None

    @property
    def is_certain(self) -> bool:
        """Whether the reference is evaluated whenever the expression is."""
        return all(branch.kind in ("condition", "coalesce") and not branch.number for branch in self.branches)

    @property
    def is_in_condition(self) -> bool:
        """Whether the reference is part of a condition. A condition that can't be evaluated counts as false."""
        return any(branch.kind == "condition" for branch in self.branches)

    @property
    def is_in_default(self) -> bool:
        """Whether the reference is part of a variable's default. Such a reference doesn't cause a step to run."""
        return bool(self.branches) and any(branch.kind == "default" for branch in self.branches)


def find_references(expression: Any) -> list[Reference]:
    """Return all references that might be read when an expression is evaluated, in document order."""
    references: list[Reference] = []
    _collect_references(expression, references, (), (), (), frozenset())
    return references


def prefix_bare_paths(expression: Any) -> Any:
    """Return a copy with each path `name` written as `$.name`, as in stored flows returned by servers."""
    for each in find_references(spelled := deepcopy(expression)):
        if isinstance(each.path, str) and each.path.isidentifier():
            cast(Any, each.expression)["path" if each.kind == "step" else f"${each.kind}"] = f"$.{each.path}"
    return spelled


def _collect_references(
    value: Any, references: list[Reference], at: Path, field: Path, branches: tuple[Branch, ...], after: frozenset[str]
) -> frozenset[str]:
    """Collect an expression's references. Return the IDs of the steps it reads."""
    if not isinstance(value, (Mapping, list, tuple)):
        return frozenset()
    begin, keyword = len(references), get_keyword(value)
    if not isinstance(value, Mapping):
        for index, part in enumerate(value):
            _collect_references(part, references, (*at, index), (*field, index), branches, after)
    elif keyword is None:
        for key, part in value.items():
            _collect_references(part, references, (*at, str(key)), (*field, str(key)), branches, after)
    elif keyword in REFERENCE_KEYWORDS:
        name = value[keyword] if keyword == "$step" and isinstance(value[keyword], str) else None
        references.append(Reference(keyword[1:], value, at, field, branches, after, name))
        if keyword == "$variable":
            _collect_references(
                value.get("default"), references, (*at, "default"), field, (*branches, Branch("default")), after
            )
    elif keyword == "$if":
        condition = value["$if"]
        after |= _collect_references(
            condition, references, (*at, "$if"), field, (*branches, Branch("condition")), after
        )
        for kind in ("then", "else"):
            _collect_references(
                value.get(kind), references, (*at, kind), field, (*branches, Branch(kind, 0, condition)), after
            )
    elif keyword == "$coalesce" and isinstance(value["$coalesce"], (list, tuple)):
        for index, part in enumerate(value["$coalesce"]):
            inner = (*branches, Branch("coalesce", index))
            after |= _collect_references(part, references, (*at, "$coalesce", index), field, inner, after)
    # Skip steps that are only used in a default, because servers don't wait for them.
    return frozenset(read.step for read in references[begin:] if read.step and not read.is_in_default)


@lru_cache(maxsize=4096)
def parse_path(text: str | None) -> Path:
    """Split a path into fields and indexes, the way servers do for a flow that was stored unchanged.

    An empty path refers to the whole value. A path that doesn't start with `$` is a single field name.

    Raises:
        PathError: If servers reject the path.
    """
    if text is None or text == "":
        return ()
    trimmed = text.strip()
    if not trimmed.startswith("$"):
        return (text,)
    end, parts = 1, list[str | int]()
    while end < len(trimmed):
        match = _PATH_PART.match(trimmed, end)
        if match is None and trimmed[end] == "[":
            raise PathError("a [ is not closed")
        if match is None:
            where = "$ must be followed by . or [, not {!r}" if not parts else "{!r} after ]"
            raise PathError(where.format(trimmed[end]))
        name, inner, end = match["name"], (match["inner"] or "").strip(), match.end()
        if name is not None:
            parts += [name] if name else []
        elif _DIGITS.fullmatch(inner):
            parts.append(int(inner))
        elif len(inner) >= 2 and inner[0] == inner[-1] and inner[0] in "'\"":
            parts.append(inner[1:-1])
        else:
            raise PathError(f"[{inner}] is neither an index ([0]) nor a quoted name (['x'])")
    return tuple(parts)


def explain_ambiguous_path(text: str) -> str | None:
    """Explain why a path might not mean what its author intended. Return None if it's unambiguous."""
    is_bare = not text.strip().startswith("$")
    if re.search(r"\.\*|\.\.|\[\*\]", text) and not is_bare:
        return f"{text!r} has no wildcards or descent: * is a field name and empty names are dropped"
    for part in parse_path(text):
        # Servers write names without quotes, so `["a.b"]` becomes `.a.b` and empty names vanish.
        if isinstance(part, str) and (not part or "." in part or "[" in part):
            if is_bare:
                return f"{text!r} is a single field name"
            return f"the quoted name {part!r} is read as a path if a step is overridden; rename the field"
    return None


def parse_unambiguous_path(text: Any) -> Path | None:
    """Split a path into its parts. Return None if the path is ambiguous or if servers reject it."""
    if text is not None and not isinstance(text, str):
        return None
    try:
        parts = parse_path(text)
    except PathError:
        return None
    return None if text and explain_ambiguous_path(text) else parts


def format_path(parts: Iterable[str | int], start: str = "$") -> str:
    """Format a path as text, e.g. `$.steps[0].input["a b"]`. `start` is the path to append to."""
    return start + "".join(map(format_path_part, parts))


@lru_cache(maxsize=4096)
def format_path_part(part: str | int) -> str:
    """Format one part of a path: `.steps`, `[0]` or `["a b"]`."""
    if isinstance(part, str) and _PLAIN_NAME.fullmatch(part):
        return f".{part}"
    return f"[{json.dumps(part, ensure_ascii=False)}]"
