# Written from _async/plain.py by `make generate`. Change that file instead.

"""Reading runs and results without pydantic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._codec import json_bodies, responses, run_states
from .._codec.summaries import UnusualError, run_fields
from .._shared.recorder import Recorder
from ..plain import PlainResult, PlainRun
from ..types.statuses import ExecutionStatus, read_status
from .connection import Connection
from .listing import RunLister
from .runs import RunReader

if TYPE_CHECKING:
    from .._codec.requests import RunId
    from ..types import FlowResult, ListItemsResponse, RunDetails
    from .waiting import Waiter


class SyncPlainReader(RunLister["RunDetails | PlainRun"]):
    """Reads runs and results as plain objects: see `stepflow_client.plain`."""

    def __init__(
        self, connection: Connection, runs: RunReader, waiter: Callable[[], Waiter], recorder: Recorder
    ) -> None:
        super().__init__(connection, recorder, plain_runs)
        self._runs = runs
        self._waiter = waiter

    def get_result(self, run_id: RunId, *, timeout: float | None = None) -> FlowResult | PlainResult:
        """Wait until a run of one item ends and return its result: a `PlainResult` if it succeeded.

        The arguments and errors are those of the client's `get_result`.
        """
        with self._connection.traced("get_result", kind="INTERNAL") as span:
            run, found = self._waiter().finished(run_id, wait=True, timeout=timeout, single=True, read=self._ended)
            span.note(run_id=run.run_id, run_status=run.status.value)
        self._recorder.ended(run.run_id, run.status)
        if isinstance(found, PlainResult):
            return found
        return responses.only_result(found, run.status, self._connection.reading(run.run_id))

    def _ended(self, run_id: str, status: ExecutionStatus) -> PlainResult | ListItemsResponse:
        reading = self._connection.reading(run_id)
        told = self._runs.item_answers(run_id, None)
        if len(told) == 1 and {status, read_status(told[0]["status"])} == {ExecutionStatus.COMPLETED}:
            output = json_bodies.build(
                lambda item: reading.flow_output(item.get("output")), told[0], f"GET /runs/{run_id}"
            )
            return PlainResult(run_id, output)
        return self._runs.explain(responses.items(run_id, told, reading), status)


def plain_runs(answer: dict[str, Any]) -> list[RunDetails | PlainRun]:
    """Read a list of runs: as plain ones if all of them are of the usual form."""
    try:
        return [PlainRun(run_fields(run_states.checked_summary(summary))) for summary in answer["runs"]]
    except UnusualError:
        return list(responses.runs(answer).runs)
