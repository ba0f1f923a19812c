"""The labels of the runs of an evaluation, by which a client's history finds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .item_records import Block
from .plan import PlannedVariant


class RunLabels:
    """Labels the runs of an evaluation: all by `eval` and `variant`, and those that have ended by their items too.

    Args:
        client: The client; without a history, it has no labels.
        name: The name of the evaluation.
        repeat: The number of repeats of each case.
        more: Labels that the caller adds.
    """

    def __init__(self, client: Any, name: str, repeat: int, more: Mapping[str, str] | None) -> None:
        self._history = getattr(client, "history", None)
        self._server = getattr(client, "url", None)
        self._repeat = repeat
        # Without a history, `map` refuses labels, and says why.
        self._held: dict[str, tuple[PlannedVariant, Block] | None] = {}
        """The first block of each variant. `map` records its first run again when it creates the next."""
        self.common = None if self._history is None and more is None else {"eval": name, **(more or {})}

    def of(self, variant: PlannedVariant) -> dict[str, str] | None:
        """Return the labels of the batch of a variant."""
        return None if self.common is None else {**self.common, "variant": variant.name}

    def record(self, variant: PlannedVariant, block: Block) -> None:
        """Record the run of a block that has ended, with the cases and repeats of its items."""
        if variant.name not in self._held:
            self._held[variant.name] = variant, block
            return
        self._release(variant.name)
        self._record(variant, block)

    def end(self) -> None:
        """Record the runs that are left; all have ended."""
        for name in self._held:
            self._release(name)

    def _release(self, name: str) -> None:
        held, self._held[name] = self._held[name], None
        if held is not None:
            self._record(*held)

    def _record(self, variant: PlannedVariant, block: Block) -> None:
        labels = self.of(variant)
        if self._history is None or labels is None:
            return
        for run_id, places in block.runs.items():
            repeats = [(block.first + place) % self._repeat for place in places]
            labels["case"] = _range(block.cases[places[0]].name, block.cases[places[-1]].name)
            labels["repeat"] = _range(min(repeats), max(repeats))
            self._history.record(
                run_id, server=self._server, omitted=("input",), labels=dict(labels), **variant.arguments
            )
            has_failed = any(block.statuses[place] != "completed" for place in places)
            self._history.update(run_id, status="failed" if has_failed else "completed")


def _range(first: object, last: object) -> str:
    return str(first) if first == last else f"{first}..{last}"
