"""Updating the expected outputs of cases in their files."""

from __future__ import annotations

from ..errors import usage
from ..inputs.files import read_bytes, writing
from .execute import FileResults

__all__ = ["update_file"]


def update_file(done: FileResults) -> list[str]:
    """Write the actual outputs of failed and unchecked cases to the file. Return the names of these cases.

    Raises:
        Problem: If the file cannot be written, or has changed since it was read.
        FlowFileError: If an expected output cannot be replaced separately.
    """
    from stepflow_client.testing import expectation_of, read_tests, update_expected

    changed = {
        each.case.index: expectation_of(each.result, each.case.expected)
        for each in done.results
        if each.verdict in ("failed", "unchecked") and each.result is not None
    }
    if not changed:
        return []
    path = str(done.file.tests.path)
    before = read_bytes(path)
    if read_tests(path).cases != done.file.tests.cases:
        raise usage(f"{path} has changed while its cases ran; nothing was updated")
    after = update_expected(before, changed, path)
    with writing(path), open(path, "wb") as file:
        file.write(after)
    return [case.name for case in done.file.cases if case.index in changed]
