"""Evaluators of the package pydantic-evals, used as they are, without that package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .records import EvaluationItem

_NOT_MEASURED = "the spans of a flow are those of its server: they are not recorded here"


def is_evaluator(value: object) -> bool:
    """Return whether a value is an `Evaluator`."""
    return not isinstance(value, type) and all(
        callable(getattr(value, name, None)) for name in ("evaluate", "evaluate_async", "get_default_evaluation_name")
    )


@dataclass(frozen=True)
class EvaluatorContext:
    """What an evaluator reads: the attributes of the context that pydantic-evals passes."""

    item: EvaluationItem

    @property
    def name(self) -> str:
        """The name of the case."""
        return self.item.case

    @property
    def metadata(self) -> Any:
        """The metadata of the case; None if it has none."""
        return self.item.metadata or None

    @property
    def inputs(self) -> Any:
        """The input of the case."""
        return self.item.input

    @property
    def expected_output(self) -> Any:
        """The expected output; None if the case has none."""
        return self.item.expected

    @property
    def output(self) -> Any:
        """The output."""
        return self.item.output

    @property
    def duration(self) -> float:
        """The time of the item in seconds.

        Raises:
            ValueError: If the server does not report them.
        """
        if self.item.duration is None:
            raise ValueError("this server does not report the times of steps")
        return self.item.duration

    @property
    def attributes(self) -> dict[str, Any]:
        """No attributes."""
        return {}

    @property
    def metrics(self) -> dict[str, float]:
        """No metrics."""
        return {}

    @property
    def span_tree(self) -> Any:
        """Not available.

        Raises:
            ValueError: Always.
        """
        raise ValueError(_NOT_MEASURED)
