"""What a client needs to decode the responses about a run: the output of its flow, and its secrets.

Pure, except for a lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from .._base.newest import NewestEntries
from .secrets import NO_SECRETS, Secrets
from .values import fixes_order, get_shape_at, iter_in_order, restore_integers, restore_order

_MAX_RUNS = 10_000


class OutputDecoder(NamedTuple):
    """How the responses about a run are read."""

    like: Any = None
    """The `output` of its flow, whose keys define the order of the keys in the run's outputs; None if it is unknown."""
    secrets: Secrets = NO_SECRETS
    keeps_order: bool = True
    """Whether the server returns keys in the order of the flow, as older servers do."""
    as_sent: bool = False
    """Whether outputs stay as the server sent them, for callers who show a small part of a large one: `entries` and
    `whole` read that part."""

    def flow_output(self, value: Any) -> Any:
        """Return the output of the flow with its numbers and the order of its keys as the author wrote them."""
        if self.as_sent:
            return value
        return restore_integers(value) if self.keeps_order else restore_order(value, self.like)

    def step_output(self, value: Any) -> Any:
        """Return the output of a step. Its keys are sorted if the server returns them in an arbitrary order."""
        return value if self.as_sent else self.of_step.whole(value)

    @property
    def of_step(self) -> OutputDecoder:
        """How outputs of steps are read: the flow does not define the order of their keys."""
        return self._replace(like=None)

    def whole(self, value: Any) -> Any:
        """Return a value as the server sent it with its numbers and the order of its keys."""
        return restore_integers(value) if self.keeps_order else restore_order(value, self.like)

    def entries(self, value: Any, start: int, end: int) -> Iterator[tuple[str | int, Any, OutputDecoder]]:
        """Yield entries of an object or a list as the server sent it, and how each is read.

        Entries without entries of their own are read; objects and lists in them are as the server sent them.
        """
        if self.keeps_order and isinstance(value, dict):
            found: Iterable[tuple[str | int, Any, Any]] = ((key, part, None) for key, part in value.items())
            found = islice(found, start, end)
        else:
            found = iter_in_order(value, self.like, start, end)
        for key, each, like in found:
            how = self if like is self.like else self._replace(like=like)
            yield key, each if isinstance(each, (dict, list)) else restore_integers(each), how

    def at(self, path: Iterable[str | int]) -> OutputDecoder:
        """Return how the part of a value at a path is read."""
        like = self.like
        for key in path:
            like = get_shape_at(like, key)
        return self._replace(like=like)


PLAIN = OutputDecoder()


def make_output_decoder(output: Any, secrets: Secrets) -> OutputDecoder:
    """Return how to read the responses about runs of a flow.

    Args:
        output: The `output` of the flow; None if it is unknown.
        secrets: The secrets of the runs.
    """
    return OutputDecoder(output if fixes_order(output) else None, secrets) if secrets or fixes_order(output) else PLAIN


PLAIN_UNORDERED = OutputDecoder(keeps_order=False)


class DecoderCache:
    """How to read the responses about the newest runs that a client has created."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.known: NewestEntries[str | None, OutputDecoder] = NewestEntries(_MAX_RUNS)

    def note(self, run_id: str, decoder: OutputDecoder) -> None:
        """Remember how to read the responses about a run."""
        with self._lock:
            self.known.put(run_id, decoder)
