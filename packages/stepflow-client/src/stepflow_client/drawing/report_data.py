"""The data for a report on one run, with secrets masked."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from .._base.lazy import lazy_module
from .._base.not_given import NOT_GIVEN, NotGiven
from .._codec import errors_from_steps
from .._codec.call_checks import RunId, add_env_variables, parse_declared_variables
from .._data.arguments import argument_error, check_instance, check_integer, check_text
from .._data.secrets import Secrets, find_variable_secrets, hide_flow_secrets
from .._rules.deadlines import call_scope
from .._rules.run_progress import StepTime
from .._runs.component_input_hints import ResolvedInput, resolve_step_input
from .._runs.explanation import explain_items, iter_item_records
from .._runs.failure_causes import ItemRecord
from ..errors import InvalidArgumentError
from ..types import FlowVariable, ListItemsResponse, RunArguments, RunDetails, RunItem, RunSnapshot, StepDetails
from ..types.model_base import Shown

if TYPE_CHECKING:
    from .._sync.client import SyncStepflowClient
    from ..types import RunAccount, RunDifference, StepAccount

# Import the page module lazily, because it imports this module.
_page = lazy_module("stepflow_client.drawing.report_page")


@dataclass(frozen=True, repr=False)
class RunReport(Shown):
    """The data for a report on one run. Known values of secret variables are replaced by `***`."""

    snapshot: RunSnapshot
    """The run, with secrets masked."""
    times: list[StepTime] = field(default_factory=list)
    """Step times. Empty if the server doesn't support events."""

    @property
    def run(self) -> RunDetails:
        """The run and its state."""
        return self.snapshot.details

    @property
    def items(self) -> Sequence[RunItem]:
        """The run's items."""
        return self.snapshot.items or ()

    @property
    def steps(self) -> Sequence[StepDetails]:
        """The run's steps. Empty if the server doesn't return them."""
        return self.snapshot.steps or ()

    @property
    def flow(self) -> Mapping[str, Any]:
        """The flow. Empty if the server doesn't have it."""
        return self.snapshot.flow or {}

    @property
    def given(self) -> RunArguments | None:
        """The arguments the run was started with, or None if they weren't fetched."""
        return self.snapshot.arguments

    @cached_property
    def accounts(self) -> dict[int, RunAccount]:
        """Why each item failed, and the states of its steps, keyed by item index."""
        return explain_items(self.snapshot)

    @cached_property
    def step_accounts(self) -> dict[tuple[int, str], StepAccount]:
        """What happened to each step, keyed by item index and step ID."""
        return {(index, step.step_id): step for index, account in self.accounts.items() for step in account.steps}

    def input_of(self, item_index: int, step_id: str) -> ResolvedInput:
        """Return a step's input for an item, with references resolved as far as possible.

        Raises:
            InvalidArgumentError: If the run has no such item.
        """
        check_text(step_id, "step_id")
        if check_integer(item_index, "item_index", least=0) not in self._item_record_cache:
            items = [item for item in self.items if item.index == item_index]
            if not items:
                raise InvalidArgumentError(f"the run has no item {item_index}")
            self._item_record_cache.update(iter_item_records(self.snapshot, items, is_masked=True))
        return resolve_step_input(self._item_record_cache[item_index], step_id)

    @cached_property
    def _item_record_cache(self) -> dict[int, ItemRecord]:
        return {}

    def was_run(self, step: StepDetails | StepTime) -> bool:
        """Return whether a listed step actually ran. (Steps that depend on a failed step are also listed as failed.)"""
        if not isinstance(step, (StepDetails, StepTime)):
            raise argument_error("step", "one of the report's steps", step)
        account = self.step_accounts.get((step.item_index, step.step_id))
        return account is None or account.state != "not_run"

    def _was_newly_run(self, step: StepTime) -> bool:
        """Return whether a step's time was spent running its component. False if a rerun just kept its output."""
        account = self.step_accounts.get((step.item_index, step.step_id))
        return self.was_run(step) and not (account is not None and account.is_kept)

    def html(self) -> str:
        """Return the report as a self-contained HTML page without scripts."""
        return str(_page.report_page([self]))

    def __repr__(self) -> str:
        count = len(self.items)
        return f"<RunReport of run {self.run.run_id}: {self.run.status.value}, {count} item{'s' * (count != 1)}>"


def gather(client: SyncStepflowClient, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunReport:
    """Fetch the data for a report on a run. If the run hasn't ended, the report shows its current state.

    Secrets include the default values of the flow's secret variables, the values of their environment variables and, if
    this client started the run, any values passed for them.

    The run's arguments come from the server if it reports them, and otherwise from the client's `history`.

    Args:
        client: A client for the server.
        run_id: The run.
        timeout: Maximum duration of the whole call in seconds, or None for no limit. By default, the client's timeout
            applies to each request.

    Raises:
        NotFoundError: If the server has no such run.
        RequestTimeoutError: If the timeout expires.
    """
    from .._sync.client import SyncStepflowClient

    check_instance(client, "client", SyncStepflowClient)
    with call_scope(timeout):
        snapshots = client._services.snapshots
        snapshot = snapshots.read_snapshot(run_id, ("items", "steps", "flow", "arguments", "counts"))
        times = client._services.follower.read_step_times_from_events(snapshot.run_id, list(snapshot.steps or ())).times
    passed = snapshots.get_output_decoder(snapshot.run_id).secrets
    return RunReport(mask_snapshot(mask_snapshot(snapshot), passed), times)


def mask_arguments(flow: Mapping[str, Any], arguments: RunArguments, secrets: Secrets | None = None) -> RunArguments:
    """Return a run's arguments with secret values (by default, those of the stored flow) replaced by `***`."""
    secrets = _find_flow_and_env_secrets(flow) if secrets is None else secrets
    hidden = {name: secrets.hide_in(getattr(arguments, name)) for name in ("inputs", "variables", "overrides")}
    return replace(arguments, **hidden)


def mask_differences(flow: Mapping[str, Any], differences: Iterable[RunDifference]) -> list[RunDifference]:
    """Return differences between runs with known secret values replaced by `***`. `flow` is the stored flow."""
    hide = _find_flow_and_env_secrets(flow).hide_in
    return [replace(difference, a=hide(difference.a), b=hide(difference.b)) for difference in differences]


def mask_snapshot(snapshot: RunSnapshot, secrets: Secrets | None = None) -> RunSnapshot:
    """Return a run that is safe to display, with secret values replaced by `***`.

    If a failed item doesn't say which step failed, that step is looked up among the item's steps.

    Args:
        snapshot: The run.
        secrets: The secret values. Defaults to the known secrets of the run's flow.
    """
    flow, steps, arguments = snapshot.flow or {}, snapshot.steps, snapshot.arguments
    items = None if snapshot.items is None else list(snapshot.items)
    places = [place for place, item in enumerate(items or ()) if item.error is not None and item.error.step_id is None]
    if items and places:
        # In large runs, most failed items don't say which step failed or why.
        by_item: dict[int, list[StepDetails]] = defaultdict(list)
        for step in steps or ():
            by_item[step.item_index].append(step)
        listed = ListItemsResponse(run_id="", items=items)
        items = list(errors_from_steps.add_failed_step_to_errors(listed, places, by_item, flow).items)
    secrets = _find_flow_and_env_secrets(flow) if secrets is None else secrets
    return replace(
        snapshot,
        flow=None if snapshot.flow is None else hide_flow_secrets(dict(flow)),
        items=None if items is None else [_mask_item_or_step(item, secrets) for item in items],
        steps=None if steps is None else [_mask_item_or_step(step, secrets) for step in steps],
        arguments=None if arguments is None else mask_arguments(flow, arguments, secrets),
    )


def _find_flow_and_env_secrets(flow: Mapping[str, Any]) -> Secrets:
    variables, values = read_variables_and_env_values(flow)
    return find_variable_secrets(values, variables)


def read_variables_and_env_values(flow: Mapping[str, Any]) -> tuple[dict[str, FlowVariable], dict[str, Any]]:
    """Return a stored flow's variables, plus the values of any that are set in the environment."""
    variables = parse_declared_variables(flow)
    values: dict[str, Any] = {}
    for name, variable in variables.items():
        # Skip values that no run would accept, since they can't have been passed.
        with suppress(InvalidArgumentError):
            values |= add_env_variables({}, {name: variable}, os.environ)
    return variables, values


_Part = TypeVar("_Part", RunItem, StepDetails)


def _mask_item_or_step(part: _Part, secrets: Secrets) -> _Part:
    if not secrets:
        return part
    error = part.error
    if error is not None:
        error = replace(error, **secrets.hide_in({"message": error.message, "details": error.details}))
    return replace(part, output=secrets.hide_in(part.output), error=error)
