"""An embedded server that outlasts a round of a watched command, and is restarted if its configuration changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from ..errors import current_session
from ..inputs.config import read_config_content
from ..settings.server_choice import ServerOptions, choose_server
from .connect import Target, connect


@contextmanager
def session_server(
    options: ServerOptions, flow: str | None = None
) -> Iterator[Callable[[], AbstractContextManager[ServerOptions]]]:
    """Yield a function for each round of a watched command; a server that a round has started is stopped at the end.

    The function returns a context manager, which yields the options with which the round uses the server. An embedded
    server is running then.

    Args:
        options: The server options of the command line.
        flow: The flow's file, in whose folder a configuration is searched for.
    """
    stack, session = ExitStack(), current_session()
    target: Target | None = None
    config: tuple[str | None, bytes] | None = None

    @contextmanager
    def each_round() -> Iterator[ServerOptions]:
        nonlocal target, config
        if session.kept is not None or not choose_server(options).is_embedded:
            yield options
            return
        path = choose_server(options, flow).config.value
        # Read before the server starts: a change while it starts restarts it in the next round.
        current = (path, read_config_content(path))
        is_running = target is not None and target.runtime is not None and target.runtime.is_alive
        if not is_running or config != current:
            target = None
            stack.close()
            target = stack.enter_context(connect(options, flow=flow))
            config = current
        session.kept = target
        try:
            yield ServerOptions(default=options.default, reads_project=options.reads_project)
        finally:
            session.kept = None

    with stack:
        yield each_round
