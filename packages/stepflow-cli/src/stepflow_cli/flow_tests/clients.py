"""The clients that run test cases, of a named server or of one embedded server for each configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stepflow_client import LogConfig
from stepflow_client.testing import Servers, TestConfig, config_of

from ..context import current_session
from ..inputs.config import note_repeated_keys, read_config_content
from ..output.messages import note
from ..server.connect import connect, get_kept_server
from ..settings.server_choice import ServerOptions, choose_server

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient
    from stepflow_client.testing import FlowTests


class TestClients:
    """The clients of test cases.

    Args:
        server: The client of the named server; None for embedded servers.
        servers: The embedded servers.
        config: Their configuration file; None uses the configurations of flows and projects.
    """

    __test__ = False

    def __init__(self, server: SyncStepflowClient | None, servers: Servers | None = None, config: str | None = None):
        self._server = server
        self._servers = servers
        self._config = config
        self._contents: dict[Path, bytes] = {}
        """The content of each configuration file when its server was started."""

    @property
    def config_files(self) -> list[str]:
        """The configuration files of the embedded servers that are running."""
        return [str(path) for path in self._contents]

    def check_server(self) -> None:
        """Check that the named server responds: otherwise it is an error of the command line, not of each case.

        Raises:
            StepflowClientError: If it does not.
        """
        if self._server is not None:
            self._server.health_check()

    def get_client(self, tests: FlowTests) -> SyncStepflowClient:
        """Return the client for the cases of a flow.

        Raises:
            StepflowClientError: If its embedded server does not start.
        """
        if self._server is not None or self._servers is None:
            assert self._server is not None
            return self._server
        config = config_of(tests, self._config)
        if config.path is not None and config.path not in self._contents:
            self._contents[config.path] = read_config_content(config.path)
            if config.project is not None:
                note(f"the embedded server's configuration is {config.label}, as {config.project} says")
        return self._servers.get(config).sync_client

    def restart_changed(self) -> None:
        """Stop the embedded servers if one of their configuration files has changed; `get_client` starts them again."""
        contents = self._contents.items()
        if self._servers is not None and any(read_config_content(path) != content for path, content in contents):
            self._servers.close()
            self._contents.clear()


@contextmanager
def open_clients(server: ServerOptions) -> Iterator[TestClients]:
    """Yield the clients of test cases; embedded servers are stopped at the end of the block.

    Raises:
        Problem, StepflowClientError: If the server does not start with --config.
    """
    if get_kept_server(server) is not None or not choose_server(server).is_embedded:
        with connect(server) as target:
            yield TestClients(target.client)
        return
    level = current_session().server_log_level
    log_config = LogConfig(level="warn") if level is None else LogConfig(level=level)  # type: ignore[arg-type]
    with Servers(log_config) as servers:
        if server.config is not None:
            note_repeated_keys(server.config)
            # A server that does not start is an error of the command line, not of each case.
            servers.get(TestConfig(path=Path(server.config)))
        yield TestClients(None, servers, server.config)
