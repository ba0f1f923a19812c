"""The flows of a server, of its runs, and of the folder that `stepflow ui --flows` names, which nothing leaves."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from statistics import median_low
from typing import Any

from starlette.concurrency import run_in_threadpool
from stepflow_client import RunDetails, StepflowClient, StepflowClientError
from stepflow_client._command import list_server_aliases
from stepflow_client._stores.user_files import write_file
from stepflow_client.flows.project import find_flow_files
from stepflow_client.flows.reading import load_flow

from ..flow_tests.saved_cases import rate_match
from ..settings.history import CommandHistory

_MAX_FILES = 2_000
_MAX_BYTES = 2 * 2**20
_Version = tuple[int, int]


@dataclass(frozen=True)
class FlowFile:
    """A flow file in the folder."""

    name: str
    """The path within the folder, with `/`."""
    path: Path
    flow: Mapping[str, Any]

    @property
    def flow_name(self) -> str:
        """The name of the flow; empty if it has none."""
        name = self.flow.get("name")
        return name if isinstance(name, str) else ""


class FlowFolder:
    """The flow files in a folder and below it.

    Files are named by their path within the folder, and found only among those that were listed, so that no name that a
    browser sends is used as a path.

    Raises:
        OSError: If it does not exist.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Resolve the folder. No file is read."""
        self.root = Path(root).resolve(strict=True)
        self._read: dict[Path, tuple[_Version, FlowFile | None]] = {}

    def files(self) -> list[FlowFile]:
        """Return the flows, in the order of their names. Files that have not changed are not read again."""
        files = map(self._read_flow_file, islice(find_flow_files(self.root), _MAX_FILES))
        return [file for file in files if file is not None]

    def find(self, name: str) -> FlowFile | None:
        """Return a file by its name; None if the folder has no such flow."""
        return next((file for file in self.files() if file.name == name), None)

    def rank_candidates(self, flow: Mapping[str, Any], recorded: str | None = None) -> list[FlowFile]:
        """Return the files that may be the source of a flow, the most likely one first.

        Args:
            flow: The flow, as its author wrote it.
            recorded: The path of the file that its run was started with, if it is known.
        """
        ranked = []
        for file in self.files():
            score = rate_match(file.flow, flow)
            is_recorded = score > 0 and recorded is not None and Path(recorded) == file.path
            ranked.append((score + 10 * is_recorded, file))
        return [file for score, file in sorted(ranked, key=lambda pair: -pair[0]) if score]

    def write(self, file: FlowFile, content: bytes, *, unchanged_from: bytes) -> None:
        """Replace the content of a file that still has the content `unchanged_from`.

        Raises:
            FileChangedError: If it has changed.
            OSError: If it cannot be written, or is no longer a regular file inside of the folder.
        """
        if not self._is_inside(file.path):
            raise OSError(f"{file.name} is outside of {self.root}")
        write_file(file.path, content, unchanged_from=unchanged_from)

    def _is_inside(self, path: Path) -> bool:
        try:
            return path.resolve(strict=True) == path and path.is_relative_to(self.root)
        except OSError:
            return False

    def _read_flow_file(self, path: Path) -> FlowFile | None:
        # Links are left out: they may lead out of the folder.
        if not self._is_inside(path):
            return None
        status = path.stat()
        version = (status.st_mtime_ns, status.st_size)
        if path not in self._read or self._read[path][0] != version:
            file = None
            # `stepflow validate` reports files that cannot be read.
            with suppress(StepflowClientError):
                if status.st_size <= _MAX_BYTES:
                    file = FlowFile(path.relative_to(self.root).as_posix(), path, load_flow(str(path)))
            self._read[path] = version, file
        return self._read[path][1]


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
