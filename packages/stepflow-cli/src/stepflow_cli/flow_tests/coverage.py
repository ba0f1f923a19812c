"""The output of `stepflow test --coverage`: which steps and branches of the flows no case reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import Problem, printable
from ..output.columns import Column, View, columns
from .execute import FileResults

PARTS = View(
    columns=(*columns("file", "line:number", "part", "state:status"), Column("cases", optional=True)),
    fields=("step", "branch"),
    name="part",
)


def part_records(done: FileResults) -> list[dict[str, Any]]:
    """Return a record for each part of a file's flow."""
    from stepflow_client.testing.coverage_text import lines_of, part_name

    line = lines_of(done.file.tests.path)
    return [
        {
            "file": done.file.name,
            "line": line(part),
            "part": part_name(part),
            "step": "/".join(part.steps) or None,
            "branch": part.branch or None,
            "state": part.state,
            "cases": list(part.cases),
        }
        for part in done.parts
    ]


def coverage_text(done: Sequence[FileResults]) -> Iterator[str]:
    """Yield the text for people: for each flow, how many parts are reached, and which ones are not."""
    from stepflow_client.testing.coverage_text import coverage_lines

    for file in done:
        yield from map(printable, coverage_lines(file.file.tests.path, file.parts))


def parts_not_reached(done: Sequence[FileResults]) -> Iterator[dict[str, Any]]:
    """Yield the records of the parts that no case reaches."""
    for file in done:
        yield from (record for record in part_records(file) if record["state"] in ("not_reached", "unknown"))


def judge_coverage(done: Sequence[FileResults], least: float) -> None:
    """Raise if too few parts are reached.

    Raises:
        Problem: If the percentage is below `least`.
    """
    from stepflow_client.testing.coverage_text import percent_of, percent_text

    parts = [part for file in done for part in file.parts]
    percent = percent_of(parts)
    if percent >= least:
        return
    untold = sum(part.state == "unknown" for part in parts)
    hint = f"of {untold} of them, this server does not tell; 0.12 and newer do" if untold else None
    raise Problem(
        f"the cases reach {sum(part.is_reached for part in parts)} of {len(parts)} steps and branches, "
        f"{percent_text(percent)}, less than {least:g} %",
        kind="low_coverage",
        hint=hint,
    )
