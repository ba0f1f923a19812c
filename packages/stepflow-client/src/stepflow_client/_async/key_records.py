"""What a server knows about an idempotency key: the markers of calls, and the run."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing, suppress
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from .._codec import requests
from .._codec.idempotency import Marker, Noted, call_marker, claim_marker, run_marker, scoped_key, taken_marker
from ..errors import InvalidArgumentError, NotFoundError
from .blobs import BlobStore
from .flows import FlowStore
from .listing import RunLister
from .runs import RunReader

if TYPE_CHECKING:
    from ..types import RunDetails

_PAGE = 500
"""Number of runs per request in a search."""


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
        """What markers are about: it has at most one run."""
        return self.flow_id if self.scope is None else scoped_key(self.scope, self.key)


class FoundRun(NamedTuple):
    """The recorded run of a key, and the digest of the arguments it was created with."""

    run: RunDetails
    digest: str


class KeyRecords:
    """The markers of keys on a server, and their runs."""

    def __init__(self, flows: FlowStore, runs: RunReader, lister: RunLister[RunDetails], blobs: BlobStore) -> None:
        self._flows = flows
        self._runs = runs
        self._lister = lister
        self._blobs = blobs

    async def found(self, keyed: Keyed) -> FoundRun | None:
        """Return the recorded run of a key; None if none is recorded, or if the server has lost it."""
        noted = Noted.read(await self.name_of(run_marker(keyed.subject)))
        if noted is None:
            return None
        try:
            return FoundRun(await self._runs.state(requests.check_run_id(noted.about)), noted.digest)
        except (NotFoundError, InvalidArgumentError):
            return None

    async def searched(self, keyed: Keyed) -> RunDetails | None:
        """Return the oldest run under a key; None if there is none. A flow that carries a key has no other runs."""
        names = await self._flow_names(keyed)
        found: list[RunDetails] = []
        for name in {*names.values()}:
            pages = self._lister.iter_runs(page_size=_PAGE, flow_name=name, roots_only=True)
            async with aclosing(pages) as runs:
                async for run in runs:
                    if run.flow_id in names:
                        found.append(run)
        # The ids begin with the time of the creation, which is more precise than `created_at`.
        return min(found, key=lambda run: run.run_id, default=None)

    async def _flow_names(self, keyed: Keyed) -> dict[str, str | None]:
        """Return the names of the flows that may have a run under a key, by their ids."""
        names: dict[str, str | None] = {keyed.flow_id: _name_of(keyed.flow)} if keyed.flow_id else {}
        for call in [] if keyed.scope is None else await self.calls(keyed.subject):
            if call.about not in names:
                # A flow that the server has lost has no runs either.
                with suppress(NotFoundError):
                    names[call.about] = _name_of((await self._flows.get_flow(call.about)).flow)
        return names

    async def is_used(self, subject: str, turn: int) -> bool:
        """Return whether a call of a turn may have created a run."""
        return await self.name_of(taken_marker(subject, turn)) is not None

    async def claimed(self, subject: str, turn: int) -> bool:
        """Return whether this call alone may create the run. Of the calls of a turn, this is so for one or none."""
        claim, taken, me = claim_marker(subject, turn), taken_marker(subject, turn), uuid4().hex
        await self.store(claim, me)
        if await self.name_of(taken) is not None:
            return False
        await self.store(taken, "taken")
        return await self.name_of(claim) == me

    async def calls(self, subject: str) -> list[Noted]:
        """Return the flows and digests of the calls that may have created a run: they were stored before the run."""
        found: list[Noted] = []
        turns = count()
        while await self.is_used(subject, turn := next(turns)):
            call = Noted.read(await self.name_of(call_marker(subject, turn)))
            if call is not None:
                found.append(call)
        return found

    async def store(self, marker: Marker, name: str) -> None:
        """Store a marker with a name. Servers with a store in memory replace the name of an earlier one."""
        await self._blobs.store_blob(marker.content, filename=name)

    async def name_of(self, marker: Marker) -> str | None:
        """Return the name that was stored with a marker; None if there is no such marker."""
        blob = await self._blobs.find_blob(marker.blob_id)
        return None if blob is None else blob.filename or ""


def _name_of(flow: Mapping[str, Any]) -> str | None:
    """Return the name of a flow, by which runs can be listed."""
    name = flow.get("name")
    return name if isinstance(name, str) and name else None
