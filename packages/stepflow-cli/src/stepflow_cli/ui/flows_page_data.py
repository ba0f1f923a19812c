"""Collects the flows for the flows page from the server, the history and the folder of flow files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median_low

from starlette.concurrency import run_in_threadpool
from stepflow_client import RunDetails, StepflowClient, StepflowClientError
from stepflow_client._command import list_server_aliases

from ..settings.run_history import LazyRunHistory
from .flow_folder import FlowFile, FlowFolder

_PAGE_SIZE = 1_000
_MAX_PAGES = 5
_MAX_SUB_RUNS = 1_000
_MAX_RECORDED_RUNS = 2_000
# Maximum number of flows whose runs are fetched. Each of them takes a separate request.
_MAX_SEPARATE_FLOWS = 100
_MAX_SHOWN_RUNS = 12


@dataclass
class FlowWithRuns:
    """A flow, along with the runs that were fetched for it, newest first."""

    name: str
    runs: list[RunDetails] = field(default_factory=list)

    @property
    def newest_run(self) -> RunDetails:
        """The most recent run."""
        return self.runs[0]

    @property
    def latest_runs(self) -> list[RunDetails]:
        """The last few runs, oldest first."""
        return list(reversed(self.runs[:_MAX_SHOWN_RUNS]))

    @property
    def success_rate(self) -> float | None:
        """The fraction of finished runs that completed successfully, or None if no runs have finished."""
        ended = [run for run in self.runs if run.is_finished]
        return sum(run.status.value == "completed" for run in ended) / len(ended) if ended else None

    @property
    def median_duration(self) -> float | None:
        """The (low) median duration of completed runs, or None if no runs have completed."""
        durations = [run.duration for run in self.runs if run.status.value == "completed" and run.duration is not None]
        return median_low(durations) if durations else None


@dataclass
class FlowsPageContents:
    """The contents of the flows page."""

    flows: list[FlowWithRuns]
    sub_flows: list[FlowWithRuns]
    files: list[FlowFile]
    """The files that contain flows that haven't been run."""
    read: int
    """The number of runs that were fetched, starting with the newest."""
    since: datetime | None
    """When the oldest of these runs was created, or None if the server has no older runs."""


async def build_flows_page_contents(
    client: StepflowClient, history: LazyRunHistory, folder: FlowFolder | None = None, text: str = ""
) -> FlowsPageContents:
    """Return a server's flows whose names contain `text`.

    Looks for flows in the newest 5,000 runs, in the history and in the folder. That way, a busy flow can't crowd out
    flows that were run from this machine or have a file in the folder.
    """
    # Start with the newest root runs.
    runs: list[RunDetails] = []
    is_all = False
    while not is_all and len(runs) < _PAGE_SIZE * _MAX_PAGES:
        page = (await client.list_runs(limit=_PAGE_SIZE, offset=len(runs), roots_only=True)).runs
        runs += page
        is_all = len(page) < _PAGE_SIZE
    sub_runs = [run for run in (await client.list_runs(limit=_MAX_SUB_RUNS)).runs if run.parent_run_id is not None]
    flows, sub_flows = _group_runs_by_flow(runs), _group_runs_by_flow(sub_runs)
    files = await run_in_threadpool(folder.list_flow_files) if folder is not None else []
    if not is_all:
        names = await run_in_threadpool(_list_recorded_flow_names, history, client.url)
        names += [file.flow_name for file in files]
        missing = [name for name in dict.fromkeys(names) if name and name not in flows]
        for name in missing[:_MAX_SEPARATE_FLOWS]:
            flow_runs = (await client.list_runs(limit=_MAX_SHOWN_RUNS, flow_name=name, roots_only=True)).runs
            if flow_runs:
                flows[name] = FlowWithRuns(name, flow_runs)
    word = text.lower()
    files = [file for file in files if file.flow_name not in flows and word in f"{file.flow_name} {file.name}".lower()]
    return FlowsPageContents(
        flows=[flow for flow in flows.values() if word in flow.name.lower()],
        sub_flows=[flow for flow in sub_flows.values() if word in flow.name.lower()],
        files=files,
        read=len(runs),
        since=None if is_all or not runs else runs[-1].created_at,
    )


def _group_runs_by_flow(runs: Iterable[RunDetails]) -> dict[str, FlowWithRuns]:
    flows: dict[str, FlowWithRuns] = {}
    for run in runs:
        name = run.flow_name or run.flow_id
        flows.setdefault(name, FlowWithRuns(name)).runs.append(run)
    return flows


def _list_recorded_flow_names(history: LazyRunHistory, url: str) -> list[str]:
    """Return the names of flows that the history has recorded for this server, most recently run first."""
    try:
        entries = history.search(server=list_server_aliases(url), limit=_MAX_RECORDED_RUNS)
    except StepflowClientError:
        return []
    names = (entry.flow.get("name") for entry in entries if isinstance(entry.flow, dict))
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))
