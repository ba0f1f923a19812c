"""Runs of the history as the cases of an evaluation: `--cases history:QUERY`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import usage
from ..params.query import checked_query
from ..settings.history import open_history

if TYPE_CHECKING:
    from stepflow_client.evaluation import EvaluationCase

_MAX_RUNS = 1_000
"""Maximum number of runs, unless an option sets another one."""


def recorded_cases(query: str, variables: Mapping[str, Any] | None, limit: int | None) -> list[EvaluationCase]:
    """Return the completed runs that a query finds as cases; they may be on another server than the evaluation.

    Raises:
        Problem: If the query is wrong, or if there are no such runs, or on several servers.
        TransportError: If their server cannot be reached.
    """
    from stepflow_client import SyncStepflowClient
    from stepflow_client.evaluation import sync_history_cases

    history, search = open_history(), str(checked_query(query)) or None
    runs = history.search(search, status="completed", limit=limit or _MAX_RUNS)
    servers = {each.server for each in runs if not each.is_embedded and each.server is not None}
    if len(servers) != 1:
        found = "no completed runs" if not servers else f"runs on {len(servers)} servers: {', '.join(sorted(servers))}"
        kept = "runs on embedded servers end with them; " if runs and not servers else ""
        hint = f"{kept}'stepflow history list' shows the runs of a query; the URL of a server can be a part of it"
        raise usage(f"--cases history:{query} finds {found}", hint)
    with SyncStepflowClient(servers.pop(), history=history) as client:
        return sync_history_cases(client, search, variables=variables, limit=limit or _MAX_RUNS)
