"""The output of `stepflow test --coverage`: which steps of the flows no case reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import Problem, printable
from ..output.columns import Column, View, columns
from .execute import FileResults

STEPS = View(
    columns=(*columns("file", "line:number", "step", "state:status"), Column("cases", optional=True)), name="step"
)


def step_records(done: FileResults) -> list[dict[str, Any]]:
    """Return a record for each step of a file's flow."""
    from stepflow_client.testing.coverage_text import lines_of

    line = lines_of(done.file.tests.path)
    return [
        {
            "file": done.file.name,
            "line": line(step),
            "step": "/".join(step.path),
            "state": step.state,
            "cases": list(step.cases),
        }
        for step in done.steps
    ]


def coverage_text(done: Sequence[FileResults]) -> Iterator[str]:
    """Yield the text for people: for each flow, how many steps are reached, and which ones are not."""
    from stepflow_client.testing.coverage_text import coverage_lines

    for file in done:
        yield from map(printable, coverage_lines(file.file.tests.path, file.steps))


def steps_not_reached(done: Sequence[FileResults]) -> Iterator[dict[str, Any]]:
    """Yield the records of the steps that no case reaches."""
    for file in done:
        yield from (record for record in step_records(file) if record["state"] == "not_reached")


def judge_coverage(done: Sequence[FileResults], least: float) -> None:
    """Raise if too few steps are reached.

    Raises:
        Problem: If the percentage is below `least`.
    """
    from stepflow_client.testing.coverage_text import percent_of

    steps = [step for file in done for step in file.steps]
    percent = percent_of(steps)
    if percent < least:
        raise Problem(
            f"the cases reach {sum(step.is_reached for step in steps)} of {len(steps)} steps, "
            f"{int(percent)} %, less than {least:g} %",
            kind="low_coverage",
        )
