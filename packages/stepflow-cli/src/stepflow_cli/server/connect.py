"""The server that a command uses, its components, and advice if it cannot be used."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import NamedServer, Session, current_session, to_problem
from ..output.messages import note, reporting_outages, waiting
from ..settings.history import CommandHistory
from ..settings.server_choice import (
    DEFAULT_PORT,
    DEFAULT_URL,
    ServerChoice,
    ServerOptions,
    choose_server,
    describe_origin,
)

if TYPE_CHECKING:
    from stepflow_client import (
        AuthenticationError,
        ComponentList,
        StepflowClient,
        StepflowRuntime,
        SyncStepflowClient,
        TransportError,
    )
    from stepflow_client._rules.releases import Server

_NO_SERVER = "start one with 'stepflow serve', name one with --url or STEPFLOW_URL, or add --local for an embedded one"
_NO_LASTING_SERVER = "start one with 'stepflow serve', or name one with --url or STEPFLOW_URL"
_NO_CREDENTIALS = "no credentials were sent: set STEPFLOW_TOKEN, or token_env, token_file or token_command in a profile"


def get_hint(error: TransportError | AuthenticationError, choice: ServerChoice) -> str | None:
    """Return the hint for an error of a named server; None for none.

    Args:
        error: The client's error.
        choice: The server.
    """
    from stepflow_client import AuthenticationError, ServerConnectionError

    if isinstance(error, AuthenticationError):
        if error.status_code == 407:
            return name_origins(error.hint, choice)
        if choice.credentials is None:
            return _NO_CREDENTIALS
        failure = "have expired, or be for another server" if error.status_code == 401 else "not allow this"
        return f"{choice.credentials} may {failure}"
    # If the run was found before, the hint to start a server would be wrong.
    if isinstance(error, ServerConnectionError) and not (error.run_id and error.was_sent):
        if choice.url.origin == "default":
            return _NO_SERVER if choice.options.may_end else _NO_LASTING_SERVER
        if "the URL" in (error.hint or "") and "'stepflow serve" not in (error.hint or ""):
            return name_origins(f"{error.hint}; 'stepflow doctor' checks the connection", choice)
    return name_origins(error.hint, choice)


def describe_missing(listed: ComponentList) -> str | None:
    """Return which plugins of a server have no worker; None if all have one."""
    failed = listed.failed_plugins
    if not failed:
        return None
    named, is_one = ", ".join(plugin.plugin for plugin in failed), len(failed) == 1
    errors = "; ".join(dict.fromkeys(plugin.error for plugin in failed if plugin.error))
    message = f"the plugin{'' if is_one else 's'} {named} {'has' if is_one else 'have'} no worker"
    return f"{message} ({errors})" if errors else message


def name_origins(hint: str | None, choice: ServerChoice) -> str | None:
    """Return a hint of the client that names the origin of the server's URL and of its proxy's."""
    if hint is None:
        return None
    origin = choice.url.origin
    if "the proxy's URL" in hint:
        from ..settings.profiles import find_environment_proxy

        if choice.profile is not None and choice.profile.proxy:
            hint = hint.replace("the proxy's URL", f"the proxy of {origin}")
        elif (proxy := find_environment_proxy(str(choice.url.value))) is not None:
            hint = hint.replace("the proxy's URL", proxy.variable)
    if origin.startswith(("profile ", "@")):
        url = f"the url of {origin}" if origin.startswith("profile ") else f"the URL of {origin}"
    else:
        url = "the URL" if origin == "default" else describe_origin(origin).removeprefix("from ")
    return hint.replace("the URL", url)


class Target(NamedTuple):
    """The server that a command uses."""

    client: SyncStepflowClient
    choice: ServerChoice
    history: CommandHistory
    """The history in which the client records its runs."""
    runtime: StepflowRuntime | None = None
    """The embedded server; None if a server is named."""
    is_kept: bool = False
    """Whether the server outlives this command."""
    arguments: Mapping[str, Any] = MappingProxyType({})
    """The arguments to create another client of this server with."""

    @property
    def ends_with_command(self) -> bool:
        """Whether the server, with all its runs, ends when the command does."""
        return self.runtime is not None and not self.is_kept

    def another_client(self) -> SyncStepflowClient:
        """Return another client of the same server, for use in another thread. The caller must close it."""
        from stepflow_client import SyncStepflowClient

        client = SyncStepflowClient(**self.arguments)
        client._connection.dialect.server = self._known_server
        return client

    def async_client(self) -> StepflowClient:
        """Return an asynchronous client of the same server with the same history. The caller must close it."""
        from stepflow_client import StepflowClient

        client = StepflowClient(**self.arguments, history=self.history.for_client)
        if self.runtime is not None:
            client._recorder.is_embedded = True
        client._connection.dialect.server = self._known_server
        return client

    @property
    def _known_server(self) -> Server | None:
        """The release of the server, if it has been requested already."""
        return self.client._connection.dialect.server

    def return_command(self, words: str, run_id: str) -> str:
        """Return a shell command that continues with a run, on the same server.

        Args:
            words: The command, for example `runs watch`.
            run_id: The run.
        """
        if self.is_kept:
            return f"{words} {run_id}"
        command = f"stepflow {words} {run_id}"
        if self.choice.profile is not None:
            return f"{command} --profile {shlex.quote(self.choice.profile.name)}"
        if self.choice.options.url or self.choice.options.of_run is not None:
            # The client's form of the URL has no password.
            return f"{command} --url {shlex.quote(self.client.url)}"
        return command


@contextmanager
def connect(server: ServerOptions, *, flow: str | None = None) -> Iterator[Target]:
    """Yield the server that the options name; an embedded server is stopped at the end of the block.

    Args:
        server: The server options of the command line.
        flow: The flow's file, if any; an embedded server's configuration is searched for in its folder.

    Raises:
        Problem: If the options are invalid, or the server cannot be reached.
    """
    kept = get_kept_server(server)
    choice = choose_server(server, flow) if kept is None else kept.choice
    session = current_session()
    if session.verbosity:
        note(choice.explanation)
    if choice.ignored_config is not None:
        note(choice.ignored_config)
    if not choice.is_embedded:
        # Errors of a named server name it.
        session.server = NamedServer(choice.shown_url, describe_origin(choice.url.origin))
    from stepflow_client import (
        AuthenticationError,
        EmbeddedServerError,
        StepflowClientError,
        SyncStepflowClient,
        TransportError,
    )

    if kept is not None:
        try:
            yield kept
        except StepflowClientError as error:
            if kept.runtime is None or kept.runtime.is_alive:
                raise
            raise EmbeddedServerError("the embedded server ended unexpectedly", run_id=error.run_id) from error
        return
    if choice.is_embedded:
        with _start_embedded_server(choice) as target:
            yield target
        return
    arguments, history = build_client_arguments(choice), CommandHistory()
    # Searching for pydantic plugins reads the metadata of every installed package; none are used here. (No process is
    # started that could inherit this variable.)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with reporting_outages(), SyncStepflowClient(**arguments, history=history.for_client) as client:
        try:
            yield Target(client, choice, history, arguments=arguments)
        except (TransportError, AuthenticationError) as error:
            error.hint = get_hint(error, choice)
            raise


def get_kept_server(server: ServerOptions, session: Session | None = None) -> Target | None:
    """Return the server kept in a session (by default the current one), if the options name no server."""
    kept = (session or current_session()).kept
    return kept if isinstance(kept, Target) and not server.is_named else None


def build_client_arguments(choice: ServerChoice) -> dict[str, Any]:
    """Return the arguments of a client of a named server.

    Raises:
        Problem: If the token of the profile cannot be read.
    """
    from stepflow_client._command import check_timeout, read_environment_settings

    arguments: dict[str, Any] = {"base_url": choice.url.value}
    profile = choice.profile
    if profile is not None:
        arguments |= profile.get_client_settings()
        token = profile.read_token()
        if token is not None:
            arguments["auth"] = token
    environment = read_environment_settings(os.environ)
    if any(setting.name == "token" and setting.value == "environment" for setting in choice.settings):
        arguments["auth"] = environment["auth"]
    # The environment takes precedence over the file.
    timeout = environment.get("timeout", arguments.get("timeout"))
    if timeout is not None:
        # It limits each call of the command as a whole, not only each phase of its requests.
        arguments["timeout"] = check_timeout(timeout, of_a_call=True)
    return arguments


def is_listening(host: str, port: int) -> bool:
    """Return whether something listens on a port of this machine."""
    import socket

    try:
        socket.create_connection((host, port), timeout=0.1).close()
    except OSError:
        return False
    return True


@contextmanager
def _start_embedded_server(choice: ServerChoice) -> Iterator[Target]:
    from stepflow_client import EmbeddedServerError, LogConfig, ServerStartError, StepflowClientError, StepflowRuntime

    from ..inputs.config import note_repeated_keys
    from .logs import keeping_logs

    if choice.url.origin == "default" and sys.stderr.isatty() and is_listening("localhost", DEFAULT_PORT):
        note(f"this runs on an embedded server; one is running at {DEFAULT_URL}: --url local uses that")
    config: str | None = choice.config.value
    if choice.config.origin.endswith(".toml"):
        note(f"the embedded server's configuration is {config}, as {choice.config.origin} says")
    if config is not None:
        note_repeated_keys(config)
    # At level info, so that 'runs logs' has the lines of this command's runs.
    level = current_session().server_log_level or "info"
    exit_codes: list[int] = []
    clients: list[SyncStepflowClient] = []

    def ended(exit_code: int) -> None:
        # The server is not restarted: waiting requests must end.
        exit_codes.append(exit_code)
        for client in clients:
            client.close()

    log_config = LogConfig(level=level)  # type: ignore[arg-type]
    history = CommandHistory()
    with ExitStack() as stack:
        stack.enter_context(keeping_logs())
        runtime = StepflowRuntime.start(config, on_crash=ended, log_config=log_config, history=history.for_client)
        try:
            with waiting("starting the embedded server"):
                stack.enter_context(runtime)
                clients.append(runtime.sync_client)
        except ServerStartError as error:
            if config is None:
                raise
            # The user may not have named the file.
            raise to_problem(error, hint=error.hint or f"its configuration is {config}") from error
        try:
            yield Target(clients[0], choice, history, runtime, arguments={"base_url": runtime.url})
        except StepflowClientError as error:
            if not exit_codes:
                raise
            message = f"the embedded server ended unexpectedly (exit code {exit_codes[0]})"
            raise EmbeddedServerError(message, run_id=error.run_id) from error


def fetch_components(target: Target, *, schemas: bool = True, timeout: float | None = None) -> ComponentList:
    """Return the components of a server. Those of an embedded server have their paths.

    Args:
        target: The server.
        schemas: Whether to include their schemas.
        timeout: Seconds to wait for a server that is not embedded. Default: the client's timeout.

    Raises:
        StepflowClientError: If the server does not list its components.
    """
    runtime = target.runtime
    if runtime is None:
        limit: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        return target.client.list_components(include_schemas=schemas, **limit)
    import asyncio

    async def ask() -> ComponentList:
        try:
            return await runtime.list_components(include_schemas=schemas)
        finally:
            await runtime.client.aclose()

    # The runtime knows the routes and therefore the paths; it offers this call only as a coroutine.
    return asyncio.run(ask())
