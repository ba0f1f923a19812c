"""The files that a watched command reads, and waiting for their changes.

Polling works on every file system, including network mounts and containers, notices editors that replace files by
renaming, and needs no further package.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator

from stepflow_client.flows.flow_argument import is_flow_id

from ..inputs.files import DATA_SUFFIXES, Signature, get_signature
from ..inputs.flow import find_flow_project
from ..inputs.python_flow import is_python_flow, list_module_files
from ..settings.server_choice import ServerOptions, choose_server

# Minimum number of seconds between two polls.
_SECONDS = 0.02
# Seconds without a change after which files count as complete: editors write a file in several steps.
_SETTLED_SECONDS = 0.1
# Maximum share of the time that is spent on polling.
_SHARE = 0.05
_MAX_FILES = 20_000


class WatchedFiles:
    """Files and their last known state.

    Args:
        find: Returns the files, and the folders whose files are watched.
    """

    def __init__(self, find: Callable[[], Iterable[str]]) -> None:
        """Read the times and sizes of the files."""
        self._find = find
        self._paths = list(find())
        self._known: dict[str, Signature] = {}
        self._known = self._poll()

    @property
    def count(self) -> int:
        """The number of files."""
        return len(self._known)

    def wait(self) -> list[str]:
        """Wait until files have changed since the last call, and are no longer being written. Return their names."""
        while (now := self._poll()) == self._known:
            self._pause()
        since = time.monotonic()
        while time.monotonic() - since < _SETTLED_SECONDS:
            self._pause()
            later = self._poll()
            if later != now:
                now, since = later, time.monotonic()
        before, self._known = self._known, now
        return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))

    def refresh(self) -> None:
        """Update the list of files, because changed files may refer to others. Pending changes are kept."""
        paths = list(self._find())
        if paths != self._paths:
            self._paths = paths
            self._known = {name: self._known.get(name, each) for name, each in self._poll().items()}

    def _poll(self) -> dict[str, Signature]:
        started = time.monotonic()
        signatures: dict[str, Signature] = {}
        for path in self._paths:
            for name in _iter_data_files(path) if os.path.isdir(path) else (path,):
                now = get_signature(name)
                if now is None or now[1]:
                    signatures[name] = now
                elif name in self._known:
                    # An empty file is still being written.
                    signatures[name] = self._known[name]
                if len(signatures) >= _MAX_FILES:
                    break
        self._cost = time.monotonic() - started
        return signatures

    def _pause(self) -> None:
        time.sleep(max(_SECONDS, self._cost / _SHARE))


def _iter_data_files(folder: str) -> Iterable[str]:
    for inside, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        yield from (os.path.join(inside, name) for name in names if os.path.splitext(name)[1].lower() in DATA_SUFFIXES)


def list_watched_files(flow: str, server: ServerOptions | None = None) -> Iterator[str]:
    """Yield a flow's files or folder, and the files that configure how it is checked and run.

    Args:
        flow: The flow's file, a folder of flows, or the id of a stored flow.
        server: The server options; with an embedded server, its configuration is included.

    Raises:
        Problem, FlowFileError: If the settings of the project are invalid.
    """
    if is_python_flow(flow):
        yield from list_module_files(flow)
    elif not is_flow_id(flow):
        yield flow
    project = find_flow_project(flow)
    for path in (project.file, project.components, project.test_config):
        if path is not None:
            yield str(path)
    if project.file is None and not is_flow_id(flow):
        # The file may be created while the command is watching.
        yield os.path.join(flow if os.path.isdir(flow) else os.path.dirname(flow), "stepflow.toml")
    choice = None if server is None else choose_server(server, flow)
    if choice is not None and choice.is_embedded and choice.config.value is not None:
        yield choice.config.value
