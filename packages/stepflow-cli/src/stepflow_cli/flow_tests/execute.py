"""Running the chosen cases: several files concurrently, on one server per configuration."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..context import current_session
from ..errors import usage
from ..output.spinner import waiting
from ..server.connect import connect, kept_server
from ..settings.resolve import ServerOptions, resolve
from .plan import FileCases

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.testing import CaseResult, Recording

__all__ = ["FileResults", "Settings", "run_files"]

_WITHOUT_STEP_OUTPUTS = ("0.9", "0.10", "0.11")


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
    """Returns whether a step's outputs are recorded."""
    times: bool = False
    """Whether each case of a batch gets a duration of its own."""


@dataclass(frozen=True)
class FileResults:
    """The results of a file's cases."""

    file: FileCases
    results: Sequence[CaseResult]
    """Empty if the file was not run because an earlier case failed."""
    seconds: float = 0.0


_Client = Callable[[FileCases], "SyncStepflowClient"]


def run_files(plan: Sequence[FileCases], server: ServerOptions, settings: Settings) -> Iterator[FileResults]:
    """Run the files' cases and yield their results in the order of the files, each as soon as possible."""
    cases = sum(len(file.cases) for file in plan) * settings.repeat
    failed = threading.Event()
    done = 0
    lock = threading.Lock()
    with _clients(server) as client_for, waiting(f"running {cases} test cases") as spinner:

        def run(file: FileCases) -> FileResults:
            nonlocal done
            if settings.fail_fast and failed.is_set():
                return FileResults(file, [])
            started = time.monotonic()
            results = _run_file(file, client_for, settings)
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


def _run_file(file: FileCases, client_for: _Client, settings: Settings) -> list[CaseResult]:
    from stepflow_client import StepflowClientError
    from stepflow_client.testing import CaseResult, run_cases

    if all(case.fault for case in file.cases):
        return [CaseResult(case, "error", message=case.fault) for case in file.cases]
    try:
        client = client_for(file)
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
        times=settings.times,
        timeout=settings.timeout,
    )


def _check_recordable(client: SyncStepflowClient) -> None:
    if client.server_info().dialect in _WITHOUT_STEP_OUTPUTS:
        raise usage("--record needs a server of 0.12 or newer: older ones do not tell what steps gave")


@contextmanager
def _clients(server: ServerOptions) -> Iterator[_Client]:
    """Yield a function that returns a file's client: of the named server, or of one with its configuration."""
    with ExitStack() as stack:
        if kept_server(server) is not None or not resolve(server).is_embedded:
            target = stack.enter_context(connect(server))
            yield lambda file: target.client
            return
        from stepflow_client import LogConfig
        from stepflow_client.testing import Servers, TestConfig, config_of

        from ..inputs.config import note_repeated_keys

        level = current_session().server_log_level
        log_config = LogConfig(level="warn") if level is None else LogConfig(level=level)  # type: ignore[arg-type]
        servers = stack.enter_context(Servers(log_config))
        if server.config is not None:
            note_repeated_keys(server.config)
            # A server that does not start is an error of the command line, not of each case.
            servers.get(TestConfig(path=Path(server.config)))
        yield lambda file: servers.get(config_of(file.tests, server.config)).sync_client
