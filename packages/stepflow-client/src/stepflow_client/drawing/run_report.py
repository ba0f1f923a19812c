"""A report of one run: its data, from a server, and its page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import lazy_module
from .._base.not_given import NOT_GIVEN, NotGiven
from .._data.arguments import check_instance
from .._rules.call_scope import call_scope
from .report_data import ReportData, masked

if TYPE_CHECKING:
    from .._codec.requests import RunId
    from .._sync.client import SyncStepflowClient

# It reads reports.
_page = lazy_module("stepflow_client.drawing.report_page")


class RunReport(ReportData):
    """The data of a report of one run. Known values of secret variables are replaced by `***`."""

    def __repr__(self) -> str:
        count = len(self.items)
        return f"<RunReport of run {self.run.run_id}: {self.run.status.value}, {count} item{'s' * (count != 1)}>"

    def html(self) -> str:
        """Return the report as a page: a single file without scripts that loads no other files."""
        page: str = _page.report_page([self])
        return page


def gather(client: SyncStepflowClient, run_id: RunId, *, timeout: float | NotGiven | None = NOT_GIVEN) -> RunReport:
    """Return the data that a server has on a run. A run that has not ended is reported in its current state.

    Secret values are the defaults of the flow's secret variables, the values of the environment variables that the flow
    names for them, and, if the client itself started the run, all values that it passed for them.

    The arguments of the run come from the server, if it reports them, or from the client's `history`.

    Args:
        client: A client of the server.
        run_id: The run.
        timeout: Seconds for the whole call; None for no limit. Default: the client's timeout, for each request.

    Raises:
        NotFoundError: If the server has no such run.
        RequestTimeoutError: If the timeout expires.
    """
    from .._sync.client import SyncStepflowClient

    check_instance(client, "client", SyncStepflowClient)
    with call_scope(timeout):
        snapshot = client._services.snapshots.read(run_id, ("items", "steps", "flow", "arguments", "counts"))
        times = client._services.timer.times(snapshot.run_id, list(snapshot.steps or ())).found
    return RunReport(masked(snapshot), times)
