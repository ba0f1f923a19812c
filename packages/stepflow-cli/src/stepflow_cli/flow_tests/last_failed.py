"""The test cases that failed when they were last run: a small file for each flow file with such cases.

The files are in the folder for caches, not in the project. Whatever is wrong with them, tests are run all the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stepflow_client import StepflowClientError
from stepflow_client._command import user_folder
from stepflow_client._stores.user_files import write_file

if TYPE_CHECKING:
    from stepflow_client.testing import CaseResult, FlowTests


def failed_cases(flow: Path) -> set[str]:
    """Return the names of the cases of a flow file that failed when they were last run."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_file_of(flow).read_text("utf-8"))
        # Two paths may have the same digest only in theory, but the file can be read by people.
        return {str(name) for name in kept["failed"]} if kept["flow"] == str(flow.resolve()) else set()
    return set()


def keep_failed(tests: FlowTests, results: Sequence[CaseResult]) -> None:
    """Keep which cases of a flow file have failed. Those that were not run stay what they were."""
    ran = {each.case.name for each in results}
    failed = {each.case.name for each in results if each.is_failed}
    before = failed_cases(tests.path)
    after = failed | ((before & {case.name for case in tests.cases}) - ran)
    if after != before:
        _keep(tests.path, after)


def _keep(flow: Path, failed: Iterable[str]) -> None:
    names = sorted(failed)
    with suppress(OSError, RuntimeError):
        file = _file_of(flow)
        if not names:
            file.unlink(missing_ok=True)
            return
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(file, json.dumps({"flow": str(flow.resolve()), "failed": names}, ensure_ascii=False).encode())


def _file_of(flow: Path) -> Path:
    try:
        folder = user_folder("cache")
    except StepflowClientError as error:
        raise OSError(error.message) from None
    return folder / "failed-cases" / f"{hashlib.sha256(str(flow.resolve()).encode()).hexdigest()[:32]}.json"
