"""How a batch is cut into runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..outcomes import Outcome

__all__ = ["Chunk", "ChunkSizer", "ReadAhead", "key_of", "lanes_of"]

_FIRST, _LARGEST = 32, 400
"""Inputs of one run. From 0.11 on a server's time grows with the square of the items of a run."""
_WANTED = 1.0
"""Seconds that a chunk should take: longer ones delay outcomes, shorter ones cost more requests an input."""
_LANES = 4
"""Chunks in flight for each server."""
_MOST_READ = 128
"""Inputs that are read at once, at most."""
_SHARE = 16
"""What is read at once has this part of a chunk's bytes, at most, going by what came before."""


@dataclass(slots=True)
class Chunk:
    """Consecutive inputs that become one run."""

    number: int
    """From 0 on, in the order of the inputs."""
    first: int
    """The index of the first input."""
    tag: str
    """What makes the chunk's flow, and so its run, recognisable."""
    count: int = 0
    """Inputs read for it, those that cannot be sent included."""
    size: int = 0
    """Bytes of them as JSON."""
    digest: str = ""
    """What tells its inputs from others."""
    indexes: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    """The values as JSON text, separated by commas within a text."""
    keys: list[str | int | None] = field(default_factory=list)
    refused: list[Outcome] = field(default_factory=list)
    """The outcomes of inputs that cannot be sent."""
    run_id: str | None = None
    """The run, where it is known from a journal."""
    outcomes: list[Outcome] | None = None
    """How it ended, where that is known from a journal."""


class ChunkSizer:
    """Chooses how many inputs the next chunk has, by how fast the server responds.

    Args:
        fixed: A size that the caller has chosen; None adapts.
    """

    def __init__(self, fixed: int | None) -> None:
        """Begin small."""
        self._fixed = fixed
        self.size = fixed or _FIRST

    def note(self, count: int, seconds: float) -> None:
        """Note how long a chunk took: the size at most doubles, or halves, at once."""
        if self._fixed is not None or not count:
            return
        wanted = count * _WANTED / max(seconds, 1e-6)
        self.size = int(max(1, min(max(wanted, count / 2), count * 2, _LARGEST)))


class ReadAhead:
    """Chooses how many inputs are read at once, by how large the last ones were: few where they are large."""

    def __init__(self, most_bytes: int) -> None:
        """Begin with one.

        Args:
            most_bytes: Bytes of a chunk.
        """
        self.most_bytes = most_bytes
        self.count = 1

    def note(self, count: int, size: int) -> None:
        """Note the size of inputs that were read at once."""
        fitting = self.most_bytes // _SHARE * count // max(size, 1)
        self.count = max(1, min(fitting, 2 * self.count, _MOST_READ))


def lanes_of(max_concurrency: int | None, servers: int = 1) -> list[int | None]:
    """Return the `max_concurrency` of each run in flight; together they are that of the batch.

    Args:
        max_concurrency: Of all runs together; None leaves each run to the server.
        servers: How many servers the runs are spread over.
    """
    if max_concurrency is None:
        return [None] * (_LANES * servers)
    lanes = min(_LANES * servers, max_concurrency)
    return [max_concurrency // lanes + (place < max_concurrency % lanes) for place in range(lanes)]


def key_of(value: Any) -> str | int | None:
    """Return the `id`, else the `key`, of an input that is an object."""
    if isinstance(value, dict):
        for name in ("id", "key"):
            found = value.get(name)
            if found is not None and isinstance(found, (str, int)) and not isinstance(found, bool):
                return found
    return None
