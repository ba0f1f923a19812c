"""What a command runs, and whether its result may come from the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import usage
from ..inputs.values import Values

__all__ = ["Caching", "Job"]


class Job(NamedTuple):
    """A flow and all it is run with."""

    flow: dict[str, Any]
    """Of one that is stored, this is known when its server is."""
    flow_id: str | None = None
    """The id of a stored flow."""
    unread: Values | None = None
    """What is read once such a flow is known."""
    input: Any = None
    batch: list[Any] | None = None
    """The inputs, where there are several; there is no single one then."""
    overrides: list[Any] | None = None
    variables: dict[str, Any] | None = None
    env_variables: bool = False
    max_concurrency: int | None = None
    """How many inputs run at once."""
    check: bool = True
    """Whether the inputs have to fit the flow's schema."""
    idempotency_key: str | None = None
    """A run that the flow has under this key is returned."""
    until: str | None = None
    """The step whose output is the result, and behind which nothing is run; None for the whole flow."""
    about: Mapping[str, Any] = {}
    """What the history keeps besides: the flow's file, labels and a note."""


class Caching(NamedTuple):
    """What the command line says of the cache."""

    is_on: bool = False
    ttl: float | None = None
    """Seconds; None for the usual time."""
    refresh: bool = False

    def check(self, job: Job) -> None:
        """Refuse what contradicts itself.

        Raises:
            Problem: If something does.
        """
        if not self.is_on:
            if self.refresh or self.ttl is not None:
                raise usage(f"{'--refresh' if self.refresh else '--cache-ttl'} is for a run with --cache")
            return
        if job.batch is not None:
            raise usage("--cache is for one input, and --inputs gives a batch")
        if job.idempotency_key is not None:
            raise usage("--cache and --idempotency-key exclude each other: a cached result is of a run without the key")
