"""Rerun plans and results, and run comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from .._base.error_classes import InvalidArgumentError
from .._data.arguments import check_choice, check_flags, check_text
from .model_base import Model, Shown, field, frozen_model
from .results import FlowResult
from .runs import RunDetails

__all__ = ["Keep", "KeepOption", "RerunItem", "RerunPlan", "RerunResult", "RunComparison", "RunDifference"]


@frozen_model(kw_only=False)
class RunDifference(Model):
    """A difference between two runs. Secret variables' values are replaced by `***`."""

    path: str
    """Where the runs differ: `$.status`, `$.flow.steps.ID.input.KEY`, `$.steps.ID.output.KEY`, `$.output` or
    `$.error.message`.

    In batches, an item's paths start with `$.items[N]`, e.g. `$.items[3].steps.ID.output`.
    """
    kind: Literal["changed", "added", "removed"]
    """`added` if only the second run has the value, `removed` if only the first does, `changed` if it differs."""
    a: Any
    """The value in the first run (any JSON value), or None for `added`."""
    b: Any
    """The value in the second run (any JSON value), or None for `removed`."""
    item_index: int | None = None
    """The item's zero-based index, or None if the runs differ as a whole."""
    step_id: str | None = None
    """The ID of the step whose status, output or error differs."""
    origin: str | None = None
    """If this difference only results from a difference in an upstream step's output, the path of that difference."""


@frozen_model(kw_only=False)
class RunComparison(Model, Shown):
    """Two runs and their differences."""

    a: RunDetails
    """The first run."""
    b: RunDetails
    """The second run."""
    every_difference: Sequence[RunDifference] = field(repr=False)
    """All differences, starting with the status and flow, followed by each item's steps (in flow order) and output."""
    not_compared: Sequence[str] = ()
    """Parts not compared because the server doesn't return them: always `inputs`, plus `step outputs` before 0.12."""

    @property
    def differences(self) -> list[RunDifference]:
        """The differences, except those that just repeat a difference in an upstream step's output."""
        return [difference for difference in self.every_difference if difference.origin is None]

    @property
    def is_same(self) -> bool:
        """True if all compared parts of the runs are the same. Start times and durations are ignored."""
        return not self.every_difference

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return `differences` as dicts, e.g. for `pandas.DataFrame`."""
        return [difference.to_dict() for difference in self.differences]


@dataclass(frozen=True, slots=True)
class Keep:
    """Which outputs of an earlier run to reuse in a rerun, for choices that a plain string for `keep` can't express.

    Example:
        ```python
        await client.rerun(run_id, keep=Keep(before="summarize"))
        await client.rerun(run_id, flow="fixed.yaml", keep=Keep("unchanged", succeeded_items=True))
        ```

    Args:
        steps: The steps to keep: `completed`, `unchanged` or `nothing`, with the same meaning as for the `keep`
            argument. Defaults to `completed`.
        before: Also execute this step and everything downstream of it.
        all_except: Execute only this step, reusing the outputs it reads from the earlier run. The step's output becomes
            the output of the new run. It can't be combined with the other arguments. To pass the step a custom input,
            run `stepflow_client.flows.flow_of_step(flow, step_id)` instead.
        succeeded_items: Whether to keep the results of items that succeeded and rerun only the other items. Defaults to
            False.

    Raises:
        InvalidArgumentError: If the arguments can't be combined.
    """

    steps: Literal["nothing", "completed", "unchanged"] = "completed"
    _: KW_ONLY
    before: str | None = None
    all_except: str | None = None
    succeeded_items: bool = False

    def __post_init__(self) -> None:
        """Validate the arguments."""
        check_choice(self.steps, "steps", ("nothing", "completed", "unchanged"))
        check_flags(succeeded_items=self.succeeded_items)
        for name in ("before", "all_except"):
            if (step := getattr(self, name)) is not None:
                check_text(step, name)
        if self.before is not None and self.steps == "nothing":
            raise InvalidArgumentError("before keeps the steps before a step, and steps='nothing' keeps none")
        others = self.steps != "completed" or self.before is not None or self.succeeded_items
        if self.all_except is not None and others:
            raise InvalidArgumentError("all_except executes only one step: it cannot be combined with other arguments")


KeepOption = Literal["nothing", "succeeded", "completed", "unchanged"] | Keep
"""The type of the `keep` argument for reruns."""


@frozen_model(kw_only=False)
class RerunItem(Model):
    """An item to rerun."""

    index: int
    """The item's zero-based index in the earlier run."""
    kept: Mapping[str, Any] = field(repr=False)
    """The outputs to reuse instead of executing their steps, by step ID."""
    executed: Sequence[str]
    """The IDs of the steps to execute, in flow order. In a flow with conditions (`$if`, `$coalesce`), some of them may
    turn out not to be needed."""


@frozen_model(kw_only=False)
class RerunPlan(Model):
    """The items and steps a rerun would keep and execute. Making a plan doesn't start anything."""

    run_id: str
    """The ID of the earlier run."""
    flow: Mapping[str, Any] = field(repr=False)
    """The flow to run."""
    items: Sequence[RerunItem]
    """The items to rerun, in input order."""
    total: int
    """Number of items in the earlier run. The results of items not listed in `items` are kept."""
    unknown: Sequence[str] = ()
    """Arguments that executed steps may depend on but that were neither passed nor recorded (`variables` or
    `overrides`)."""
    recorded: Sequence[str] = ()
    """Arguments taken from the client's history: `input`, `variables`, `overrides`. Explicit arguments take
    precedence."""
    outdated: Sequence[str] = ()
    """The IDs of kept steps whose outputs don't match the new flow, because the step or an upstream step had a
    different definition, input or variables. Only covers earlier values recorded in the client's history."""

    @property
    def groups(self) -> list[list[RerunItem]]:
        """The items, grouped by the run the rerun creates for them. Items that keep the same outputs share a run."""
        groups: dict[str, list[RerunItem]] = {}
        for item in self.items:
            groups.setdefault(json.dumps(item.kept, sort_keys=True), []).append(item)
        return list(groups.values())


@frozen_model(kw_only=False)
class RerunResult(Model):
    """The results of a rerun, including those that were kept."""

    plan: RerunPlan
    results: Sequence[FlowResult]
    """One result per item of the earlier run, in input order. Each has the `run_id` of the run that produced it."""

    @property
    def run_ids(self) -> list[str]:
        """The IDs of the created runs, without duplicates, in item order."""
        indexes = [item.index for item in self.plan.items]
        return list(dict.fromkeys(self.results[index].run_id for index in indexes))

    @property
    def run_id(self) -> str:
        """The ID of the created run, if there is exactly one.

        Raises:
            InvalidArgumentError: If no run or more than one run was created. Use `run_ids` instead.
        """
        if len(run_ids := self.run_ids) != 1:
            raise InvalidArgumentError(f"the rerun of {self.plan.run_id} created {len(run_ids)} runs: use run_ids")
        return run_ids[0]

    @property
    def result(self) -> FlowResult:
        """The result of a single-item run.

        Raises:
            InvalidArgumentError: If the earlier run is a batch. Use `results` instead.
        """
        if len(self.results) != 1:
            raise InvalidArgumentError(f"run {self.plan.run_id} is a batch of {len(self.results)} items: use results")
        return self.results[0]
