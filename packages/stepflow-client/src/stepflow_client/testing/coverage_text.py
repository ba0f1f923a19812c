"""The coverage of flows by test cases as text, for pytest and for the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from .._cases.coverage import StepCoverage
from ..errors import FlowFileError


def coverage_lines(path: Path, steps: Sequence[StepCoverage]) -> Iterator[str]:
    """Yield the number of reached steps of a flow, then each step that is not reached or only mocked."""
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
    """Return a function that returns the line of a step in the file; None if it is unknown."""
    from ..flows.source import FlowText

    try:
        root = FlowText.of(str(path)).root
    except FlowFileError:
        # The file has changed.
        return lambda step: None

    def line(step: StepCoverage) -> int | None:
        node = root.at(*step.at)
        return (node.line or None) if node is not None else None

    return line
