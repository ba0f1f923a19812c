"""The plan and the results of a rerun, and the differences between two runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from .._base.basic_errors import InvalidArgumentError
from .._data.arguments import check_choice, check_flags, check_text
from .models import Model, Shown, field, record
from .results import FlowResult
from .runs import RunDetails

__all__ = ["Keep", "KeepOption", "RerunItem", "RerunPlan", "RerunResult", "RunComparison", "RunDifference"]


@record(kw_only=False)
class RunDifference(Model):
    """One difference between two runs. Values of secret variables in their flows are replaced by `***`."""

    path: str
    """The path of the difference: `$.status`, `$.flow.steps.ID.input.KEY`, `$.steps.ID.output.KEY`, `$.output`,
    `$.error.message`.

    For batches, the paths of an item begin with `$.items[N]`: `$.items[3].steps.ID.output`.
    """
    kind: Literal["changed", "added", "removed"]
    """`added`: only the second run has the value; `removed`: only the first one has it; `changed`: the values
    differ."""
    a: Any
    """The value in the first run, any JSON value; None for `added`."""
    b: Any
    """The value in the second run, any JSON value; None for `removed`."""
    item_index: int | None = None
    """The index of the item, from 0; None for a difference between the runs as a whole."""
    step_id: str | None = None
    """The id of the step whose status, output or error differs."""
    origin: str | None = None
    """The path of the difference that this one repeats: a step whose output is read here has the same two values."""


@record(kw_only=False)
class RunComparison(Model, Shown):
    """Two runs and their differences."""

    a: RunDetails
    """The first run."""
    b: RunDetails
    """The second run."""
    every_difference: Sequence[RunDifference] = field(repr=False)
    """All differences: status and flow first, then those of each item: its steps in the order of the flow, then its
    output."""
    not_compared: Sequence[str] = ()
    """What was not compared because the server does not return it: always `inputs`; `step outputs` before 0.12."""

    @property
    def differences(self) -> list[RunDifference]:
        """The differences, without those that only repeat the difference of a step whose output they read."""
        return [difference for difference in self.every_difference if difference.origin is None]

    @property
    def is_same(self) -> bool:
        """True if the compared parts are the same. Start times and durations are not compared."""
        return not self.every_difference

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return `differences` as dicts, for example for `pandas.DataFrame`."""
        return [difference.to_dict() for difference in self.differences]


@dataclass(frozen=True, slots=True)
class Keep:
    """The outputs of an earlier run that a rerun reuses, where one of the words for `keep` is not enough.

    Example:
        ```python
        await client.rerun(run_id, keep=Keep(before="summarise"))
        await client.rerun(run_id, flow="fixed.yaml", keep=Keep("unchanged", succeeded_items=True))
        ```

    Args:
        steps: The steps to keep: `completed`, the default, `unchanged` or `nothing`, as for the argument `keep`.
        before: Also execute this step and all steps that read its output, directly or through others.
        all_except: Execute this step alone, with the earlier outputs of the steps that it reads; its output is the
            output of the new run. Excludes the other arguments. To give the step an input of its own, run
            `stepflow_client.flows.flow_of_step(flow, step_id)`.
        succeeded_items: Whether to keep the results of the items that succeeded, and run only the others. Default
            False.

    Raises:
        InvalidArgumentError: If the arguments exclude each other.
    """

    steps: Literal["nothing", "completed", "unchanged"] = "completed"
    _: KW_ONLY
    before: str | None = None
    all_except: str | None = None
    succeeded_items: bool = False

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_choice(self.steps, "steps", ("nothing", "completed", "unchanged"))
        check_flags(succeeded_items=self.succeeded_items)
        for name in ("before", "all_except"):
            if (step := getattr(self, name)) is not None:
                check_text(step, name)
        if self.before is not None and self.steps == "nothing":
            raise InvalidArgumentError("before keeps the steps before a step, and steps='nothing' keeps none")
        others = self.steps != "completed" or self.before is not None or self.succeeded_items
        if self.all_except is not None and others:
            raise InvalidArgumentError("all_except executes one step alone: it excludes the other arguments")


KeepOption = Literal["nothing", "succeeded", "completed", "unchanged"] | Keep
"""The argument `keep` of reruns."""


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
        if len(run_ids := self.run_ids) != 1:
            raise InvalidArgumentError(f"the rerun of {self.plan.run_id} created {len(run_ids)} runs: use run_ids")
        return run_ids[0]

    @property
    def result(self) -> FlowResult:
        """The result of a run of one item.

        Raises:
            InvalidArgumentError: If the earlier run is a batch; use `results`.
        """
        if len(self.results) != 1:
            raise InvalidArgumentError(f"run {self.plan.run_id} is a batch of {len(self.results)} items: use results")
        return self.results[0]
