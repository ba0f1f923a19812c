"""The folder of flow files that `stepflow ui --flows` names. Nothing outside of it is read or written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from stepflow_client import StepflowClientError
from stepflow_client._stores.user_files import write_file
from stepflow_client.flows.flow_argument import load_flow
from stepflow_client.flows.folders import flow_files

from ..flow_tests.kept import match_score

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
        found = [self._file(path) for path in islice(flow_files(self.root), _MAX_FILES)]
        return [each for each in found if each is not None]

    def named(self, name: str) -> FlowFile | None:
        """Return a file by its name; None if the folder has no such flow."""
        return next((each for each in self.files() if each.name == name), None)

    def candidates(self, flow: Mapping[str, Any], recorded: str | None = None) -> list[FlowFile]:
        """Return the files that may be the source of a flow, the most likely one first.

        Args:
            flow: The flow, as its author wrote it.
            recorded: The path of the file that its run was started with, if it is known.
        """
        ranked = [(_likeness(each, flow, recorded), each) for each in self.files()]
        return [each for rank, each in sorted(ranked, key=lambda pair: -pair[0]) if rank]

    def write(self, file: FlowFile, content: bytes, *, unchanged_from: bytes) -> None:
        """Replace the content of a file.

        Args:
            file: The file.
            content: Its new content.
            unchanged_from: The content that it must still have.

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

    def _file(self, path: Path) -> FlowFile | None:
        # Links are left out: they may lead out of the folder.
        if not self._is_inside(path):
            return None
        found = path.stat()
        version = (found.st_mtime_ns, found.st_size)
        known = self._read.get(path)
        if known is None or known[0] != version:
            known = self._read[path] = (version, self._loaded(path) if found.st_size <= _MAX_BYTES else None)
        return known[1]

    def _loaded(self, path: Path) -> FlowFile | None:
        try:
            return FlowFile(path.relative_to(self.root).as_posix(), path, load_flow(str(path)))
        except StepflowClientError:
            # `stepflow validate` reports it.
            return None


def _likeness(file: FlowFile, flow: Mapping[str, Any], recorded: str | None) -> int:
    """Return how likely a flow comes from a file; 0 if it does not."""
    found = match_score(file.flow, flow)
    return found + (10 if found and recorded is not None and Path(recorded) == file.path else 0)
