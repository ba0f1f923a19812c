"""Evaluation: which variant of a flow is better, and by how much."""

from __future__ import annotations

from ._async.evaluate import evaluate
from ._sync.evaluate import evaluate as sync_evaluate
from .flow_score import FlowScore
from .records import EvaluationCase, EvaluationItem, ScoreValue, Variant

__all__ = ["EvaluationCase", "EvaluationItem", "FlowScore", "ScoreValue", "Variant", "evaluate", "sync_evaluate"]
