"""Creating at most one run under a key given by the caller, across all processes."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import aclosing, suppress
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from uuid import uuid4

from .._codec import requests, run_states
from .._codec.idempotency import (
    Marker,
    check_key,
    claim_marker,
    input_digest,
    input_marker,
    run_marker,
    tag_of,
    taken_marker,
)
from .._codec.requests import Variables
from .._codec.variables import flow_variables
from .._rules.deadline import current_deadline, has_passed
from .._rules.releases import require
from .._shared.recorder import Recorder
from .._shared.tracing import annotate
from ..errors import (
    AmbiguousRunError,
    IdempotencyConflictError,
    InvalidArgumentError,
    NotFoundError,
    RequestTimeoutError,
    StepflowClientError,
)
from ..flows.additions import tagged
from ..flows.file import is_flow_id
from .blobs import BlobStore
from .connection import Connection
from .creation import RunCreator
from .flows import CheckedFlow, FlowStore
from .listing import RunLister
from .runs import RunReader

if TYPE_CHECKING:
    from ..flows.file import FlowSource
    from ..types import RunDetails

_TAKEOVER = 2.0
"""Seconds after which a call whose run has not appeared counts as crashed, so that another call may take over."""
_LOOK = 0.05
"""Seconds between checks whether another call has recorded its run."""
_TURN = 0.01
"""Seconds between checks whether another call of this client has finished with a key."""
_PAGE = 500
"""Number of runs per request in a search."""


class _Keyed(NamedTuple):
    """A flow, and the id of its copy that carries a key."""

    flow: dict[str, Any]
    flow_id: str
    key: str

    @property
    def name(self) -> str | None:
        name = self.flow.get("name")
        return name if isinstance(name, str) and name else None


class _Noted(NamedTuple):
    """The run of a key, and the digest of the input it was created for."""

    run: RunDetails
    digest: str


class KeyedRuns:
    """Creates and finds runs under keys given by the caller.

    Servers have no operation that only one of several callers can succeed in, so calls exclude each other with markers:
    a call stores its claim, checks that the turn is not taken, takes it, and goes on only if the claim is still its
    own. However the requests of several calls interleave, at most one call goes on. The others wait for its run. If
    none appears, the call has crashed, and one of them takes over in the next turn. A call that was delayed until
    then starts over. Only a creation that is on its way to the server for so long makes a second run; all calls then
    return the older one.
    """

    def __init__(
        self,
        connection: Connection,
        flows: FlowStore,
        creator: RunCreator,
        runs: RunReader,
        lister: RunLister[RunDetails],
        blobs: BlobStore,
        recorder: Recorder,
    ) -> None:
        self._connection = connection
        self._flows = flows
        self._creator = creator
        self._runs = runs
        self._lister = lister
        self._blobs = blobs
        self._recorder = recorder

    async def find(self, flow: FlowSource, key: str) -> RunDetails | None:
        """Return the run that exists under a key; None if there is none."""
        content, digest, _ = self._checked(flow, key)
        keyed = await self._stored(content, digest, key)
        noted = await self._noted(keyed)
        if noted is not None:
            return noted.run
        is_used = await self._name_of(taken_marker(keyed.flow_id, 0)) is not None
        return await self._searched(keyed) if is_used else None

    async def start(
        self,
        flow: FlowSource,
        input: Any,
        overrides: Any,
        variables: Variables | None,
        variables_from_env: bool,
        *,
        key: str,
        max_concurrency: int | None,
        wait: int | None,
    ) -> run_states.Started:
        """Return the run that exists under a key, or create it.

        Args:
            flow: The flow.
            input: The input, or a list of them.
            overrides: Changes to steps.
            variables: Values of the flow's variables.
            variables_from_env: Whether to read missing variables from the environment.
            key: The key.
            max_concurrency: Maximum number of tasks executed at the same time.
            wait: Seconds that the server may hold the request until the run ends; None for an immediate response.
        """
        content, digest, _ = self._checked(flow, key)
        annotate(flow_name=content.get("name"))
        arguments = await self._creator.arguments(input, variables, overrides, max_concurrency)
        needs = self._flows.needs_of_flow(content, digest)
        arguments = requests.completed(arguments, needs, os.environ, variables_from_env)
        for again in (True, False):
            keyed = await self._stored(content, digest, key)
            registry = self._flows.registries.current
            turn = run_marker(keyed.flow_id).content
            while not registry.start_storing(turn):
                # Calls of one client take turns.
                if has_passed(current_deadline()):
                    other = f"another call of this client under the idempotency key {key!r} had not ended"
                    raise RequestTimeoutError(f"{other} when the time was over")
                await asyncio.sleep(_TURN)
            try:
                run = await self._found_or_created(keyed, arguments, wait)
            except NotFoundError:
                # A server that was restarted without a persistent store has lost the flow.
                self._flows.forget(keyed.flow_id)
                if not again:
                    raise
            else:
                annotate(run_id=run.run_id)
                # Whichever call has created it: this client's user has started it, with these arguments.
                if self._recorder.recorded(run.run_id) is None:
                    self._recorder.created(run.run_id, keyed.flow_id, arguments, flow, keyed.flow)
                return run
            finally:
                registry.stop_storing(turn)
        raise AssertionError("unreachable")  # pragma: no cover - the loop returns or raises

    def _checked(self, flow: FlowSource, key: str) -> CheckedFlow:
        check_key(key)
        if is_flow_id(flow):
            raise InvalidArgumentError("an idempotency key needs the flow itself, not its id: the flow carries the key")
        return self._flows.checked(flow)

    async def _stored(self, content: dict[str, Any], digest: bytes, key: str) -> _Keyed:
        require(await self._connection.server(), "blobs", "an idempotency key needs flow ids that can be found again")
        flow_id = await self._flows.store_accepted(content, tagged(content, tag_of(key)), digest)
        return _Keyed(content, flow_id, key)

    async def _found_or_created(
        self, keyed: _Keyed, arguments: requests.RunArguments, wait: int | None
    ) -> run_states.Started:
        digest = input_digest(arguments, flow_variables(keyed.flow))
        noted = await self._noted(keyed)
        turn = 0
        while noted is None:
            began = time.monotonic()
            if await self._claimed(keyed.flow_id, turn):
                await self._store(input_marker(keyed.flow_id, turn), digest)
                if time.monotonic() - began < _TAKEOVER:
                    run = await self._created(keyed, arguments, wait)
                    is_alone = turn == 0 and time.monotonic() - began < _TAKEOVER
                    return await self._recorded(keyed, run, digest, is_alone=is_alone)
            turn += 1
            if await self._name_of(taken_marker(keyed.flow_id, turn)) is not None:
                continue
            found = await self._searched(keyed)
            if found is None and (noted := await self._awaited(keyed)) is None:
                found = await self._searched(keyed)
            if noted is None and await self._is_for_another_input(keyed.flow_id, digest):
                _refuse(keyed.key, found)
            if found is not None:
                return await self._recorded(keyed, _started(found), digest, is_alone=False)
        if noted.digest != digest:
            _refuse(keyed.key, noted.run)
        return _started(noted.run)

    async def _claimed(self, flow_id: str, turn: int) -> bool:
        """Return whether this call alone may create the run. Of the calls of a turn, this is so for one or none."""
        claim, taken, me = claim_marker(flow_id, turn), taken_marker(flow_id, turn), uuid4().hex
        await self._store(claim, me)
        if await self._name_of(taken) is not None:
            return False
        await self._store(taken, "taken")
        return await self._name_of(claim) == me

    async def _awaited(self, keyed: _Keyed) -> _Noted | None:
        """Wait until the call that has claimed a key has recorded its run; None if it takes too long."""
        end = time.monotonic() + _TAKEOVER
        while (noted := await self._noted(keyed)) is None and time.monotonic() < end:
            if has_passed(current_deadline()):
                raise RequestTimeoutError(
                    f"another call under the idempotency key {keyed.key!r} had created no run yet"
                )
            await asyncio.sleep(_LOOK)
        return noted

    async def _is_for_another_input(self, flow_id: str, digest: str) -> bool:
        """Return whether a call that may have created a run has another input. (It was stored before the run.)"""
        for turn in count():
            if await self._name_of(taken_marker(flow_id, turn)) is None:
                return False
            if await self._name_of(input_marker(flow_id, turn)) not in (None, digest):
                return True
        raise AssertionError("unreachable")  # pragma: no cover - the loop returns

    async def _created(self, keyed: _Keyed, arguments: requests.RunArguments, wait: int | None) -> run_states.Started:
        declared = flow_variables(keyed.flow)
        self._flows.registries.current.reserve(keyed.flow_id)
        output = keyed.flow.get("output")
        try:
            run = await self._creator.create(
                keyed.flow_id, arguments, run_states.started, declared=declared, output=output, wait=wait
            )
        except AmbiguousRunError as error:
            # Regardless of which call created the run: all runs of this flow belong to this key.
            found = await self._searched(keyed) if error.candidates else None
            if found is None:
                error.hint = "the same call with this idempotency key finds the run, if there is one"
                raise
            run = _started(found)
        return run

    async def _recorded(
        self, keyed: _Keyed, run: run_states.Started, digest: str, *, is_alone: bool
    ) -> run_states.Started:
        """Record the run of a key and return it, or the run of another call, if that is recorded or older.

        Args:
            keyed: The flow and the key.
            run: A run that exists under the key.
            digest: The digest of its input.
            is_alone: Whether no other call can have taken over, so that there is no other run.
        """
        # The run exists: if it cannot be recorded, a search finds it.
        with suppress(StepflowClientError):
            if not is_alone and await self._noted(keyed) is None:
                oldest = await self._searched(keyed)
                run = run if oldest is None or oldest.run_id == run.run_id else _started(oldest)
            marker = run_marker(keyed.flow_id)
            if is_alone or await self._name_of(marker) is None:
                await self._store(marker, f"{run.run_id} {digest}")
            noted = None if is_alone else await self._noted(keyed)
            if noted is not None and noted.run.run_id != run.run_id:
                return _started(noted.run)
        return run

    async def _noted(self, keyed: _Keyed) -> _Noted | None:
        """Return the recorded run of a key; None if none is recorded, or if the server has lost it."""
        run_id, _, digest = (await self._name_of(run_marker(keyed.flow_id)) or "").partition(" ")
        if not run_id:
            return None
        try:
            return _Noted(await self._runs.state(requests.check_run_id(run_id)), digest)
        except (NotFoundError, InvalidArgumentError):
            return None

    async def _searched(self, keyed: _Keyed) -> RunDetails | None:
        """Return the oldest run of the flow that carries the key; None if there is none."""
        found: list[RunDetails] = []
        pages = self._lister.iter_runs(page_size=_PAGE, flow_name=keyed.name, roots_only=True)
        async with aclosing(pages) as runs:
            async for run in runs:
                if run.flow_id == keyed.flow_id:
                    found.append(run)
        # The ids begin with the time of the creation, which is more precise than `created_at`.
        return min(found, key=lambda run: run.run_id, default=None)

    async def _store(self, marker: Marker, name: str) -> None:
        await self._blobs.store_blob(marker.content, filename=name)

    async def _name_of(self, marker: Marker) -> str | None:
        """Return the name that was stored with a marker; None if there is no such marker."""
        blob = await self._blobs.find_blob(marker.blob_id)
        return None if blob is None else blob.filename or ""


def _started(run: RunDetails) -> run_states.Started:
    return run_states.Started(run.run_id, run.status, [])


def _refuse(key: str, run: RunDetails | None) -> NoReturn:
    """Raise the error of a call whose key stands for another call.

    Args:
        key: The key.
        run: Its run; None if the other call has created none, or not yet.
    """
    other = "another input, other variables or other overrides"
    if run is None:
        message = f"the idempotency key {key!r} was used before, with {other}"
    else:
        message = f"run {run.run_id} exists under the idempotency key {key!r}, with {other}"
    hint = "a key stands for one call; find_run() returns its run"
    raise IdempotencyConflictError(message, run_id=None if run is None else run.run_id, hint=hint)
