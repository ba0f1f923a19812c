"""The list of runs: fetch it once for all open pages, search it, sort it, and fold evaluations and reruns."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from stepflow_client import RunDetails, StepflowClient, StepflowClientError
from stepflow_client._command import BoundedDict, group_failures, quote_word
from stepflow_client.drawing.drawn_graph import get_worst_state
from stepflow_client.drawing.report_data import mask_snapshot
from stepflow_client.flows.graph import get_steps_by_id
from stepflow_client.history import HistoryEntry

from ..runs.find_runs import get_prefix_creation_time_range, is_run_id_prefix, run_matches_query_word

_Row = TypeVar("_Row")
# Columns that are sorted in descending order when they're first clicked.
_DESCENDING_COLUMNS = ("duration", "attempts")


@dataclass(frozen=True)
class SortOrder:
    """The sort order of a table. Without a column, rows stay in their original order."""

    column: str = ""
    is_descending: bool = False

    @classmethod
    def parse(cls, text: str, columns: Iterable[str]) -> SortOrder:
        """Parse a sort order from a URL. If the column is unknown, rows stay in their original order."""
        column = text.removeprefix("-")
        return cls(column, text.startswith("-")) if column in columns else cls()

    @property
    def url_text(self) -> str:
        """The sort order as it appears in URLs."""
        return f"-{self.column}" if self.is_descending else self.column

    def get_order_after_click(self, column: str) -> str:
        """Return the sort order after a click on a column's header, in the form used in URLs.

        Clicking the same column again reverses the order. Numeric columns start with the largest number.
        """
        is_descending = not self.is_descending if column == self.column else column in _DESCENDING_COLUMNS
        return SortOrder(column, is_descending).url_text

    def get_aria_sort(self, column: str) -> str:
        """Return a column's `aria-sort` value, which is empty unless the table is sorted by that column."""
        return "" if column != self.column else "descending" if self.is_descending else "ascending"

    def sort_rows(self, rows: Iterable[_Row], keys: Mapping[str, Callable[[_Row], Any]]) -> list[_Row]:
        """Return the rows in sorted order, with rows whose key is None at the end.

        Args:
            rows: The rows.
            keys: The sort key function for each column.
        """
        if not self.column:
            return list(rows)
        key = keys[self.column]
        known, unknown = list[tuple[Any, _Row]](), list[_Row]()
        for row in rows:
            value = key(row)
            unknown.append(row) if value is None else known.append((value, row))
        known.sort(key=lambda pair: pair[0], reverse=self.is_descending)
        return [row for _, row in known] + unknown


MAX_ERROR_ITEMS = 1_000
"""Maximum number of items whose errors are read in a batch."""
_MAX_RUNS = 1_000
_MAX_OLDER_RUNS = 20
_MAX_FLOWS = 100
_MAX_FAILED_RUNS = 60
_MAX_CACHED_RUNS = 2_000
_MAX_CONCURRENT_READS = 4
# Maximum number of seconds that the list waits for errors. Errors that arrive later are shown on the next refresh.
_ERROR_WAIT_SECONDS = 0.5


@dataclass
class SearchResult:
    """The results of a search."""

    runs: list[RunDetails] = field(default_factory=list)
    """The matching runs, newest first."""
    reasons: dict[str, str] = field(default_factory=dict)
    """The text that matched, by run ID. It's empty if the list already shows that text."""
    searched: str = ""
    """Sentences that tell the user what was searched."""


class RunFinder:
    """Searches runs. The components of flows and the errors of finished runs are cached, because they can't change."""

    def __init__(self, client: StepflowClient) -> None:
        self._client = client
        self._components: BoundedDict[str, set[str]] = BoundedDict(_MAX_CACHED_RUNS)
        self._errors: BoundedDict[str, str] = BoundedDict(_MAX_CACHED_RUNS)
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._read_slots = asyncio.Semaphore(_MAX_CONCURRENT_READS)

    async def find_run_ids_with_prefix(self, text: str, limit: int = 2) -> list[str]:
        """Return up to `limit` run IDs that start with `text`, newest first."""
        text = text.lower()
        span = get_prefix_creation_time_range(text) if is_run_id_prefix(text) else None
        matching: list[str] = []
        if span is not None:
            async for run in self._client.iter_runs(since=span[0], until=span[1]):
                if run.run_id.startswith(text):
                    matching.append(run.run_id)
                if len(matching) >= limit:
                    break
        return matching

    async def search_runs(self, words: Sequence[str], filters: Mapping[str, str]) -> SearchResult:
        """Return the runs that match all words.

        Searches the newest runs that match the filters, plus any run whose ID starts with the word.
        """
        runs = (await self._client.list_runs(limit=_MAX_RUNS, **build_list_runs_arguments(filters))).runs
        listed = {run.run_id for run in runs}
        ids = await self.find_run_ids_with_prefix(words[0], _MAX_OLDER_RUNS) if len(words) == 1 else []
        runs = runs + [await self._client.get_run(run_id) for run_id in ids if run_id not in listed]
        recorded = {word: await run_in_threadpool(self._get_history_match_reasons, word) for word in words}
        flow_ids = list(dict.fromkeys(run.flow_id for run in runs))[:_MAX_FLOWS]
        await asyncio.gather(*map(self._fetch_and_cache_flow_components, flow_ids))
        result, missing = SearchResult(), dict[str, list[str]]()
        for run in runs:
            reasons = {word: self._find_match_reason(run, word, recorded[word]) for word in words}
            missing[run.run_id] = [word.casefold() for word, reason in reasons.items() if reason is None]
            result.reasons[run.run_id] = next((reason for reason in reasons.values() if reason), "")
        failed = [run for run in runs if missing[run.run_id] and has_ended_with_failures(run)][:_MAX_FAILED_RUNS]
        for run_id, text in (await self._get_or_load_run_errors(failed)).items():
            line = next((line for line in text.splitlines() if missing[run_id][0] in line.casefold()), "")
            if all(word in text.casefold() for word in missing[run_id]):
                result.reasons[run_id], missing[run_id] = line, []
        result.runs = [run for run in runs if not missing[run.run_id]]
        searched_flows = sum(flow_id in self._components for flow_id in flow_ids)
        result.searched = (
            "Runs searched by flow name, ID, and labels, note and input in this machine's history: "
            f"{len(runs)}. Flows searched by component: {searched_flows}. Failed runs searched by error: {len(failed)}."
        )
        return result

    def _get_history_match_reasons(self, word: str) -> dict[str, str]:
        """Return the part of each recorded run that matched (e.g. a label or the note), by run ID."""
        reasons, text = {}, word.casefold()
        for entry in self._client._recorder.search_entries(quote_word(word)):
            labels = (f"{name}={value}" for name, value in entry.labels.items())
            label = next((label for label in labels if text in label.casefold()), None)
            note = f"note: {entry.note}" if entry.note and text in entry.note.casefold() else ""
            reasons[entry.run_id] = f"label {label}" if label else note or "in what it was started with"
        return reasons

    def _find_match_reason(self, run: RunDetails, word: str, recorded: Mapping[str, str]) -> str | None:
        """Return the matching text (empty if the list shows it), or None if only the run's errors might still match."""
        if run_matches_query_word(run, word):
            return ""
        components = self._components.get(run.flow_id, ())
        matching = sorted(component for component in components if word.casefold() in component.casefold())
        return recorded.get(run.run_id, f"component {matching[0]}" if matching else None)

    async def _fetch_and_cache_flow_components(self, flow_id: str) -> None:
        async with self._read_slots:
            if flow_id in self._components:
                return
            try:
                flow = (await self._client.get_flow(flow_id)).flow
            except StepflowClientError:
                return
        components = {str(step.get("component") or "") for step in get_steps_by_id(flow).values()}
        self._components.put_newest(flow_id, components)

    async def read_first_error_lines(self, runs: Iterable[RunDetails]) -> dict[str, str]:
        """Return the first line of each failed run's first error. Errors that can't be read in time are left out."""
        errors = await self._get_or_load_run_errors(runs, _ERROR_WAIT_SECONDS)
        return {run_id: text.partition("\n")[0].strip() for run_id, text in errors.items()}

    async def _get_or_load_run_errors(self, runs: Iterable[RunDetails], timeout: float | None = None) -> dict[str, str]:
        """Return the errors of failed runs by run ID, one error per line, with secrets masked."""
        run_ids = [run.run_id for run in runs if has_ended_with_failures(run) and run.items.total <= MAX_ERROR_ITEMS]
        for run_id in run_ids:
            if run_id not in self._errors and run_id not in self._reading:
                self._reading[run_id] = asyncio.create_task(self._fetch_and_cache_run_errors(run_id))
        tasks = [self._reading[run_id] for run_id in run_ids if run_id in self._reading]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        return {run_id: self._errors[run_id] for run_id in run_ids if run_id in self._errors}

    async def _fetch_and_cache_run_errors(self, run_id: str) -> None:
        try:
            async with self._read_slots:
                snapshot = mask_snapshot(await self._client.snapshot(run_id, include=("items", "flow")))
        except StepflowClientError:
            return
        finally:
            del self._reading[run_id]
        groups = group_failures(snapshot.items or ())
        lines = (f"{group.step_id or ''} {group.code} {group.message}" for group in groups)
        self._errors.put_newest(run_id, "\n".join(lines))


def has_ended_with_failures(run: RunDetails) -> bool:
    """Return whether a run has ended without completing all of its items."""
    return run.is_finished and (run.status.value != "completed" or run.items.failed > 0)


PAGE = 50
"""The number of runs or items per page. It's small enough to keep a page with a graph under 2,000 elements."""
_MAX_AGE_SECONDS = 1.0
_MAX_CACHED_LISTS = 100
# The label that `evaluate` adds to its runs.
_EVALUATION_LABEL = "eval"
# Runs with the same evaluation label are treated as separate evaluations if they are further apart than this.
_MAX_EVALUATION_PAUSE = timedelta(minutes=10)
_MAX_ATTEMPTS = 50


def build_list_runs_arguments(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of `list_runs` that correspond to the fields of a validated query."""
    return {
        "status": fields.get("status"),
        "flow_name": fields.get("flow"),
        "since": fields.get("since"),
        "until": fields.get("until"),
        "roots_only": "include" not in fields or None,
    }


class RunListCache:
    """The lists of runs shown on pages, cached by their filters."""

    def __init__(self, client: StepflowClient) -> None:
        self._client = client
        self._locks: dict[object, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._newest_runs: dict[object, tuple[float, list[RunDetails]]] = {}

    async def fetch_uncached_page(self, filters: Mapping[str, str], page: int) -> list[RunDetails]:
        """Return a page of runs, plus one extra run if there is a next page."""
        offset = (page - 1) * PAGE
        return (await self._client.list_runs(limit=PAGE + 1, offset=offset, **build_list_runs_arguments(filters))).runs

    async def read_newest_runs(self, filters: Mapping[str, str]) -> list[RunDetails]:
        """Return the first page of runs.

        It's fetched at most once per second, no matter how many browsers have it open.
        """
        key = tuple(sorted(filters.items()))
        async with self._locks[key]:
            at, runs = self._newest_runs.pop(key, (float("-inf"), []))
            if time.monotonic() - at > _MAX_AGE_SECONDS:
                runs = await self.fetch_uncached_page(filters, 1)
                at = time.monotonic()
            # Keep the most recently used list last.
            self._newest_runs[key] = at, runs
        if len(self._newest_runs) > _MAX_CACHED_LISTS:
            oldest = next(iter(self._newest_runs))
            del self._newest_runs[oldest], self._locks[oldest]
        return runs


@dataclass
class RunRow:
    """A row in the list of runs."""

    run: RunDetails
    """The run, or the newest one if the row represents several."""
    labels: Mapping[str, str] = field(default_factory=dict)
    folded_runs: list[RunDetails] = field(default_factory=list)
    """The older runs that are folded into this row."""
    key: str = ""
    """Identifies the group of runs in URLs. It's empty if runs aren't folded."""
    is_open: bool = False
    """Whether the older runs are unfolded into separate rows."""
    is_inside: bool = False
    """Whether this row is one of the older runs of an unfolded group."""

    @property
    def is_evaluation(self) -> bool:
        """Whether the runs belong to an evaluation rather than a chain of reruns."""
        return self.key.startswith(_EVALUATION_LABEL)

    @property
    def summarized_runs(self) -> list[RunDetails]:
        """The runs whose items are counted: every run of a folded evaluation, but only the newest attempt otherwise."""
        return [self.run, *self.folded_runs] if self.is_evaluation and not self.is_open else [self.run]

    @property
    def shown_labels(self) -> Mapping[str, str]:
        """The labels to display: the run's own labels, or the one label shared by all runs of a folded evaluation."""
        if len(self.summarized_runs) == 1:
            return self.labels
        return {_EVALUATION_LABEL: self.labels[_EVALUATION_LABEL]}

    @property
    def item_counts(self) -> dict[str, int]:
        """The number of items that are `completed` or `failed`, and the `total`."""
        names = ("total", "completed", "failed")
        return {name: sum(getattr(run.items, name) for run in self.summarized_runs) for name in names}

    @property
    def worst_status(self) -> str:
        """The status to display, which is the worst status of the counted runs."""
        return get_worst_state(run.status.value for run in self.summarized_runs) or self.run.status.value


def build_run_rows(
    runs: Sequence[RunDetails], entries: Mapping[str, HistoryEntry], opened: str, *, folds: bool
) -> list[RunRow]:
    """Return the rows for a page of runs. If `folds` is set, every group except `opened` is folded."""
    rows: list[RunRow] = []
    heads: dict[str, RunRow] = {}
    for run in runs:
        entry = entries.get(run.run_id)
        labels = dict(entry.labels) if entry is not None else {}
        key = _get_fold_group_key(run, entries) if folds else ""
        head = heads.get(key) if key else None
        if head is not None and head.is_evaluation:
            last = (head.folded_runs or [head.run])[-1]
            if last.created_at and run.created_at and last.created_at - run.created_at > _MAX_EVALUATION_PAUSE:
                head = None
        if head is None:
            rows.append(RunRow(run, labels, key=key, is_open=bool(key) and key == opened))
            heads[key] = rows[-1]
            continue
        head.folded_runs.append(run)
        if head.is_open:
            rows.append(RunRow(run, labels, key=key, is_open=True, is_inside=True))
    return rows


def _get_fold_group_key(run: RunDetails, entries: Mapping[str, HistoryEntry]) -> str:
    """Return a key that is the same for all runs of an evaluation, or of a chain of reruns."""
    entry, first = entries.get(run.run_id), run.run_id
    if entry is not None and _EVALUATION_LABEL in entry.labels:
        return f"{_EVALUATION_LABEL}:{entry.labels[_EVALUATION_LABEL]}"
    for _ in range(_MAX_ATTEMPTS):
        if entry is None or entry.rerun_of is None:
            break
        first = entry.rerun_of
        entry = entries.get(first)
    return f"rerun:{first}"
