"""A recorded run, as the history returns it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from .models import Model, field, record

__all__ = ["HistoryEntry"]


@record(kw_only=False)
class HistoryEntry(Model):
    """A run and what the caller started it with; what a rerun added is in `rerun_of`, `kept` and `rerun_items`."""

    run_id: str
    """The id of the run; `pending:...` if its creation is not confirmed."""
    created_at: datetime
    """When the run was recorded, in UTC."""
    server: str | None = None
    """The URL of the server, without credentials."""
    flow_id: str | None = None
    flow_file: str | None = None
    """The absolute path of the flow's file, if the flow was a file."""
    status: str | None = None
    """The last known status; None if it was never updated after the start. That of a batch of several runs is
    `completed` or `failed`, once all its outcomes were read."""
    labels: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None
    omitted: tuple[str, ...] = ()
    """Names of the fields that are None because their values were too large to store, or because they are unknown: the
    inputs of `map`."""
    flow: Any = field(default=None, repr=False)
    input: Any = field(default=None, repr=False)
    """The input; for a batch, the list of inputs."""
    variables: Any = field(default=None, repr=False)
    """The given variables, with `***` in place of secret values."""
    overrides: Any = field(default=None, repr=False)
    rerun_of: str | None = None
    """The id of the earlier run, if the run was started by `rerun`."""
    kept: tuple[str, ...] = ()
    """The ids of the steps whose outputs a rerun kept. Their overrides, if any, had no effect on it."""
    rerun_items: tuple[int, ...] = ()
    """The indexes, in the earlier run, of the items that were run again, in the order of this run's items."""
    has_more_runs: bool = False
    """Whether the run is the first of several runs of a batch that `map` started. The others are not recorded."""
    is_embedded: bool = False
    """Whether the server is an embedded one, which stops with the program that started it."""

    @property
    def is_confirmed(self) -> bool:
        """Whether the run exists. If not, it is being created, or the process ended, or lost the response, meanwhile:
        the run may or may not exist."""
        return not self.run_id.startswith("pending:")
