"""Evaluation: which variant of a flow is better, and by how much."""

from __future__ import annotations

from .records import EvaluationCase, EvaluationItem, ScoreValue, Variant

__all__ = ["EvaluationCase", "EvaluationItem", "ScoreValue", "Variant"]
