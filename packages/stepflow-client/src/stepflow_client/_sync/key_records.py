# Written from _async/key_records.py by `make generate`. Change that file instead.

"""What a server knows about an idempotency key: the marks of callers, and the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from .._codec import requests
from .._codec.idempotency_markers import RunNote, marker, scoped_key
from .._rules.ending import is_given_up
from .._rules.key_lock import Call, Found, Mark
from .._rules.request_retries import parse_date
from ..errors import InvalidArgumentError, NotFoundError
from .blobs import BlobStore
from .flows import FlowStore
from .listing import RunLister
from .runs import RunReader

if TYPE_CHECKING:
    from ..types import RunDetails

_PAGE = 500
"""Number of runs per request in a search."""
_CLOCK_DIFFERENCE = 60.0
"""Maximum difference in seconds between the clock of a server and the dates of responses, which a proxy may set."""


class Keyed(NamedTuple):
    """A key, and the flow of the call that uses it."""

    key: str
    scope: str | None
    """What the key belongs to, whatever the flow; None if it belongs to the content of the flow."""
    flow: dict[str, Any]
    """The flow; empty if the call has none."""
    flow_id: str
    """The id of the copy of the flow that carries the key; empty if the call has no flow."""

    @property
    def subject(self) -> str:
        """What marks are about: it has at most one run."""
        return self.flow_id if self.scope is None else scoped_key(self.scope, self.key)


class KeyRecords:
    """The marks of keys on a server, and their runs."""

    def __init__(self, flows: FlowStore, runs: RunReader, lister: RunLister, blobs: BlobStore) -> None:
        self._flows = flows
        self._runs = runs
        self._lister = lister
        self._blobs = blobs
        self._date = ""

    def server_time(self) -> float:
        """Return the time of the last response by the server's clock, in seconds since 1970; 0 if it had no date."""
        date = parse_date(self._date)
        return 0.0 if date is None else date.timestamp()

    def read(self, keyed: Keyed, mark: Mark) -> str | None:
        """Return the name that was stored with a mark; None if there is no such mark."""
        name, self._date = self._blobs.find_name(marker(keyed.subject, *mark).blob_id)
        return name

    def store(self, keyed: Keyed, mark: Mark, name: str) -> None:
        """Store a mark with a name."""
        self._blobs.store_blob(marker(keyed.subject, *mark).content, filename=name)

    def found(self, keyed: Keyed) -> Found | None:
        """Return the recorded run of a key; None if none is recorded, or if the server has lost it."""
        note = RunNote.read(self.read(keyed, ("run",)))
        if note is None:
            return None
        try:
            return Found(self._runs.state(requests.check_run_id(note.run_id)), note.digest)
        except (NotFoundError, InvalidArgumentError):
            return None

    def record(self, keyed: Keyed, found: Found) -> None:
        """Record the run of a key."""
        self.store(keyed, ("run",), RunNote(found.run.run_id, found.digest).name)

    def searched(self, keyed: Keyed, calls: Sequence[Call]) -> list[Found]:
        """Return the runs that callers have created under a key, the oldest first.

        A flow that carries a key has no other runs.
        """
        names = self._flow_names(keyed, calls)
        digests = {call.flow_id: call.digest for call in calls}
        earliest = min((call.since for call in calls), default=0.0)
        since = datetime.fromtimestamp(earliest - _CLOCK_DIFFERENCE, UTC) if earliest else None
        found: list[RunDetails] = []
        for name in {*names.values()}:
            pages = self._lister.iter_runs(page_size=_PAGE, flow_name=name, roots_only=True, since=since)
            with closing(pages) as runs:
                for run in runs:
                    if run.flow_id in names:
                        found.append(run)
        # A creation that failed may have left a run that is not executed.
        found = [run for run in found if not is_given_up(run.status, run.items.running)] or found
        # The ids begin with the time of the creation, which is more precise than `created_at`.
        return [Found(run, digests[run.flow_id]) for run in sorted(found, key=lambda run: run.run_id)]

    def _flow_names(self, keyed: Keyed, calls: Sequence[Call]) -> dict[str, str | None]:
        """Return the names of the flows of calls, by their ids."""
        names: dict[str, str | None] = {}
        for call in calls:
            if call.flow_id == keyed.flow_id:
                names[call.flow_id] = _name_of(keyed.flow)
            elif call.flow_id not in names:
                # A flow that the server has lost has no runs either.
                with suppress(NotFoundError):
                    names[call.flow_id] = _name_of((self._flows.get_flow(call.flow_id)).flow)
        return names


def _name_of(flow: Mapping[str, Any]) -> str | None:
    """Return the name of a flow, by which runs can be listed."""
    name = flow.get("name")
    return name if isinstance(name, str) and name else None
