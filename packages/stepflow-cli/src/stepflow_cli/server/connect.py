"""The server a command works with: one that is named, or an embedded one that lives as long as the command."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..context import Session, current_session
from ..errors import problem_of
from ..output.spinner import waiting
from ..settings.history import CommandHistory
from ..settings.resolve import ServerOptions, Settings, resolve

if TYPE_CHECKING:
    from stepflow_client import StepflowClient, StepflowRuntime, SyncStepflowClient

__all__ = ["Target", "connect", "keep", "kept_server"]

_NO_SERVER = "start one with 'stepflow serve', name one with --url or STEPFLOW_URL, or add --local for an embedded one"


@dataclass(frozen=True)
class Target:
    """The server a command works with."""

    client: SyncStepflowClient
    settings: Settings
    runtime: StepflowRuntime | None = None
    """The embedded server; None where another one was named."""
    is_kept: bool = False
    """Whether the server is there for more than this command."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """What another client of this server is made with."""
    history: CommandHistory = field(default_factory=CommandHistory)
    """Where the client records its runs."""

    @property
    def ends_with_command(self) -> bool:
        """Whether the server, and all runs on it, end when the command does."""
        return self.runtime is not None and not self.is_kept

    def another_client(self) -> SyncStepflowClient:
        """Return a further client of the same server, to be closed by the caller: for a thread of its own."""
        from stepflow_client import SyncStepflowClient

        if self.runtime is not None:
            return SyncStepflowClient(self.runtime.url)
        return SyncStepflowClient.from_env(**self.arguments)

    def async_client(self) -> StepflowClient:
        """Return an asynchronous client of the same server with the same history, to be closed by the caller."""
        from stepflow_client import StepflowClient

        history = self.history.for_client
        if self.runtime is not None:
            return StepflowClient(self.runtime.url, history=history)
        return StepflowClient.from_env(**self.arguments, history=history)

    def come_back(self, words: str, run_id: str) -> str:
        """Return the command that goes on with a run, on the same server.

        Args:
            words: The command, for example `runs watch`.
            run_id: The run.
        """
        if self.is_kept:
            return f"{words} {run_id}"
        command = f"stepflow {words} {run_id}"
        if self.settings.url.origin == "flag --url":
            # The client's own form of it has no password.
            return f"{command} --url {shlex.quote(self.client.url)}"
        if self.settings.profile is not None:
            return f"{command} --profile {shlex.quote(self.settings.profile.name)}"
        return command


@contextmanager
def connect(server: ServerOptions, *, flow: str | None = None) -> Iterator[Target]:
    """Return the server that the options name; an embedded one ends with the block.

    Args:
        server: What the command line says.
        flow: The flow's file, where there is one: an embedded server's configuration is looked for beside it.

    Raises:
        Problem: If the options are wrong, or the server cannot be reached.
    """
    kept = kept_server(server)
    if kept is not None:
        with _told_of_its_end(kept):
            yield kept
        return
    settings = resolve(server)
    if settings.is_embedded:
        with _embedded(server, settings, flow) as target:
            yield target
        return
    from stepflow_client import ServerConnectionError, SyncStepflowClient

    from . import outages

    arguments, history = _client_settings(settings), CommandHistory()
    # Looking for plugins reads the metadata of every installed package; nothing here has any. (No process is started
    # that could inherit this.)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with outages.tracked(), SyncStepflowClient.from_env(**arguments, history=history.for_client) as client:
        try:
            yield Target(client, settings, arguments=arguments, history=history)
        except ServerConnectionError as error:
            # A run that had been found before is no reason to start another server.
            nobody = settings.url.origin == "default" and not (error.run_id and error.was_sent)
            raise problem_of(error, hint=_NO_SERVER if nobody else None) from error


@contextmanager
def keep(target: Target) -> Iterator[None]:
    """Let all commands of this session within the block that name no server use this one."""
    session = current_session()
    before, session.kept = session.kept, replace(target, is_kept=True)
    try:
        yield
    finally:
        session.kept = before


def kept_server(server: ServerOptions, session: Session | None = None) -> Target | None:
    """Return the server that is kept in a session, by default the current one, if these options name none."""
    kept = (session or current_session()).kept
    is_named = server.url or server.profile or server.local or server.config is not None
    return kept if isinstance(kept, Target) and not is_named else None


@contextmanager
def _told_of_its_end(target: Target) -> Iterator[None]:
    from stepflow_client import EmbeddedServerError, StepflowClientError

    try:
        yield
    except StepflowClientError as error:
        if target.runtime is None or target.runtime.is_alive:
            raise
        raise EmbeddedServerError("the embedded server ended unexpectedly", run_id=error.run_id) from error


@contextmanager
def _naming_config(config: str | None) -> Iterator[None]:
    """Name the configuration with which a server does not start: it may have been found, and not been named."""
    from stepflow_client import ServerStartError

    try:
        yield
    except ServerStartError as error:
        if config is None:
            raise
        raise problem_of(error, hint=error.hint or f"its configuration is {config}") from error


def _client_settings(settings: Settings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"base_url": settings.url.value}
    profile = settings.profile
    if profile is None:
        return arguments
    arguments |= profile.client_settings()
    if os.environ.get("STEPFLOW_TIMEOUT"):
        # The environment goes before the file, and the client reads it.
        arguments.pop("timeout", None)
    token = profile.token()
    if token is not None:
        arguments["auth"] = token
    return arguments


@contextmanager
def _embedded(server: ServerOptions, settings: Settings, flow: str | None) -> Iterator[Target]:
    from stepflow_client import EmbeddedServerError, LogConfig, StepflowClientError, StepflowRuntime

    from ..inputs.config import note_repeated_keys
    from ..inputs.flow import find_config
    from .logs import keeping_logs

    config = server.config or find_config(flow)
    if config is not None:
        note_repeated_keys(config)
    level = current_session().server_log_level
    exit_codes: list[int] = []
    clients: list[SyncStepflowClient] = []

    def ended(exit_code: int) -> None:
        # Nobody starts it again: whoever waits for it must not wait any longer.
        exit_codes.append(exit_code)
        for client in clients:
            client.close()

    log_config = LogConfig() if level is None else LogConfig(level=level)  # type: ignore[arg-type]
    history = CommandHistory()
    with ExitStack() as stack:
        stack.enter_context(keeping_logs())
        runtime = StepflowRuntime.start(config, on_crash=ended, log_config=log_config, history=history.for_client)
        with waiting("starting the embedded server"), _naming_config(config):
            stack.enter_context(runtime)
            clients.append(runtime.sync_client)
        try:
            yield Target(clients[0], settings, runtime, history=history)
        except StepflowClientError as error:
            if not exit_codes:
                raise
            message = f"the embedded server ended unexpectedly (exit code {exit_codes[0]})"
            raise EmbeddedServerError(message, run_id=error.run_id) from error
