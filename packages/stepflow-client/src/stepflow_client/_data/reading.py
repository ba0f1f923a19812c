"""What a client knows about a run for reading its responses: the output of its flow, and its secrets.

Pure, except for a lock.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from .._base.newest import Newest
from .secrets import NO_SECRETS, Secrets
from .values import all_ordered, fixes_order, ordered, restored

_MOST_RUNS = 10_000


class Reading(NamedTuple):
    """How the responses about a run are read."""

    like: Any = None
    """The `output` of its flow, whose keys define the order of the keys in the run's outputs; None if it is unknown."""
    secrets: Secrets = NO_SECRETS
    keeps_order: bool = True
    """Whether the server returns keys in the order of the flow, as servers before 0.12 do."""

    def flow_output(self, value: Any) -> Any:
        """Return the output of the flow with its numbers and the order of its keys as the author wrote them."""
        return restored(value) if self.keeps_order else ordered(value, self.like)

    def flow_outputs(self, values: list[Any]) -> list[Any]:
        """Return outputs of the flow, each as `flow_output` does."""
        return [restored(value) for value in values] if self.keeps_order else all_ordered(values, self.like)

    def step_output(self, value: Any) -> Any:
        """Return the output of a step. Its keys are sorted if the server returns them in an arbitrary order."""
        return restored(value) if self.keeps_order else ordered(value)


PLAIN = Reading()


def reading_of(output: Any, secrets: Secrets) -> Reading:
    """Return how to read the responses about runs of a flow.

    Args:
        output: The `output` of the flow; None if it is unknown.
        secrets: The secrets of the runs.
    """
    return Reading(output if fixes_order(output) else None, secrets) if secrets or fixes_order(output) else PLAIN


_PLAIN_UNORDERED = Reading(keeps_order=False)


class Readings:
    """How to read the responses about the newest runs that a client has created."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: Newest[str, Reading] = Newest(_MOST_RUNS)

    def note(self, run_id: str, reading: Reading) -> None:
        """Remember how to read the responses about a run."""
        with self._lock:
            self._known.put(run_id, reading)

    def of(self, run_id: str | None, *, keeps_order: bool = True) -> Reading:
        """Return how to read the responses about a run; the default if nothing is known about it."""
        known = None if run_id is None else self._known.get(run_id)
        if known is None:
            return PLAIN if keeps_order else _PLAIN_UNORDERED
        return known if keeps_order else Reading(known.like, known.secrets, keeps_order=False)
