"""Caches results, and makes simultaneous calls for the same result share one run."""

from __future__ import annotations

import copy
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .._codec import call_checks
from .._codec.call_checks import RunCall, parse_declared_variables
from .._concurrency import async_compute, async_wait_until_future_done
from .._data.secrets import contains_secret
from .._rules.deadlines import current_deadline, has_passed
from ..errors import InvalidArgumentError, RequestTimeoutError, RunTimeoutError, StepflowClientError
from ..result_cache import ResultCache
from .flow_store import FlowStore

if TYPE_CHECKING:
    from ..types import FlowResult, FlowVariable

    Run = Callable[[RunCall], Awaitable[FlowResult]]
    """Runs a flow and returns its result."""
    Outcome = FlowResult | StepflowClientError | None
    """The result or error shared by simultaneous calls, or None if a waiting call has to run the flow itself."""


class _CacheableCall(NamedTuple):
    """A call that's ready to run if there's no cached result. Files and the environment are only read once."""

    call: RunCall
    flow: dict[str, Any] | str
    """The flow's content, or a stored flow's ID."""
    variables: dict[str, Any]
    key: str


class CachedRuns:
    """Runs flows unless their results are cached.

    Args:
        flows: The client's flows.
    """

    def __init__(self, flows: FlowStore) -> None:
        self._flows = flows
        self._outcomes: dict[object, Future[Outcome]] = {}
        """Outcomes that calls are currently waiting for."""

    async def run(self, cache: ResultCache, call: RunCall, run: Run) -> FlowResult:
        """Return a flow's result, either from the cache or from a run shared by simultaneous calls.

        Args:
            cache: The cache.
            call: What to run. It can't have an idempotency key, since that's another way to find an earlier result.
            run: Runs the flow.

        Raises:
            StepflowClientError: The same errors as `StepflowClient.run`.
        """
        prepared = await self._make_cacheable_call(cache, call)
        # Include the process ID, because a forked process has no threads to complete its parent's calls.
        place = (os.getpid(), cache.path, cache.refresh, prepared.key)
        while True:
            cached = None if cache.refresh else cache._find_result(prepared.key)
            if cached is not None:
                return cached
            own: Future[Outcome] = Future()
            shared = self._outcomes.setdefault(place, own)
            if shared is own:
                try:
                    return await self._run_and_share(own, cache, prepared, run)
                finally:
                    del self._outcomes[place]
                    if not own.done():
                        own.set_result(None)
            await async_wait_until_future_done(shared, current_deadline())
            if not shared.done():
                raise RequestTimeoutError("timed out waiting for another call for the same result")
            outcome = shared.result()
            if isinstance(outcome, StepflowClientError):
                raise copy.copy(outcome) from outcome
            if outcome is not None:
                return copy.deepcopy(outcome)

    async def _run_and_share(
        self, shared: Future[Outcome], cache: ResultCache, prepared: _CacheableCall, run: Run
    ) -> FlowResult:
        """Run a flow and cache its result. Share the result, or any error that would also affect the other calls."""
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
                content, declared = prepared.flow, parse_declared_variables(prepared.flow)
            else:
                with suppress(StepflowClientError):
                    declared = await self._flows.get_or_fetch_variables(prepared.flow)
            # Don't cache an output that contains a secret variable's value. We can't tell without the flow's variables.
            if declared is not None and not contains_secret(result.output, prepared.variables, declared, content):
                cache._store_result(prepared.key, result.run_id, result.output)
        # Share a copy, since the caller may modify its result.
        shared.set_result(copy.deepcopy(result))
        return result

    async def _make_cacheable_call(self, cache: ResultCache, call: RunCall) -> _CacheableCall:
        """Read a call's arguments and compute its cache key.

        Raises:
            InvalidArgumentError: If an argument is invalid.
            FlowFileError: If a file can't be read.
        """
        if not isinstance(cache, ResultCache):
            raise InvalidArgumentError(f"cache must be a ResultCache, not {type(cache).__name__}")
        if call.idempotency_key is not None:
            raise InvalidArgumentError(
                "cache and idempotency_key cannot be used together: a cached result comes from a run without the key",
                hint="with a key, a repeated call already returns its run's result",
            )
        input, checked = call.input, self._flows.check_flow_or_id(call.flow)
        if call.check_input:
            input = await self._flows.check_input(checked, input)
        # Integers that the server would change are rejected later, when the flow runs.
        arguments = call._replace(input=input, max_concurrency=None).check_arguments()
        flow: dict[str, Any] | str
        if isinstance(checked, str):
            flow = checked
            if call.variables_from_env:
                declared = await self._flows.get_or_fetch_variables(flow)
                values = call_checks.add_env_variables(arguments.variables, declared, os.environ)
                arguments = arguments._replace(variables=values)
        else:
            flow = checked.content
            needs = self._flows.compute_run_requirements(checked)
            arguments = await async_compute(partial(call.check_and_complete_arguments, arguments, needs))
        overrides = None if arguments.overrides is None else {"steps": arguments.overrides}
        completed = call._replace(flow=flow, input=arguments.inputs, overrides=overrides, variables=arguments.variables)
        # These arguments have been checked and include the variables from the environment.
        completed = completed._replace(variables_from_env=False, check_input=False, source=call.flow)
        return _CacheableCall(completed, flow, arguments.variables, cache._compute_key(flow, arguments))
