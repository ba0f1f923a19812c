"""The pytest plugin: fixtures for testing flows, and collection of the test cases in flow files.

pytest loads this module in every project where the package is installed, so pytest is the only dependency that may be
imported at the top level. (The names in `testing` are imported on first use.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .. import testing

if TYPE_CHECKING:
    from .._sync.client import SyncStepflowClient
    from ..evaluation import EvaluationReport
    from ..runtime import StepflowRuntime


class CaseFailed(Exception):
    """A test case in a flow file failed. The message lists the differences."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and settings."""
    group = parser.getgroup("stepflow", "Stepflow flows")
    group.addoption("--stepflow", action="store_true", help="collect the test cases in flow files")
    group.addoption(
        "--stepflow-config", metavar="FILE", help="use this embedded server configuration for all flows and fixtures"
    )
    group.addoption("--stepflow-replay", metavar="FILE", help="take step outcomes from a recording")
    group.addoption(
        "--stepflow-replay-only", action="store_true", help="fail cases without a recording instead of executing them"
    )
    group.addoption("--stepflow-coverage", action="store_true", help="show flow steps that no case reaches")
    parser.addini("stepflow_config", "configuration of the embedded server, relative to the root folder")
    parser.addini("stepflow_replay", "recording that the test cases of flow files replay, relative to the root folder")


def _get_configured_file(config: pytest.Config, name: str) -> Path | None:
    """Return the file set by an option or setting.

    Paths in options are relative to the folder where pytest was started, and paths in settings are relative to pytest's
    root folder.
    """
    option = config.getoption(f"--stepflow-{name}")
    if option:
        return Path(config.invocation_params.dir, option)
    value = config.getini(f"stepflow_{name}")
    return Path(config.rootpath, value) if value else None


_SERVERS_KEY: pytest.StashKey[testing.Servers] = pytest.StashKey()
_NOTES_KEY: pytest.StashKey[dict[str, None]] = pytest.StashKey()
_COVERAGE_KEY: pytest.StashKey[dict[Path, testing.FlowCoverage]] = pytest.StashKey()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers started for flow files."""
    if _SERVERS_KEY in config.stash:
        config.stash[_SERVERS_KEY].close()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the flow coverage, and which configurations come from the project settings."""
    for text in config.stash.get(_NOTES_KEY, {}):
        terminalreporter.write_line(f"stepflow: {text}")
    covered = config.stash.get(_COVERAGE_KEY, {})
    if covered:
        from .flow_coverage import iter_coverage_lines

        terminalreporter.section("coverage of flows")
        for path, coverage in covered.items():
            shown = Path(os.path.relpath(path, config.invocation_params.dir))
            for line in iter_coverage_lines(shown, coverage.steps):
                terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def stepflow_runtime(request: pytest.FixtureRequest) -> Iterator[StepflowRuntime]:
    """An embedded server for the whole session.

    It is configured by `--stepflow-config` or the `stepflow_config` setting, and defaults to the builtin components.
    """
    from ..runtime import StepflowRuntime

    with StepflowRuntime.start(_get_configured_file(request.config, "config")) as runtime:
        yield runtime


@pytest.fixture
def stepflow_client(stepflow_runtime: StepflowRuntime) -> SyncStepflowClient:
    """A synchronous client for `stepflow_runtime`. For an asynchronous one, use `stepflow_runtime.client`."""
    return stepflow_runtime.sync_client


@pytest.fixture
def stepflow_mock(stepflow_client: SyncStepflowClient) -> testing.StepflowMock:
    """Mocks for steps in the flows run by this test."""
    return testing.StepflowMock(stepflow_client)


@pytest.fixture
def stepflow_eval(stepflow_client: SyncStepflowClient) -> Callable[..., EvaluationReport]:
    """Evaluates flows on `stepflow_runtime`. Call it like `evaluate`, but without the client."""
    from functools import partial

    from ..evaluation import sync_evaluate

    return partial(sync_evaluate, stepflow_client)


@pytest.fixture
def stepflow_fake_server() -> testing.FakeServer:
    """An in-memory server for the test. Set its `components`, then get a client from `sync_client()` or `client()`."""
    return testing.fake_server()


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> FlowFile | None:
    """Collect flow files if `--stepflow` is set."""
    if not parent.config.getoption("--stepflow"):
        return None
    from ..flows.project import is_flow_file

    if not is_flow_file(file_path):
        return None
    collected: FlowFile = FlowFile.from_parent(parent, path=file_path)
    return collected


class FlowFile(pytest.File):
    """A flow file whose test cases are collected as tests."""

    tests: testing.FlowTests

    def collect(self) -> Iterator[FlowItem]:
        """Yield a test for each case, or a single failing test if the file can't be read."""
        self.tests = testing.collect_tests(self.path)
        self.done: dict[int, testing.CaseResult] = {}
        for case in self.tests.cases:
            item: FlowItem = FlowItem.from_parent(self, name=case.name)
            item.case, item.line = case, case.line or 1
            for tag in case.tags:
                item.extra_keyword_matches.add(tag)
            yield item

    def get_case_result(self, item: FlowItem) -> testing.CaseResult:
        """Return a case's result. The first call runs all of the file's selected cases in one batch."""
        if item.case.index not in self.done:
            chosen = [item.case for item in self.session.items if isinstance(item, FlowItem) and item.parent is self]
            chosen = [case for case in chosen if case.index not in self.done] or [item.case]
            self.done |= {result.case.index: result for result in self._run_cases(chosen)}
        return self.done.pop(item.case.index)

    def _run_cases(self, cases: list[testing.FlowCase]) -> list[testing.CaseResult]:
        if all(case.fault for case in cases):
            return [testing.CaseResult(case, "error", message=case.fault) for case in cases]
        stash, recording, coverage = self.config.stash, _get_configured_file(self.config, "replay"), None
        config = testing.config_of(self.tests, _get_configured_file(self.config, "config"))
        if config.project is not None:
            text = f"the embedded server uses configuration {config.label}, set in {config.project}"
            stash.setdefault(_NOTES_KEY, {})[text] = None
        if _SERVERS_KEY not in stash:
            stash[_SERVERS_KEY] = testing.Servers()
        if self.config.getoption("--stepflow-coverage"):
            coverage = stash.setdefault(_COVERAGE_KEY, {}).setdefault(self.path, testing.FlowCoverage(self.tests.flow))
        client = stash[_SERVERS_KEY].get(config).sync_client
        replay = None if recording is None else testing.Recording.load(recording)
        only = bool(self.config.getoption("--stepflow-replay-only"))
        return testing.run_cases(client, self.tests, cases, replay=replay, replay_only=only, coverage=coverage)


class FlowItem(pytest.Item):
    """A single test case in a flow file."""

    case: testing.FlowCase
    line: int = 1

    def runtest(self) -> None:
        """Run the case, together with the file's other cases.

        Raises:
            CaseFailed: If the case fails or cannot be run.
        """
        assert isinstance(self.parent, FlowFile)
        done = self.parent.get_case_result(self)
        if done.verdict == "unchecked":
            pytest.skip("the case has no expected output; to write one, run stepflow test --update")
        if done.is_failed:
            run = f"\nrun {done.result.run_id}" if done.result is not None else ""
            raise CaseFailed(testing.failure_text(done) + run)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the differences without a traceback, since none of the user's Python code is involved."""
        from ..errors import StepflowClientError

        if isinstance(excinfo.value, CaseFailed):
            return f"{self.path}:{self.line}: case {self.case.name!r}\n{excinfo.value}"
        if isinstance(excinfo.value, StepflowClientError):
            return f"{self.path}:{self.line}: case {self.case.name!r} could not be run: {excinfo.value.message}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the case's file, line and name."""
        return self.path, self.line - 1, f"case: {self.name}"
