"""Runs filtered by labels: labels are kept in the history of this machine, not on servers."""

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
"""Up to this number, labelled runs are requested one by one instead of listing all runs."""


def labelled_runs(
    client: SyncStepflowClient, labels: Mapping[str, str], status: Sequence[str], filters: Mapping[str, Any]
) -> Iterator[RunDetails]:
    """Yield the runs recorded with these labels that the server still has, newest first.

    Args:
        client: The client of the server.
        labels: The labels.
        status: Only runs with one of these statuses; empty for all.
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
    # Ids begin with their creation time, and runs are listed newest first.
    oldest = min(ids)
    for run in client.iter_runs(**filters):
        if run.run_id < oldest:
            return
        if run.run_id in ids and (not status or run.status.value in status):
            yield run
