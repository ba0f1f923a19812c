# Written from _async/explaining.py by `make generate`. Change that file instead.

"""Reading what is known about one item of a run, for its account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .._codec import failed_items, requests
from .._rules.call_scope import call_scope
from ..errors import InvalidArgumentError, NotFoundError, StepflowClientError, UnsupportedByServerError
from ..flows.account import accounts_of, needs_schema
from ..flows.components import Components, components_of, schemas_of
from ..types import ListItemsResponse
from ..types.statuses import ExecutionStatus
from .comparing import flow_of_run

if TYPE_CHECKING:
    from .._codec.requests import RunId
    from ..types import RunArguments, RunDetails, RunItem, StepDetails
    from ..types.account import RunAccount
    from .core import Core

_COMPONENTS_TIMEOUT = 5.0
"""Seconds to wait for the schemas of components; a plugin may not respond."""


class RunExplainer:
    """Explains runs.

    Args:
        core: What the parts of the client are made of.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._connection = core.connection
        self._runs = core.runs

    def explain_run(self, run_id: RunId, item_index: int | None) -> RunAccount:
        """Return why an item of a run failed, and what became of its steps."""
        run_id = requests.check_run_id(run_id)
        index = requests.check_limit(item_index, "item_index")
        run = self._runs.state(run_id)
        item = self._item(run, index)
        steps, has_steps = self._steps(run, item)
        given = self._given(run_id)
        flow = self._flow(run)
        account = accounts_of(run, [item], steps, flow, given, has_steps=has_steps)[item.index]
        component = needs_schema(account)
        if component is None:
            return account
        schemas = self._schemas(component)
        return accounts_of(run, [item], steps, flow, given, has_steps=has_steps, schemas=schemas)[item.index]

    def _item(self, run: RunDetails, index: int | None) -> RunItem:
        """Return an item: the wanted one, or the first that failed, or the first."""
        items = failed_items.items_of(self._runs.listed_items(run.run_id))
        if index is None:
            failed = items._places(lambda status: status in (ExecutionStatus.FAILED, ExecutionStatus.RECOVERY_FAILED))
            index = failed[0] if failed else 0
        if index >= len(items):
            raise InvalidArgumentError(f"run {run.run_id} has {len(items)} items, none with the index {index}")
        item = items[index]
        if item.status.is_finished or run.status not in (ExecutionStatus.FAILED, ExecutionStatus.RECOVERY_FAILED):
            return item
        # The server lost it.
        listed = ListItemsResponse(run_id=run.run_id, items=[item])
        return (self._runs.explain(listed, run.status)).items[0]

    def _steps(self, run: RunDetails, item: RunItem) -> tuple[list[StepDetails], bool]:
        """Return the steps of an item that were started, and whether the server reports them."""
        can = (self._connection.server()).capabilities
        if not can["live_steps"] and not run.is_finished:
            return [], False
        try:
            listed = self._runs.get_run_steps(run.run_id, item_index=item.index)
        except NotFoundError:
            # Older servers do not list the steps of sub-runs.
            return [], False
        # Older servers do not update the steps of a cancelled run.
        steps = self._runs.with_kept(run.run_id, listed.steps)
        return steps, can["live_steps"] or run.status is not ExecutionStatus.CANCELLED

    def _flow(self, run: RunDetails) -> Mapping[str, Any]:
        try:
            return (flow_of_run(self._core, run)).flow
        except (NotFoundError, UnsupportedByServerError):
            # The flow of a run created by a step may not be stored.
            return {}

    def _given(self, run_id: str) -> RunArguments | None:
        try:
            return self._runs.get_run_arguments(run_id, self._core.recorder)
        except (NotFoundError, UnsupportedByServerError):
            return None

    def _schemas(self, component: str) -> Mapping[str, Any]:
        """Return the input schema of a component, by its path, if the server reports it."""
        try:
            with call_scope(_COMPONENTS_TIMEOUT):
                listed = self._connection.components()
        except StepflowClientError:
            # The failure to report is the run's.
            return {}
        found = schemas_of(component, components_of(listed) or Components())
        return {} if found is None else {component: found[0]}
