"""Runs of a server that have labels: servers keep none, the history of this machine does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..settings.history import open_history, same_server

if TYPE_CHECKING:
    from stepflow_client import RunDetails, SyncStepflowClient

__all__ = ["labelled_runs"]

_MOST = 100_000
_FEW = 50
"""Labelled runs that are asked for one by one, instead of looking through all runs."""


def labelled_runs(
    client: SyncStepflowClient, labels: Mapping[str, str], status: Sequence[str], filters: Mapping[str, Any]
) -> Iterator[RunDetails]:
    """Iterate over the runs that were recorded with these labels and that the server still has, newest first.

    Args:
        client: Of the server.
        labels: The labels.
        status: Only runs of one of these; empty for all.
        filters: Arguments of `iter_runs`.
    """
    from stepflow_client import NotFoundError

    ids = {each.run_id for each in open_history().search(labels=labels, server=same_server(client.url), limit=_MOST)}
    if not ids:
        return
    if not any(filters.values()) and len(ids) <= _FEW:
        for run_id in sorted(ids, reverse=True):
            with suppress(NotFoundError):
                run = client.get_run(run_id)
                if not status or run.status.value in status:
                    yield run
        return
    # Ids begin with the time of their creation, and runs come newest first.
    oldest = min(ids)
    for run in client.iter_runs(**filters):
        if run.run_id < oldest:
            return
        if run.run_id in ids and (not status or run.status.value in status):
            yield run
