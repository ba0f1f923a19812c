"""Finding runs by words: parts of their flow's name, id, labels, note, components or error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from stepflow_client import RunDetails, StepflowClient, StepflowClientError
from stepflow_client._command import failure_groups, quote
from stepflow_client.drawing.report_data import mask_snapshot
from stepflow_client.flows.graph import steps_by_id

from ..runs.find import is_id_prefix, is_matching, parse_creation_range
from .listing import build_filters

MAX_ITEMS = 1_000
"""Errors of larger batches are not read."""
_MAX_RUNS = 1_000
_MAX_OLDER = 20
_MAX_FLOWS = 100
_MAX_FAILED = 60
_MAX_KEPT = 2_000
_CONCURRENT_READS = 4
# The list of runs does not wait longer for errors; it shows the others when it is refreshed.
_LIST_SECONDS = 0.5


@dataclass
class SearchResult:
    """The runs that were found."""

    runs: list[RunDetails] = field(default_factory=list)
    """The runs, newest first."""
    reasons: dict[str, str] = field(default_factory=dict)
    """What matches, by run id, if the list does not show it."""
    searched: str = ""
    """What was searched, in a sentence."""


class RunFinder:
    """Finds runs. It keeps flows and the errors of runs that have ended, because neither changes."""

    def __init__(self, client: StepflowClient) -> None:
        self._client = client
        self._components: dict[str, set[str]] = {}
        self._errors: dict[str, str] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._limit = asyncio.Semaphore(_CONCURRENT_READS)

    async def runs_with_prefix(self, text: str, limit: int = 2) -> list[str]:
        """Return up to `limit` ids that begin with a text, newest first."""
        text = text.lower()
        span = parse_creation_range(text) if is_id_prefix(text) else None
        matching: list[str] = []
        if span is not None:
            async for run in self._client.iter_runs(since=span[0], until=span[1]):
                if run.run_id.startswith(text):
                    matching.append(run.run_id)
                if len(matching) >= limit:
                    break
        return matching

    async def find(self, words: Sequence[str], filters: Mapping[str, str]) -> SearchResult:
        """Return the runs that match all words, among the newest that match the filters."""
        runs = (await self._client.list_runs(limit=_MAX_RUNS, **build_filters(filters))).runs
        listed = {run.run_id for run in runs}
        ids = await self.runs_with_prefix(words[0], _MAX_OLDER) if len(words) == 1 else []
        runs = runs + [await self._client.get_run(run_id) for run_id in ids if run_id not in listed]
        recorded = {word: await run_in_threadpool(self._search_history, word) for word in words}
        flow_ids = list(dict.fromkeys(run.flow_id for run in runs))[:_MAX_FLOWS]
        await asyncio.gather(*map(self._read_components, flow_ids))
        result, missing = SearchResult(), dict[str, list[str]]()
        for run in runs:
            reasons = {word: self._match_run(run, word, recorded[word]) for word in words}
            missing[run.run_id] = [word.casefold() for word, reason in reasons.items() if reason is None]
            result.reasons[run.run_id] = next((reason for reason in reasons.values() if reason), "")
        failed = [run for run in runs if missing[run.run_id] and has_failed(run)][:_MAX_FAILED]
        for run_id, text in (await self._wait_for_errors(failed)).items():
            line = next((line for line in text.splitlines() if missing[run_id][0] in line.casefold()), "")
            if all(word in text.casefold() for word in missing[run_id]):
                result.reasons[run_id], missing[run_id] = line, []
        result.runs = [run for run in runs if not missing[run.run_id]]
        searched_flows = sum(flow_id in self._components for flow_id in flow_ids)
        result.searched = (
            f"Searched {len(runs)} runs by the name of their flow, their id, and the labels, note and input that the "
            f"history of this machine has of them; {searched_flows} flows by component; and the errors of "
            f"{len(failed)} failed runs."
        )
        return result

    def _search_history(self, word: str) -> dict[str, str]:
        """Return what of each recorded run matches a word, by run id."""
        reasons, text = {}, word.casefold()
        for entry in self._client._recorder.search(quote(word)):
            labels = (f"{name}={value}" for name, value in entry.labels.items())
            label = next((label for label in labels if text in label.casefold()), None)
            note = f"note: {entry.note}" if entry.note and text in entry.note.casefold() else ""
            reasons[entry.run_id] = f"label {label}" if label else note or "in what it was started with"
        return reasons

    def _match_run(self, run: RunDetails, word: str, recorded: Mapping[str, str]) -> str | None:
        """Return what of a run matches a word, empty if the list shows it; None if only its error may match."""
        if is_matching(run, word):
            return ""
        components = self._components.get(run.flow_id, ())
        matching = sorted(component for component in components if word.casefold() in component.casefold())
        return recorded.get(run.run_id, f"component {matching[0]}" if matching else None)

    async def _read_components(self, flow_id: str) -> None:
        async with self._limit:
            if flow_id in self._components:
                return
            try:
                flow = (await self._client.get_flow(flow_id)).flow
            except StepflowClientError:
                return
        self._components[flow_id] = {str(step.get("component") or "") for step in steps_by_id(flow).values()}
        _drop_oldest(self._components)

    async def first_errors(self, runs: Iterable[RunDetails]) -> dict[str, str]:
        """Return the first line of the first error of each failed run that is already known or read soon enough."""
        errors = await self._wait_for_errors(runs, _LIST_SECONDS)
        return {run_id: text.partition("\n")[0].strip() for run_id, text in errors.items()}

    async def _wait_for_errors(self, runs: Iterable[RunDetails], timeout: float | None = None) -> dict[str, str]:
        """Return the errors of failed runs by run id, each error on a line of its own, without secret values."""
        run_ids = [run.run_id for run in runs if has_failed(run) and run.items.total <= MAX_ITEMS]
        for run_id in run_ids:
            if run_id not in self._errors and run_id not in self._reading:
                self._reading[run_id] = asyncio.create_task(self._read_errors(run_id))
        tasks = [self._reading[run_id] for run_id in run_ids if run_id in self._reading]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        return {run_id: self._errors[run_id] for run_id in run_ids if run_id in self._errors}

    async def _read_errors(self, run_id: str) -> None:
        try:
            async with self._limit:
                snapshot = mask_snapshot(await self._client.snapshot(run_id, include=("items", "flow")))
        except StepflowClientError:
            return
        finally:
            del self._reading[run_id]
        groups = failure_groups(snapshot.items or ())
        self._errors[run_id] = "\n".join(f"{group.step_id or ''} {group.code} {group.message}" for group in groups)
        _drop_oldest(self._errors)


def _drop_oldest(kept: dict[str, Any]) -> None:
    if len(kept) > _MAX_KEPT:
        del kept[next(iter(kept))]


def has_failed(run: RunDetails) -> bool:
    """Return whether a run has ended and not all of its items are completed."""
    return run.is_finished and (run.status.value != "completed" or run.items.failed > 0)
