"""The failures of a batch, grouped by error, with their number and items. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepflow_client import FlowResult

__all__ = ["failure_lines"]

_GROUPS = 5
"""Maximum number of groups listed; the others are only counted."""
_ITEMS = 3
"""Number of items named in each group."""


def failure_lines(results: Iterable[FlowResult]) -> list[str]:
    """Return a line for each error, the most frequent first.

    For example `4,990 x step 'ask': Input path $.data not found (items 3, 4, 5, ...)`.

    Args:
        results: The results of all items, in their order.
    """
    groups: dict[str, list[int]] = {}
    steps: dict[str, set[str]] = {}
    for index, result in enumerate(results):
        if not result.is_success:
            reason = result.status.value if result.error is None else result.error.message
            groups.setdefault(reason, []).append(index)
            # Of many failures, the client requests the steps of the first only.
            if result.error is not None and result.error.step_id:
                steps.setdefault(reason, set()).add(result.error.step_id)
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    lines = [
        f"{len(items):,} x {_where(steps.get(reason, set()))}{reason} ({_named(items)})"
        for reason, items in ranked[:_GROUPS]
    ]
    left = ranked[_GROUPS:]
    if left:
        lines.append(f"{sum(len(items) for _, items in left):,} x {len(left)} other errors")
    return lines


def _where(steps: set[str]) -> str:
    return f"{'step' if len(steps) == 1 else 'steps'} {', '.join(map(repr, sorted(steps)))}: " if steps else ""


def _named(items: list[int]) -> str:
    noun = "item" if len(items) == 1 else "items"
    more = ", ..." if len(items) > _ITEMS else ""
    return f"{noun} {', '.join(map(str, items[:_ITEMS]))}{more}"
