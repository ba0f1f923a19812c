# Written from _async/history_cases.py by `make generate`. Change that file instead.

"""Runs of the past as cases: would another version of the flow have returned the same?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..._base.logging import logger
from ..._codec.requests import Variables, run_variables
from ..._concurrency.background import sync_gather
from ..._data.arguments import check_client, check_integer, wrong
from ...errors import InvalidArgumentError, NotFoundError
from ..records import EvaluationCase

# Maximum number of runs that are read at the same time.
_AT_ONCE = 16


def history_cases(
    client: Any, query: str | None = None, *, variables: Variables | None = None, limit: int = 1_000
) -> list[EvaluationCase]:
    """Return completed runs of a client's server as cases, with their outputs as expected ones, the oldest first.

    A case has the labels of its run as metadata. Runs are left out that had other variables, or overrides, that kept
    outputs of earlier runs, or that the server no longer has; a warning in the log has their number.

    Example:
        ```python
        cases = await history_cases(client, "customer=42 since:2026-11-23")
        report = sync_evaluate(client, "ticket_v2.yaml", cases, scores=[exact()])
        ```

    Args:
        client: A client with a history.
        query: Which runs, as for `History.search`. None, the default: all.
        variables: The values of variables that the cases will be run with. Default: none.
        limit: Maximum number of runs, of the newest. Default 1,000.

    Raises:
        InvalidArgumentError: If the client has no history, or if there is no such run.
        TransportError: If the server cannot be reached.
    """
    if not hasattr(check_client(client, "client", awaited=False), "snapshot"):
        raise wrong("client", "a SyncStepflowClient", client)
    if client.history is None:
        raise InvalidArgumentError("the client has no history", hint="make it with history=History()")
    check_integer(limit, "limit", least=1)
    entries = client.history.search(query, status="completed", server=client.url, limit=limit)
    values = run_variables(variables)
    calls = [partial(_read_run_cases, client, entry.run_id, values) for entry in reversed(entries)]
    cases_by_run = sync_gather(calls, _AT_ONCE)
    left_out = sum(not run_cases for run_cases in cases_by_run)
    if left_out:
        why = "they had other variables, overrides or kept steps, or the server no longer has them"
        logger.warning("%d of %d runs of the history are no cases: %s", left_out, len(entries), why)
    cases = [case for run_cases in cases_by_run for case in run_cases]
    if not cases:
        raise InvalidArgumentError(f"the history has no runs on {client.url} that can be cases")
    return cases


def _read_run_cases(client: Any, run_id: str, variables: Mapping[str, Any]) -> list[EvaluationCase]:
    """Return the items of a run as cases; none if another run would differ for another reason than the flow."""
    try:
        snapshot = client.snapshot(run_id, include=("items", "arguments"))
    except NotFoundError:
        return []
    arguments, items = snapshot.arguments, snapshot.items or ()
    if arguments is None or arguments.overrides or arguments.kept or "inputs" in arguments.hidden:
        return []
    secret = {name.removeprefix("variables.") for name in arguments.hidden}
    recorded, expected = (
        {name: value for name, value in values.items() if name not in secret}
        for values in (arguments.variables or {}, variables)
    )
    if recorded != expected or arguments.inputs is None or len(arguments.inputs) != len(items):
        return []
    metadata = arguments.labels
    return [
        EvaluationCase(f"{run_id} {item.index}" if len(items) > 1 else run_id, value, item.result.output, metadata)
        for item, value in zip(items, arguments.inputs, strict=True)
        if item.result is not None and item.result.is_success
    ]
