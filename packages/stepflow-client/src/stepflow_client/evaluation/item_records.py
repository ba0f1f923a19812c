"""Items on their way into the folder of an evaluation, and out of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..types.outcomes import Outcome
from .records import EvaluationCase, EvaluationItem, ScoreValue


class EndedItem(NamedTuple):
    """An item that has ended. Most are stored without ever becoming an `EvaluationItem`."""

    variant: int
    number: int
    case: EvaluationCase
    outcome: Outcome
    duration: float | None = None

    def item(self, variant: str, repeat: int) -> EvaluationItem:
        """Return the item.

        Args:
            variant: The name of the variant.
            repeat: The number of repeats of each case.
        """
        outcome = self.outcome
        return EvaluationItem(
            case=self.case.name,
            variant=variant,
            repeat=self.number % repeat,
            input=self.case.input,
            expected=self.case.expected,
            status=outcome.status.value,
            output=outcome.output,
            error=error_of(outcome),
            run_id=outcome.run_id,
            item_index=outcome.item_index,
            duration=self.duration,
        )


class StoredItem(NamedTuple):
    """An item, with its place in the file."""

    variant: int
    number: int
    item: EvaluationItem


class ItemResult(NamedTuple):
    """What a report keeps of an item: neither input nor output."""

    case: str
    variant: str
    repeat: int
    status: str
    error: str | None
    duration: float | None
    scores: Mapping[str, ScoreValue]
    score_errors: Mapping[str, str]


class Scored(NamedTuple):
    """The scores that one function has given to one item."""

    variant: int
    number: int
    key: str
    found: Mapping[str, ScoreValue]
    failed: Mapping[str, str]


def error_of(outcome: Outcome) -> str | None:
    """Return the message of an outcome that is no success."""
    if outcome.error is not None:
        return outcome.error.message
    return None if outcome.is_success else f"the run was {outcome.status.value}"


def item_of_row(variant: str, repeat: int, row: Sequence[Any]) -> EvaluationItem:
    """Return the item in a row of the file."""
    _, case, content, status, output, error, run_id, item, duration = row
    given, expected = json.loads(content)
    return EvaluationItem(
        case=case,
        variant=variant,
        repeat=repeat,
        input=given,
        expected=expected,
        status=status,
        output=json.loads(output),
        error=error,
        run_id=run_id,
        item_index=item,
        duration=duration,
    )
