"""Selecting the test cases that a command line names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import nearest, usage
from ..inputs.flow import CONFIG_NAMES

if TYPE_CHECKING:
    from stepflow_client.testing import FlowCase, FlowTests

__all__ = ["FileCases", "chosen_cases"]

_ENDINGS = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class FileCases:
    """A flow file with those of its cases that are to be run."""

    tests: FlowTests
    cases: Sequence[FlowCase]

    @property
    def name(self) -> str:
        """The file's name in messages."""
        return str(self.tests.path)


def chosen_cases(paths: Sequence[str], patterns: Sequence[str], tags: Sequence[str]) -> list[FileCases]:
    """Return the files with selected cases, each with these cases.

    Args:
        paths: Flow files, and folders to search for them.
        patterns: Globs for the names of cases; each must match at least one case.
        tags: Tags, one of which a case must have; each must be used by some case.

    Raises:
        Problem: If a path does not exist, or there is nothing to run.
        FlowFileError: If a file cannot be read as a flow with tests.
    """
    from stepflow_client.testing import select_cases

    files = [tests for path in paths for tests in _tests_in(path)]
    found = list({str(tests.path.resolve()): tests for tests in files}.values())
    every = [case for tests in found for case in tests.cases]
    if not every:
        raise usage(f"there are no test cases in {', '.join(paths)}", "a flow's cases stand under test.cases")
    for pattern in patterns:
        if not select_cases(every, [pattern]):
            raise usage(f"no test case matches --case {pattern}", nearest(pattern, {case.name for case in every}))
    known_tags = {tag for case in every for tag in case.tags}
    for tag in tags:
        if tag not in known_tags:
            known = f"there are {', '.join(sorted(known_tags))}" if known_tags else "no case has tags"
            raise usage(f"no test case has the tag {tag}", nearest(tag, known_tags) or known)
    plan = [FileCases(tests, select_cases(tests.cases, patterns, tags)) for tests in found]
    plan = [each for each in plan if each.cases]
    if not plan:
        raise usage("no test case has both such a name and such a tag")
    return plan


def _tests_in(path: str) -> Iterator[FlowTests]:
    from stepflow_client.testing import read_tests

    if not os.path.lexists(path):
        raise usage(f"{path} does not exist")
    if not os.path.isdir(path):
        yield read_tests(path)
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        for name in sorted(names):
            file = Path(folder, name)
            if file.suffix in _ENDINGS and not name.startswith(".") and name not in CONFIG_NAMES and _has_cases(file):
                yield read_tests(file)


def _has_cases(file: Path) -> bool:
    """Return whether a file may be a flow with cases. Folders also contain other YAML files, which may be malformed."""
    try:
        content = file.read_bytes()
    except OSError:
        return False
    return b"cases" in content and b"test" in content and b"steps" in content
