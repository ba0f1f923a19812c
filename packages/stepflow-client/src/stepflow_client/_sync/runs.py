# Written from _async/runs.py by `make generate`. Change that file instead.

"""Creating, reading and cancelling runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .. import _operations as api
from .. import _requests
from .._lazy import lazy_module
from .._requests import RunArguments, Variables
from .._secrets import secrets_of
from ..errors import (
    ConflictError,
    InvalidArgumentError,
    InvalidResponseError,
    RateLimitError,
    ServerFaultError,
    StepflowClientError,
    TransportError,
)
from .creation import Created, Creation
from .flows import Flows

if TYPE_CHECKING:
    from .. import _wire, types
    from ..types import (
        CreateRunResponse,
        ExecutionStatus,
        FlowVariable,
        ListItemsResponse,
        ListRunsResponse,
        ListStepsResponse,
        RunDetails,
        StepDetails,
        StoredFlow,
    )
else:
    _wire = lazy_module("stepflow_client._wire")
    types = lazy_module("stepflow_client.types")

__all__ = ["Runs"]

_PAGE = 100
_OVERLAP = 10
_MOST_ITEMS_FOR_STEPS = 1000


class Runs(Creation, Flows):
    """The part of the client that deals with runs."""

    _exact_integers: bool

    def create_run(
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
        """Start a run of a stored flow and give it, usually still running.

        Args:
            flow_id: What `store_flow` gave.
            input: The input, any JSON value. A list is a batch, one item for each element; a single input that is
                itself a list is written `[[1, 2]]`. None is the input null.
            variables: Values of the flow's variables: a mapping, or a YAML or JSON file that holds one.
            overrides: Changes to steps for this run only: `{step: {"input": {...}}}`, the wrapped form that the
                server takes, or a list of either, merged left to right. Servers from 0.10 on refuse an unknown step.
            debug: No released server has a debug mode; True is refused.
            max_concurrency: How many items of a batch run at once; None leaves it to the server.
            variables_from_env: Fill missing variables from the environment: by the `env_var` that the flow names,
                then by `STEPFLOW_VAR_<NAME>`.
            timeout: Seconds, instead of the client's.

        Raises:
            NotFoundError: If the server has no such flow.
            InvalidRequestError: If the server refuses an override (0.10 and newer).
            AmbiguousRunError: If the answer was lost and it cannot be told which run it was.
            InvalidArgumentError: If an argument is wrong; nothing is sent. An integer beyond 2**53 is refused for
                servers from 0.12 on, which would change it (`SyncStepflowClient(exact_integers=False)` lets it pass).
            UnsupportedByServerError: If `debug` is True.
        """
        _requests.check_debug(debug)
        flow_id = _requests.check_id(flow_id, "flow_id")
        arguments = self._arguments(input, variables, overrides, max_concurrency)
        return self._create_run(
            flow_id, arguments, _wire.created, variables_from_env=variables_from_env, timeout=timeout
        )

    def _arguments(
        self, input: Any, variables: Variables | None, overrides: Any, max_concurrency: int | None
    ) -> RunArguments:
        server = self._connection.server()
        exact = server.capabilities["exact_numbers"] or not self._exact_integers
        return _requests.run_arguments(input, variables, overrides, max_concurrency, exact_integers=exact)

    def _create_run(
        self,
        flow_id: str,
        arguments: RunArguments,
        read: Callable[[dict[str, Any]], Created],
        *,
        declared: Mapping[str, FlowVariable] | None = None,
        output: Any = None,
        variables_from_env: bool,
        wait: int | None = None,
        timeout: float | None = None,
        is_own_flow: bool = False,
    ) -> Created:
        values = arguments.variables
        declared = declared if declared is not None else self._declared.get(flow_id)
        if variables_from_env:
            if declared is None:
                declared = self._variables_of(flow_id, timeout=timeout)
            values = _requests.environment_variables(values, declared, os.environ)
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
            created = self._create_once(flow_id, send, read, is_own_flow=is_own_flow)
        except StepflowClientError as error:
            # A server may quote what it was sent.
            secrets.clean(error)
            raise error from None
        like = output if output is not None else self._outputs.get(flow_id)
        self._connection.readings.note(created.run_id, like, secrets)
        return created

    def get_run(self, run_id: str | UUID, *, timeout: float | None = None) -> RunDetails:
        """Give a run as it stands now.

        `items.completed` stays 0 until the whole run ends, on every release.

        Raises:
            NotFoundError: If the server has no such run.
        """
        run_id = _requests.check_run_id(run_id)
        request = api.get_run._get_kwargs(run_id=run_id)
        read = partial(_wire.run, run_id=run_id)
        return self._connection.call("get_run", request, read, timeout=timeout, run_id=run_id)

    def get_run_items(self, run_id: str | UUID, *, timeout: float | None = None) -> ListItemsResponse:
        """Give the items of a run, in the order of their inputs; an item that runs has no result yet.

        Failed items name the step that failed and what it said. (For runs of more than 1,000 items only as far as
        the items themselves tell, as the steps of all of them would have to be fetched.)

        Raises:
            NotFoundError: If the server has no such run.
        """
        run_id = _requests.check_run_id(run_id)
        listed = self._connection.call(
            "get_run_items",
            api.get_run_items._get_kwargs(run_id=run_id),
            lambda answer: _wire.items(run_id, answer["results"], self._connection.reading(run_id)),
            timeout=timeout,
            run_id=run_id,
            raw=True,
        )
        if not listed.items:
            # Servers from 0.12 on give an unknown run no items instead of a 404.
            self.get_run(run_id, timeout=timeout)
        return self._explain(listed, timeout=timeout)

    def _explain(self, listed: ListItemsResponse, *, timeout: float | None = None) -> ListItemsResponse:
        """Ask the steps for what failed items do not tell themselves: from 0.12 on the cause, before it the step."""
        if len(listed.items) > _MOST_ITEMS_FOR_STEPS or not _wire.any_failed(listed):
            return listed
        results = [item.result for item in listed.items if item.result is not None]
        errors = [result.error for result in results if result.error is not None]
        server = self._connection.server()
        told = not server.capabilities["step_outputs"] and all(error.step_id for error in errors)
        if not errors or told:
            return listed
        if len(listed.items) > 1 and not server.capabilities["step_of_item"]:
            return listed
        try:
            steps = self.get_run_steps(listed.run_id, timeout=timeout)
        except (TransportError, ServerFaultError, RateLimitError):
            # That an item failed is known, whatever keeps the server from saying more.
            return listed
        return _wire.with_failed_steps(listed, steps)

    def get_run_steps(
        self, run_id: str | UUID, *, item_index: int | None = None, timeout: float | None = None
    ) -> ListStepsResponse:
        """Give the steps of a run that were started, by item, then in the order of the flow.

        Args:
            run_id: The run.
            item_index: Only the steps of this item; None for all.
            timeout: Seconds, instead of the client's.

        Raises:
            NotFoundError: If the server has no such run.
        """
        run_id = _requests.check_run_id(run_id)
        index = _requests.check_limit(item_index, "item_index")
        listed = self._connection.call(
            "get_run_steps",
            api.get_run_steps._get_kwargs(run_id=run_id, item_index=_or_unset(index)),
            lambda answer: _wire.steps(run_id, answer["steps"], self._connection.reading(run_id)),
            timeout=timeout,
            run_id=run_id,
        )
        if not listed.steps:
            # Servers from 0.12 on give an unknown run no steps instead of a 404.
            self.get_run(run_id, timeout=timeout)
        return listed

    def get_run_step(
        self, run_id: str | UUID, step_id: str, *, item_index: int = 0, timeout: float | None = None
    ) -> StepDetails:
        """Give one step of one item.

        Raises:
            NotFoundError: If there is no such step, or it has not started.
        """
        run_id = _requests.check_run_id(run_id)
        request = api.get_run_step._get_kwargs(
            run_id=run_id,
            step_id=_requests.check_id(step_id, "step_id"),
            item_index=_or_unset(_requests.check_limit(item_index, "item_index")),
        )
        return self._connection.call(
            "get_run_step",
            request,
            lambda answer: _wire.asked_step(answer["step"], step_id, item_index, self._connection.reading(run_id)),
            timeout=timeout,
            run_id=run_id,
        )

    def get_run_flow(self, run_id: str | UUID, *, timeout: float | None = None) -> StoredFlow:
        """Give the flow of a run. Its examples are with `get_flow`.

        Raises:
            NotFoundError: If the server has no such run.
        """
        run_id = _requests.check_run_id(run_id)
        request = api.get_run_flow._get_kwargs(run_id=run_id)
        return self._connection.call("get_run_flow", request, _wire.flow, timeout=timeout, run_id=run_id)

    def cancel_run(self, run_id: str | UUID, *, timeout: float | None = None) -> RunDetails:
        """Mark a run as cancelled and give it.

        On every released server (0.9 to 0.13) this writes the status and stops nothing: the running step ends, later
        steps still start, and at the end the status may turn from cancelled to completed or failed.

        A finished run is left alone. Servers from 0.12 on would rewrite it, so the client looks first.

        Raises:
            NotFoundError: If the server has no such run.
            ConflictError: If the run has ended already.
        """
        run_id = _requests.check_run_id(run_id)
        now = self._state(run_id, timeout=timeout)
        if now.is_finished:
            raise ConflictError(
                f"run {run_id} is already {now.status.value}", status_code=409, run_id=run_id, details=now
            )
        request = api.cancel_run._get_kwargs(run_id=run_id)
        try:
            read = partial(_wire.run, run_id=run_id)
            return self._connection.call("cancel_run", request, read, timeout=timeout, run_id=run_id)
        except ConflictError as error:
            # Servers before 0.12 refuse what is cancelled already: by the first of two requests, if that was lost.
            now = self._state(run_id, timeout=timeout)
            if len(error.attempts) > 1 and now.status is types.ExecutionStatus.CANCELLED:
                return now
            raise

    def _state(self, run_id: str, *, timeout: float | None = None) -> RunDetails:
        """Give a run as it stands, without its steps where that can be had: of many items they are many."""
        return self._summary(run_id, timeout=timeout) or self.get_run(run_id, timeout=timeout)

    def _summary(self, run_id: str, *, timeout: float | None = None) -> RunDetails | None:
        """Give a root run without its steps, None for a run below another or one that is not there."""
        request = api.list_runs._get_kwargs(root_run_id=run_id, roots_only=True, limit=1)
        listed = self._connection.call("list_runs", request, _wire.runs, run_id=run_id, timeout=timeout)
        return next((run for run in listed.runs if run.run_id == run_id), None)

    def delete_run(self, run_id: str | UUID, *, timeout: float | None = None) -> None:
        """Ask the server to delete a finished run.

        Released servers (0.9 to 0.13) accept this and delete nothing.

        Raises:
            NotFoundError: If the server has no such run.
            ConflictError: If the run has not ended.
        """
        run_id = _requests.check_run_id(run_id)
        request = api.delete_run._get_kwargs(run_id=run_id)
        self._connection.send("delete_run", request, timeout=timeout, run_id=run_id)

    def list_runs(
        self,
        status: ExecutionStatus | str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        *,
        flow_name: str | None = None,
        root_run_id: str | UUID | None = None,
        parent_run_id: str | UUID | None = None,
        roots_only: bool | None = None,
        timeout: float | None = None,
    ) -> ListRunsResponse:
        """Give runs, newest first.

        Args:
            status: Only runs that stand so.
            limit: At most so many. None gives all of them: servers have no limit of their own; `iter_runs` pages.
            offset: Leave out so many of the newest.
            flow_name: Only runs of flows of this name.
            root_run_id: Only this run and the runs below it.
            parent_run_id: Only runs created by a step of this run.
            roots_only: True leaves out the runs that steps created.
            timeout: Seconds, instead of the client's.

        Raises:
            InvalidArgumentError: If an argument is wrong. (Servers drop a filter they cannot read and list all.)
        """
        offset = _requests.check_limit(offset, "offset")
        limit = _requests.check_limit(limit, "limit")
        if offset and limit is None:
            # With sqlite an offset without a limit is ignored.
            limit = 2**31 - 1
        request = api.list_runs._get_kwargs(
            status=_status_filter(status),
            limit=_or_unset(limit),
            offset=_or_unset(offset),
            flow_name=api.UNSET if flow_name is None else _requests.check_text(flow_name, "flow_name"),
            root_run_id=api.UNSET if root_run_id is None else _requests.check_run_id(root_run_id),
            parent_run_id=api.UNSET if parent_run_id is None else _requests.check_run_id(parent_run_id),
            roots_only=api.UNSET if roots_only is None else bool(roots_only),
        )
        return self._connection.call("list_runs", request, _wire.runs, timeout=timeout)

    def iter_runs(
        self,
        status: ExecutionStatus | str | None = None,
        *,
        page_size: int = _PAGE,
        flow_name: str | None = None,
        root_run_id: str | UUID | None = None,
        parent_run_id: str | UUID | None = None,
        roots_only: bool | None = None,
        timeout: float | None = None,
    ) -> Iterator[RunDetails]:
        """Go through runs, newest first, page by page.

        No run comes twice, and none that was there from the start to the end is missed, though new runs arrive or
        runs leave the filter meanwhile: pages overlap, and a page that does not meet the one before is asked for
        again further up.

        Args:
            status: As for `list_runs`, like the other filters.
            page_size: How many runs a request asks for, at least 2.
            flow_name: Only runs of flows of this name.
            root_run_id: Only this run and the runs below it.
            parent_run_id: Only runs created by a step of this run.
            roots_only: True leaves out the runs that steps created.
            timeout: Seconds for each request, instead of the client's.
        """
        _requests.check_limit(page_size, "page_size", least=2)
        seen: set[str] = set()
        offset = fruitless = 0
        while True:
            page = self.list_runs(
                status,
                page_size,
                offset,
                flow_name=flow_name,
                root_run_id=root_run_id,
                parent_run_id=parent_run_id,
                roots_only=roots_only,
                timeout=timeout,
            )
            new = [run for run in page.runs if run.run_id not in seen]
            fruitless = 0 if new else fruitless + 1
            if fruitless > 10 + 3 * len(seen) // page_size:
                raise InvalidResponseError("the server's pages of runs do not follow one another")
            if offset and len(new) == len(page.runs):
                offset = max(0, offset - page_size)
                continue
            for run in new:
                seen.add(run.run_id)
                yield run
            if len(page.runs) < page_size:
                return
            offset += page_size - min(_OVERLAP, page_size // 2)


def _or_unset(value: int | None) -> Any:
    return api.UNSET if value is None else value


def _status_filter(status: ExecutionStatus | str | None) -> Any:
    if status is None:
        return api.UNSET
    number = types.status_number(status)
    # For a number they do not know servers drop the filter and list all runs.
    if number is None or types.ExecutionStatus(status) not in list(types.ExecutionStatus):
        known = ", ".join(each.value for each in types.ExecutionStatus)
        raise InvalidArgumentError(f"status is one of {known}, not {status!r}")
    return api.RunStatus(number)
