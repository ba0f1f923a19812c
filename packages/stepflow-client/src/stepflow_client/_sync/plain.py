# Written from _async/plain.py by `make generate`. Change that file instead.

"""Reading runs and results without pydantic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._codec import json_bodies, responses, run_states
from .._codec.summaries import UnusualError, run_fields
from .._shared.run_call import ResultCall
from ..plain import PlainResult, PlainRun
from ..types.statuses import ExecutionStatus, read_status
from .listing import RunLister

if TYPE_CHECKING:
    from .._codec.requests import RunId
    from ..types import FlowResult, ListItemsResponse, RunDetails
    from .core import Core
    from .waiting import Waiter


class SyncPlainReader(RunLister["RunDetails | PlainRun"]):
    """Reads runs and results as plain objects: see `stepflow_client.plain`."""

    def __init__(self, core: Core, waiter: Callable[[], Waiter]) -> None:
        super().__init__(core.connection, core.recorder, plain_runs)
        self._runs = core.runs
        self._waiter = waiter

    def get_result(self, run_id: RunId, *, timeout: float | None = None) -> FlowResult | PlainResult:
        """Wait until a run of one item ends and return its result: a `PlainResult` if it succeeded.

        The arguments and errors are those of the client's `get_result`.
        """
        call = ResultCall(run_id, timeout=timeout, single=True)
        run, found = self._waiter().recorded("get_result", call, self._ended)
        if isinstance(found, PlainResult):
            return found
        return responses.only_result(found, run.status, self._connection.reading(run.run_id))

    def _ended(
        self, run_id: str, status: ExecutionStatus, answers: list[dict[str, Any]] | None
    ) -> PlainResult | ListItemsResponse:
        reading = self._connection.reading(run_id)
        told = self._runs.item_answers(run_id) if answers is None else answers
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
