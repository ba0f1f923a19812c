"""The flows on the flows page: from the server, the history, and the `stepflow ui --flows` folder."""

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

from ..flow_tests.save_run_as_case import rate_flow_match
from ..settings.history import LazyRunHistory

_MAX_FILES = 2_000
_MAX_BYTES = 2 * 2**20
_Version = tuple[int, int]


@dataclass(frozen=True)
class FlowFile:
    """A flow file from the folder."""

    name: str
    """The path relative to the folder, with forward slashes."""
    path: Path
    flow: Mapping[str, Any]

    @property
    def flow_name(self) -> str:
        """The flow's name, or an empty string if it has none."""
        name = self.flow.get("name")
        return name if isinstance(name, str) else ""


class FlowFolder:
    """The flow files in a folder and its subfolders.

    Files are looked up by relative path among those already listed. A name sent by a browser is never used as a path.

    Raises:
        OSError: If the folder doesn't exist.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve(strict=True)
        self._read: dict[Path, tuple[_Version, FlowFile | None]] = {}

    def list_flow_files(self) -> list[FlowFile]:
        """Sorted by file name. Files that haven't changed aren't read again."""
        files = map(self._load_if_changed, islice(find_flow_files(self.root), _MAX_FILES))
        return [file for file in files if file is not None]

    def find_file_by_relative_path(self, name: str) -> FlowFile | None:
        """Return the file with this name, or None if the folder has no such flow."""
        return next((file for file in self.list_flow_files() if file.name == name), None)

    def list_likely_source_files(self, flow: Mapping[str, Any], recorded: str | None = None) -> list[FlowFile]:
        """Return the files a flow could be from, most likely first.

        Args:
            flow: The flow as its author wrote it.
            recorded: The path recorded when its run was started, if known.
        """
        ranked = []
        for file in self.list_flow_files():
            score = rate_flow_match(file.flow, flow)
            is_recorded = score > 0 and recorded is not None and Path(recorded) == file.path
            ranked.append((score + 10 * is_recorded, file))
        return [file for score, file in sorted(ranked, key=lambda pair: -pair[0]) if score]

    def write_if_unchanged(self, file: FlowFile, content: bytes, *, expected_content: bytes) -> None:
        """Replace a file's content if it is still `expected_content`.

        Raises:
            FileChangedError: If the file has changed.
            OSError: If the file can't be written, or is no longer a regular file inside the folder.
        """
        if not self._is_inside_folder(file.path):
            raise OSError(f"{file.name} is outside {self.root}")
        write_file(file.path, content, expected_content=expected_content)

    def _is_inside_folder(self, path: Path) -> bool:
        try:
            return path.resolve(strict=True) == path and path.is_relative_to(self.root)
        except OSError:
            return False

    def _load_if_changed(self, path: Path) -> FlowFile | None:
        # Skip symbolic links, since they could point outside the folder.
        if not self._is_inside_folder(path):
            return None
        status = path.stat()
        version = (status.st_mtime_ns, status.st_size)
        if path not in self._read or self._read[path][0] != version:
            file = None
            # Ignore unreadable files; `stepflow validate` reports them.
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
class FlowWithRuns:
    """A flow with its runs, newest first, as far as they were read."""

    name: str
    runs: list[RunDetails] = field(default_factory=list)

    @property
    def newest_run(self) -> RunDetails:
        """The most recent run."""
        return self.runs[0]

    @property
    def latest_runs(self) -> list[RunDetails]:
        """The latest runs, oldest first."""
        return list(reversed(self.runs[:_MARKS]))

    @property
    def success_rate(self) -> float | None:
        """The fraction of finished runs that completed, or None if no runs have finished."""
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
    """Files whose flows have no runs."""
    read: int
    """How many of the newest runs were read."""
    since: datetime | None
    """Creation time of the oldest run read, or None if all runs were read."""


async def search_flows(
    client: StepflowClient, history: LazyRunHistory, folder: FlowFolder | None = None, text: str = ""
) -> FlowsPageContents:
    """Return a server's flows whose names contain `text`.

    Flows come from the newest 5,000 runs, the history and the folder. That way, a busy flow can't crowd out flows that
    once ran from this machine or have a file in the folder.
    """
    # Start with the newest root runs.
    runs: list[RunDetails] = []
    is_all = False
    while not is_all and len(runs) < _PAGE * _MAX_PAGES:
        page = (await client.list_runs(limit=_PAGE, offset=len(runs), roots_only=True)).runs
        runs += page
        is_all = len(page) < _PAGE
    sub_runs = [run for run in (await client.list_runs(limit=_MAX_SUB_RUNS)).runs if run.parent_run_id is not None]
    flows, sub_flows = _group_runs_by_flow(runs), _group_runs_by_flow(sub_runs)
    files = await run_in_threadpool(folder.list_flow_files) if folder is not None else []
    if not is_all:
        names = await run_in_threadpool(_list_recorded_flow_names, history, client.url)
        names += [file.flow_name for file in files]
        missing = [name for name in dict.fromkeys(names) if name and name not in flows]
        for name in missing[:_MAX_SEPARATE]:
            flow_runs = (await client.list_runs(limit=_MARKS, flow_name=name, roots_only=True)).runs
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
    """Return the names of flows that the history says were run on this server, newest first."""
    try:
        entries = history.search(server=list_server_aliases(url), limit=_MAX_RECORDED)
    except StepflowClientError:
        return []
    names = (entry.flow.get("name") for entry in entries if isinstance(entry.flow, dict))
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))
