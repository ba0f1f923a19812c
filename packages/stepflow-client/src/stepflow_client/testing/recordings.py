"""Outputs of steps in a file: recorded once, replayed in tests instead of slow or paid steps."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import FlowFileError
from ..flows.file import load_file

__all__ = ["Recording"]

_VERSION = 1


class Recording:
    """Outputs by flow, case and step. Flows are named by their path from the folder of the recording."""

    def __init__(self, path: str | Path, flows: Mapping[str, Any] | None = None) -> None:
        """Begin an empty recording that is to be saved to a file."""
        self.path = Path(path)
        self._flows: dict[str, dict[str, dict[str, Any]]] = {name: dict(cases) for name, cases in (flows or {}).items()}

    @classmethod
    def load(cls, path: str | Path) -> Recording:
        """Return the recording in a file.

        Raises:
            FlowFileError: If it cannot be read, or is no recording.
        """
        value = load_file(path)
        flows = value.get("flows") if isinstance(value, Mapping) else None
        is_known = isinstance(value, Mapping) and value.get("stepflow_recording") == _VERSION
        if not is_known or not isinstance(flows, Mapping) or not all(map(_is_cases, flows.values())):
            message = f"{path} is no recording of steps; stepflow test --record FILE writes one"
            raise FlowFileError(message, path=str(path))
        return cls(path, flows)

    def outputs(self, flow: Path, case: str) -> dict[str, Any]:
        """Return the recorded outputs of a case by step id; empty where nothing was recorded."""
        return dict(self._flows.get(self._name(flow), {}).get(case, {}))

    def has_flow(self, flow: Path) -> bool:
        """Return whether anything was recorded of a flow."""
        return self._name(flow) in self._flows

    def add(self, flow: Path, case: str, outputs: Mapping[str, Any]) -> None:
        """Keep the outputs of a case, instead of earlier ones of the same steps."""
        self._flows.setdefault(self._name(flow), {}).setdefault(case, {}).update(outputs)

    def save(self) -> None:
        """Write the file anew: JSON, sorted, so that a later recording differs only where outputs do.

        Raises:
            FlowFileError: If it cannot be written.
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
