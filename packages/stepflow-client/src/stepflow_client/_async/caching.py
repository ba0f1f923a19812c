"""Results from a cache; simultaneous calls of a client for the same result share one run."""

from __future__ import annotations

import copy
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import types
from .._calls.call_options import RunCall
from .._codec import requests
from .._codec.requests import parse_flow_variables
from .._concurrency import async_run_check, async_wait_until_done
from .._data.secrets import quotes_secret
from .._rules.timeouts import current_deadline, has_passed
from ..errors import InvalidArgumentError, RequestTimeoutError, RunTimeoutError, StepflowClientError
from ..result_cache import ResultCache
from ..types.statuses import ExecutionStatus
from .flows import FlowStore

if TYPE_CHECKING:
    from ..types import FlowResult, FlowVariable

    Run = Callable[[RunCall], Awaitable[FlowResult]]
    """Runs a flow and returns its result."""
    Outcome = FlowResult | StepflowClientError | None
    """What simultaneous calls share; None if another one must run the flow."""


class _CacheableCall(NamedTuple):
    """A call, ready to run if the cache has no result: files and the environment are read only once."""

    call: RunCall
    """The call with its arguments completed."""
    flow: dict[str, Any] | str
    """The content of its flow, or the id of a stored one."""
    variables: dict[str, Any]
    key: str
    """The key in the cache."""


class CachedRuns:
    """Runs flows whose results may be in a cache.

    Args:
        flows: The flows of the client.
    """

    def __init__(self, flows: FlowStore) -> None:
        self._flows = flows
        self._outcomes: dict[object, Future[Outcome]] = {}
        """The outcomes that calls wait for."""

    async def run(self, cache: ResultCache, call: RunCall, run: Run) -> FlowResult:
        """Return the result of a flow, from the cache or from a run that simultaneous calls share.

        Args:
            cache: The cache.
            call: What to run. It must not have an idempotency key, which has its own way to find an earlier result.
            run: Runs the flow.

        Raises:
            StepflowClientError: As for `StepflowClient.run`.
        """
        prepared = await self._prepare_call(cache, call)
        # A fork has no thread that would finish the calls of its parent.
        place = (os.getpid(), cache.path, cache.refresh, prepared.key)
        while True:
            cached = None if cache.refresh else cache._file.find(prepared.key)
            if cached is not None:
                return types.FlowResult(
                    run_id=cached.run_id,
                    status=ExecutionStatus.COMPLETED,
                    output=cached.output,
                    cached_at=datetime.fromtimestamp(cached.created, UTC),
                )
            own: Future[Outcome] = Future()
            shared = self._outcomes.setdefault(place, own)
            if shared is own:
                try:
                    return await self._run_and_share(own, cache, prepared, run)
                finally:
                    del self._outcomes[place]
                    if not own.done():
                        own.set_result(None)
            await async_wait_until_done(shared, current_deadline())
            if not shared.done():
                raise RequestTimeoutError("another call for the same result had not ended when the time was over")
            outcome = shared.result()
            if isinstance(outcome, StepflowClientError):
                raise copy.copy(outcome) from outcome
            if outcome is not None:
                return copy.deepcopy(outcome)

    async def _run_and_share(
        self, shared: Future[Outcome], cache: ResultCache, prepared: _CacheableCall, run: Run
    ) -> FlowResult:
        """Run a flow, cache its result, and share it or the error. Nothing is shared if only this call is concerned."""
        try:
            result = await run(prepared.call)
        except StepflowClientError as error:
            if not (isinstance(error, (RunTimeoutError, RequestTimeoutError)) and has_passed(current_deadline())):
                shared.set_result(error)
            raise
        if result.is_success:
            content: Mapping[str, Any] = {}
            declared: Mapping[str, FlowVariable] | None = None
            if not isinstance(prepared.flow, str):
                content, declared = prepared.flow, parse_flow_variables(prepared.flow)
            else:
                with suppress(StepflowClientError):
                    declared = await self._flows.get_declared_variables(prepared.flow)
            # The output may not quote a secret variable; without the flow's variables, that is unknown.
            if declared is not None and not quotes_secret(result.output, prepared.variables, declared, content):
                cache._file.keep(prepared.key, result.run_id, result.output)
        # The caller may change its own at once.
        shared.set_result(copy.deepcopy(result))
        return result

    async def _prepare_call(self, cache: ResultCache, call: RunCall) -> _CacheableCall:
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
        input, checked = call.input, self._flows.check_flow_or_id(call.flow)
        if call.check_input:
            input = await self._flows.check_input(checked, input)
        # Servers that would change an integer refuse it when the flow is run.
        arguments = call._replace(input=input, max_concurrency=None).check_arguments()
        flow: dict[str, Any] | str
        if isinstance(checked, str):
            flow = checked
            if call.variables_from_env:
                declared = await self._flows.get_declared_variables(flow)
                values = requests.add_env_variables(arguments.variables, declared, os.environ)
                arguments = arguments._replace(variables=values)
        else:
            flow, digest, _ = checked
            needs = self._flows.get_needs(flow, digest)
            arguments = await async_run_check(partial(call.complete_arguments, arguments, needs))
        completed = RunCall(
            flow,
            arguments.inputs,
            None if arguments.overrides is None else {"steps": arguments.overrides},
            arguments.variables,
            max_concurrency=call.max_concurrency,
            private_copy=call.private_copy,
            ready=call.ready,
            source=call.flow,
        )
        return _CacheableCall(completed, flow, arguments.variables, cache._file.key(flow, arguments))
