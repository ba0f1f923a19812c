"""Which steps of a flow test cases reach, as text: the same for pytest and for the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from .._cases.coverage import StepCoverage
from ..errors import FlowFileError


def coverage_lines(path: Path, steps: Sequence[StepCoverage]) -> Iterator[str]:
    """Yield how many steps of the flow in a file are reached, and each that is not, or only by mocks."""
    if not steps:
        return
    reached, noun = sum(step.is_reached for step in steps), "step" if len(steps) == 1 else "steps"
    yield f"{path}: {reached} of {len(steps)} {noun} reached ({int(percent_of(steps))} %)"
    line_of = lines_of(path)
    for step in steps:
        if step.state != "reached":
            state = "not reached" if step.state == "not_reached" else "only mocked"
            yield f"  {state}: step {'/'.join(step.path)} at {path}:{line_of(step) or 1}"


def percent_of(steps: Sequence[StepCoverage]) -> float:
    """Return how many of the steps are reached, from 0 to 100."""
    return 100 * sum(step.is_reached for step in steps) / len(steps) if steps else 100.0


def lines_of(path: Path) -> Callable[[StepCoverage], int | None]:
    """Return a function that returns the line of a step in the file; None if it is not known."""
    from ..flows.source import FlowText

    @cache
    def root() -> Any:
        try:
            return FlowText.of(str(path)).root
        except FlowFileError:
            # It has changed since.
            return None

    def line(step: StepCoverage) -> int | None:
        node = None if root() is None else root().at(*step.at)
        return None if node is None else node.line or None

    return line
