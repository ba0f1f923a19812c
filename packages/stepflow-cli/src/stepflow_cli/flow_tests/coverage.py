"""The output of `stepflow test --coverage`: which steps and branches of the flows no case reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ..errors import Problem, printable
from ..exit_codes import ExitCode
from ..output.tables import Column, View
from .execute import FileResults

if TYPE_CHECKING:
    from stepflow_client.testing import FlowPart

PARTS = View(
    columns=(
        Column("file"),
        Column("line", kind="number"),
        Column("part"),
        Column("state", kind="status"),
        Column("cases", optional=True),
    ),
    fields=("step", "branch"),
    name="part",
)
_REASONS = {"not_reached": "not reached", "mocked": "only mocked", "unknown": "not told by this server"}


def part_records(done: FileResults) -> list[dict[str, Any]]:
    """Return a record for each part of a file's flow."""
    line = _lines_of(done)
    return [
        {
            "file": done.file.name,
            "line": line(part),
            "part": _name(part),
            "step": "/".join(part.steps) or None,
            "branch": part.branch or None,
            "state": part.state,
            "cases": list(part.cases),
        }
        for part in done.parts
    ]


def _name(part: FlowPart) -> str:
    step = "/".join(part.steps)
    return ": ".join(filter(None, (f"step {step}" if step else "", part.branch)))


def _lines_of(done: FileResults) -> Any:
    from stepflow_client import FlowFileError
    from stepflow_client.flows.source import FlowText

    @cache
    def root() -> Any:
        try:
            return FlowText.of(str(done.file.tests.path)).root
        except FlowFileError:
            # It has changed since.
            return None

    def line(part: FlowPart) -> int | None:
        node = None if root() is None else root().at(*part.at)
        return None if node is None else node.line or None

    return line


def coverage_lines(done: Sequence[FileResults]) -> Iterator[str]:
    """Yield the text for people: for each flow, how many parts are reached, and which ones are not."""
    for file in done:
        if not file.parts:
            continue
        steps, branches = (
            [part for part in file.parts if bool(part.branch) is is_branch] for is_branch in (False, True)
        )
        counts = ", ".join(
            f"{sum(part.is_reached for part in parts)} of {len(parts)} {noun if len(parts) != 1 else noun_of_one}"
            for parts, noun, noun_of_one in ((steps, "steps", "step"), (branches, "branches", "branch"))
            if parts
        )
        yield printable(f"{file.file.name}: {counts} reached ({_shown(percent_of([file]))})")
        for record in part_records(file):
            if record["state"] != "reached":
                where = f"{file.file.name}:{record['line'] or 1}"
                yield printable(f"  {_REASONS[record['state']]}: {record['part']} at {where}")


def coverage_notices(done: Sequence[FileResults]) -> Iterator[dict[str, Any]]:
    """Yield the records of the parts that no case reaches."""
    for file in done:
        yield from (record for record in part_records(file) if record["state"] in ("not_reached", "unknown"))


def percent_of(done: Sequence[FileResults]) -> float:
    """Return how many of the parts of all flows are reached, from 0 to 100; what a server does not tell is not."""
    parts = [part for file in done for part in file.parts]
    return 100 * sum(part.is_reached for part in parts) / len(parts) if parts else 100.0


def _shown(percent: float) -> str:
    # 99.9 % is not 100 %.
    return f"{int(percent)} %"


def judge_coverage(done: Sequence[FileResults], least: float) -> None:
    """Raise if too few parts are reached.

    Raises:
        Problem: If the percentage is below `least`.
    """
    percent = percent_of(done)
    if percent >= least:
        return
    parts = [part for file in done for part in file.parts]
    untold = sum(part.state == "unknown" for part in parts)
    hint = f"of {untold} of them, this server does not tell; 0.12 and newer do" if untold else None
    raise Problem(
        f"the cases reach {sum(part.is_reached for part in parts)} of {len(parts)} steps and branches, "
        f"{_shown(percent)}, less than {least:g} %",
        kind="low_coverage",
        exit_code=ExitCode.FAILED,
        hint=hint,
    )
