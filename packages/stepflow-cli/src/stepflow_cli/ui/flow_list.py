"""The flows that a server has runs of: servers do not list flows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median_low

from starlette.concurrency import run_in_threadpool
from stepflow_client import RunDetails, StepflowClient, StepflowClientError
from stepflow_client._command import list_server_aliases

from ..settings.history import CommandHistory
from .flow_folder import FlowFile, FlowFolder

_PAGE = 1_000
_MAX_PAGES = 5
_MAX_SUB_RUNS = 1_000
_MAX_RECORDED = 2_000
# Maximum number of flows whose runs are requested separately.
_MAX_SEPARATE = 100
_MARKS = 12


@dataclass
class ListedFlow:
    """A flow with its runs, newest first, as far as they were read."""

    name: str
    runs: list[RunDetails] = field(default_factory=list)

    @property
    def newest(self) -> RunDetails:
        """The newest run."""
        return self.runs[0]

    @property
    def marks(self) -> list[RunDetails]:
        """The last runs, oldest first."""
        return list(reversed(self.runs[:_MARKS]))

    @property
    def success_rate(self) -> float | None:
        """The part of the ended runs that completed; None if none has ended."""
        ended = [run for run in self.runs if run.is_finished]
        return sum(run.status.value == "completed" for run in ended) / len(ended) if ended else None

    @property
    def seconds(self) -> float | None:
        """The median duration of completed runs, a duration that one of them has; None if there are none."""
        durations = [run.duration for run in self.runs if run.status.value == "completed" and run.duration is not None]
        return median_low(durations) if durations else None


@dataclass
class FlowList:
    """What the page of flows shows."""

    flows: list[ListedFlow]
    sub_flows: list[ListedFlow]
    files: list[FlowFile]
    """Files of the folder whose flows have no runs."""
    read: int
    """The number of newest runs that were read."""
    since: datetime | None
    """When the oldest of them was created; None if all runs were read."""


async def list_flows(
    client: StepflowClient, history: CommandHistory, folder: FlowFolder | None = None, text: str = ""
) -> FlowList:
    """Return the flows of a server whose names contain a text.

    They are those of the newest 5,000 runs, of the history and of the folder: the runs of a busy flow hide no other
    flow that was ever run from this machine, or whose file is in the folder.
    """
    # The newest runs that no step created.
    runs: list[RunDetails] = []
    is_all = False
    while not is_all and len(runs) < _PAGE * _MAX_PAGES:
        page = (await client.list_runs(limit=_PAGE, offset=len(runs), roots_only=True)).runs
        runs += page
        is_all = len(page) < _PAGE
    sub_runs = [run for run in (await client.list_runs(limit=_MAX_SUB_RUNS)).runs if run.parent_run_id is not None]
    flows, sub_flows = _group_by_flow(runs), _group_by_flow(sub_runs)
    files = await run_in_threadpool(folder.files) if folder is not None else []
    if not is_all:
        names = [
            *await run_in_threadpool(_list_recorded_names, history, client.url),
            *(file.flow_name for file in files),
        ]
        missing = [name for name in dict.fromkeys(names) if name and name not in flows]
        for name in missing[:_MAX_SEPARATE]:
            flow_runs = (await client.list_runs(limit=_MARKS, flow_name=name, roots_only=True)).runs
            if flow_runs:
                flows[name] = ListedFlow(name, flow_runs)
    word = text.lower()
    return FlowList(
        flows=[flow for flow in flows.values() if word in flow.name.lower()],
        sub_flows=[flow for flow in sub_flows.values() if word in flow.name.lower()],
        files=[
            file for file in files if file.flow_name not in flows and word in f"{file.flow_name} {file.name}".lower()
        ],
        read=len(runs),
        since=None if is_all or not runs else runs[-1].created_at,
    )


def _group_by_flow(runs: Iterable[RunDetails]) -> dict[str, ListedFlow]:
    flows: dict[str, ListedFlow] = {}
    for run in runs:
        name = run.flow_name or run.flow_id
        flows.setdefault(name, ListedFlow(name)).runs.append(run)
    return flows


def _list_recorded_names(history: CommandHistory, url: str) -> list[str]:
    """Return the names of the flows in the history that were run on this server, newest first."""
    try:
        entries = history.search(server=list_server_aliases(url), limit=_MAX_RECORDED)
    except StepflowClientError:
        return []
    names = (entry.flow.get("name") for entry in entries if isinstance(entry.flow, dict))
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))
