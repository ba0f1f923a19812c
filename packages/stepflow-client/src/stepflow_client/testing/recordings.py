"""Recorded outcomes of steps, in a file: tests replay them instead of executing slow or paid steps."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._base.not_given import NOT_GIVEN
from .._base.text import short_json
from .._cases.mock_outcomes import parse_mock
from .._data.arguments import check_mapping, check_text, wrong
from .._data.file_paths import file_path
from .._data.values import LOCAL_DEPTH, check_json
from .._stores.user_files import write_text
from ..errors import FlowFileError, InvalidArgumentError
from ..flows.file import parse_content, read_file_bytes

_VERSION = 2


class Recording:
    """Outcomes by flow, case, step and the input of the step.

    Flows are identified by their path relative to the folder of the recording, inputs by a digest.
    """

    def __init__(self, path: str | os.PathLike[str], flows: Mapping[str, Any] | None = None) -> None:
        """Start an empty recording that can be saved to a file."""
        self.path = file_path(path, "path")
        self._content: bytes = NOT_GIVEN
        """The content of the file, if it was loaded."""
        recorded = {} if flows is None else check_mapping(flows, "flows")
        if not _is_nested(recorded, depth=4):
            raise wrong("flows", "the recorded steps by flow, case, step and input", flows)
        self._flows: dict[str, dict[str, dict[str, dict[str, Any]]]] = {
            name: {case: {step: dict(outcomes) for step, outcomes in steps.items()} for case, steps in cases.items()}
            for name, cases in recorded.items()
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """Return the recording in a file.

        Raises:
            FlowFileError: If the file cannot be read, is not a recording, or is one of an earlier version, which does
                not contain the inputs of steps.
        """
        content = read_file_bytes(path)
        value = parse_content(content, os.fsdecode(path))
        version = value.get("stepflow_recording") if isinstance(value, Mapping) else None
        if version == 1:
            message = f"{path} is a recording without the inputs of steps; write it again with stepflow test --record"
            raise FlowFileError(message, path=str(path))
        flows = value.get("flows") if isinstance(value, Mapping) else None
        if version != _VERSION or not _is_nested(flows, depth=4):
            message = f"{path} is not a recording of steps; to write one, run stepflow test --record FILE"
            raise FlowFileError(message, path=str(path))
        loaded = cls(path, flows)
        loaded._content = content
        return loaded

    def steps(self, flow: str | os.PathLike[str], case: str) -> set[str]:
        """Return the ids of the steps of a case that have recorded outcomes."""
        return {*self._case(flow, case)}

    def outcome(self, flow: str | os.PathLike[str], case: str, step_id: str, given: Any) -> Any:
        """Return the outcome of a step for an input: its output, or `Fails`.

        Raises:
            InvalidArgumentError: If none is recorded.
        """
        recorded = self._case(flow, case).get(check_text(step_id, "step_id"), {}).get(_hash_input(given))
        if recorded is None:
            message = f"{self.path} has no outcome of step {step_id!r} for the input {short_json(given, 200)}"
            raise InvalidArgumentError(message, hint=f"record the case {case!r} again with stepflow test --record")
        return parse_mock(recorded)

    def add(
        self, flow: str | os.PathLike[str], case: str, step_id: str, given: Any, outcome: Mapping[str, Any]
    ) -> None:
        """Store the outcome of a step for an input, as a flow result, replacing an earlier one for the same input."""
        steps = self._flows.setdefault(self._name(flow), {}).setdefault(check_text(case, "case"), {})
        recorded = dict(check_mapping(outcome, "outcome"))
        steps.setdefault(check_text(step_id, "step_id"), {})[_hash_input(given)] = recorded

    def forget(self, flow: str | os.PathLike[str], case: str, step_id: str) -> None:
        """Remove the outcomes of a step."""
        self._case(flow, case).pop(check_text(step_id, "step_id"), None)

    def save(self) -> None:
        """Write the file: sorted JSON, so that a later recording differs only where inputs or outcomes do.

        Raises:
            FlowFileError: If the file cannot be written, or has changed since it was loaded.
        """
        value = {"stepflow_recording": _VERSION, "flows": self._flows}
        text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        write_text(self.path, text, unchanged_from=self._content)
        self._content = text.encode()

    def _case(self, flow: str | os.PathLike[str], case: str) -> dict[str, dict[str, Any]]:
        """Return the recorded outcomes of a case, by step and input."""
        return self._flows.get(self._name(flow), {}).get(check_text(case, "case"), {})

    def _name(self, flow: str | os.PathLike[str]) -> str:
        return Path(os.path.relpath(file_path(flow, "flow").resolve(), self.path.resolve().parent)).as_posix()


def _hash_input(given: Any) -> str:
    """Return a digest of an input that does not depend on the order of keys."""
    given = check_json(given, "given", max_depth=LOCAL_DEPTH)
    return hashlib.sha256(json.dumps(given, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _is_nested(value: object, depth: int) -> bool:
    return isinstance(value, Mapping) and (depth == 0 or all(_is_nested(part, depth - 1) for part in value.values()))
