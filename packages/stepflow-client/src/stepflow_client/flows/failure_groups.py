"""Groups the failed items of a batch by their cause. Pure."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..types import FlowError, RunItem

__all__ = ["FailureGroup", "failure_groups"]

_VARIABLE_PARTS = re.compile(r"\d+|'[^']*'|\"[^\"]*\"")
"""Messages that differ only in numbers and quoted texts have the same cause."""


@dataclass(frozen=True)
class FailureGroup:
    """Failed items with the same cause."""

    key: str
    """Identifies the cause: the same step, error code and message have the same key in every run."""
    error: FlowError
    """The error of the first item."""
    items: tuple[RunItem, ...]
    """The items, in the order of their inputs."""

    @property
    def indexes(self) -> list[int]:
        """The indexes of the items."""
        return [item.index for item in self.items]


def failure_groups(items: Iterable[RunItem]) -> list[FailureGroup]:
    """Return the failed items grouped by step, error code and message; the largest group first."""
    groups: dict[tuple[str, str, str], list[RunItem]] = defaultdict(list)
    errors: dict[tuple[str, str, str], FlowError] = {}
    for item in items:
        error = None if item.result is None else item.result.error
        if error is None:
            continue
        code = error.code.value if error.code else ""
        cause = (error.step_id or "", code, _VARIABLE_PARTS.sub("#", error.message))
        errors.setdefault(cause, error)
        groups[cause].append(item)
    found = [FailureGroup(_key(cause), errors[cause], tuple(each)) for cause, each in groups.items()]
    return sorted(found, key=lambda group: -len(group.items))


def _key(cause: tuple[str, str, str]) -> str:
    return hashlib.sha256("\0".join(cause).encode("utf-8", "surrogatepass")).hexdigest()[:12]
