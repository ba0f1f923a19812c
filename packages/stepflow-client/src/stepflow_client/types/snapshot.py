"""Everything that is known about a run at one moment, as `snapshot` returns it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from .account import RunAccount
from .models import Model, field, record
from .run_parts import RunArguments, RunItem, StepDetails
from .runs import ItemCounts, RunDetails
from .shown import Shown

__all__ = ["RunSnapshot", "SnapshotPart"]

SnapshotPart = Literal["items", "steps", "flow", "arguments", "account", "counts"]
"""A part of a snapshot that is read only if it is requested."""


@record(kw_only=False)
class RunSnapshot(Model, Shown):
    """A run at one moment: its state, and the parts that were requested. The other parts are None."""

    details: RunDetails
    """The run and its state."""
    items: Sequence[RunItem] | None = field(default=None, repr=False)
    """The items, in the order of their inputs. Failed items have the error of the step that failed first."""
    steps: Sequence[StepDetails] | None = field(default=None, repr=False)
    """The steps that were started, by item; None as well if the server does not report them. Only the steps of one item
    if that item, or only its account, was requested."""
    flow: Mapping[str, Any] | None = field(default=None, repr=False)
    """The flow as its author wrote it; empty if the server does not have it."""
    arguments: RunArguments | None = field(default=None, repr=False)
    """The arguments that the run was started with, as far as the server or the client's history has them."""
    counts: ItemCounts | None = None
    """Numbers of items by state."""
    has_all_steps: bool = True
    """False if the states of the steps may be old: servers before 0.12 do not update those of a cancelled run."""

    _stored: Mapping[str, Any] | None = field(default=None, repr=False)
    """The flow as it is stored, with the metadata of the client that runs it."""

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.details.run_id

    @property
    def account(self) -> RunAccount | None:
        """Why an item of the run failed, and what became of its steps: the same as `details.account`."""
        return self.details.account
