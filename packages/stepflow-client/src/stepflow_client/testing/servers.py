"""Embedded servers for tests, one per configuration."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._cases.flow_cases import FlowTests
from .._data.arguments import check_instance, file_path
from ..errors import FlowFileError
from ..flows.project import find_project, find_server_config, require_existing_file

if TYPE_CHECKING:
    from ..logs import LogConfig
    from ..runtime import StepflowRuntime


class Servers:
    """A thread-safe pool of embedded servers, one per configuration. As a context manager, it stops them all on exit.

    Args:
        log_config: How verbosely the servers log. Defaults to `LogConfig(level="warn")`.
        env: Environment variables for servers and workers. They take precedence over those of the current process.
    """

    def __init__(self, log_config: LogConfig | None = None, env: dict[str, str] | None = None) -> None:
        """Store the settings. Servers start when they're first needed."""
        self._log_config = log_config
        self._env = env
        self._lock = threading.Lock()
        self._started: dict[str, Future[StepflowRuntime]] = {}
        self._files: list[Path] = []

    def get(self, config: TestConfig) -> StepflowRuntime:
        """Start the server for a configuration and wait until it's ready. Later calls return the same server.

        Raises:
            FlowFileError: If the configuration cannot be read.
            ServerStartError: If the server does not start.
            ServerNotInstalledError: If no server is installed.
        """
        check_instance(config, "config", TestConfig)
        new: Future[StepflowRuntime] = Future()
        with self._lock:
            server = self._started.setdefault(config.key, new)
        if server is new:
            try:
                server.set_result(self._start_server(config))
            except BaseException as error:
                server.set_exception(error)
        return server.result()

    def _start_server(self, config: TestConfig) -> StepflowRuntime:
        from ..logs import LogConfig
        from ..runtime import StepflowRuntime

        path = config.path
        if config.inline is not None:
            # Write the file next to the flow, because worker commands are relative to the configuration's folder.
            descriptor, name = tempfile.mkstemp(prefix=".stepflow-test-", suffix=".json", dir=config.folder)
            path = Path(name)
            with self._lock:
                self._files.append(path)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(config.inline, file)
        runtime = StepflowRuntime.start(path, log_config=self._log_config or LogConfig(level="warn"), env=self._env)
        try:
            runtime.wait_ready()
        except BaseException:
            runtime.stop()
            raise
        return runtime

    def close(self) -> None:
        """Stop all servers in parallel."""
        with self._lock:
            started, self._started = list(self._started.values()), {}
            files, self._files = self._files, []
        runtimes = [future.result() for future in started if future.exception() is None]
        threads = [threading.Thread(target=runtime.stop) for runtime in runtimes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for file in files:
            file.unlink(missing_ok=True)

    def __enter__(self) -> Servers:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


_TEST_CONFIG_NAMES = [f"stepflow{sign}config.test.{ending}" for sign in "-_" for ending in ("yml", "yaml")]


@dataclass(frozen=True)
class TestConfig:
    """A server configuration: a file, part of a flow, or neither (just the builtin components)."""

    __test__ = False

    path: Path | None = None
    inline: Mapping[str, Any] | None = None
    folder: Path | None = None
    """The folder of the flow containing an inline configuration."""
    project: Path | None = None
    """The project file that specifies the configuration, if any."""

    @property
    def key(self) -> str:
        """The cache key. Configurations that have the same key share a server."""
        if self.path is not None:
            return str(self.path.resolve())
        if self.inline is None:
            return ""
        return f"{self.folder}\n{json.dumps(self.inline, sort_keys=True, default=str)}"

    @property
    def label(self) -> str:
        """The configuration's name for messages."""
        if self.path is not None:
            return str(self.path)
        return "the builtin components" if self.inline is None else f"test.config in {self.folder}"


def config_of(tests: FlowTests, given: str | os.PathLike[str] | None = None) -> TestConfig:
    """Return the configuration for testing a flow, which is the first of these that exists:

    1. `given`, e.g. from `--config` 2. `test.configFile`, relative to the flow's folder 3. `test.config` in the flow
    itself 4. `test.config` in the flow's project, i.e. in `stepflow.toml` or in `[tool.stepflow]` in `pyproject.toml`
    5. `stepflow-config.test.yml` (or `.yaml`, or with `_` instead of `-`) in the flow's folder 6. `config` in the
    flow's project 7. `stepflow-config.yml` (or `.yaml`, or with `_` instead of `-`) in the flow's folder or else the
    current folder 8. no configuration, i.e. just the builtin components

    Raises:
        FlowFileError: If a file specified by the flow or its project doesn't exist, if a folder contains two candidates
            for rule 7, or if the project file is invalid.
    """
    folder = check_instance(tests, "tests", FlowTests).path.parent
    if given is not None:
        return TestConfig(path=file_path(given, "given"))
    if tests.config_file is not None:
        path = folder / tests.config_file
        if not path.is_file():
            raise FlowFileError(f"{tests.path}: test.configFile: {path} does not exist", path=str(path))
        return TestConfig(path=path)
    if tests.config is not None:
        return TestConfig(inline=tests.config, folder=folder.resolve())
    project = find_project(tests.path)
    if project.test_config is not None:
        return TestConfig(require_existing_file(project, "test.config", project.test_config), project=project.file)
    named = next((folder / name for name in _TEST_CONFIG_NAMES if (folder / name).is_file()), None)
    if named is not None:
        return TestConfig(path=named)
    if project.config is not None:
        return TestConfig(require_existing_file(project, "config", project.config), project=project.file)
    return TestConfig(path=find_server_config(folder, Path()))
