"""Which test cases are run, running them, and updating what they expect."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import nearest, usage
from ..inputs.files import read_bytes, writing
from ..inputs.flow import find_missing
from ..output.messages import waiting

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.testing import CaseResult, FlowCase, FlowTests, Recording

    from .clients import TestClients


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
    from stepflow_client.flows.cases import tests_in
    from stepflow_client.flows.folders import flow_files
    from stepflow_client.testing import collect_tests

    from ..inputs.python_flow import is_python_flow, python_flow

    if is_python_flow(path):
        yield tests_in(python_flow(path).text, path)
        return
    find_missing(path)
    yield from map(collect_tests, flow_files(path) if os.path.isdir(path) else [path])


@dataclass(frozen=True)
class Settings:
    """How to run the cases."""

    jobs: int = 4
    repeat: int = 1
    fail_fast: bool = False
    timeout: float | None = None
    """Seconds for the cases of one file."""
    replay: Recording | None = None
    record: Callable[[str], bool] | None = None
    """Returns whether a step's outcomes are recorded."""
    times: bool = False
    """Whether each case of a batch gets a duration of its own."""


@dataclass(frozen=True)
class FileResults:
    """The results of a file's cases."""

    file: FileCases
    results: Sequence[CaseResult]
    """Empty if the file was not run because an earlier case failed."""
    seconds: float = 0.0


def run_files(plan: Sequence[FileCases], clients: TestClients, settings: Settings) -> Iterator[FileResults]:
    """Run the files' cases and yield their results in the order of the files, each as soon as possible."""
    cases = sum(len(file.cases) for file in plan) * settings.repeat
    failed = threading.Event()
    done = 0
    lock = threading.Lock()
    with waiting(f"running {cases} test cases") as spinner:

        def run(file: FileCases) -> FileResults:
            nonlocal done
            if settings.fail_fast and failed.is_set():
                return FileResults(file, [])
            started = time.monotonic()
            results = _run_file(file, clients, settings)
            if any(each.is_failed for each in results):
                failed.set()
            with lock:
                done += len(results)
                spinner.update(f"{done} of {cases} test cases done")
            return FileResults(file, results, time.monotonic() - started)

        pool = ThreadPoolExecutor(settings.jobs, thread_name_prefix="stepflow-test")
        try:
            yield from pool.map(run, plan)
        finally:
            # After Ctrl-C the runs are not awaited: their server stops, which ends the threads.
            pool.shutdown(wait=False, cancel_futures=True)


def _run_file(file: FileCases, clients: TestClients, settings: Settings) -> list[CaseResult]:
    from stepflow_client import StepflowClientError
    from stepflow_client.testing import CaseResult, run_cases

    if all(case.fault for case in file.cases):
        return [CaseResult(case, "error", message=case.fault) for case in file.cases]
    try:
        client = clients.of(file.tests)
        if settings.record is not None:
            _check_recordable(client)
    except StepflowClientError as error:
        told = error.message if error.hint is None else f"{error.message} ({error.hint})"
        return [CaseResult(case, "error", message=case.fault or told) for case in file.cases]
    return run_cases(
        client,
        file.tests,
        file.cases,
        repeat=settings.repeat,
        replay=settings.replay,
        record=settings.record,
        include_times=settings.times,
        timeout=settings.timeout,
    )


def _check_recordable(client: SyncStepflowClient) -> None:
    if not client.server_info().capabilities["step_outputs"]:
        raise usage("--record needs a server of 0.12 or newer: older ones do not tell what steps gave")


def update_file(done: FileResults) -> list[str]:
    """Write the actual outputs of failed and unchecked cases to the file. Return the names of these cases.

    Raises:
        Problem: If the file cannot be written, or has changed since it was read.
        FlowFileError: If an expected output cannot be replaced separately.
    """
    from stepflow_client.testing import expectation_of, read_tests, update_expected

    from ..inputs.python_flow import is_python_flow

    changed = {
        each.case.index: expectation_of(each.result, each.case.expected)
        for each in done.results
        if each.verdict in ("failed", "unchecked") and each.result is not None
    }
    if not changed:
        return []
    path = str(done.file.tests.path)
    if is_python_flow(path):
        raise usage(f"--update changes flow files, not flows in Python: {path}")
    before = read_bytes(path)
    if read_tests(path).cases != done.file.tests.cases:
        raise usage(f"{path} has changed while its cases ran; nothing was updated")
    after = update_expected(before, changed, path)
    with writing(path), open(path, "wb") as file:
        file.write(after)
    return [case.name for case in done.file.cases if case.index in changed]
