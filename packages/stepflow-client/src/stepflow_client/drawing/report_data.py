"""The data of a report of one run, with secrets masked."""

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
from .._codec import failed_items
from .._codec.requests import RunId, add_env_variables, parse_flow_variables
from .._data.arguments import check_instance, check_integer, check_text, wrong
from .._data.secrets import Secrets, find_secrets, hide_flow_secrets
from .._rules.timeouts import call_scope
from .._runs.causes import ItemCauses
from .._runs.explanation import collect_item_records, explain_items
from .._runs.refusals import ResolvedInput, resolve_input
from ..errors import InvalidArgumentError
from ..types import FlowVariable, ListItemsResponse, RunArguments, RunDetails, RunItem, StepDetails
from ..types.models import Shown
from ..types.runs import RunSnapshot
from .charts import StepTime

if TYPE_CHECKING:
    from .._sync.client import SyncStepflowClient
    from ..types.account import RunAccount, StepAccount
    from ..types.reruns import RunDifference

# Looked up by name: it imports this module.
_page = lazy_module("stepflow_client.drawing.report_page")


@dataclass(frozen=True, repr=False)
class RunReport(Shown):
    """The data of a report of one run. Known values of secret variables are replaced by `***`."""

    snapshot: RunSnapshot
    """The run, without secret values."""
    times: list[StepTime] = field(default_factory=list)
    """The times of the steps; empty if the server has no events."""

    @property
    def run(self) -> RunDetails:
        """The run and its state."""
        return self.snapshot.details

    @property
    def items(self) -> Sequence[RunItem]:
        """The items."""
        return self.snapshot.items or ()

    @property
    def steps(self) -> Sequence[StepDetails]:
        """The steps; empty if the server does not return them."""
        return self.snapshot.steps or ()

    @property
    def flow(self) -> Mapping[str, Any]:
        """The flow; empty if the server does not have it."""
        return self.snapshot.flow or {}

    @property
    def given(self) -> RunArguments | None:
        """The arguments the run was started with; None if they were not requested."""
        return self.snapshot.arguments

    @cached_property
    def accounts(self) -> dict[int, RunAccount]:
        """The account of each item, by index: why it failed, and the state of its steps."""
        return explain_items(self.snapshot)

    @cached_property
    def step_accounts(self) -> dict[tuple[int, str], StepAccount]:
        """The account of each step, by item index and step id."""
        return {(index, step.step_id): step for index, account in self.accounts.items() for step in account.steps}

    def input_of(self, item_index: int, step_id: str) -> ResolvedInput:
        """Return the input of a step of an item, with its references resolved as far as that is known.

        Raises:
            InvalidArgumentError: If the run has no such item.
        """
        check_text(step_id, "step_id")
        if check_integer(item_index, "item_index", least=0) not in self._evaluations:
            items = [item for item in self.items if item.index == item_index]
            if not items:
                raise InvalidArgumentError(f"the run has no item {item_index}")
            self._evaluations[item_index] = ItemCauses(
                collect_item_records(self.snapshot, items, is_masked=True)[item_index]
            )
        return resolve_input(self._evaluations[item_index], step_id)

    @cached_property
    def _evaluations(self) -> dict[int, ItemCauses]:
        return {}

    def was_run(self, step: StepDetails | StepTime) -> bool:
        """Return whether a listed step was run. If a step that it reads failed, servers only list it as failed."""
        if not isinstance(step, (StepDetails, StepTime)):
            raise wrong("step", "one of the report's steps", step)
        account = self.step_accounts.get((step.item_index, step.step_id))
        return account is None or account.state != "not_run"

    def _has_time(self, step: StepTime) -> bool:
        """Return whether the time of a step is that of its component: it is not if a rerun keeps its output."""
        account = self.step_accounts.get((step.item_index, step.step_id))
        return self.was_run(step) and not (account is not None and account.is_kept)

    def html(self) -> str:
        """Return the report as a page: a single file without scripts that loads no other files."""
        page: str = _page.report_page([self])
        return page

    def __repr__(self) -> str:
        count = len(self.items)
        return f"<RunReport of run {self.run.run_id}: {self.run.status.value}, {count} item{'s' * (count != 1)}>"


def gather(client: SyncStepflowClient, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunReport:
    """Return the data that a server has on a run. A run that has not ended is reported in its current state.

    Secret values are the defaults of the flow's secret variables, the values of the environment variables that the flow
    names for them, and, if the client itself started the run, all values that it passed for them.

    The arguments of the run come from the server, if it reports them, or from the client's `history`.

    Args:
        client: A client of the server.
        run_id: The run.
        timeout: Seconds for the whole call; None for no limit. Default: the client's timeout, for each request.

    Raises:
        NotFoundError: If the server has no such run.
        RequestTimeoutError: If the timeout expires.
    """
    from .._sync.client import SyncStepflowClient

    check_instance(client, "client", SyncStepflowClient)
    with call_scope(timeout):
        snapshot = client._services.snapshots.read(run_id, ("items", "steps", "flow", "arguments", "counts"))
        times = client._services.follower.read_step_times(snapshot.run_id, list(snapshot.steps or ())).times
    return RunReport(mask_snapshot(snapshot), times)


def mask_arguments(flow: Mapping[str, Any], arguments: RunArguments) -> RunArguments:
    """Return the arguments of a run of this stored flow with known secret values replaced by `***`."""
    return _mask_arguments(arguments, _collect_secrets(flow))


def _mask_arguments(arguments: RunArguments, secrets: Secrets) -> RunArguments:
    hidden = {name: secrets.hide_in(getattr(arguments, name)) for name in ("inputs", "variables", "overrides")}
    return replace(arguments, **hidden)


def mask_differences(flow: Mapping[str, Any], differences: Iterable[RunDifference]) -> list[RunDifference]:
    """Return differences of two runs with the known secret values of one flow, as stored, replaced by `***`."""
    secrets = _collect_secrets(flow)
    return [
        replace(difference, a=secrets.hide_in(difference.a), b=secrets.hide_in(difference.b))
        for difference in differences
    ]


def mask_snapshot(snapshot: RunSnapshot, secrets: Secrets | None = None) -> RunSnapshot:
    """Return a run with secret values replaced by `***`: what may be shown of it.

    A failed item without the name of the failed step gets it from the steps.

    Args:
        snapshot: The run.
        secrets: The values; None for those that are known of its flow.
    """
    flow, steps, arguments = snapshot.flow or {}, snapshot.steps, snapshot.arguments
    items = None if snapshot.items is None else list(snapshot.items)
    places = [place for place, item in enumerate(items or ()) if item.error is not None and item.error.step_id is None]
    if items and places:
        # The failed step and its error are missing in most items of large runs.
        by_item: dict[int, list[StepDetails]] = defaultdict(list)
        for step in steps or ():
            by_item[step.item_index].append(step)
        listed = ListItemsResponse(run_id="", items=items)
        items = list(failed_items.add_failed_steps(listed, places, by_item, flow).items)
    secrets = _collect_secrets(flow) if secrets is None else secrets
    return replace(
        snapshot,
        flow=None if snapshot.flow is None else hide_flow_secrets(dict(flow)),
        items=None if items is None else [_mask_part(item, secrets) for item in items],
        steps=None if steps is None else [_mask_part(step, secrets) for step in steps],
        arguments=None if arguments is None else _mask_arguments(arguments, secrets),
    )


def _collect_secrets(flow: Mapping[str, Any]) -> Secrets:
    variables, values = read_flow_environment(flow)
    return find_secrets(values, variables)


def read_flow_environment(flow: Mapping[str, Any]) -> tuple[dict[str, FlowVariable], dict[str, Any]]:
    """Return the variables that a stored flow declares, and the values of those that are set in the environment."""
    variables = parse_flow_variables(flow)
    values: dict[str, Any] = {}
    for name, variable in variables.items():
        # A value that no run accepts was never sent.
        with suppress(InvalidArgumentError):
            values |= add_env_variables({}, {name: variable}, os.environ)
    return variables, values


_Part = TypeVar("_Part", RunItem, StepDetails)


def _mask_part(part: _Part, secrets: Secrets) -> _Part:
    if not secrets:
        return part
    error = part.error
    if error is not None:
        error = replace(error, **secrets.hide_in({"message": error.message, "details": error.details}))
    return replace(part, output=secrets.hide_in(part.output), error=error)
