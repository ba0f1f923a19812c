"""What became of the steps of a run: requested from the server only if something failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepflow_client import RunAccount, RunDetails, StepAccount, StepDetails, SyncStepflowClient

__all__ = ["account_of_run", "accounts_of_steps"]


def accounts_of_steps(
    client: SyncStepflowClient, run_id: str, steps: Sequence[StepDetails]
) -> dict[tuple[int, str], StepAccount]:
    """Return the account of each listed step, by item index and step id.

    Args:
        client: A client of the server.
        run_id: The run.
        steps: Its steps, or those of one item.
    """
    from stepflow_client.flows.account import accounts_of, failed_children

    if not any(step.error is not None or any(failed_children(step.output)) for step in steps):
        return {}
    indexes = {step.item_index for step in steps}
    items = [item for item in client.get_run_items(run_id) if item.index in indexes]
    accounts = accounts_of(client.get_run(run_id), items, steps, flow_of(client, run_id))
    return {(index, step.step_id): step for index, account in accounts.items() for step in account.steps}


def flow_of(client: SyncStepflowClient, run_id: str) -> Mapping[str, Any]:
    """Return the flow of a run; an empty one if the server does not have it."""
    from stepflow_client import NotFoundError, UnsupportedByServerError

    try:
        return client.get_run_flow(run_id).flow
    except (NotFoundError, UnsupportedByServerError):
        # The flow of a run created by a step may not be stored.
        return {}


def account_of_run(client: SyncStepflowClient, run: RunDetails) -> RunAccount | None:
    """Return the account of a run that did not succeed; None for another run.

    Args:
        client: A client of the server.
        run: The run.
    """
    if run.status.value not in ("failed", "cancelled", "recovery_failed") or not run.items.total:
        return None
    return client.explain_run(run.run_id)
