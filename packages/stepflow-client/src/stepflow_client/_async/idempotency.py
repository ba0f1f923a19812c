"""Creating at most one run under a key given by the caller, across all processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from .._base.logging import logger
from .._base.newest import Newest
from .._codec import requests, run_states
from .._codec.idempotency import Noted, call_marker, check_key, check_scope, input_digest, run_marker, tag_of
from .._codec.requests import RunArguments
from .._codec.variables import flow_variables
from .._rules.deadline import current_deadline, has_passed
from .._rules.releases import require
from .._shared.recorder import CreatedRun
from .._shared.run_call import RunCall
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
from .flows import CheckedFlow, StoredCopy
from .key_records import FoundRun, Keyed, KeyRecords

if TYPE_CHECKING:
    from ..flows.flow_argument import FlowSource
    from ..types import FlowVariable, RunDetails
    from .core import Core
    from .creation import RunCreator

_TAKEOVER = 2.0
"""Seconds after which a call whose run has not appeared counts as crashed, so that another call may take over."""
_LOOK = 0.05
"""Seconds between checks whether another call has recorded its run."""
_MOST_OLDER = 1_000
"""Maximum number of runs of other versions of their flows that a client remembers."""
_TURN = 0.01
"""Seconds between checks whether another call of this client has finished with a key."""


class _Asked(NamedTuple):
    """What a call asks for."""

    call: RunCall
    given: RunArguments
    """The arguments as they were given."""

    def of(self, declared: Mapping[str, FlowVariable]) -> RunArguments:
        """Return the arguments of a run of a flow that declares these variables."""
        values = self.given.variables
        if self.call.variables_from_env:
            values = requests.environment_variables(values, declared, os.environ)
        return self.given._replace(variables=values)


class KeyedRuns:
    """Creates and finds runs under keys given by the caller.

    Servers have no operation that only one of several callers can succeed in, so calls exclude each other with markers:
    a call stores its claim, checks that the turn is not taken, takes it, and goes on only if the claim is still its
    own. However the requests of several calls interleave, at most one call goes on. The others wait for its run. If
    none appears, the call has crashed, and one of them takes over in the next turn. A call that was delayed until
    then starts over. Only a creation that is on its way to the server for so long makes a second run; all calls then
    return the older one.

    With a scope, all versions of a flow share the markers. The run of a call that has crashed is searched for among the
    runs of its flow, which the call has noted before it created the run.

    Args:
        core: What the parts of the client are made of.
        creator: Creates the runs.
    """

    def __init__(self, core: Core, creator: RunCreator) -> None:
        self._connection = core.connection
        self._flows = core.flows
        self._creator = creator
        self._records = KeyRecords(core.flows, core.runs, core.lister, core.blobs)
        self._recorder = core.recorder
        self._scope = core.key_scope
        self.older_flows: Newest[str, str] = Newest(_MOST_OLDER)
        """The flows of the runs that were found and are of other versions, by run id."""

    async def find(self, flow: FlowSource | None, key: str, scope: str | None) -> RunDetails | None:
        """Return the run that exists under a key; None if there is none. With a scope, no flow is needed."""
        scope = self._scope_of(key, scope)
        if flow is None and scope is None:
            raise InvalidArgumentError(
                "without an idempotency_scope, a key belongs to the content of a flow: find_run needs the flow"
            )
        checked = None if flow is None else self._checked(flow)
        if scope is None and checked is not None:
            keyed = await self._stored(checked, key, None)
        else:
            await self._require_blobs()
            keyed = Keyed(key, scope, {}, "")
        found = await self._records.found(keyed)
        if found is not None:
            return found.run
        is_used = await self._records.is_used(keyed.subject, 0)
        return await self._records.searched(keyed) if is_used else None

    async def start(self, call: RunCall, wait: int | None) -> run_states.Started:
        """Return the run that exists under the key of a call, or create it.

        Args:
            call: What to run. It waits until it is ready only if no run exists.
            wait: Seconds that the server may hold the request until the run ends; None for an immediate response.
        """
        key = call.idempotency_key
        assert key is not None
        scope = self._scope_of(key, call.idempotency_scope)
        checked = self._checked(call.flow)
        annotate(flow_name=checked.content.get("name"))
        if call.check_input:
            call = call._replace(input=self._flows.fitting_input(checked, call.input))
        given = await self._creator.arguments(call)
        needs = self._flows.needs_of_flow(checked.content, checked.digest)
        # Refuses what does not fit the flow.
        call.completed(given, needs)
        asked = _Asked(call, given)
        for again in (True, False):
            keyed = await self._stored(checked, key, scope)
            registry = self._flows.registries.current
            turn = run_marker(keyed.subject).content
            while not registry.start_storing(turn):
                # Calls of one client take turns.
                if has_passed(current_deadline()):
                    other = f"another call of this client under the idempotency key {key!r} had not ended"
                    raise RequestTimeoutError(f"{other} when the time was over")
                await asyncio.sleep(_TURN)
            try:
                run = await self._found_or_created(keyed, asked, wait)
            except NotFoundError:
                # A server that was restarted without a persistent store has lost the flow.
                self._flows.forget(keyed.flow_id)
                if not again:
                    raise
            else:
                annotate(run_id=run.run_id)
                await self._recorded_in_history(keyed, run, asked)
                return run
            finally:
                registry.stop_storing(turn)
        raise AssertionError("unreachable")  # pragma: no cover - the loop returns or raises

    def _scope_of(self, key: str, scope: str | None) -> str | None:
        check_key(key)
        return self._scope if scope is None else check_scope(scope)

    def _checked(self, flow: FlowSource) -> CheckedFlow:
        return self._flows.checked(flow, "an idempotency key")

    async def _require_blobs(self) -> None:
        require(await self._connection.server(), "blobs", "an idempotency key needs flow ids that can be found again")

    async def _stored(self, checked: CheckedFlow, key: str, scope: str | None) -> Keyed:
        await self._require_blobs()
        content, digest, _ = checked
        flow_id = await self._flows.store_accepted(content, tagged(content, tag_of(key, scope)), digest)
        return Keyed(key, scope, content, flow_id)

    async def _recorded_in_history(self, keyed: Keyed, run: run_states.Started, asked: _Asked) -> None:
        """Record a run in the history, with its own flow, and log if that is not the flow of the call."""
        older = run.older_flow_id
        self.older_flows.pop(run.run_id, None)
        if older is not None:
            self.older_flows.put(run.run_id, older)
            logger.info("run %s under the idempotency key %r is of another flow: %s", run.run_id, keyed.key, older)
        if not self._recorder.is_on:
            return
        if (known := self._recorder.recorded(run.run_id)) is not None:
            self._recorder.found(known)
            return
        # Whichever call has created it: this client's user has started it, with these arguments.
        if older is None:
            arguments = asked.of(flow_variables(keyed.flow))
            self._recorder.created(CreatedRun(run.run_id, keyed.flow_id, arguments, asked.call.given_flow, keyed.flow))
            return
        # The run exists, whatever may be read of its flow.
        with suppress(StepflowClientError):
            flow = (await self._flows.get_flow(older)).flow
            self._recorder.created(CreatedRun(run.run_id, older, asked.of(flow_variables(flow)), flow=flow))

    async def _found_or_created(self, keyed: Keyed, asked: _Asked, wait: int | None) -> run_states.Started:
        found = await self._records.found(keyed)
        if found is None and asked.call.ready is not None:
            await asked.call.ready()
        turn = 0
        while found is None:
            began = time.monotonic()
            if await self._records.claimed(keyed.subject, turn):
                digest = await self._digest(keyed, asked, keyed.flow_id)
                await self._records.store(call_marker(keyed.subject, turn), Noted(keyed.flow_id, digest).name)
                if time.monotonic() - began < _TAKEOVER:
                    run = await self._created(keyed, asked, wait)
                    is_alone = turn == 0 and time.monotonic() - began < _TAKEOVER
                    return await self._recorded(keyed, run, asked, is_alone=is_alone)
            turn += 1
            if await self._records.is_used(keyed.subject, turn):
                continue
            oldest = await self._records.searched(keyed)
            if oldest is None and (found := await self._awaited(keyed)) is None:
                oldest = await self._records.searched(keyed)
            if found is None and await self._is_for_another_input(keyed, asked):
                _refuse(keyed.key, oldest)
            if oldest is not None:
                return await self._recorded(keyed, _started(keyed, oldest), asked, is_alone=False)
        if found.digest != await self._digest(keyed, asked, found.run.flow_id):
            _refuse(keyed.key, found.run)
        return _started(keyed, found.run)

    async def _digest(self, keyed: Keyed, asked: _Asked, flow_id: str) -> str:
        """Return the digest of a call's arguments, as a call with another version of the flow makes it."""
        own = flow_id == keyed.flow_id
        declared = flow_variables(keyed.flow) if own else await self._flows.variables_of(flow_id)
        return input_digest(asked.of(declared), declared)

    async def _awaited(self, keyed: Keyed) -> FoundRun | None:
        """Wait until the call that has claimed a key has recorded its run; None if it takes too long."""
        end = time.monotonic() + _TAKEOVER
        while (found := await self._records.found(keyed)) is None and time.monotonic() < end:
            if has_passed(current_deadline()):
                raise RequestTimeoutError(
                    f"another call under the idempotency key {keyed.key!r} had created no run yet"
                )
            await asyncio.sleep(_LOOK)
        return found

    async def _is_for_another_input(self, keyed: Keyed, asked: _Asked) -> bool:
        """Return whether a call that may have created a run has another input."""
        calls = await self._records.calls(keyed.subject)
        return any([call.digest != await self._digest(keyed, asked, call.about) for call in calls])

    async def _created(self, keyed: Keyed, asked: _Asked, wait: int | None) -> run_states.Started:
        declared = flow_variables(keyed.flow)
        self._flows.registries.current.reserve(keyed.flow_id)
        copy = StoredCopy(keyed.flow_id, declared, keyed.flow.get("output"))
        try:
            run = await self._creator.create(copy, asked.of(declared), wait)
        except AmbiguousRunError as error:
            # Regardless of which call created the run: all runs of these flows belong to this key.
            oldest = await self._records.searched(keyed) if error.candidates else None
            if oldest is None:
                error.hint = "the same call with this idempotency key finds the run, if there is one"
                raise
            run = _started(keyed, oldest)
        return run

    async def _recorded(
        self, keyed: Keyed, run: run_states.Started, asked: _Asked, *, is_alone: bool
    ) -> run_states.Started:
        """Record the run of a key and return it, or the run of another call, if that is recorded or older.

        Args:
            keyed: The flow and the key.
            run: A run that exists under the key.
            asked: What the call asks for.
            is_alone: Whether no other call can have taken over, so that there is no other run.
        """
        # The run exists: if it cannot be recorded, a search finds it.
        with suppress(StepflowClientError):
            if not is_alone and await self._records.found(keyed) is None:
                oldest = await self._records.searched(keyed)
                run = run if oldest is None or oldest.run_id == run.run_id else _started(keyed, oldest)
            marker = run_marker(keyed.subject)
            if is_alone or await self._records.name_of(marker) is None:
                digest = await self._digest(keyed, asked, run.older_flow_id or keyed.flow_id)
                await self._records.store(marker, Noted(run.run_id, digest).name)
            found = None if is_alone else await self._records.found(keyed)
            if found is not None and found.run.run_id != run.run_id:
                return _started(keyed, found.run)
        return run


def _started(keyed: Keyed, run: RunDetails) -> run_states.Started:
    return run_states.Started(run.run_id, run.status, [], None if run.flow_id == keyed.flow_id else run.flow_id)


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
