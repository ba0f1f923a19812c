"""Creates at most one run per user-supplied key, across all processes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import errors
from .._base.bounded_dict import BoundedDict
from .._base.logging import logger
from .._base.text_formatting import duration_text
from .._calls.rerun_plan import drop_kept_overrides
from .._codec import call_checks, idempotency_marker_blobs as markers, responses
from .._codec.call_checks import RunArguments, RunCall, parse_declared_variables
from .._concurrency import async_compute
from .._data.wire import PLAIN
from .._rules import key_lease
from .._rules.deadlines import current_deadline, has_passed, limit_by_deadline
from .._rules.key_lease import KeyLock, KeyRun, PublishedCall
from .._rules.retries import TRANSIENT_ERRORS, parse_date
from .._runs.strip_and_restore_flow import add_tag_to_flow
from .._telemetry.history_recorder import CreatedRun
from .._telemetry.tracing import annotate_operation
from ..errors import NotFoundError, RequestTimeoutError, StepflowClientError
from ..types.statuses import is_given_up_by_server
from .flow_store import CheckedFlow, StoredCopy

if TYPE_CHECKING:
    from ..flows.reading import FlowSource
    from ..flows.run_requirements import RunRequirements
    from ..types import FlowVariable, RunDetails
    from .client_context import ClientContext
    from .run_creation import RunCreator

# Limits on how many runs of other flow versions, and how many keys without a run, a client remembers.
_MAX_OLDER_RUNS, _MAX_KEYS_WITHOUT_RUN = 1_000, 1_000
# Number of runs to fetch per request when searching.
_PAGE_SIZE = 500
# Maximum difference in seconds between a server's clock and the Date header of its responses (which a proxy may set).
_MAX_CLOCK_SKEW_SECONDS = 60.0


class _KeyedCall(NamedTuple):
    """A call with a key, along with its flow and arguments. A call that only looks for a run has no arguments."""

    key: str
    scope: str | None
    """The key's scope, or None if the key is tied to the flow's content."""
    flow: dict[str, Any]
    """The flow, or an empty dict if the call doesn't have one."""
    flow_id: str
    """The ID of the flow's copy that carries the key, or an empty string if the call has no flow."""
    call: RunCall = RunCall({})
    arguments: RunArguments = RunArguments([], {}, None, None)
    """The arguments as passed by the caller."""
    wait: int | None = None
    """How many seconds the server may hold the creation request while waiting for the run to end."""
    sent_overrides: dict[str, Any] | None = None
    """The overrides, except for any overrides of steps that a rerun keeps."""
    needs: RunRequirements | None = None
    """What the flow's runs require, or None if the call only looks for the run."""

    @property
    def flow_id_or_scoped_key(self) -> str:
        """The flow ID or scoped key that marks are stored under. At most one run is created for each value."""
        return self.flow_id if self.scope is None else markers.combine_scope_and_key(self.scope, self.key)

    def add_env_variables(self, declared: Mapping[str, FlowVariable]) -> RunArguments:
        """Return the arguments. If requested, first add the flow's variables that are set in the environment."""
        values = self.arguments.variables
        if self.call.variables_from_env:
            values = call_checks.add_env_variables(values, declared, os.environ)
        return self.arguments._replace(variables=values)

    def hash_arguments(self, declared: Mapping[str, FlowVariable]) -> str:
        """Return a digest of the arguments as they'd be used to run a flow that declares these variables."""
        return markers.hash_arguments(self.add_env_variables(declared), declared, self.call.origin)


class KeyedRuns:
    """Creates and finds runs by user-supplied keys.

    `key_lease` decides which of several callers creates the run, and this class carries out the steps. With a scope,
    all versions of a flow share the same marks.

    Args:
        context: The state shared by the client's services.
        creator: Creates the runs.
    """

    def __init__(self, context: ClientContext, creator: RunCreator) -> None:
        self._connection = context.connection
        self._flows = context.flows
        self.creator = creator
        self._runs = context.runs
        self._lister = context.run_lister
        self._blobs = context.blobs
        self._recorder = context.recorder
        self._scope = context.key_scope
        self._last_date = ""
        """The server's time as of its last response about a mark."""
        self._was_last_key_new = False
        """Whether the last call's key was new. If so, the next call doesn't look for an existing run first."""
        self._first_seen: BoundedDict[str, key_lease.FirstSeen] = BoundedDict(_MAX_KEYS_WITHOUT_RUN)
        """The marks seen by failed calls, by uniqueness key."""
        self.older_flows: BoundedDict[str, str] = BoundedDict(_MAX_OLDER_RUNS)
        """The flow IDs of existing runs that turned out to use a different version, by run ID."""

    async def find_run(self, flow: FlowSource | None, key: str, scope: str | None) -> RunDetails | None:
        """Return the key's run, or None if there isn't one. The flow can be omitted if there's a scope."""
        scope = self._check_key_and_get_scope(key, scope)
        if flow is None and scope is None:
            raise errors.InvalidArgumentError(
                "without an idempotency_scope, a key is tied to the flow's content: pass the flow to find_run"
            )
        checked = None if flow is None else self._flows.load_and_check_flow(flow, "an idempotency key")
        keyed = _KeyedCall(key, scope, {}, "")
        if scope is None and checked is not None:
            flow_id = await self._store_copy_with_key(checked, keyed)
            keyed = keyed._replace(flow=checked.content, flow_id=flow_id)
        lock = self._make_key_lock(keyed, "", {})
        key_run: KeyRun | None = await self._execute_key_lock_steps(keyed, lock, lock.find_run())
        return None if key_run is None else key_run.run

    async def start_run(self, call: RunCall, hold_seconds: int | None) -> responses.StartedRun:
        """Return the run for the call's key, creating it if it doesn't exist.

        Args:
            call: What to run. Its readiness check is only performed if there's no run yet. For a rerun, the key is
                scoped to the earlier run.
            hold_seconds: How many seconds the server may hold the request while waiting for the run to end. If None, it
                responds immediately.
        """
        key, origin = call.idempotency_key, call.origin
        assert key is not None
        scope = self._check_key_and_get_scope(key, call.idempotency_scope)
        checked = self._flows.load_and_check_flow(call.flow, "an idempotency key")
        annotate_operation(flow_name=checked.content.get("name"))
        if call.check_input:
            call = call._replace(input=await self._flows.check_input(checked, call.input))
        arguments = await self.creator.check_arguments(call)
        overrides, needs = arguments.overrides, self._flows.compute_run_requirements(checked)
        if origin is None:
            # Reject arguments that don't fit the flow.
            await async_compute(partial(call.check_and_complete_arguments, arguments, needs))
        else:
            # Skip the check because a rerun has already checked its arguments.
            overrides = drop_kept_overrides(overrides, origin.kept) or None
        keyed = _KeyedCall(key, scope, checked.content, "", call, arguments, hold_seconds, overrides, needs)
        for again in (True, False):
            keyed = keyed._replace(flow_id=await self._store_copy_with_key(checked, keyed))
            registry = self._flows.registries.of_current_process
            turn, is_first = b"key " + keyed.flow_id_or_scoped_key.encode(), True
            while not registry.try_lock_flow_or_key(turn):
                # Calls from the same client take turns.
                is_first = False
                if has_passed(current_deadline()):
                    other = f"another call of this client with the idempotency key {key!r}"
                    raise RequestTimeoutError(f"timed out waiting for {other}")
                await asyncio.sleep(self._connection.timings.key_poll)
            try:
                should_look_up = not (self._was_last_key_new and is_first)
                run = await self._find_or_create_run(keyed, should_look_up=should_look_up)
            except NotFoundError:
                # The server doesn't have a persistent store and was restarted, so it no longer has the flow.
                self._flows.forget_flow(keyed.flow_id)
                if not again:
                    raise
            else:
                annotate_operation(run_id=run.run_id)
                await self._record_in_history(keyed, run)
                return run
            finally:
                registry.release_flow_or_key(turn)
        raise AssertionError("unreachable")  # pragma: no cover - the loop returns or raises

    def _check_key_and_get_scope(self, key: str, scope: str | None) -> str | None:
        markers.check_key(key)
        return self._scope if scope is None else markers.check_key(scope, "idempotency_scope")

    async def _store_copy_with_key(self, checked: CheckedFlow, keyed: _KeyedCall) -> str:
        copy = add_tag_to_flow(checked.content, markers.make_keyed_flow_tag(keyed.key, keyed.scope), keyed.call.origin)
        return await self._flows.validate_and_store_copy(checked, copy)

    async def _record_in_history(self, keyed: _KeyedCall, run: responses.StartedRun) -> None:
        """Record a run and its actual flow in the history, and log a message if the call passed a different flow."""
        older = run.older_flow_id
        self.older_flows.pop(run.run_id, None)
        if older is not None:
            self.older_flows.put_newest(run.run_id, older)
            logger.info("run %s for the idempotency key %r has a different flow: %s", run.run_id, keyed.key, older)
        if not self._recorder.is_on:
            return
        if (entry := self._recorder.find_history_entry(run.run_id)) is not None:
            self._recorder.add_current_labels_to_run(entry)
            return
        # Record the run no matter which call created it, because this client's user asked for it with these arguments.
        if older is None:
            arguments = keyed.add_env_variables(parse_declared_variables(keyed.flow))
            self._recorder.record_run(run.run_id, _make_history_record(keyed, arguments))
            return
        # Return the run even if its flow can't be read.
        with suppress(StepflowClientError):
            flow = (await self._flows.get_flow(older)).flow
            recorded = CreatedRun(older, keyed.add_env_variables(parse_declared_variables(flow)), flow=flow)
            self._recorder.record_run(run.run_id, recorded)

    async def _find_or_create_run(self, keyed: _KeyedCall, *, should_look_up: bool) -> responses.StartedRun:
        ready = keyed.call.ready
        should_look_up = should_look_up or ready is not None
        key_run = await self._fetch_run_from_mark(keyed) if should_look_up else None
        self._was_last_key_new = key_run is None
        if key_run is None:
            if ready is not None:
                await ready()
            sights = self._first_seen.pop(keyed.flow_id_or_scoped_key, {})
            lock = self._make_key_lock(keyed, await self._hash_arguments_for_flow(keyed, keyed.flow_id), sights)
            steps = lock.obtain_run(has_looked=should_look_up)
            try:
                outcome = await self._execute_key_lock_steps(keyed, lock, steps)
            except StepflowClientError:
                self._first_seen.put_newest(keyed.flow_id_or_scoped_key, sights)
                raise
            key_run, self._was_last_key_new = outcome.run, not outcome.was_recorded
            for other in outcome.others:
                message = "two runs exist for the idempotency key %r: %s, which is returned, and %s"
                logger.warning(message, keyed.key, key_run.run.run_id, other.run.run_id)
        run = key_run.run
        if isinstance(run, responses.StartedRun):
            return run
        if run is None or key_run.digest != await self._hash_arguments_for_flow(keyed, run.flow_id):
            # `run` is None if the other call hasn't created a run yet.
            used, run_id = f"the idempotency key {keyed.key!r} was already used", None
            if run is not None:
                used, run_id = f"run {run.run_id} already exists for the idempotency key {keyed.key!r}", run.run_id
            message = f"{used}, with different input, variables or overrides"
            hint = "use a new key for a different call, or find_run() to get the existing run"
            raise errors.IdempotencyConflictError(message, run_id=run_id, hint=hint)
        self._remember_run_decoder(keyed, run)
        return responses.StartedRun(run.run_id, run.status, [], None if run.flow_id == keyed.flow_id else run.flow_id)

    def _remember_run_decoder(self, keyed: _KeyedCall, run: RunDetails) -> None:
        """Decode responses about an earlier call's run as if this call had created the run."""
        decoders = self._connection.decoders
        needs = keyed.needs if run.flow_id == keyed.flow_id else self._flows.get_stored_copy(run.flow_id).needs
        if needs is None or run.run_id in decoders:
            return
        decoder = needs.make_hiding_decoder(keyed.add_env_variables(needs.declared).variables)
        if decoder is not PLAIN:
            decoders.put_newest(run.run_id, decoder)

    def _make_key_lock(self, keyed: _KeyedCall, digest: str, sights: key_lease.FirstSeen) -> KeyLock:
        floor, server_time = self._connection.timings.key_lease, self._get_last_response_time
        return KeyLock(PublishedCall(keyed.flow_id, digest), sights, floor, time.monotonic, server_time)

    async def _hash_arguments_for_flow(self, keyed: _KeyedCall, flow_id: str) -> str:
        """Return the digest that a call with this version of the flow would compute for the call's arguments."""
        own = flow_id == keyed.flow_id
        declared = parse_declared_variables(keyed.flow) if own else await self._flows.get_or_fetch_variables(flow_id)
        return keyed.hash_arguments(declared)

    async def _execute_key_lock_steps(self, keyed: _KeyedCall, lock: KeyLock, steps: key_lease.Steps[Any]) -> Any:
        """Carry out a lock's steps and return their result."""
        sends = 0
        try:
            step = next(steps)
            while True:
                is_creation = isinstance(step, key_lease.CreateRun)
                sends += is_creation
                try:
                    result = await self._execute_key_lock_step(keyed, step, sends)
                except StepflowClientError as error:
                    is_late = isinstance(error, RequestTimeoutError) and has_passed(current_deadline())
                    replaced = is_late and not is_creation
                    step = steps.throw(_make_undecided_key_error(keyed.key, lock, error) if replaced else error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            return end.value

    async def _execute_key_lock_step(self, keyed: _KeyedCall, step: key_lease.Step, sends: int) -> Any:
        """Carry out a step and return its result. `sends` is the number of creation requests sent so far."""
        match step:
            case key_lease.CreateRun():
                return await self._try_create_run(keyed, sends)
            case key_lease.CompareCall():
                return step.call.digest == await self._hash_arguments_for_flow(keyed, step.call.flow_id)
            case key_lease.ReadMark():
                return await self._read_mark_blob_name(keyed, step.mark)
            case key_lease.StoreMark():
                return await self._store_mark(keyed, step.mark, step.name)
            case key_lease.FindRecord():
                return await self._fetch_run_from_mark(keyed)
            case key_lease.SearchRuns():
                return await self._search_runs(keyed, step.calls)
            case key_lease.RecordRun():
                name = markers.RunMarkerName(step.run.run.run_id, step.run.digest)
                return await self._store_mark(keyed, ("run",), str(name))
            case key_lease.Pause():
                deadline = current_deadline()
                await asyncio.sleep(limit_by_deadline(deadline, step.seconds))
                if has_passed(deadline):
                    raise RequestTimeoutError("timed out")

    async def _read_mark_blob_name(self, keyed: _KeyedCall, mark: key_lease.Mark) -> str | None:
        """Return the name stored with a mark, or None if the mark doesn't exist."""
        marker = markers.make_marker_content(keyed.flow_id_or_scoped_key, *mark)
        name, self._last_date = await self._blobs.find_blob_name_and_server_date(markers.compute_blob_id(marker))
        return name

    async def _store_mark(self, keyed: _KeyedCall, mark: key_lease.Mark, name: str) -> None:
        await self._blobs.store_blob(markers.make_marker_content(keyed.flow_id_or_scoped_key, *mark), filename=name)

    async def _fetch_run_from_mark(self, keyed: _KeyedCall) -> KeyRun | None:
        """Return a key's recorded run, or None if there isn't one or the server has lost it."""
        note = markers.RunMarkerName.parse(await self._read_mark_blob_name(keyed, ("run",)))
        if note is None:
            return None
        try:
            return KeyRun(await self._runs.get_run_without_steps(call_checks.check_run_id(note.run_id)), note.digest)
        except (NotFoundError, errors.InvalidArgumentError):
            return None

    async def _search_runs(self, keyed: _KeyedCall, calls: Sequence[PublishedCall]) -> list[KeyRun]:
        """Return the runs that callers have created with a key, oldest first.

        All runs of these flows count, because a flow that carries a key is only ever run for that key.
        """
        flows: dict[str, Mapping[str, Any]] = {}
        for call in calls:
            if call.flow_id == keyed.flow_id:
                flows[call.flow_id] = keyed.flow
            elif call.flow_id not in flows:
                # If the server has lost a flow, it has also lost the flow's runs.
                with suppress(NotFoundError):
                    flows[call.flow_id] = (await self._flows.get_flow(call.flow_id)).flow
        digests = {call.flow_id: call.digest for call in calls}
        earliest = min((call.since for call in calls), default=0.0)
        since = datetime.fromtimestamp(earliest - _MAX_CLOCK_SKEW_SECONDS, UTC) if earliest else None
        # Servers can only list runs by flow name.
        names = {name if isinstance(name := flow.get("name"), str) and name else None for flow in flows.values()}
        runs: list[RunDetails] = []
        for name in names:
            pages = self._lister.iter_runs(page_size=_PAGE_SIZE, flow_name=name, roots_only=True, since=since)
            async with aclosing(pages) as listed:
                runs += [run async for run in listed if run.flow_id in flows]
        # Prefer runs that are actually executing, since a failed creation may have left behind a run that isn't.
        # Servers always leave one behind if they reject the run's overrides.
        executing = [run for run in runs if not is_given_up_by_server(run.status, run.items.running)]
        runs = executing or ([] if all(call.has_given_up for call in calls) else runs)
        # Sort by ID, because it starts with the creation time and is more precise than `created_at`.
        return [KeyRun(run, digests[run.flow_id]) for run in sorted(runs, key=lambda run: run.run_id)]

    def _get_last_response_time(self) -> float:
        """Return the server's time as of the last response, in seconds since 1970 (0 if the response had no date)."""
        date = parse_date(self._last_date)
        return 0.0 if date is None else date.timestamp()

    async def _try_create_run(self, keyed: _KeyedCall, sends: int) -> KeyRun | None:
        """Send a single request to create the run. Return the run, or None if it's safe to send the request again."""
        needs = keyed.needs
        assert needs is not None
        declared = needs.declared
        self._flows.registries.of_current_process.record_single_call_flow(keyed.flow_id)
        copy = StoredCopy(keyed.flow_id, needs)
        arguments = keyed.add_env_variables(declared)
        call = PublishedCall(keyed.flow_id, keyed.hash_arguments(declared))
        try:
            recorded = _make_history_record(keyed, arguments)
            sent = arguments._replace(overrides=keyed.sent_overrides)
            run = await self.creator.create_run_of_copy(copy, sent, keyed.wait, is_single=True, recorded=recorded)
            return KeyRun(run, call.digest)
        except errors.AmbiguousRunError as error:
            # All runs of these flows belong to this key, no matter which call created them, so use the oldest.
            oldest = await self._search_runs(keyed, [call]) if error.candidates else []
            if not oldest:
                error.hint = "to find the run, if any, repeat the call with this idempotency key"
                raise
            return oldest[0]
        except TRANSIENT_ERRORS as error:
            if not error.is_retryable:
                raise
            await self.creator.pause_before_resend(keyed.flow_id, error, sends)
            return None


def _make_history_record(keyed: _KeyedCall, arguments: RunArguments) -> CreatedRun:
    """Return the history record for a run with a key."""
    call = keyed.call
    # A rerun of a single step has no source.
    source = call.flow_as_passed if call.origin is None else call.source
    return CreatedRun(keyed.flow_id, arguments, source, keyed.flow, call.origin, has_own_flow=True)


def _make_undecided_key_error(key: str, lock: KeyLock, error: StepflowClientError) -> RequestTimeoutError:
    """Return the error for a call that ran out of time before finding its key's run."""
    count = lock.mark_request_count
    slow = f"{error.message}, after {count} requests of {duration_text(lock.round_trip)} each"
    return RequestTimeoutError(
        f"no run found yet for the idempotency key {key!r}: {lock.obstacle or (slow if count else error.message)}",
        hint="repeat the call, possibly with a longer timeout=, to get or create the run",
    )
