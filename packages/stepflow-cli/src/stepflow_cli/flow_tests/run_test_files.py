"""Run test cases on an existing server or on embedded servers, and update their expected outputs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stepflow_client import LogConfig, StepflowClientError
from stepflow_client._rules.operations_and_releases import require_capability
from stepflow_client.testing import (
    CaseResult,
    FlowCoverage,
    Servers,
    TestConfig,
    config_of,
    expectation_of,
    read_tests,
    run_cases,
    update_expected,
)

from ..errors import current_session, usage
from ..inputs.file_io import read_bytes, write_bytes
from ..inputs.flow_loading import is_python_flow
from ..inputs.server_config_checks import note_duplicate_config_keys, read_config_bytes_or_empty
from ..output.messages import note, show_spinner
from ..server.connect import connect, get_server_kept_by_session
from ..settings.server_choice import ServerOptions, choose_server, format_setting_origin
from .case_filter import FileCases

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.testing import FlowTests, Recording, StepCoverage


class TestClients:
    """The clients used to run test cases.

    Args:
        server: The existing server's client, or None for embedded servers.
        servers: The embedded servers.
        config: The configuration file for embedded servers, or None to use each flow's or project's own file.
    """

    __test__ = False

    def __init__(self, server: SyncStepflowClient | None, servers: Servers | None = None, config: str | None = None):
        self._server = server
        self._servers = servers
        self._config = config
        self._contents: dict[Path, bytes] = {}
        """The content that each configuration file had when its server was started."""

    @property
    def config_files(self) -> list[str]:
        """The configuration files of the running embedded servers."""
        return [str(path) for path in self._contents]

    def check_server(self) -> None:
        """If an existing server is used, check that it responds so that an outage isn't reported once per case.

        Raises:
            StepflowClientError: If the server doesn't respond.
        """
        if self._server is not None:
            self._server.health_check()

    def get_client(self, tests: FlowTests) -> SyncStepflowClient:
        """Return the client for a flow's cases.

        Raises:
            StepflowClientError: If the flow's embedded server doesn't start.
        """
        if self._server is not None or self._servers is None:
            assert self._server is not None
            return self._server
        config = config_of(tests, self._config)
        if config.path is not None and config.path not in self._contents:
            self._contents[config.path] = read_config_bytes_or_empty(config.path)
            if config.project is not None:
                note(f"the embedded server uses configuration {config.label}, set in {config.project}")
        return self._servers.get(config).sync_client

    def stop_if_config_changed(self) -> None:
        """Stop the embedded servers if any of their configuration files has changed. `get_client` restarts them."""
        contents = self._contents.items()
        if self._servers is not None and any(read_config_bytes_or_empty(path) != content for path, content in contents):
            self._servers.close()
            self._contents.clear()


@contextmanager
def open_test_clients(server: ServerOptions) -> Iterator[TestClients]:
    """Yield the clients for running test cases. Embedded servers are stopped at the end of the block.

    Raises:
        Problem, StepflowClientError: If the server can't be reached or started.
    """
    choice = choose_server(server) if get_server_kept_by_session(server) is None else None
    if choice is None or not choice.is_embedded:
        with connect(server) as target:
            yield TestClients(target.client)
        return
    if current_session().verbosity:
        # Each file can specify its own configuration for tests.
        note(f"embedded server ({format_setting_origin(choice.url.origin)})")
    level = current_session().server_log_level
    log_config = LogConfig(level="warn") if level is None else LogConfig(level=level)  # type: ignore[arg-type]
    with Servers(log_config) as servers:
        if server.config is not None:
            note_duplicate_config_keys(server.config)
            # Start the server now so that a failure isn't reported once per case.
            servers.get(TestConfig(path=Path(server.config)))
        yield TestClients(None, servers, server.config)


@dataclass(frozen=True)
class CaseRunSettings:
    """How to run the cases."""

    jobs: int = 4
    repeat: int = 1
    fail_fast: bool = False
    timeout: float | None = None
    """The timeout for each run, in seconds."""
    replay: Recording | None = None
    replay_only: bool = False
    """Whether a case with no recording fails instead of executing its steps."""
    record: Callable[[str], bool] | None = None
    """A function that returns True for each step whose outcomes should be recorded."""
    times: bool = False
    """Whether to measure each case of a batch separately."""
    coverage: bool = False
    """Whether to find out which steps the cases reach."""


@dataclass(frozen=True)
class FileResults:
    """The results of a file's cases."""

    file: FileCases
    results: Sequence[CaseResult]
    """The results. Empty if the file was skipped because an earlier case failed."""
    seconds: float = 0.0
    steps: Sequence[StepCoverage] = ()
    """The flow's steps along with the cases that reach them. Empty unless coverage is measured."""


def run_test_files(plan: Sequence[FileCases], clients: TestClients, settings: CaseRunSettings) -> Iterator[FileResults]:
    """Run the cases of each file. Yield their results in file order as soon as they're available."""
    cases = sum(len(file.cases) for file in plan) * settings.repeat
    failed = threading.Event()
    ended: dict[int, int] = {}
    with show_spinner(f"running {cases} test cases") as spinner:

        def run_nth_file(place: int) -> FileResults:
            file = plan[place]
            coverage = FlowCoverage(file.tests.flow) if settings.coverage else None
            if settings.fail_fast and failed.is_set():
                return FileResults(file, [], steps=coverage.steps if coverage else ())

            def show_progress(count: int) -> None:
                ended[place] = count
                spinner.update(f"{sum(list(ended.values()))} of {cases} test cases done")

            started = time.monotonic()
            results = _run_one_file(file, clients, settings, coverage, show_progress if spinner.is_shown else None)
            if any(result.is_failed for result in results):
                failed.set()
            show_progress(len(results))
            return FileResults(file, results, time.monotonic() - started, coverage.steps if coverage else ())

        pool = ThreadPoolExecutor(settings.jobs, thread_name_prefix="stepflow-test")
        try:
            yield from pool.map(run_nth_file, range(len(plan)))
        finally:
            # Don't wait for the runs after Ctrl-C. Their server stops, which ends the threads.
            pool.shutdown(wait=False, cancel_futures=True)


def _run_one_file(
    file: FileCases,
    clients: TestClients,
    settings: CaseRunSettings,
    coverage: FlowCoverage | None,
    on_progress: Callable[[int], object] | None,
) -> list[CaseResult]:
    if all(case.fault for case in file.cases):
        return [CaseResult(case, "error", message=case.fault) for case in file.cases]
    try:
        client = clients.get_client(file.tests)
        if settings.record is not None:
            require_capability(client.server_info(), "step_outputs", "--record")
    except StepflowClientError as error:
        return [CaseResult(case, "error", message=case.fault or str(error)) for case in file.cases]
    return run_cases(
        client,
        file.tests,
        file.cases,
        repeat=settings.repeat,
        replay=settings.replay,
        replay_only=settings.replay_only,
        record=settings.record,
        include_times=settings.times,
        coverage=coverage,
        on_progress=on_progress,
        timeout=settings.timeout,
    )


def write_actual_outputs(done: FileResults) -> list[str]:
    """Write the actual outputs of failed and unchecked cases to the file and return the names of these cases.

    Raises:
        Problem: If the file can't be written or has changed since it was read.
        FlowFileError: If an expected output can't be replaced without changing anything else.
    """
    from stepflow_client.flows.expected_results import was_run_lost

    changed = {}
    for result in done.results:
        # Cancelled and lost runs have no result that a test could expect.
        is_ended = result.result is not None and not result.result.is_cancelled and not was_run_lost(result.result)
        if is_ended and result.verdict in ("failed", "unchecked"):
            changed[result.case.index] = build_expected_output(done, result)
    if not changed:
        return []
    path = str(done.file.tests.path)
    if is_python_flow(path):
        raise usage(f"--update changes flow files, not flows in Python: {path}")
    before = read_bytes(path)
    if read_tests(path).cases != done.file.tests.cases:
        raise usage(f"{path} changed while its cases were running; nothing was updated")
    write_bytes(path, update_expected(before, changed, path), expected_content=before)
    return [case.name for case in done.file.cases if case.index in changed]


def build_expected_output(done: FileResults, each: CaseResult) -> dict[str, Any]:
    """Return the expected output that `--update` writes for a case that was executed."""
    assert each.result is not None
    case, tests = each.case, done.file.tests
    given = (case.input, tests.variables, case.variables, case.mocks, tests.flow)
    return expectation_of(each.result, each.case.expected, given=given)
