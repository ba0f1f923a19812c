"""An embedded server that outlasts a round of a watched command, and is restarted if its configuration changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType

from ..context import current_session
from ..settings.server_choice import ServerOptions, choose_server
from .connect import Target, connect


class SessionServer:
    """The server of a watched command, as a context manager that stops it.

    Args:
        options: The server options of the command line.
        flow: The flow's file, in whose folder a configuration is searched for.
    """

    def __init__(self, options: ServerOptions, flow: str | None = None) -> None:
        """Store the options. No server is started."""
        self._options = options
        self._flow = flow
        self._stack = ExitStack()
        self._target: Target | None = None
        self._config: tuple[str | None, bytes] | None = None

    @contextmanager
    def round(self) -> Iterator[ServerOptions]:
        """Yield the options with which a command uses the server; an embedded one is running then.

        Raises:
            Problem, StepflowClientError: If the server does not start, or its configuration cannot be read.
        """
        session = current_session()
        if session.kept is not None or not choose_server(self._options).is_embedded:
            yield self._options
            return
        target = self._running()
        session.kept = target
        try:
            yield ServerOptions(default=self._options.default, reads_project=self._options.reads_project)
        finally:
            session.kept = None

    def _running(self) -> Target:
        path = choose_server(self._options, self._flow).config.value
        config = (path, _content(path))
        target = self._target
        if target is not None and config == self._config and target.runtime is not None and target.runtime.is_alive:
            return target
        self.close()
        self._target = self._stack.enter_context(connect(self._options, flow=self._flow))
        self._config = config
        return self._target

    def close(self) -> None:
        """Stop the server, if one is running."""
        self._target = None
        self._stack.close()

    def __enter__(self) -> SessionServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _content(path: str | None) -> bytes:
    from stepflow_client._command import is_read_once

    if path is None or is_read_once(path):
        return b""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        # The server reports the error.
        return b""
