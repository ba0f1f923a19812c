"""The flow of a run, as it was stored."""

from __future__ import annotations

from typing import Any

from .._rules.creation import untagged
from ..errors import StepflowClientError
from .blobs import BlobStore
from .connection import Connection
from .runs import RunReader

__all__ = ["flow_of_run"]


async def flow_of_run(
    connection: Connection, runs: RunReader, blobs: BlobStore, run_id: str, flow_id: str
) -> dict[str, Any]:
    """Return the flow of a run as it was stored; `get_run_flow` returns it with other paths and without integers."""
    if (await connection.server()).capabilities["blobs"]:
        try:
            data = (await blobs.get_blob(flow_id)).data
        except StepflowClientError:
            data = None
        if isinstance(data, dict):
            return untagged(data)
    return (await runs.get_run_flow(run_id)).flow
