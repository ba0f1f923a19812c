"""The flows served as tools. They're reloaded when their files change."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepflow_client import FlowFileError, InvalidArgumentError
from stepflow_client._command import check_json
from stepflow_client.flows.project import find_flow_files

from ..errors import Problem, usage
from ..inputs.command_line_values import RunValues
from ..inputs.flow_loading import load_flow_argument
from ..output.messages import note

if TYPE_CHECKING:
    from stepflow_client._codec.flow_tools import FlowToolSpec
    from stepflow_client._data.secrets import Secrets

_MAX_FLOWS = 500
_FileVersion = tuple[int, int] | None


class FlowCatalog:
    """Offers the flows in files and folders as tools.

    Args:
        sources: Flow files, or folders of flow files.
        values: Values for variables. Each flow gets the values of the variables that it declares.
        reserved: Names that are already taken by other tools.

    Raises:
        Problem, FlowFileError, InvalidArgumentError: If a file in `sources` can't be read or used as a tool. A file
        found in a folder is skipped with a note instead.
    """

    def __init__(self, sources: Sequence[str], values: RunValues | None = None, reserved: Collection[str] = ()) -> None:
        if "-" in sources:
            raise usage("a flow on standard input cannot be served", "name its file")
        self._sources = sources
        self._values = values or RunValues()
        self.variables: Mapping[str, Mapping[str, Any]] = {}
        """Each flow's variable values, by tool name."""
        self._reserved = reserved
        self._read_files: dict[str, tuple[_FileVersion, dict[str, Any] | None]] = {}
        self._is_starting = True
        self.tools: Mapping[str, FlowToolSpec] = {}
        """The tools by name."""
        self.secrets: Sequence[Secrets] = ()
        """Secrets to hide in all responses."""
        self._files: dict[str, str] = {}
        self.reload_changed_files()
        if not self.tools:
            raise usage("no flows to serve", "name flow files, or a folder of them")
        self._is_starting = False

    def get_flow_file(self, name: str) -> str:
        """Return the file containing a tool's flow."""
        return self._files[name]

    def hide_secrets(self, value: Any) -> Any:
        """Return a JSON value with the secrets hidden."""
        for secret in self.secrets:
            value = secret.hide_in(value)
        return value

    def reload_changed_files(self) -> bool:
        """Reload changed files. Return whether any flows were added, changed or removed."""
        from stepflow_client._codec.flow_tools import make_tool_name, make_tool_spec, make_unique_name

        tools: dict[str, FlowToolSpec] = {}
        files: dict[str, str] = {}
        for path in self._iter_flow_paths():
            flow = self._load_if_changed(path)
            if flow is not None and len(tools) < _MAX_FLOWS:
                name = make_unique_name(make_tool_name(flow, path), {*self._reserved, *tools})
                spec = self.tools.get(name)
                if spec is None or not (spec.flow is flow or spec.flow == flow):
                    try:
                        spec = make_tool_spec(flow, name)
                    except InvalidArgumentError as error:
                        self._skip_or_raise(path, error)
                        self._read_files[path] = (self._read_files[path][0], None)
                        continue
                tools[name], files[name] = spec, path
        is_changed = tools != self.tools
        if is_changed:
            # Read the variables before assigning anything, so that an error leaves the previous version intact.
            read = self._values.read_variables
            variables = {name: spec.drop_unknown_variables(read(spec.flow) or {}) for name, spec in tools.items()}
            self.tools, self._files, self.variables = tools, files, variables
            self.secrets = [secret for name, spec in tools.items() for secret in spec.get_secrets(variables[name])]
        return is_changed

    def _iter_flow_paths(self) -> Iterator[str]:
        for source in self._sources:
            if os.path.isdir(source):
                yield from map(str, find_flow_files(source))
            else:
                yield source

    def _load_if_changed(self, path: str) -> dict[str, Any] | None:
        try:
            status = Path(path).stat()
            version: _FileVersion = (status.st_mtime_ns, status.st_size)
        except OSError:
            version = None
        read = self._read_files.get(path)
        if read is None or read[0] != version:
            flow: dict[str, Any] | None
            try:
                flow = check_json(load_flow_argument(path), path)
            except (FlowFileError, InvalidArgumentError, Problem) as error:
                self._skip_or_raise(path, error)
                # The file may have been read while it was being written, so keep serving the previous version.
                flow = read[1] if read is not None and version is not None else None
            read = self._read_files[path] = (version, flow)
        return read[1]

    def _skip_or_raise(self, path: str, error: FlowFileError | InvalidArgumentError | Problem) -> None:
        """Print a note that a file isn't served.

        During startup, raise the error instead if the file is in `sources`.
        """
        if self._is_starting and path in self._sources:
            raise error
        about = "" if path in error.message else f"{path}: "
        note(f"{about}{error.message}; it is not served")
