"""Creating, reading and cancelling runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .._codec import requests
from .._codec.requests import RunArguments, Variables
from .._codec.secrets import secrets_of
from .._gather import async_together
from .._lazy import lazy_module
from .._rules import operations as api
from ..errors import ConflictError, RateLimitError, ServerFaultError, StepflowClientError, TransportError
from .creation import Created
from .listing import Listing

if TYPE_CHECKING:
    from .. import types
    from .._codec import responses
    from ..types import (
        CreateRunResponse,
        ExecutionStatus,
        FlowVariable,
        ListItemsResponse,
        ListStepsResponse,
        RunDetails,
        StepDetails,
        StoredFlow,
    )
else:
    responses = lazy_module("stepflow_client._codec.responses")
    types = lazy_module("stepflow_client.types")

__all__ = ["Runs"]

_MOST_ITEMS_FOR_STEPS = 1000
_MOST_ITEMS_ASKED = 20
"""Items of a larger run that are asked for their steps one by one: a server takes 20 ms for each in a run of 20,000."""
_AT_ONCE = 4


class Runs(Listing):
    """The part of the client that deals with runs."""

    _exact_integers: bool

    async def create_run(
        self,
        flow_id: str,
        input: Any = None,
        variables: Variables | None = None,
        overrides: Any = None,
        debug: bool = False,
        max_concurrency: int | None = None,
        *,
        variables_from_env: bool = False,
        timeout: float | None = None,
    ) -> CreateRunResponse:
        """Start a run of a stored flow and return it, usually still running.

        Args:
            flow_id: What `store_flow` gave.
            input: The input, any JSON value. A list is a batch, one item for each element, and an empty one a run of
                no items (0.11 and newer); a single input that is itself a list is written `[[1, 2]]`. None is the
                input null.
            variables: Values of the flow's variables: a mapping, or a YAML or JSON file that holds one.
            overrides: Changes to steps for this run only: `{step: {"input": {...}}}`, the wrapped form that the
                server takes, or a list of either, merged left to right. Servers from 0.10 on refuse an unknown step.
            debug: No released server has a debug mode; True is refused.
            max_concurrency: How many tasks of the run are executed at once: steps, branches of a step and items of
                sub-flows, of all items together. It does not limit the items, and sub-flows (`/builtin/map`) do not
                keep to it exactly. None leaves it to the server: one task for each item on 0.9 and 0.10, ten from
                0.11 on.
            variables_from_env: Fill missing variables from the environment: by the `env_var` that the flow names,
                then by `STEPFLOW_VAR_<NAME>`.
            timeout: Seconds, instead of the client's.

        Raises:
            NotFoundError: If the server has no such flow.
            InvalidRequestError: If the server refuses an override (0.10 and newer).
            AmbiguousRunError: If the answer was lost and the server has runs of this flow that may be the one: others
                may run the flow too, and a run does not tell who has created it. (`run` and `submit` find theirs.)
            InvalidArgumentError: If an argument is wrong; nothing is sent. Overrides and required variables are checked
                where this client knows the flow, as for `run`. An integer beyond 2**53 is refused for
                servers from 0.12 on, which would change it (`StepflowClient(exact_integers=False)` lets it pass).
            UnsupportedByServerError: If `debug` is True, or the input is an empty list and the server older than 0.11.
        """
        requests.check_debug(debug)
        flow_id = requests.check_id(flow_id, "flow_id")
        arguments = await self._arguments(input, variables, overrides, max_concurrency)
        arguments = await self._completed(flow_id, arguments, variables_from_env, timeout=timeout)
        return await self._create_run(flow_id, arguments, responses.created, timeout=timeout)

    async def _arguments(
        self, input: Any, variables: Variables | None, overrides: Any, max_concurrency: int | None
    ) -> RunArguments:
        server = await self._connection.server()
        exact = server.capabilities["exact_numbers"] or not self._exact_integers
        return requests.run_arguments(input, variables, overrides, max_concurrency, exact_integers=exact)

    async def _completed(
        self, flow_id: str, arguments: RunArguments, variables_from_env: bool, *, timeout: float | None = None
    ) -> RunArguments:
        """Check arguments against the flow, where it is known here, and return them with the variables filled in."""
        if variables_from_env:
            await self._variables_of(flow_id, timeout=timeout)
        needs = self._needs.get(flow_id)
        return arguments if needs is None else requests.completed(arguments, needs, os.environ, variables_from_env)

    async def _create_run(
        self,
        flow_id: str,
        arguments: RunArguments,
        read: Callable[[dict[str, Any]], Created],
        *,
        declared: Mapping[str, FlowVariable] | None = None,
        output: Any = None,
        wait: int | None = None,
        timeout: float | None = None,
    ) -> Created:
        values = arguments.variables
        declared = declared if declared is not None else self._declared.get(flow_id)
        request = api.create_run._get_kwargs(
            body=api.CreateRunRequest(
                flow_id=flow_id,
                input_=arguments.inputs,
                variables=values or api.UNSET,
                overrides={"steps": arguments.overrides} if arguments.overrides else api.UNSET,
                max_concurrency=_or_unset(arguments.max_concurrency),
                wait=True if wait is not None else api.UNSET,
                timeout_secs=_or_unset(wait),
            )
        )
        send = partial(self._connection.call, "create_run", request, read, timeout=timeout, waits=wait or 0)
        secrets = secrets_of(values, declared)
        try:
            created = await self._create_once(flow_id, send, read)
        except StepflowClientError as error:
            # A server may quote what it was sent.
            secrets.clean(error)
            raise error from None
        like = output if output is not None else self._outputs.get(flow_id)
        self._connection.readings.note(created.run_id, like, secrets)
        return created

    async def get_run(self, run_id: str | UUID, *, timeout: float | None = None) -> RunDetails:
        """Return a run as it stands now.

        `items.completed` stays 0 until the whole run ends, on every release.

        Raises:
            NotFoundError: If the server has no such run.
        """
        run_id = requests.check_run_id(run_id)
        request = api.get_run._get_kwargs(run_id=run_id)
        read = partial(responses.run, run_id=run_id)
        return await self._connection.call("get_run", request, read, timeout=timeout, run_id=run_id)

    async def get_run_items(self, run_id: str | UUID, *, timeout: float | None = None) -> ListItemsResponse:
        """Return the items of a run, in the order of their inputs; an item that runs has no result yet.

        Failed items name the step that failed and what it said. (In runs of more than 1,000 items the first 20 failed
        ones do, and the others as far as the items themselves tell: each has to be asked for alone.)

        An item that has not ended though its run has failed was lost by the server. It is failed, as its run is, with
        the code `lost` or `lost_before_start`.

        Raises:
            NotFoundError: If the server has no such run.
        """
        run_id = requests.check_run_id(run_id)
        listed = await self._listed_items(run_id, timeout)
        if not listed.items:
            # Servers from 0.12 on give an unknown run no items instead of a 404.
            await self.get_run(run_id, timeout=timeout)
        status: ExecutionStatus | None = None
        if responses.items_of(listed).places(responses.is_unfinished):
            status = (await self._state(run_id, timeout=timeout)).status
            if responses.is_failed(status):
                # It may have ended, and its items too, after they were asked for.
                listed = await self._listed_items(run_id, timeout)
        return await self._explain(listed, status, timeout=timeout)

    async def _listed_items(self, run_id: str, timeout: float | None) -> ListItemsResponse:
        return await self._connection.call(
            "get_run_items",
            api.get_run_items._get_kwargs(run_id=run_id),
            lambda answer: responses.items(run_id, answer["results"], self._connection.reading(run_id)),
            timeout=timeout,
            run_id=run_id,
            raw=True,
        )

    async def _explain(
        self, listed: ListItemsResponse, status: ExecutionStatus | None, *, timeout: float | None = None
    ) -> ListItemsResponse:
        """Add what items do not tell themselves: why they failed, or that the server lost them.

        Args:
            listed: The items.
            status: How the run has ended; None if it has not, or no item is without an end.
            timeout: Seconds for each request, instead of the client's.
        """
        items = responses.items_of(listed)
        failed = items.places(responses.is_failed)
        lost = items.places(responses.is_unfinished) if status is not None and responses.is_failed(status) else []
        if not failed and not lost:
            return listed
        can = (await self._connection.server()).capabilities
        if failed:
            listed = await self._explain_failed(listed, failed, can, timeout)
        # 0.9 loses no run so: it does not resume them, and shows them as running for ever.
        if lost and status is not None and can["recovery"]:
            # Before 0.12 servers show what has started only when the run ends by itself.
            started = await self._steps_by_item(listed, lost, can, timeout) if can["events"] else {}
            listed = responses.with_lost_items(listed, status, started)
        return listed

    async def _explain_failed(
        self, listed: ListItemsResponse, failed: list[int], can: Mapping[str, bool], timeout: float | None
    ) -> ListItemsResponse:
        """Ask the steps for what failed items do not tell themselves: from 0.12 on the cause, before it the step."""
        if len(listed.items) > 1 and not can["step_of_item"]:
            return listed
        if len(listed.items) > _MOST_ITEMS_FOR_STEPS:
            failed = failed[:_MOST_ITEMS_ASKED]
        results = [listed.items[place].result for place in failed]
        errors = [result.error for result in results if result is not None and result.error is not None]
        if not errors or (not can["step_outputs"] and all(error.step_id for error in errors)):
            return listed
        return responses.with_failed_steps(listed, failed, await self._steps_by_item(listed, failed, can, timeout))

    async def _steps_by_item(
        self, listed: ListItemsResponse, places: list[int], can: Mapping[str, bool], timeout: float | None
    ) -> dict[int, list[StepDetails]]:
        """Return the steps of items that had started, as far as the server tells them: of a large run few are asked.

        That something failed is known, whatever keeps the server from saying more.
        """
        run_id = listed.run_id
        is_large = len(listed.items) > _MOST_ITEMS_FOR_STEPS
        indexes = [listed.items[place].index for place in (places[:_MOST_ITEMS_ASKED] if is_large else places)]
        # Steps come with their outputs where there are any, and one item's is then found among all of them.
        if is_large and can["step_outputs"]:
            ask = [partial(self._steps_or_none, run_id, index, timeout) for index in indexes]
            found = await async_together(ask, _AT_ONCE)
            return {index: steps for index, steps in zip(indexes, found, strict=True) if steps is not None}
        steps = await self._steps_or_none(run_id, None, timeout)
        if steps is None:
            return {}
        by_item: dict[int, list[StepDetails]] = {index: [] for index in indexes}
        for step in steps:
            if step.item_index in by_item:
                by_item[step.item_index].append(step)
        return by_item

    async def _steps_or_none(
        self, run_id: str, item_index: int | None, timeout: float | None
    ) -> list[StepDetails] | None:
        try:
            return (await self._listed_steps(run_id, item_index, timeout)).steps
        except (TransportError, ServerFaultError, RateLimitError):
            return None

    async def _listed_steps(self, run_id: str, item_index: int | None, timeout: float | None) -> ListStepsResponse:
        return await self._connection.call(
            "get_run_steps",
            api.get_run_steps._get_kwargs(run_id=run_id, item_index=_or_unset(item_index)),
            lambda answer: responses.steps(run_id, answer["steps"], self._connection.reading(run_id)),
            timeout=timeout,
            run_id=run_id,
        )

    async def get_run_steps(
        self, run_id: str | UUID, *, item_index: int | None = None, timeout: float | None = None
    ) -> ListStepsResponse:
        """Return the steps of a run that were started, by item, then in the order of the flow.

        Args:
            run_id: The run.
            item_index: Only the steps of this item; None for all.
            timeout: Seconds, instead of the client's.

        Raises:
            NotFoundError: If the server has no such run.
        """
        run_id = requests.check_run_id(run_id)
        index = requests.check_limit(item_index, "item_index")
        listed = await self._listed_steps(run_id, index, timeout)
        if not listed.steps:
            # Servers from 0.12 on give an unknown run no steps instead of a 404.
            await self.get_run(run_id, timeout=timeout)
        return listed

    async def get_run_step(
        self, run_id: str | UUID, step_id: str, *, item_index: int = 0, timeout: float | None = None
    ) -> StepDetails:
        """Return one step of one item.

        Raises:
            NotFoundError: If there is no such step, or it has not started.
        """
        run_id = requests.check_run_id(run_id)
        request = api.get_run_step._get_kwargs(
            run_id=run_id,
            step_id=requests.check_id(step_id, "step_id"),
            item_index=_or_unset(requests.check_limit(item_index, "item_index")),
        )
        return await self._connection.call(
            "get_run_step",
            request,
            lambda answer: responses.asked_step(answer["step"], step_id, item_index, self._connection.reading(run_id)),
            timeout=timeout,
            run_id=run_id,
        )

    async def get_run_flow(self, run_id: str | UUID, *, timeout: float | None = None) -> StoredFlow:
        """Return the flow of a run, without the tag of the client that runs it. Its examples are with `get_flow`.

        Raises:
            NotFoundError: If the server has no such run.
        """
        run_id = requests.check_run_id(run_id)
        request = api.get_run_flow._get_kwargs(run_id=run_id)
        return await self._connection.call("get_run_flow", request, responses.flow, timeout=timeout, run_id=run_id)

    async def cancel_run(self, run_id: str | UUID, *, timeout: float | None = None) -> RunDetails:
        """Mark a run as cancelled and return it.

        On every released server (0.9 to 0.13) this writes the status and the time of the end, and stops nothing: the
        running step ends, later steps still start, and at the end the status turns from cancelled to completed or
        failed. Until then `get_run_items` shows every item of the run as running, those that have ended too, and
        `get_results` says of each that it is cancelled; after that both give what the items have really come to.

        A finished run is left alone. Servers from 0.12 on would rewrite it, so the client looks first.

        Raises:
            NotFoundError: If the server has no such run.
            ConflictError: If the run has ended already.
        """
        run_id = requests.check_run_id(run_id)
        now = await self._state(run_id, timeout=timeout)
        if now.is_finished:
            raise ConflictError(
                f"run {run_id} is already {now.status.value}", status_code=409, run_id=run_id, details=now
            )
        request = api.cancel_run._get_kwargs(run_id=run_id)
        try:
            read = partial(responses.run, run_id=run_id)
            return await self._connection.call("cancel_run", request, read, timeout=timeout, run_id=run_id)
        except ConflictError as error:
            # Servers before 0.12 refuse what is cancelled already: by the first of two requests, if that was lost.
            now = await self._state(run_id, timeout=timeout)
            if len(error.attempts) > 1 and now.status is types.ExecutionStatus.CANCELLED:
                return now
            raise

    async def _state(self, run_id: str, *, timeout: float | None = None) -> RunDetails:
        """Return a run as it stands, without its steps where that can be had: of many items they are many."""
        return await self._summary(run_id, timeout=timeout) or await self.get_run(run_id, timeout=timeout)

    async def _summary(self, run_id: str, *, timeout: float | None = None) -> RunDetails | None:
        """Return a root run without its steps, None for a run below another or one that is not there."""
        request = api.list_runs._get_kwargs(root_run_id=run_id, roots_only=True, limit=1)
        listed = await self._connection.call("list_runs", request, responses.runs, run_id=run_id, timeout=timeout)
        return next((run for run in listed.runs if run.run_id == run_id), None)

    async def delete_run(self, run_id: str | UUID, *, timeout: float | None = None) -> None:
        """Ask the server to delete a finished run.

        Released servers (0.9 to 0.13) accept this and delete nothing.

        Raises:
            NotFoundError: If the server has no such run.
            ConflictError: If the run has not ended.
        """
        run_id = requests.check_run_id(run_id)
        request = api.delete_run._get_kwargs(run_id=run_id)
        await self._connection.send("delete_run", request, timeout=timeout, run_id=run_id)


def _or_unset(value: int | None) -> Any:
    return api.UNSET if value is None else value
