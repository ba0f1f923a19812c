"""The folder of flow files shown by `stepflow ui --flows`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from stepflow_client import StepflowClientError
from stepflow_client._stores.atomic_file_writes import write_file
from stepflow_client.flows.project import find_possible_flow_files, is_flow_file
from stepflow_client.flows.reading import load_flow

from ..flow_tests.save_run_as_case import rate_flow_match

_MAX_FILES = 2_000
_MAX_FILE_BYTES = 2 * 2**20
_FileVersion = tuple[int, int]


@dataclass(frozen=True)
class FlowFile:
    """A flow file in the folder."""

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

    Files are looked up by comparing the requested path with the relative paths of the listed files. Names sent by
    browsers are never used as file paths.

    Raises:
        OSError: If the folder doesn't exist.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve(strict=True)
        self._read_files: dict[Path, tuple[_FileVersion, FlowFile | None]] = {}

    def list_flow_files(self) -> list[FlowFile]:
        """Return the flow files, sorted by name. Files that haven't changed since the last call aren't read again."""
        files = map(self._load_if_changed, find_possible_flow_files(self.root))
        return list(islice(filter(None, files), _MAX_FILES))

    def find_file_by_relative_path(self, name: str) -> FlowFile | None:
        """Return the flow file with this relative path, or None if the folder has no such file."""
        return next((file for file in self.list_flow_files() if file.name == name), None)

    def list_likely_source_files(self, flow: Mapping[str, Any], recorded: str | None = None) -> list[FlowFile]:
        """Return the files that a flow may have come from, with the most likely one first.

        Args:
            flow: The flow as its author wrote it.
            recorded: The path recorded when the run was started, if known.
        """
        ranked = []
        for file in self.list_flow_files():
            score = rate_flow_match(file.flow, flow)
            is_recorded = score > 0 and recorded is not None and Path(recorded) == file.path
            ranked.append((score + 10 * is_recorded, file))
        return [file for score, file in sorted(ranked, key=lambda pair: -pair[0]) if score]

    def write_if_unchanged(self, file: FlowFile, content: bytes, *, expected_content: bytes) -> None:
        """Replace a file's content if it's still `expected_content`.

        Raises:
            FileChangedError: If the file has changed since it was read.
            OSError: If the file can't be written, or is no longer a regular file inside the folder.
        """
        if not self._is_inside_folder(file.path):
            raise OSError(f"{file.name} is outside {self.root}")
        write_file(file.path, content, expected_content=expected_content)

    def _is_inside_folder(self, path: Path) -> bool:
        try:
            return path.resolve(strict=True) == path and path.is_relative_to(self.root)
        except (OSError, RuntimeError):
            # Before Python 3.13, a symbolic link loop raises RuntimeError.
            return False

    def _load_if_changed(self, path: Path) -> FlowFile | None:
        # Skip symbolic links, because they could point outside the folder.
        if not self._is_inside_folder(path):
            return None
        status = path.stat()
        version = (status.st_mtime_ns, status.st_size)
        if path not in self._read_files or self._read_files[path][0] != version:
            file = None
            # Ignore files that can't be read as flows. `stepflow validate` reports them.
            with suppress(StepflowClientError):
                if status.st_size <= _MAX_FILE_BYTES and is_flow_file(path):
                    file = FlowFile(path.relative_to(self.root).as_posix(), path, load_flow(str(path)))
            self._read_files[path] = version, file
        return self._read_files[path][1]
