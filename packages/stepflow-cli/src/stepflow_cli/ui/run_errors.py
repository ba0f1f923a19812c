"""The errors of failed runs, read once: a run that has ended does not change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from stepflow_client import StepflowClientError
from stepflow_client._command import failure_groups
from stepflow_client.drawing.report_data import masked

if TYPE_CHECKING:
    from stepflow_client import RunDetails, StepflowClient

MAX_ITEMS = 1_000
"""Errors of larger batches are not read."""
_MAX_KEPT = 2_000
_CONCURRENT_READS = 4
_LIST_SECONDS = 0.5
"""The list of runs is shown before, and has the other errors when it is refreshed."""


class RunErrors:
    """Reads the errors of failed runs, without secret values."""

    def __init__(self, client: StepflowClient) -> None:
        self._client = client
        self._texts: dict[str, str] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._limit = asyncio.Semaphore(_CONCURRENT_READS)

    async def texts(self, runs: Iterable[RunDetails], timeout: float | None = None) -> Mapping[str, str]:
        """Return the errors of runs by run id, each error on a line of its own: step, code and message.

        Args:
            runs: The runs.
            timeout: Seconds after which the errors that are not read yet are left out. Default: no limit.
        """
        wanted = [run for run in runs if has_failed(run) and run.items.total <= MAX_ITEMS]
        missing = [run for run in wanted if run.run_id not in self._texts]
        if missing:
            await asyncio.wait([self._task(run.run_id) for run in missing], timeout=timeout)
        return {run.run_id: self._texts[run.run_id] for run in wanted if run.run_id in self._texts}

    async def first_lines(self, runs: Iterable[RunDetails]) -> dict[str, str]:
        """Return the first line of the first error of each run that is already known or read soon enough."""
        texts = await self.texts(runs, _LIST_SECONDS)
        return {run_id: text.partition("\n")[0].strip() for run_id, text in texts.items()}

    def _task(self, run_id: str) -> asyncio.Task[None]:
        if run_id not in self._reading:
            task = self._reading[run_id] = asyncio.create_task(self._read(run_id))
            task.add_done_callback(lambda _: self._reading.pop(run_id, None))
        return self._reading[run_id]

    async def _read(self, run_id: str) -> None:
        async with self._limit:
            try:
                found = masked(await self._client.snapshot(run_id, include=("items", "flow")))
            except StepflowClientError:
                return
        groups = failure_groups(found.items or ())
        self._texts[run_id] = "\n".join(f"{group.step_id or ''} {group.code} {group.message}" for group in groups)
        if len(self._texts) > _MAX_KEPT:
            del self._texts[next(iter(self._texts))]


def has_failed(run: RunDetails) -> bool:
    """Return whether a run has ended and not all of its items are completed."""
    return run.is_finished and (run.status.value != "completed" or run.items.failed > 0)
