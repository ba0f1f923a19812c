"""Finding runs by one text: a part of their flow's name, id, labels, note, components or error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from stepflow_client import StepflowClientError
from stepflow_client.flows.graph import steps_by_id

from ..runs.find import created_between, is_beginning
from .run_errors import RunErrors, has_failed

if TYPE_CHECKING:
    from stepflow_client import RunDetails, StepflowClient

_MOST_RUNS = 1_000
_MOST_OLDER = 20
_MOST_FLOWS = 100
_MOST_FAILED = 60
_MOST_KEPT = 2_000
_AT_ONCE = 4


@dataclass
class Found:
    """The runs that were found."""

    runs: list[RunDetails] = field(default_factory=list)
    """The runs, newest first."""
    reasons: dict[str, str] = field(default_factory=dict)
    """What matches, by run id, if it is not seen in the list."""
    searched: str = ""
    """What was searched, in a sentence."""


class Finder:
    """Finds runs, and keeps what it has read of flows and of runs that have ended: neither changes."""

    def __init__(self, client: StepflowClient) -> None:
        self._client = client
        self._flows: dict[str, Mapping[str, Any]] = {}
        self.errors = RunErrors(client)

    async def beginning_with(self, text: str, most: int = 2) -> list[str]:
        """Return the ids that begin with a text, newest first, and not more than wanted."""
        text = text.lower()
        span = created_between(text) if is_beginning(text) else None
        found: list[str] = []
        if span is not None:
            async for run in self._client.iter_runs(since=span[0], until=span[1]):
                if run.run_id.startswith(text):
                    found.append(run.run_id)
                if len(found) >= most:
                    break
        return found

    async def find(self, text: str, filters: Mapping[str, str]) -> Found:
        """Return the runs that match a text, among the newest that match the filters."""
        runs = await self._candidates(text, filters)
        wanted = text.casefold()
        recorded = await run_in_threadpool(self._recorded, text)
        components = await self._components(runs)
        found = Found()
        for run in runs:
            reason = _name_or_id(run, wanted)
            reason = recorded.get(run.run_id) if reason is None else reason
            if reason is None:
                matching = sorted(each for each in components.get(run.flow_id, ()) if wanted in each.casefold())
                reason = f"component {matching[0]}" if matching else None
            if reason is not None:
                found.reasons[run.run_id] = reason
        failed = [run for run in runs if run.run_id not in found.reasons and has_failed(run)][:_MOST_FAILED]
        found.reasons |= await self._errors_with(wanted, failed)
        found.runs = [run for run in runs if run.run_id in found.reasons]
        found.searched = (
            f"Searched {len(runs)} runs by the name of their flow, their id, and the labels, note and input that the "
            f"history of this machine has of them; {len(components)} flows by component; and the errors of "
            f"{len(failed)} failed runs."
        )
        return found

    async def _candidates(self, text: str, filters: Mapping[str, str]) -> list[RunDetails]:
        about: dict[str, Any] = {
            "flow_name": filters.get("flow"),
            "since": filters.get("since"),
            "until": filters.get("until"),
            "roots_only": None if filters.get("all") else True,
        }
        runs = (await self._client.list_runs(filters.get("status"), _MOST_RUNS, **about)).runs
        known = {run.run_id for run in runs}
        older = [run_id for run_id in await self.beginning_with(text, _MOST_OLDER) if run_id not in known]
        return runs + [await self._client.get_run(run_id) for run_id in older]

    def _recorded(self, text: str) -> dict[str, str]:
        entries = self._client._recorder.matching(text)
        return {entry.run_id: _reason(entry.labels, entry.note, text.casefold()) for entry in entries}

    async def _components(self, runs: Iterable[RunDetails]) -> dict[str, set[str]]:
        """Return the components of the newest flows, by flow id."""
        flow_ids = list(dict.fromkeys(run.flow_id for run in runs))[:_MOST_FLOWS]
        flows = dict(zip(flow_ids, await _each(self._flow, flow_ids), strict=True))
        return {
            flow_id: {str(step.get("component") or "") for step in steps_by_id(flow).values()}
            for flow_id, flow in flows.items()
            if flow
        }

    async def _flow(self, flow_id: str) -> Mapping[str, Any]:
        if flow_id not in self._flows:
            try:
                self._flows[flow_id] = (await self._client.get_flow(flow_id)).flow
            except StepflowClientError:
                return {}
            _forget_oldest(self._flows)
        return self._flows[flow_id]

    async def _errors_with(self, wanted: str, runs: list[RunDetails]) -> dict[str, str]:
        found = {}
        for run_id, errors in (await self.errors.texts(runs)).items():
            line = next((line for line in errors.splitlines() if wanted in line.casefold()), None)
            if line is not None:
                found[run_id] = line
        return found


def _name_or_id(run: RunDetails, wanted: str) -> str | None:
    """Return an empty text if the name of the flow or the id match, which the list shows; else None."""
    is_found = wanted in (run.flow_name or "").casefold() or wanted in (run.flow_id, run.run_id)
    is_found = is_found or (is_beginning(wanted) and run.run_id.startswith(wanted))
    return "" if is_found else None


def _reason(labels: Mapping[str, str], note: str | None, wanted: str) -> str:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    label = next((pair for pair in pairs if wanted in pair.casefold()), None)
    if label is not None:
        return f"label {label}"
    return f"note: {note}" if note and wanted in note.casefold() else "in what it was started with"


async def _each(function: Any, values: Iterable[Any]) -> list[Any]:
    """Return the results of a function for values, of which a few are requested at once."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(value: Any) -> Any:
        async with limit:
            return await function(value)

    return list(await asyncio.gather(*map(one, values)))


def _forget_oldest(kept: dict[str, Any]) -> None:
    if len(kept) > _MOST_KEPT:
        del kept[next(iter(kept))]
