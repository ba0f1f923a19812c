"""The plan and the results of a rerun."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .._base.basic_errors import InvalidArgumentError
from .models import Model, field, record
from .results import FlowResult

__all__ = ["RerunItem", "RerunPlan", "RerunResult"]


@record(kw_only=False)
class RerunItem(Model):
    """One item that is run again."""

    index: int
    """The index of the item in the earlier run, from 0."""
    kept: Mapping[str, Any] = field(repr=False)
    """The outputs of the steps that are not executed again, by step id."""
    executed: Sequence[str]
    """The ids of the steps that are executed, in the order of the flow. Depending on a condition (`$if`, `$coalesce`),
    one of them may turn out not to be needed."""


@record(kw_only=False)
class RerunPlan(Model):
    """The items and steps that a rerun keeps and executes. Making a plan starts nothing."""

    run_id: str
    """The id of the earlier run."""
    flow: Mapping[str, Any] = field(repr=False)
    """The flow to run."""
    items: Sequence[RerunItem]
    """The items to run again, in the order of their inputs."""
    total: int
    """Number of items in the earlier run; the results of those not in `items` are kept."""
    unknown: Sequence[str] = ()
    """Values that the executed steps may have used and that are unknown, neither given nor recorded: `variables`,
    `overrides`."""
    recorded: Sequence[str] = ()
    """Values taken from the client's history: `input`, `variables`, `overrides`. Values that are given override
    them."""
    outdated: Sequence[str] = ()
    """The ids of kept steps whose outputs are not those of the new flow: they, or steps that they read, had another
    definition, another input or other variables, as far as the client's history has the earlier ones."""

    @property
    def groups(self) -> list[list[RerunItem]]:
        """The items of each run that a rerun creates: items that keep the same outputs share a run."""
        groups: dict[str, list[RerunItem]] = {}
        for item in self.items:
            groups.setdefault(json.dumps(item.kept, sort_keys=True), []).append(item)
        return list(groups.values())


@record(kw_only=False)
class RerunResult(Model):
    """The results of a rerun, including the kept ones."""

    plan: RerunPlan
    results: Sequence[FlowResult]
    """One result for each item of the earlier run, in the order of their inputs; its `run_id` is the run it comes
    from."""

    @property
    def run_ids(self) -> list[str]:
        """The ids of the created runs, without duplicates, in the order of the items."""
        indexes = [item.index for item in self.plan.items]
        return list(dict.fromkeys(self.results[index].run_id for index in indexes))

    @property
    def run_id(self) -> str:
        """The id of the created run: of a run of one item, or of a batch whose items are run again together.

        Raises:
            InvalidArgumentError: If no run was created, or several; use `run_ids`.
        """
        if len(found := self.run_ids) != 1:
            raise InvalidArgumentError(f"the rerun of {self.plan.run_id} created {len(found)} runs: use run_ids")
        return found[0]

    @property
    def result(self) -> FlowResult:
        """The result of a run of one item.

        Raises:
            InvalidArgumentError: If the earlier run is a batch; use `results`.
        """
        if len(self.results) != 1:
            raise InvalidArgumentError(f"run {self.plan.run_id} is a batch of {len(self.results)} items: use results")
        return self.results[0]
