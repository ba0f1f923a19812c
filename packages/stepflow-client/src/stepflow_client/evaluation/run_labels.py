"""The labels of the runs of an evaluation, by which a client's history finds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .plan import PlannedVariant
from .records import EvaluationItem


class RunLabels:
    """Labels the runs of an evaluation: all by `eval` and `variant`, and those that have ended by their items too.

    Args:
        client: The client; without a history, it has no labels.
        name: The name of the evaluation.
        more: Labels that the caller adds.
    """

    def __init__(self, client: Any, name: str, more: Mapping[str, str] | None) -> None:
        self._history = getattr(client, "history", None)
        self._server = getattr(client, "url", None)
        # Without a history, `map` refuses labels, and says why.
        self._held: dict[str, tuple[PlannedVariant, Sequence[EvaluationItem]] | None] = {}
        """The first run of each variant that has ended. `map` records its first run again when it creates the next."""
        self.common = None if self._history is None and more is None else {"eval": name, **(more or {})}

    def of(self, variant: PlannedVariant) -> dict[str, str] | None:
        """Return the labels of the batch of a variant."""
        return None if self.common is None else {**self.common, "variant": variant.name}

    def record(self, variant: PlannedVariant, items: Sequence[EvaluationItem]) -> None:
        """Record a run that has ended, with the cases and repeats of its items."""
        if variant.name not in self._held:
            self._held[variant.name] = variant, items
            return
        self._release(variant.name)
        self._record(variant, items)

    def end(self) -> None:
        """Record the runs that are left; all have ended."""
        for name in self._held:
            self._release(name)

    def _release(self, name: str) -> None:
        held, self._held[name] = self._held[name], None
        if held is not None:
            self._record(*held)

    def _record(self, variant: PlannedVariant, items: Sequence[EvaluationItem]) -> None:
        labels, first = self.of(variant), items[0]
        if self._history is None or labels is None or first.run_id is None:
            return
        last = max(items, key=lambda item: item.item_index or 0)
        labels["case"] = _range(first.case, last.case)
        labels["repeat"] = _range(*(f(item.repeat for item in items) for f in (min, max)))
        given = variant.arguments
        self._history.record(
            first.run_id,
            server=self._server,
            flow=given["flow"],
            variables=given["variables"],
            overrides=given.get("overrides"),
            omitted=("input",),
            labels=labels,
        )
        has_failed = not all(item.is_success for item in items)
        self._history.update(first.run_id, status=first.status if not has_failed else "failed")


def _range(first: object, last: object) -> str:
    return str(first) if first == last else f"{first}..{last}"
