"""The folder of flow files that `stepflow ui --flows` names. Nothing outside of it is read or written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from stepflow_client import StepflowClientError
from stepflow_client._stores.user_files import write_file
from stepflow_client.flows.flow_argument import load_flow
from stepflow_client.flows.folders import find_flow_files

from ..flow_tests.item_to_save import rate_match

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
