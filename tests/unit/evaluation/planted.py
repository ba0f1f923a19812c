"""Items of an evaluation with changes that are known."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from stepflow_client.evaluation import EvaluationItem

FLIPPED = 0.02
"""How often an answer is right or wrong by chance."""
BETTER = 0.05 * (1 - 2 * FLIPPED)
"""By how much `better` is right more often."""
SLOWER = 1.2
"""How many times as long `slow` takes."""


def planted(seed: int, count: int = 500) -> Iterator[EvaluationItem]:
    """Yield four variants of one case after the other.

    `now` is right in 80% of the cases, `better` in 5% more; `equal` is `now` once more; `slow` takes 20% longer. Times
    and the difficulty of a case are the same for all variants, but for chance.
    """
    chance = random.Random(seed)
    for case in range(count):
        difficulty, seconds = chance.random(), chance.lognormvariate(-1, 0.4)
        for variant in ("now", "better", "equal", "slow"):
            is_right = difficulty < (0.85 if variant == "better" else 0.8)
            took = seconds * chance.lognormvariate(0, 0.2) * (SLOWER if variant == "slow" else 1)
            yield item(case, variant, {"right": is_right != (chance.random() < FLIPPED)}, duration=took)


def item(case: Any, variant: str, scores: dict[str, Any], **fields: Any) -> EvaluationItem:
    """Return an item with these scores."""
    return EvaluationItem(case=str(case), variant=variant, scores=scores, run_id=f"run-{case}-{variant}", **fields)
