"""Embedded servers for tests, one for each configuration."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._data.arguments import check_instance
from .configs import TestConfig

if TYPE_CHECKING:
    from ..logs import LogConfig
    from ..runtime import StepflowRuntime


class Servers:
    """Embedded servers by configuration, as a context manager that stops them all. It can be used from several threads.

    Args:
        log_config: How much the servers log. Default `LogConfig(level="warn")`.
        env: Environment variables for servers and workers; they override those of this process.
    """

    def __init__(self, log_config: LogConfig | None = None, env: dict[str, str] | None = None) -> None:
        """Store the settings. No server is started."""
        self._log_config = log_config
        self._env = env
        self._lock = threading.Lock()
        self._started: dict[str, Future[StepflowRuntime]] = {}
        self._files: list[Path] = []

    def get(self, config: TestConfig) -> StepflowRuntime:
        """Return the server of a configuration, ready to use; later calls wait for the same server.

        Raises:
            FlowFileError: If the configuration cannot be read.
            ServerStartError: If the server does not start.
            ServerNotInstalledError: If no server is installed.
        """
        check_instance(config, "config", TestConfig)
        with self._lock:
            server = self._started.get(config.key)
            mine = server is None
            if server is None:
                server = self._started[config.key] = Future()
        if mine:
            try:
                server.set_result(self._start(config))
            except BaseException as error:
                server.set_exception(error)
        return server.result()

    def _start(self, config: TestConfig) -> StepflowRuntime:
        from ..logs import LogConfig
        from ..runtime import StepflowRuntime

        path = config.path
        if config.inline is not None:
            # Commands of workers are relative to the folder of the configuration, so write it next to the flow.
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
        runtimes = [each.result() for each in started if each.exception() is None]
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
