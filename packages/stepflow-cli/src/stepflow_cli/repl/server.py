"""The server of a repl."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from ..server.connect import Target, connect, keep
from ..settings.resolve import ServerOptions

__all__ = ["KeptServer"]


class KeptServer:
    """A server for all commands that name none. An embedded server that has ended is restarted.

    Args:
        options: The server options.
    """

    def __init__(self, options: ServerOptions) -> None:
        """Store the options; no server is started yet."""
        self._options = options
        self._stack = ExitStack()
        self.target: Target
        """The server; set when the context is entered."""

    def __enter__(self) -> Self:
        """Start the server or connect to it."""
        self.target = self._stack.enter_context(connect(self._options))
        self._stack.enter_context(keep(self.target))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server if it is an embedded one."""
        self._stack.close()

    def renew(self) -> None:
        """Restart an embedded server that has ended."""
        runtime = self.target.runtime
        if runtime is None or runtime.is_alive:
            return
        self._stack.close()
        self.__enter__()
        print("the embedded server had ended; a new one was started, without its flows and runs", file=sys.stderr)

    def __str__(self) -> str:
        """Return the server's address and release."""
        info = self.target.client.server_info()
        kind = "embedded" if self.target.runtime else self.target.settings.url.origin
        return f"{info.url} ({kind}, release {info.release or info.dialect})"
