"""Remembers the test cases that failed in their last run, in a small file for each flow file.

The files are in the cache folder, not in the project. Tests run even if these files cannot be read or written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stepflow_client import StepflowClientError
from stepflow_client._command import user_folder
from stepflow_client._stores.user_files import write_file

if TYPE_CHECKING:
    from stepflow_client.testing import CaseResult, FlowTests


def load_failed_cases(flow: Path) -> set[str]:
    """Return the names of the cases of a flow file that failed in their last run."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_get_state_file(flow).read_text("utf-8"))
        # The file contains the path for people who read it; compare it too.
        return {str(name) for name in kept["failed"]} if kept["flow"] == str(flow.resolve()) else set()
    return set()


def save_failed_cases(tests: FlowTests, results: Sequence[CaseResult]) -> None:
    """Store which cases of a flow file have failed. Cases that were not run keep their state."""
    ran = {result.case.name for result in results}
    failed = {result.case.name for result in results if result.is_failed}
    before = load_failed_cases(tests.path)
    after = failed | ((before & {case.name for case in tests.cases}) - ran)
    if after == before:
        return
    with suppress(OSError, RuntimeError):
        file = _get_state_file(tests.path)
        if not after:
            file.unlink(missing_ok=True)
            return
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = {"flow": str(tests.path.resolve()), "failed": sorted(after)}
        write_file(file, json.dumps(content, ensure_ascii=False).encode())


def _get_state_file(flow: Path) -> Path:
    try:
        folder = user_folder("cache")
    except StepflowClientError as error:
        raise OSError(error.message) from None
    return folder / "failed-cases" / f"{hashlib.sha256(str(flow.resolve()).encode()).hexdigest()[:32]}.json"
