"""The outputs of `each` and `iterate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")


@dataclass
class ItemResult(Generic[T]):
    """The outcome of one element."""

    outcome: Literal["success", "failed"]
    """Whether its sub-flow succeeded."""
    result: T = None  # type: ignore[assignment]
    """Its output. A failed element has none: a flow that reads it fails, and in a result it is None."""
    error: Any = None
    """The error of a failed element: `code`, `message`, and further data."""


@dataclass
class MapOutput(Generic[T]):
    """The output of `each`."""

    results: list[ItemResult[T]]
    """The outcomes of the elements, in their order."""
    successful: int
    """The number of elements that succeeded."""
    failed: int
    """The number of elements that failed."""


@dataclass
class Iterated(Generic[T]):
    """The output of `iterate`."""

    result: T
    """The result of the last turn; the last input if the maximum was reached."""
    iterations: int
    """The number of turns."""
    terminated: bool
    """Whether the maximum number of turns was reached."""
