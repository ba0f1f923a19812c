"""Scores of items."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from .records import EvaluationItem, ScoreValue


def score_name(score: Any) -> str:
    """Return the name of a score function."""
    return str(getattr(score, "name", None) or getattr(score, "__name__", type(score).__name__))


def score_key(score: Any) -> str:
    """Return the text by which the journal decides whether to compute a score again."""
    return f"{score_name(score)} {getattr(score, 'version', '')}"


async def apply_scores(
    scores: Sequence[Any], item: EvaluationItem, client: Any
) -> tuple[dict[str, ScoreValue], dict[str, str]]:
    """Return the scores of an item by name, and the messages of those that failed."""
    found: dict[str, ScoreValue] = {}
    failed: dict[str, str] = {}
    for score in scores:
        name = score_name(score)
        try:
            value = score(item.input, item.output, item.expected)
            value = await value if inspect.isawaitable(value) else value
        except Exception as error:
            failed[name] = str(error)
        else:
            found |= (
                {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, Mapping) else {name: value}
            )
    return found, failed
