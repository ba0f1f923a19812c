"""What a command runs, and whether its result may come from the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import usage
from ..inputs.values import Values

__all__ = ["Caching", "Job"]


class Job(NamedTuple):
    """A flow with its arguments."""

    flow: dict[str, Any]
    """The flow; for a stored one, it is set once the server is known."""
    flow_id: str | None = None
    """The id of a stored flow."""
    unread: Values | None = None
    """The values that are read once a stored flow is known."""
    input: Any = None
    batch: list[Any] | None = None
    """The inputs of a batch; then there is no single input."""
    overrides: list[Any] | None = None
    variables: dict[str, Any] | None = None
    env_variables: bool = False
    max_concurrency: int | None = None
    """The maximum concurrency of the run."""
    check: bool = True
    """Whether to check the inputs against the flow's schema."""
    idempotency_key: str | None = None
    """The idempotency key: if the flow already has a run with this key, that run is returned."""
    until: str | None = None
    """The step whose output is the result; later steps are not run. None for the whole flow."""
    about: Mapping[str, Any] = {}
    """Further data for the history: the flow's file, labels and a note."""


class Caching(NamedTuple):
    """The cache options of the command line."""

    is_on: bool = False
    ttl: float | None = None
    """How long a result stays valid, in seconds; None for the default."""
    refresh: bool = False

    def check(self, job: Job) -> None:
        """Raise on contradictory options.

        Raises:
            Problem: If options contradict each other.
        """
        if not self.is_on:
            if self.refresh or self.ttl is not None:
                raise usage(f"{'--refresh' if self.refresh else '--cache-ttl'} is for a run with --cache")
            return
        if job.batch is not None:
            raise usage("--cache is for one input, and --inputs gives a batch")
        if job.idempotency_key is not None:
            raise usage("--cache and --idempotency-key exclude each other: a cached result is of a run without the key")
