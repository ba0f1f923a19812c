"""Recorded outputs of steps, in a file: tests replay them instead of executing slow or paid steps."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._data.arguments import check_mapping
from .._data.file_paths import file_path
from ..errors import FlowFileError
from ..flows.file import load_file

__all__ = ["Recording"]

_VERSION = 1


class Recording:
    """Outputs by flow, case and step. Flows are identified by their path relative to the folder of the recording."""

    def __init__(self, path: str | Path, flows: Mapping[str, Any] | None = None) -> None:
        """Start an empty recording that can be saved to a file."""
        self.path = file_path(path, "path")
        known = {} if flows is None else check_mapping(flows, "flows")
        self._flows: dict[str, dict[str, dict[str, Any]]] = {
            name: dict(check_mapping(cases, f"flows[{name!r}]")) for name, cases in known.items()
        }

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Return the recording in a file.

        Raises:
            FlowFileError: If the file cannot be read, or is not a recording.
        """
        value = load_file(path)
        flows = value.get("flows") if isinstance(value, Mapping) else None
        is_known = isinstance(value, Mapping) and value.get("stepflow_recording") == _VERSION
        if not is_known or not isinstance(flows, Mapping) or not all(map(_is_cases, flows.values())):
            message = f"{path} is no recording of steps; stepflow test --record FILE writes one"
            raise FlowFileError(message, path=str(path))
        return cls(path, flows)

    def outputs(self, flow: Path, case: str) -> dict[str, Any]:
        """Return the recorded outputs of a case by step id; empty if none are recorded."""
        return dict(self._flows.get(self._name(flow), {}).get(case, {}))

    def has_flow(self, flow: Path) -> bool:
        """Return whether any outputs of a flow are recorded."""
        return self._name(flow) in self._flows

    def add(self, flow: Path, case: str, outputs: Mapping[str, Any]) -> None:
        """Store the outputs of a case, replacing earlier ones of the same steps."""
        self._flows.setdefault(self._name(flow), {}).setdefault(case, {}).update(outputs)

    def save(self) -> None:
        """Write the file: sorted JSON, so that a later recording differs only where outputs do.

        Raises:
            FlowFileError: If the file cannot be written.
        """
        value = {"stepflow_recording": _VERSION, "flows": self._flows}
        text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        beside = self.path.with_name(self.path.name + ".part")
        try:
            beside.write_text(text, encoding="utf-8")
            os.replace(beside, self.path)
        except OSError as error:
            raise FlowFileError(f"{self.path} cannot be written: {error.strerror}", path=str(self.path)) from None

    def _name(self, flow: Path) -> str:
        return Path(os.path.relpath(flow.resolve(), self.path.resolve().parent)).as_posix()


def _is_cases(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(outputs, Mapping) for outputs in value.values())
