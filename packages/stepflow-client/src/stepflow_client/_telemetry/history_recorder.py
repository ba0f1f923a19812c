"""Records a client's runs in its history, if it has one, and counts finished runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .._base.logging import logger
from .._data.arguments import check_labels
from ..errors import InvalidArgumentError, StepflowClientError
from ..flows.reading import get_flow_file_path
from .tracing import count_ended_run

if TYPE_CHECKING:
    from .._codec.call_checks import RunArguments
    from .._runs.strip_and_restore_flow import RerunOrigin
    from ..history import History, HistoryEntry
    from ..types import ExecutionStatus, RunDetails


Result = TypeVar("Result")

# Maximum number of labeled runs to search for.
_MAX_SEARCHED_RUNS = 100_000
# Labels for the runs created by the current call.
_labels: ContextVar[Mapping[str, str] | None] = ContextVar("stepflow_labels", default=None)
# How soon a run's creation should be confirmed, in seconds.
_MAX_CREATION_SECONDS = 60.0


class CreatedRun(NamedTuple):
    """A created run and what it was created from."""

    flow_id: str
    arguments: RunArguments
    source: Any = None
    """The flow that the caller passed. If it is a path, the path is recorded."""
    flow: Any = None
    """The flow's content as its author wrote it, if known."""
    origin: RerunOrigin | None = None
    """The original run, if this is a rerun."""
    has_own_flow: bool = False
    """Whether the flow ID belongs to this run alone."""


class LabeledRuns(NamedTuple):
    """The runs that have certain labels."""

    run_ids: frozenset[str]
    pending: Mapping[str, HistoryEntry]
    """Unconfirmed entries for runs that have their own flow ID, keyed by that ID."""

    def includes(self, run: RunDetails) -> bool:
        """Return whether a run has the labels."""
        return run.run_id in self.run_ids or run.flow_id in self.pending

    @property
    def run_id_lower_bound(self) -> str:
        """A lower bound for the runs' IDs, each of which starts with the run's creation time."""
        times = [int(1000 * (entry.created_at.timestamp() - _MAX_CREATION_SECONDS)) for entry in self.pending.values()]
        digits = [f"{milliseconds:012x}" for milliseconds in times]
        return min([*self.run_ids, *(f"{digit[:8]}-{digit[8:]}" for digit in digits)], default="~")


class Recorder:
    """Records the runs that a client creates, along with their final status.

    Without a history, it only counts finished runs, and only if the application uses OpenTelemetry.

    Args:
        history: The history, or None.
        server: The server URL.

    Raises:
        InvalidArgumentError: If `history` is neither a history nor None (e.g. a path).
    """

    def __init__(self, history: History | None, server: str) -> None:
        if history is not None and not hasattr(history, "record"):
            raise InvalidArgumentError(f"history must be a History, not {type(history).__name__}", hint="History(path)")
        self.history = history
        self.server = server
        self.is_embedded = False
        """Whether the server is embedded."""
        self.is_on = history is not None
        """Whether anything is recorded."""

    @contextmanager
    def labeling_new_runs(self, labels: Mapping[str, str] | None) -> Iterator[None]:
        """Add these labels to the history entries of all runs created in the block.

        Raises:
            InvalidArgumentError: If the labels are invalid, or there is no history.
        """
        if labels is None:
            yield
            return
        token = _labels.set(self.check_labels(labels))
        try:
            yield
        finally:
            _labels.reset(token)

    def find_labeled_runs(self, labels: Mapping[str, str]) -> LabeledRuns:
        """Return the runs recorded with these labels on any server, since several servers may share a store.

        Raises:
            InvalidArgumentError: If the labels are invalid, or there is no history.
            StepflowClientError: If the history can't be read.
        """
        labels = self.check_labels(labels)
        assert self.history is not None
        entries = self.history.search(labels=labels, confirmed=None, limit=_MAX_SEARCHED_RUNS)
        from ..history import OWN

        pending = [entry for entry in entries if not entry.is_confirmed]
        with_own_flow = {entry.flow_id or "": entry for entry in pending if entry.run_id.startswith(OWN)}
        others = [entry for entry in pending if not entry.run_id.startswith(OWN)]
        if any(entry.created_at.timestamp() < time.time() - _MAX_CREATION_SECONDS for entry in others):
            logger.warning("some runs with these labels may not be listed: see History.search(confirmed=False)")
        return LabeledRuns(frozenset(entry.run_id for entry in entries if entry.is_confirmed), with_own_flow)

    def check_labels(self, labels: object) -> Mapping[str, str]:
        """Check labels and return them.

        Raises:
            InvalidArgumentError: If the labels are invalid, or there is no history.
        """
        checked = check_labels(labels)
        if self.history is None:
            raise InvalidArgumentError("labels require a history", hint="StepflowClient(history=History())")
        return checked

    def confirm_or_remove_entry(self, entry_id: str, run_id: str | None, *, is_settled: bool) -> None:
        """Complete a run's entry, or remove it if the run definitely doesn't exist."""
        if self.history is not None and (run_id is not None or is_settled):
            self.history.confirm(entry_id, run_id)

    def record_run(self, run_id: str | None, run: CreatedRun) -> str | None:
        """Record a run and return the entry's ID, or None if there is no history.

        For a run that is about to be created, pass None as `run_id` and call `confirm_or_remove_entry` afterward. That
        way, the run leaves a trace even if the process exits.
        """
        if self.history is None:
            return None
        inputs, flow, source, origin = run.arguments.inputs, run.flow, run.source, run.origin
        about: dict[str, Any] = {}
        if origin is not None:
            about = {"rerun_of": origin.run_id, "kept": tuple(origin.kept), "rerun_items": tuple(origin.items)}
        return self.history.record(
            run_id,
            server=self.server,
            flow=flow if isinstance(flow, Mapping) else None,
            flow_id=run.flow_id,
            flow_file=None if source is None else get_flow_file_path(source),
            # As in `submit`, an input that is itself a list stays wrapped.
            input=inputs[0] if len(inputs) == 1 and not isinstance(inputs[0], list) else inputs,
            variables=run.arguments.variables or None,
            overrides=run.arguments.overrides,
            labels=_labels.get(),
            has_own_flow=run.has_own_flow,
            is_embedded=self.is_embedded,
            **about,
        )

    def add_current_labels_to_run(self, entry: HistoryEntry) -> None:
        """Add the current call's labels to a run that is already recorded, without changing existing labels."""
        if self.history is not None and (labels := _labels.get()) and not labels.keys() <= entry.labels.keys():
            self.history.annotate(entry.run_id, labels={**labels, **entry.labels})

    def find_history_entry(self, run_id: str) -> HistoryEntry | None:
        """Return a run's entry, or None if it's missing or unreadable, or if there's no history."""
        return self._read_history(lambda history: history.get(run_id))

    def find_recorded_step_outputs(self, run_id: str) -> list[dict[str, Any]] | None:
        """Return each item's step outputs for a recorded run, or None if they aren't in the history."""
        return self._read_history(lambda history: history.kept_outputs(run_id))

    def search_entries(self, text: str) -> list[HistoryEntry]:
        """Return this server's newest entries that match a query, or none if there's no readable history."""
        servers = list_server_aliases(self.server)
        return self._read_history(lambda history: history.search(text, server=servers, limit=_MAX_SEARCHED_RUNS)) or []

    def _read_history(self, read: Callable[[History], Result]) -> Result | None:
        if self.history is not None:
            with suppress(StepflowClientError):
                return read(self.history)
        return None

    def record_end(self, run_id: str, status: ExecutionStatus, *, is_part: bool = False) -> None:
        """Record a finished run's status. A run that is part of a batch is only counted."""
        count_ended_run(run_id, status)
        if not is_part:
            self.record_status(run_id, status)

    def record_status(self, run_id: str, status: ExecutionStatus) -> None:
        """Record a run's last known status."""
        if self.history is not None:
            self.history.update(run_id, status=status.value)


class BatchRecorder:
    """Records a batch's runs as a single entry: the first run, plus either its inputs or a note that more runs follow.

    Args:
        recorder: The client's recorder.
        flow: The flow's content.
        arguments: The batch's arguments, without its inputs.
        source: The flow that the caller passed. If it is a path, the path is recorded.
    """

    def __init__(self, recorder: Recorder, flow: Mapping[str, Any], arguments: RunArguments, source: Any) -> None:
        self._history = recorder.history
        self._fields: dict[str, Any] = {"flow": flow, "flow_file": get_flow_file_path(source), "labels": _labels.get()}
        self._fields |= {"server": recorder.server, "is_embedded": recorder.is_embedded}
        self._fields |= {"variables": arguments.variables or None, "overrides": arguments.overrides}
        self._first_run_id: str | None = None
        self._inputs: list[Any] | None = None
        self._has_more = False
        self._lock = threading.Lock()

    def record_resumed_batch(self, run_id: str) -> None:
        """Record a resumed batch again, identified by the first run from its journal."""
        self._first_run_id = run_id
        self._record_batch(run_id)

    def record_created(self, run_id: str, inputs: list[Any]) -> bool:
        """Record a run that the batch created, or resumed after a crash. Return whether it is the batch's first run."""
        with self._lock:
            is_first = self._first_run_id is None
            if is_first or not (self._has_more or run_id == self._first_run_id):
                self._first_run_id, self._has_more = self._first_run_id or run_id, not is_first
                self._inputs = inputs if is_first else None
                self._record_batch(self._first_run_id)
            return is_first

    def _record_batch(self, run_id: str) -> None:
        """Record the batch, preserving the labels, note and inputs of any earlier record."""
        if self._history is None:
            return
        about, has_more = dict(self._fields), self._has_more
        with suppress(StepflowClientError):
            if (earlier := self._history.get(run_id)) is not None:
                about |= {"labels": {**earlier.labels, **(about["labels"] or {})}, "note": earlier.note}
                has_more |= earlier.has_more_runs
                self._inputs = self._inputs or earlier.input
        if has_more or self._inputs is None:
            about |= {"input": None, "omitted": ("input",)}
        else:
            about["input"] = self._inputs
        self._history.record(run_id, has_more_runs=has_more, **about)

    def record_batch_end(self, status: ExecutionStatus) -> None:
        """Record the batch's status after all its runs have ended."""
        if self._history is not None and self._first_run_id is not None:
            self._history.update(self._first_run_id, status=status.value)


def list_server_aliases(url: str) -> list[str]:
    """Return all URLs for the same server, treating localhost and 127.0.0.1 as the same host."""
    names = ("//localhost:", "//127.0.0.1:")
    return list(dict.fromkeys([url, *(url.replace(names[0], names[1], 1), url.replace(names[1], names[0], 1))]))
