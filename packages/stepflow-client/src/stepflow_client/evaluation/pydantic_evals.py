"""Evaluators of the package pydantic-evals, used as they are, without that package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .records import EvaluationItem

_NOT_MEASURED = "the spans of a flow are those of its server: they are not recorded here"


def is_evaluator(value: object) -> bool:
    """Return whether a value is an `Evaluator`."""
    return not isinstance(value, type) and all(
        callable(getattr(value, name, None)) for name in ("evaluate", "evaluate_async", "get_default_evaluation_name")
    )


class EvaluatorContext:
    """What an evaluator reads: the attributes of the context that pydantic-evals passes."""

    def __init__(self, item: EvaluationItem) -> None:
        self.name = item.case
        self.metadata = item.metadata or None
        self.inputs, self.expected_output, self.output = item.input, item.expected, item.output
        self.attributes: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self._duration = item.duration

    @property
    def duration(self) -> float:
        """The time of the item in seconds.

        Raises:
            ValueError: If the server does not report it.
        """
        if self._duration is None:
            raise ValueError("this server does not report the times of steps")
        return self._duration

    @property
    def span_tree(self) -> Any:
        """Not available.

        Raises:
            ValueError: Always.
        """
        raise ValueError(_NOT_MEASURED)
