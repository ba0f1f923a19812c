# Written from _async/caching.py by `make generate`. Change that file instead.

"""Results from a cache, and one shared run for concurrent calls for the same result."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import types
from .._codec import requests, run_states
from .._codec.requests import RunArguments
from .._codec.variables import flow_variables
from .._data.secrets import quotes_secret
from .._http.sockets import SyncCancelled
from .._rules.deadline import current_deadline, has_passed
from .._shared.checking import sync_checked
from .._shared.run_call import RunCall
from .._stores.results import CachedResult
from .._stores.shared_runs import SharedRun, joined
from ..errors import InvalidArgumentError, RequestTimeoutError, RunTimeoutError, StepflowClientError
from ..result_cache import ResultCache
from ..types.statuses import ExecutionStatus
from .connection import Connection
from .creation import RunCreator
from .flows import FlowStore

if TYPE_CHECKING:
    from ..types import FlowResult

    Finish = Callable[[run_states.Started], FlowResult]
    """Waits for a run that was created, and returns its result."""
    Cancel = Callable[[str], object]
    """Cancels a run."""

_TURN, _LONGEST_TURN = 0.005, 0.1
"""Seconds between checks whether another caller has the result: the first pause, and the longest; pauses double."""


class _SharedCall:
    """A call for the result of a key. The result is in the cache, another call is getting it, or this call gets it.

    Args:
        runs: Creates the run.
        prepared: The call.
    """

    def __init__(self, runs: CachedRuns, prepared: _Prepared) -> None:
        self._runs = runs
        self._prepared = prepared
        self._path = prepared.cache.path
        self._file = prepared.cache._file
        self._owner = runs.owner
        self._since = time.time() if prepared.cache.refresh else 0.0

    def result(self) -> FlowResult:
        """Return the result.

        Raises:
            StepflowClientError: The error of `execute`, in this call or in another call of the same client.
            RunTimeoutError, RequestTimeoutError: If another call has not ended by the deadline of this one.
        """
        while True:
            found = self._found()
            if found is not None:
                return found
            with joined(self._path, self._prepared.key) as shared:
                try:
                    result = self._of(shared)
                except SyncCancelled:
                    left = shared.abandoned(self._owner)
                    if self._prepared.cancel is not None and left is not None:
                        self._prepared.cancel(left)
                    raise
            if result is not None:
                return result

    def _of(self, shared: SharedRun) -> FlowResult | None:
        """Return the result of a shared run; None if it ended with an error of another client."""
        pause = _TURN
        while (turn := shared.turn(self._owner)) == "wait":
            pause = self._pause(pause, shared)
        if turn == "lead":
            return self._led(shared)
        result, error = shared.outcome(self._owner)
        if error is not None:
            raise copy.copy(error) from error
        # Each caller gets its own copy.
        own: FlowResult | None = copy.deepcopy(result)
        return own

    def _led(self, shared: SharedRun) -> FlowResult:
        try:
            result = self._executed(shared)
        except BaseException as error:
            if self._concerns_all(error):
                shared.finish(error=error)
            else:
                shared.resign()
            raise
        shared.finish(result)
        return result

    def _concerns_all(self, error: BaseException) -> bool:
        """Return whether an error affects all callers: not if this call was cancelled or its deadline has passed."""
        is_late = isinstance(error, (RunTimeoutError, RequestTimeoutError)) and has_passed(current_deadline())
        return isinstance(error, StepflowClientError) and not is_late

    def _executed(self, shared: SharedRun) -> FlowResult:
        # A call that ended a moment ago may have cached the result.
        found = self._found()
        if found is not None:
            return found
        if shared.run_id is None:
            run = self._runs.create(self._prepared)
            shared.created(run.run_id)
        else:
            run = run_states.Started(shared.run_id, ExecutionStatus.RUNNING, [])
        result = self._prepared.finish(run)
        if result.is_success and self._runs.may_keep(self._prepared, result):
            self._file.keep(self._prepared.key, result.run_id, result.output)
        return result

    def _found(self) -> FlowResult | None:
        found = self._file.find(self._prepared.key, since=self._since)
        return None if found is None else _cached(found)

    def _pause(self, seconds: float, shared: SharedRun) -> float:
        """Sleep for some seconds, and return how long to sleep the next time.

        Raises:
            RunTimeoutError, RequestTimeoutError: If the deadline has passed.
        """
        if has_passed(current_deadline()):
            other = "another call for the same result had not ended when the time was over"
            if shared.run_id is not None:
                hint = "it goes on; get_result() waits again"
                raise RunTimeoutError(f"{other}", run_id=shared.run_id, hint=hint)
            raise RequestTimeoutError(other)
        time.sleep(seconds)
        return min(2 * seconds, _LONGEST_TURN)


class _Prepared(NamedTuple):
    """A call, ready to run if the cache has no result: files and the environment are read only once."""

    call: RunCall
    """The call as it was made."""
    content: dict[str, Any] | str
    """The content of its flow, or the id of a stored one."""
    arguments: RunArguments
    cache: ResultCache
    key: str
    """The key in the cache."""
    finish: Finish
    """Waits for a run that was created."""
    cancel: Cancel | None
    """Called with a run that no caller waits for any more; None lets it continue."""


class CachedRuns:
    """Runs flows whose results may be in a cache.

    Args:
        connection: The connection.
        flows: The flows of the client.
        creator: Creates runs for results that are not in the cache.
    """

    def __init__(self, connection: Connection, flows: FlowStore, creator: RunCreator) -> None:
        self.owner = connection
        """Identifies the client; its calls also share errors."""
        self._flows = flows
        self._creator = creator

    def run(self, cache: ResultCache, call: RunCall, finish: Finish, cancel: Cancel | None) -> FlowResult:
        """Return the result of a flow, from the cache or from a run that all callers share.

        Args:
            cache: The cache.
            call: What to run. It must have no idempotency key, which finds an earlier result in its own way.
            finish: Waits for a run that was created.
            cancel: Called with a run that no caller waits for any more; None lets it continue.

        Raises:
            StepflowClientError: As for `SyncStepflowClient.run`.
        """
        return _SharedCall(self, self._prepare(cache, call, finish, cancel)).result()

    def create(self, prepared: _Prepared) -> run_states.Started:
        call, arguments = prepared.call, prepared.arguments
        sent = RunCall(
            prepared.content,
            arguments.inputs,
            None if arguments.overrides is None else {"steps": arguments.overrides},
            arguments.variables,
            max_concurrency=call.max_concurrency,
            deduplicate=call.deduplicate,
            ready=call.ready,
            source=call.flow,
        )
        # The server must not hold the request: callers that share the run need its id.
        return self._creator.start(sent, None)

    def _prepare(self, cache: ResultCache, call: RunCall, finish: Finish, cancel: Cancel | None) -> _Prepared:
        """Read the arguments of a call and determine its key.

        Raises:
            InvalidArgumentError: If an argument is invalid.
            FlowFileError: If a file cannot be read.
        """
        if not isinstance(cache, ResultCache):
            raise InvalidArgumentError(f"cache is a ResultCache, not {type(cache).__name__}")
        if call.idempotency_key is not None:
            raise InvalidArgumentError(
                "cache and idempotency_key exclude each other: a result from the cache is of a run without the key",
                hint="a call under a key returns the result of its run without a cache",
            )
        input, checked = call.input, self._flows.checked_or_id(call.flow)
        if call.check_input:
            input = self._flows.fitting_input(checked, input)
        # Servers that would change an integer refuse it when the flow is run.
        arguments = call._replace(input=input, max_concurrency=None).arguments()
        content: dict[str, Any] | str
        if isinstance(checked, str):
            content = checked
            if call.variables_from_env:
                declared = self._flows.variables_of(content)
                values = requests.environment_variables(arguments.variables, declared, os.environ)
                arguments = arguments._replace(variables=values)
        else:
            content, digest, _ = checked
            needs = self._flows.needs_of_flow(content, digest)
            arguments = sync_checked(partial(call.completed, arguments, needs))
        key = cache._file.key(content, arguments)
        return _Prepared(call, content, arguments, cache, key, finish, cancel)

    def may_keep(self, prepared: _Prepared, result: FlowResult) -> bool:
        """Return whether a result may be cached: its output must not quote a secret variable."""
        flow = prepared.content
        try:
            declared = self._flows.variables_of(flow) if isinstance(flow, str) else flow_variables(flow)
        except StepflowClientError:
            return False
        return not quotes_secret(
            result.output, prepared.arguments.variables, declared, {} if isinstance(flow, str) else flow
        )


def _cached(found: CachedResult) -> FlowResult:
    return types.FlowResult(
        run_id=found.run_id,
        status=ExecutionStatus.COMPLETED,
        output=found.output,
        cached_at=datetime.fromtimestamp(found.created, UTC),
    )
