"""The outputs of the steps that run sub-flows, as servers send them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")


@dataclass
class ItemResult(Generic[T]):
    """What came of one element."""

    outcome: Literal["success", "failed"]
    """Whether its sub-flow succeeded."""
    result: T = None  # type: ignore[assignment]
    """Its output. An element that failed has none: a flow that reads it fails, and in a result it is None."""
    error: Any = None
    """Why it failed: `code`, `message`, and further data. An element that succeeded has none."""


@dataclass
class MapOutput(Generic[T]):
    """The output of `each`."""

    results: list[ItemResult[T]]
    """What came of each element, in their order."""
    successful: int
    """The number of elements that succeeded."""
    failed: int
    """The number of elements that failed."""


@dataclass
class Iterated(Generic[T]):
    """The output of `iterate`."""

    result: T
    """The result of the last turn, or the last input if there were too many turns."""
    iterations: int
    """The number of turns."""
    terminated: bool
    """Whether there were too many turns."""
