"""The flow of a run, as its author wrote it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import StepflowClientError
from ..flows.additions import Origin, as_written, origin_of
from .blobs import BlobStore
from .connection import Connection
from .runs import RunReader

__all__ = ["RunFlow", "flow_of_run"]


class RunFlow(NamedTuple):
    """The flow of a run, and the origin of a rerun."""

    flow: dict[str, Any]
    origin: Origin | None


async def flow_of_run(connection: Connection, runs: RunReader, blobs: BlobStore, run_id: str, flow_id: str) -> RunFlow:
    """Return the flow of a run with its integers; `get_run_flow` returns it with other paths and without integers."""
    stored: Any = None
    if (await connection.server()).capabilities["blobs"]:
        try:
            stored = (await blobs.get_blob(flow_id)).data
        except StepflowClientError:
            stored = None
    if not isinstance(stored, dict):
        stored = await runs.stored_flow(run_id)
    return RunFlow(as_written(stored), origin_of(stored))
