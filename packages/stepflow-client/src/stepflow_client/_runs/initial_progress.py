"""A run's initial progress, before its first event."""

from __future__ import annotations

from typing import Any

from .._rules.run_progress import RunProgress
from ..flows.graph import get_steps_by_id
from ..types.runs import RunSnapshot


def build_initial_progress(snapshot: RunSnapshot, **more: Any) -> RunProgress:
    """Return the progress of a run that is about to be followed.

    Args:
        snapshot: The run with its flow. Include its arguments to mark kept steps.
        **more: Further arguments for `RunProgress`.
    """
    run, arguments = snapshot.details, snapshot.arguments
    flow = run.flow_name, dict(enumerate(get_steps_by_id(snapshot.flow or {})))
    kept = () if arguments is None else arguments.kept
    return RunProgress(run.run_id, flow, total=run.items.total, created_at=run.created_at, kept=kept, **more)
