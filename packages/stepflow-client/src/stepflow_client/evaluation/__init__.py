"""Evaluation: which variant of a flow is better, and by how much."""

from __future__ import annotations

from ._async.evaluate import evaluate
from ._sync.evaluate import evaluate as sync_evaluate
from .flow_score import FlowScore
from .records import EvaluationCase, EvaluationItem, ScoreValue, Variant
from .report import EvaluationReport, WorstCase
from .scores import close, contains, exact, json_distance, latency, output_field, regex, schema_valid

__all__ = [
    "EvaluationCase", "EvaluationItem", "EvaluationReport", "FlowScore", "ScoreValue", "Variant", "WorstCase", "close",
    "contains", "evaluate", "exact", "json_distance", "latency", "output_field", "regex", "schema_valid",
    "sync_evaluate",
]  # fmt: skip
