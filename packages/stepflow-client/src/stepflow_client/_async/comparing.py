"""Reading two runs to compare them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from .._codec import requests
from .._gather import async_together
from .._rules.deadline import deadline_of, deadline_scope
from ..comparison import RunComparison
from ..flows.run_differences import RunContent, parse_patterns, run_differences
from .blobs import BlobStore
from .connection import Connection
from .flow_of_run import flow_of_run
from .runs import RunReader

if TYPE_CHECKING:
    from ..types import ListItemsResponse

__all__ = ["RunComparer"]


class RunComparer:
    """Compares runs.

    Args:
        connection: The connection.
        runs: Reads runs.
        blobs: Reads flows as they were stored.
    """

    def __init__(self, connection: Connection, runs: RunReader, blobs: BlobStore) -> None:
        self._connection = connection
        self._runs = runs
        self._blobs = blobs

    async def compare_runs(
        self, a: str | UUID, b: str | UUID, *, ignore: str | Iterable[str] = (), timeout: float | None = None
    ) -> RunComparison:
        """Return the differences between two runs."""
        patterns = parse_patterns(ignore)
        run_ids = [requests.check_run_id(a), requests.check_run_id(b)]
        with deadline_scope(deadline_of(timeout)):
            # Requested beforehand; otherwise, both concurrent calls would request it.
            server = await self._connection.server()
            one, other = await async_together([partial(self._content, run_id) for run_id in run_ids], 2)
        told = server.capabilities["step_outputs"] or server.dialect == "0.9"
        return RunComparison(
            a=one.run,
            b=other.run,
            every_difference=run_differences(one, other, patterns),
            not_compared=("inputs",) if told else ("inputs", "step outputs"),
        )

    async def _content(self, run_id: str) -> RunContent:
        run = await self._runs.get_run(run_id)
        listed: ListItemsResponse = await self._runs.get_run_items(run_id)
        steps = await self._runs.get_run_steps(run_id)
        flow, origin = await flow_of_run(self._connection, self._runs, self._blobs, run_id, run.flow_id)
        kept = {} if origin is None else origin.kept
        return RunContent(run, flow, list(listed.items), list(steps.steps), kept)
