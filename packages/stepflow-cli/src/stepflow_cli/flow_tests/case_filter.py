"""Select the test cases to run (optionally only the ones that failed last time)."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stepflow_client import StepflowClientError
from stepflow_client._command import get_stepflow_user_folder
from stepflow_client._stores.atomic_file_writes import write_file
from stepflow_client.flows.project import find_flow_files
from stepflow_client.testing import collect_tests, select_cases, touching

from ..errors import suggest, usage
from ..inputs.command_line_values import RunValues
from ..inputs.flow_loading import check_flow_exists, import_python_flow, is_python_flow
from ..output.messages import note

if TYPE_CHECKING:
    from stepflow_client.testing import CaseResult, FlowCase, FlowTests


def load_last_failed_case_names(flow: Path) -> set[str]:
    """Return the names of a flow file's cases that failed when they last ran."""
    with suppress(StepflowClientError, OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_get_failed_cases_file(flow).read_text("utf-8"))
        # The file also contains the flow's path (for people who open the file). Make sure that the path matches.
        return {str(name) for name in kept["failed"]} if kept["flow"] == str(flow.resolve()) else set()
    return set()


def save_failed_case_names(tests: FlowTests, results: Sequence[CaseResult]) -> None:
    """Save the names of a flow file's failed cases. Cases that weren't run keep their state."""
    if tests.is_broken:
        # None of its cases could be run.
        return
    ran = {result.case.name for result in results}
    failed = {result.case.name for result in results if result.is_failed}
    before = load_last_failed_case_names(tests.path)
    after = failed | ((before & {case.name for case in tests.cases}) - ran)
    if after == before:
        return
    with suppress(StepflowClientError, OSError, RuntimeError):
        file = _get_failed_cases_file(tests.path)
        if not after:
            file.unlink(missing_ok=True)
            return
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        content = {"flow": str(tests.path.resolve()), "failed": sorted(after)}
        write_file(file, json.dumps(content, ensure_ascii=False).encode())


def _get_failed_cases_file(flow: Path) -> Path:
    name = hashlib.sha256(str(flow.resolve()).encode()).hexdigest()[:32]
    return get_stepflow_user_folder("cache") / "failed-cases" / f"{name}.json"


@dataclass(frozen=True)
class FileCases:
    """A flow file and the cases to run from it."""

    tests: FlowTests
    cases: Sequence[FlowCase]

    @property
    def name(self) -> str:
        """The name used for the file in messages."""
        return str(self.tests.path)


@dataclass(frozen=True)
class CaseFilter:
    """The conditions from the command line that cases must meet."""

    patterns: Sequence[str] = ()
    """Glob patterns for case names. Each must match at least one case."""
    tags: Sequence[str] = ()
    """Tags to select. A case needs only one of them, but each tag must exist."""
    expression: str | None = None
    """Text to look for in names and tags, combined with `and`, `or` and `not`."""
    touching: Sequence[str] = ()
    """Steps or components. Cases that can reach any of them are selected. Each must be used in at least one flow."""
    last_failed: bool = False
    """Whether to run only the cases that failed last time (or all cases if none did)."""

    def check_conditions_match(self, files: Sequence[FlowTests]) -> None:
        """Make sure that every condition can be met.

        Raises:
            Problem: If a condition can't be met. The hint suggests the most similar name.
        """
        from stepflow_client.flows.graph import iter_steps

        every = [case for tests in files for case in tests.cases]
        for pattern in self.patterns:
            if not select_cases(every, [pattern]):
                raise usage(f"no test case matches --case {pattern}", suggest(pattern, {case.name for case in every}))
        tags = {tag for case in every for tag in case.tags}
        for tag in self.tags:
            if tag not in tags:
                hint = f"the tags are {', '.join(sorted(tags))}" if tags else "no case has tags"
                raise usage(f"no test case has the tag {tag}", suggest(tag, tags) or hint)
        if self.expression is not None and not select_cases(every, expression=self.expression):
            raise usage(f"no test case matches -k {self.expression!r}", "it is matched against names and tags")
        steps = [step for tests in files if self.touching for step in iter_steps(tests.flow)]
        names = {str(step[key]) for step in steps for key in ("id", "component") if key in step}
        for name in self.touching:
            if name not in names:
                raise usage(f"no flow here has a step or component {name}", suggest(name, names))

    def select_flow_cases(self, tests: FlowTests) -> list[FlowCase]:
        """Return the cases of a flow that meet the conditions, ignoring `last_failed`."""
        cases = touching(tests, self.touching) if self.touching else tests.cases
        return select_cases(cases, self.patterns, self.tags, expression=self.expression)


def select_cases_by_file(
    paths: Sequence[str], choice: CaseFilter, variables: Sequence[str] = (), *, with_untested: bool = False
) -> list[FileCases]:
    """Return the files that contain selected cases, along with those cases.

    Args:
        paths: Flow files, or folders to search for them.
        choice: The conditions that cases must meet.
        variables: `name=value` strings. They apply to flows that have the variable, and to cases that don't set it
            themselves.
        with_untested: Whether to include flows that have no cases. Defaults to False.

    An unreadable file always has a single case, and its fault says why the file can't be read.

    Raises:
        Problem: If a path doesn't exist, a variable exists in none of the flows, or there is nothing to run.
    """
    from stepflow_client._command import parse_tests

    files: dict[str, FlowTests] = {}
    for path in paths:
        if is_python_flow(path):
            read = [parse_tests(import_python_flow(path).text, path)]
        else:
            check_flow_exists(path)
            read = [collect_tests(file) for file in (find_flow_files(path) if os.path.isdir(path) else [path])]
        files |= {str(tests.path.resolve()): tests for tests in read}
    flows = _set_variables_in_declaring_flows(list(files.values()), variables)
    readable = [tests for tests in flows if not tests.is_broken]
    if not any(tests.cases for tests in flows):
        raise usage(f"there are no test cases in {', '.join(paths)}", "define cases in test.cases of a flow")
    for tests in readable:
        if not tests.cases and str(tests.path) in paths:
            note(f"{tests.path} has no test cases")
    if any(tests.cases for tests in readable):
        choice.check_conditions_match(readable)
    plan = [FileCases(tests, tests.cases if tests.is_broken else choice.select_flow_cases(tests)) for tests in flows]
    untested = [file for file in plan if not file.tests.cases]
    plan = [file for file in plan if file.cases]
    if not plan:
        raise usage("no test case matches all these conditions")
    if choice.last_failed:
        failed = []
        for file in plan:
            names = load_last_failed_case_names(file.tests.path)
            cases = [case for case in file.cases if file.tests.is_broken or case.name in names]
            failed += [FileCases(file.tests, cases)] if cases else []
        if not failed:
            note("none of these test cases failed in the last run: running all")
        plan = failed or plan
    return plan + (untested if with_untested else [])


def _set_variables_in_declaring_flows(flows: list[FlowTests], variables: Sequence[str]) -> list[FlowTests]:
    from stepflow_client.flows.graph import FlowSteps
    from stepflow_client.flows.run_requirements import find_allowed_variables

    if not variables:
        return flows
    names = [find_allowed_variables(FlowSteps(tests.flow)) for tests in flows]
    values_of_flows = [RunValues(single_variables=variables).read_variables(tests.flow) or {} for tests in flows]
    every = {name for declared in names for name in declared or ()}
    for name in (name for values in values_of_flows[:1] for name in values):
        if name not in every and None not in names:
            raise usage(f"no flow here has a variable {name}", suggest(name, every))
    return [
        replace(tests, variables={name: value for name, value in values.items() if known is None or name in known})
        for tests, values, known in zip(flows, values_of_flows, names, strict=True)
    ]
