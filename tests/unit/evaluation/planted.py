"""Evaluation items with known differences between variants."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from stepflow_client.evaluation import EvaluationItem

FLIPPED = 0.02
"""The probability that a result is flipped."""
BETTER = 0.05 * (1 - 2 * FLIPPED)
"""The difference between the success rates of `better` and `now`."""
SLOWER = 1.2
"""The ratio between the durations of `slow` and `now`."""


def planted(seed: int, count: int = 500) -> Iterator[EvaluationItem]:
    """Yield the items of four variants, case by case.

    `now` is right in 80% of the cases, `better` in 5% more; `equal` behaves like `now`; `slow` takes 20% longer. All
    variants share the difficulty and base duration of a case, plus random noise.
    """
    rng = random.Random(seed)
    for case in range(count):
        difficulty, seconds = rng.random(), rng.lognormvariate(-1, 0.4)
        for variant in ("now", "better", "equal", "slow"):
            is_right = difficulty < (0.85 if variant == "better" else 0.8)
            duration = seconds * rng.lognormvariate(0, 0.2) * (SLOWER if variant == "slow" else 1)
            yield item(case, variant, {"right": is_right != (rng.random() < FLIPPED)}, duration=duration)


def item(case: Any, variant: str, scores: dict[str, Any], **fields: Any) -> EvaluationItem:
    return EvaluationItem(case=str(case), variant=variant, scores=scores, run_id=f"run-{case}-{variant}", **fields)
