"""What test cases reach of a flow, as text: the same for pytest and for the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import FlowFileError
from ..flows.coverage import FlowPart

_REASONS = {"not_reached": "not reached", "mocked": "only mocked", "unknown": "not told by this server"}


def coverage_lines(path: Path, parts: Sequence[FlowPart]) -> Iterator[str]:
    """Yield how many parts of the flow in a file are reached, and each that is not, or only by mocks."""
    if not parts:
        return
    counts = ", ".join(filter(None, (_counted(parts, "step", "steps"), _counted(parts, "branch", "branches"))))
    yield f"{path}: {counts} reached ({percent_text(percent_of(parts))})"
    line_of = lines_of(path)
    for part in parts:
        if part.state != "reached":
            yield f"  {_REASONS[part.state]}: {part_name(part)} at {path}:{line_of(part) or 1}"


def _counted(parts: Sequence[FlowPart], noun: str, plural: str) -> str:
    chosen = [part for part in parts if bool(part.branch) is (noun == "branch")]
    reached = sum(part.is_reached for part in chosen)
    return f"{reached} of {len(chosen)} {noun if len(chosen) == 1 else plural}" if chosen else ""


def percent_of(parts: Sequence[FlowPart]) -> float:
    """Return how many of the parts are reached, from 0 to 100; what a server does not tell is not reached."""
    return 100 * sum(part.is_reached for part in parts) / len(parts) if parts else 100.0


def percent_text(percent: float) -> str:
    """Return a percentage in words; 99.9 is not 100."""
    return f"{int(percent)} %"


def part_name(part: FlowPart) -> str:
    """Return the name of a part: `step a: input.x then`."""
    step = "/".join(part.steps)
    return ": ".join(filter(None, (f"step {step}" if step else "", part.branch)))


def lines_of(path: Path) -> Callable[[FlowPart], int | None]:
    """Return a function that returns the line of a part in the file; None if it is not known."""
    from ..flows.source import FlowText

    @cache
    def root() -> Any:
        try:
            return FlowText.of(str(path)).root
        except FlowFileError:
            # It has changed since.
            return None

    def line(part: FlowPart) -> int | None:
        node = None if root() is None else root().at(*part.at)
        return None if node is None else node.line or None

    return line
