"""Finding runs by words: parts of their flow's name, id, labels, note, components or error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from stepflow_client import StepflowClientError
from stepflow_client._command import quoted
from stepflow_client.flows.graph import steps_by_id

from ..runs.find import created_between, is_id_prefix, is_shown
from .listing import filters_of
from .run_errors import RunErrors, has_failed

if TYPE_CHECKING:
    from stepflow_client import RunDetails, StepflowClient

_MAX_RUNS = 1_000
_MAX_OLDER = 20
_MAX_FLOWS = 100
_MAX_FAILED = 60
_MAX_KEPT = 2_000
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

    async def runs_with_prefix(self, text: str, most: int = 2) -> list[str]:
        """Return the ids that begin with a text, newest first, and not more than wanted."""
        text = text.lower()
        span = created_between(text) if is_id_prefix(text) else None
        found: list[str] = []
        if span is not None:
            async for run in self._client.iter_runs(since=span[0], until=span[1]):
                if run.run_id.startswith(text):
                    found.append(run.run_id)
                if len(found) >= most:
                    break
        return found

    async def find(self, words: Sequence[str], filters: Mapping[str, str]) -> Found:
        """Return the runs that match all words, among the newest that match the filters."""
        runs = await self._candidates(words, filters)
        recorded = {word: await run_in_threadpool(self._recorded, word) for word in words}
        components = await self._components(runs)
        found, missing = Found(), dict[str, list[str]]()
        for run in runs:
            reasons = {word: _reason(run, word, recorded[word], components.get(run.flow_id, ())) for word in words}
            missing[run.run_id] = [word.casefold() for word, reason in reasons.items() if reason is None]
            found.reasons[run.run_id] = next((reason for reason in reasons.values() if reason), "")
        failed = [run for run in runs if missing[run.run_id] and has_failed(run)][:_MAX_FAILED]
        for run_id, text in (await self.errors.texts(failed)).items():
            line = next((line for line in text.splitlines() if missing[run_id][0] in line.casefold()), "")
            if all(word in text.casefold() for word in missing[run_id]):
                found.reasons[run_id], missing[run_id] = line, []
        found.runs = [run for run in runs if not missing[run.run_id]]
        found.searched = (
            f"Searched {len(runs)} runs by the name of their flow, their id, and the labels, note and input that the "
            f"history of this machine has of them; {len(components)} flows by component; and the errors of "
            f"{len(failed)} failed runs."
        )
        return found

    async def _candidates(self, words: Sequence[str], filters: Mapping[str, str]) -> list[RunDetails]:
        runs = (await self._client.list_runs(limit=_MAX_RUNS, **filters_of(filters))).runs
        known = {run.run_id for run in runs}
        ids = await self.runs_with_prefix(words[0], _MAX_OLDER) if len(words) == 1 else []
        older = [run_id for run_id in ids if run_id not in known]
        return runs + [await self._client.get_run(run_id) for run_id in older]

    def _recorded(self, text: str) -> dict[str, str]:
        entries = self._client._recorder.matching(quoted(text))
        return {entry.run_id: _recorded_reason(entry.labels, entry.note, text.casefold()) for entry in entries}

    async def _components(self, runs: Iterable[RunDetails]) -> dict[str, set[str]]:
        """Return the components of the newest flows, by flow id."""
        flow_ids = list(dict.fromkeys(run.flow_id for run in runs))[:_MAX_FLOWS]
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


def _reason(run: RunDetails, word: str, recorded: Mapping[str, str], components: Iterable[str]) -> str | None:
    """Return what of a run matches a word, empty if the list shows it; None if nothing but its error may match."""
    if is_shown(run, word):
        return ""
    matching = sorted(each for each in components if word.casefold() in each.casefold())
    return recorded.get(run.run_id, f"component {matching[0]}" if matching else None)


def _recorded_reason(labels: Mapping[str, str], note: str | None, wanted: str) -> str:
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
    if len(kept) > _MAX_KEPT:
        del kept[next(iter(kept))]
