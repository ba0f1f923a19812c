"""The failed items of a run, grouped by cause. Pure."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..types import RunItem
    from ..types.results import FlowError

_VARYING = re.compile(r"\d+|'[^']*'|\"[^\"]*\"")
"""The parts of a message in which two errors of the same cause may differ: numbers and quoted texts."""


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The items of a run that failed for the same reason."""

    key: str
    """Names the reason, for example in a URL: the same for the same step, code and message."""
    error: FlowError
    """The error of the first item."""
    step_id: str | None
    """The step that failed; None if it is not known, or if no step did."""
    items: tuple[RunItem, ...]

    @property
    def code(self) -> str:
        """The error code; empty if there is none."""
        return self.error.code.value if self.error.code else ""

    @property
    def indexes(self) -> list[int]:
        """The indexes of the items."""
        return [item.index for item in self.items]


def failure_groups(items: Iterable[RunItem]) -> list[FailureGroup]:
    """Return the failed items grouped by step, code and message, the largest group first.

    Messages that differ only in numbers and quoted texts count as the same. In runs of more than 1,000 items only the
    first failed items name their step: the others join the group that has the same code and message, if it is the
    only one.

    Args:
        items: The items of a run; those without an error are ignored.
    """
    found: dict[tuple[str, str], dict[str | None, list[RunItem]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        error = _error_of(item)
        if error is not None:
            code = error.code.value if error.code else ""
            found[code, _VARYING.sub("#", error.message)][error.step_id].append(item)
    groups = []
    for (code, message), by_step in found.items():
        if len(by_step) == 2 and None in by_step:
            unnamed = by_step.pop(None)
            (named,) = by_step.values()
            named.extend(unnamed)
        for step_id, members in by_step.items():
            members.sort(key=lambda item: item.index)
            error = _error_of(members[0])
            assert error is not None
            groups.append(FailureGroup(_key(step_id, code, message), error, step_id, tuple(members)))
    return sorted(groups, key=lambda group: -len(group.items))


def _error_of(item: RunItem) -> FlowError | None:
    return None if item.result is None else item.result.error


def _key(*parts: str | None) -> str:
    return hashlib.sha256("\0".join(part or "" for part in parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]
