"""Measures which variant of a flow is better, and by how much.

Example:
    ```python
    report = await evaluate(
        client, "ticket.yaml", "tickets.csv",
        variants={"now": Variant(), "formal": Variant(variables={"tone": "formal"})},
        scores=[exact("category"), latency()],
    )
    print(report.summary())
    ```
"""

from __future__ import annotations

from ._async.evaluate import evaluate, history_cases
from ._sync.evaluate import evaluate as sync_evaluate, history_cases as sync_history_cases
from .gates import Gate
from .records import EvaluationCase, EvaluationItem, ScoreValue, Variant, WorstCase
from .report import EvaluationReport, TrendPoint, trend
from .scores import (
    FlowScore,
    Score,
    close,
    contains,
    exact,
    json_distance,
    latency,
    output_field,
    regex,
    rubric,
    schema_valid,
    usage,
)
from .variant_comparison import (
    Comparison,
    DurationChange,
    EvaluationSummary,
    ScoreChange,
    ScoreMean,
    SliceScore,
    VariantDurations,
    Verdict,
)

__all__ = [
    "Comparison", "DurationChange", "EvaluationCase", "EvaluationItem", "EvaluationReport", "EvaluationSummary",
    "FlowScore", "Gate", "Score", "ScoreChange", "ScoreMean", "ScoreValue", "SliceScore", "TrendPoint",
    "Variant", "VariantDurations", "Verdict", "WorstCase", "close", "contains", "evaluate", "exact",
    "history_cases", "json_distance", "latency", "output_field", "regex", "rubric", "schema_valid",
    "sync_evaluate", "sync_history_cases", "trend", "usage",
]  # fmt: skip
