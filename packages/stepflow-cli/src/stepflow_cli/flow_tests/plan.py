"""Selecting the test cases that a command line names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import nearest, usage

if TYPE_CHECKING:
    from stepflow_client.testing import FlowCase, FlowTests

__all__ = ["FileCases", "chosen_cases"]


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

    A file that cannot be read is returned with a single case, whatever is selected; its fault is the reason.

    Raises:
        Problem: If a path does not exist, or there is nothing to run.
    """
    from stepflow_client.testing import select_cases

    files = [tests for path in paths for tests in _tests_in(path)]
    found = list({str(tests.path.resolve()): tests for tests in files}.values())
    every = [case for tests in found for case in tests.cases if not tests.is_broken]
    if not every and any(tests.is_broken for tests in found):
        return [FileCases(tests, tests.cases) for tests in found if tests.is_broken]
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
    if not select_cases(every, patterns, tags):
        raise usage("no test case has both such a name and such a tag")
    plan = [
        FileCases(tests, tests.cases if tests.is_broken else select_cases(tests.cases, patterns, tags))
        for tests in found
    ]
    return [each for each in plan if each.cases]


def _tests_in(path: str) -> Iterator[FlowTests]:
    from stepflow_client.flows.folders import flow_files
    from stepflow_client.testing import collect_tests

    if not os.path.lexists(path):
        raise usage(f"{path} does not exist")
    yield from map(collect_tests, flow_files(path) if os.path.isdir(path) else [path])
