"""Connects a command to a server, lists the server's components, and offers hints if the server can't be reached."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import NamedServer, Session, convert_to_problem, current_session
from ..output.messages import note, reporting_outages, show_spinner
from ..settings.run_history import LazyRunHistory
from ..settings.server_choice import (
    DEFAULT_PORT,
    DEFAULT_URL,
    ServerChoice,
    ServerOptions,
    choose_server,
    format_setting_origin,
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
    from stepflow_client._rules.operations_and_releases import Server

_NO_SERVER = "start one with 'stepflow serve', name one with --url or STEPFLOW_URL, or add --local for an embedded one"
_NO_LASTING_SERVER = "start one with 'stepflow serve', or name one with --url or STEPFLOW_URL"
_NO_CREDENTIALS = "no credentials were sent: set STEPFLOW_TOKEN, or token_env, token_file or token_command in a profile"


def get_connection_hint(error: TransportError | AuthenticationError, choice: ServerChoice) -> str | None:
    """Return a hint for an error from a server that isn't embedded, or None if there is no hint.

    Args:
        error: The error raised by the client.
        choice: The server.
    """
    from stepflow_client import AuthenticationError, ServerConnectionError

    if isinstance(error, AuthenticationError):
        if error.status_code == 407:
            return add_url_origins_to_hint(error.hint, choice)
        if choice.credentials_description is None:
            return _NO_CREDENTIALS
        failure = "have expired, or be for another server" if error.status_code == 401 else "not allow this"
        return f"{choice.credentials_description} may {failure}"
    # Don't suggest starting a server if one was already processing a run.
    if isinstance(error, ServerConnectionError) and not (error.run_id and error.was_sent):
        if choice.url.origin == "default":
            return _NO_SERVER if choice.options.may_stop_on_exit else _NO_LASTING_SERVER
        if "the URL" in (error.hint or "") and "'stepflow serve" not in (error.hint or ""):
            return add_url_origins_to_hint(f"{error.hint}; to check the connection, run 'stepflow doctor'", choice)
    return add_url_origins_to_hint(error.hint, choice)


def describe_plugins_without_worker(listed: ComponentList) -> str | None:
    """Return a message listing the server's plugins that have no worker, or None if they all have one."""
    failed = listed.failed_plugins
    if not failed:
        return None
    named, is_one = ", ".join(plugin.plugin for plugin in failed), len(failed) == 1
    errors = "; ".join(dict.fromkeys(plugin.error for plugin in failed if plugin.error))
    message = f"the plugin{'' if is_one else 's'} {named} {'has' if is_one else 'have'} no worker"
    return f"{message} ({errors})" if errors else message


def add_url_origins_to_hint(hint: str | None, choice: ServerChoice) -> str | None:
    """Add the places where the URLs in a hint are set, so that users know where to change them."""
    if hint is None:
        return None
    origin = choice.url.origin
    if "the proxy's URL" in hint:
        from ..settings.profiles import find_environment_proxy

        if choice.profile is not None and choice.profile.proxy:
            hint = hint.replace("the proxy's URL", f"the proxy of {origin}")
            # NO_PROXY only applies to proxies that are set in the environment.
            hint = re.sub(r"set NO_PROXY=\S+ to connect without it", "remove it", hint)
        elif (proxy := find_environment_proxy(str(choice.url.value))) is not None:
            hint = hint.replace("the proxy's URL", proxy.variable)
    if origin.startswith(("profile ", "@")):
        url = f"the url of {origin}" if origin.startswith("profile ") else f"the URL of {origin}"
    else:
        url = "the URL" if origin == "default" else format_setting_origin(origin).removeprefix("from ")
    return hint.replace("the URL", url)


class Target(NamedTuple):
    """The server that a command uses."""

    client: SyncStepflowClient
    choice: ServerChoice
    history: LazyRunHistory
    """The history in which the client records its runs."""
    runtime: StepflowRuntime | None = None
    """The embedded server, or None if the server isn't embedded."""
    is_kept: bool = False
    """Whether the server keeps running after this command exits."""
    arguments: Mapping[str, Any] = MappingProxyType({})
    """The arguments that create another client for this server."""

    @property
    def ends_with_command(self) -> bool:
        """Whether the server and all its runs stop when the command exits."""
        return self.runtime is not None and not self.is_kept

    def create_sync_client(self) -> SyncStepflowClient:
        """Return another client, for use in a different thread. The caller must close it."""
        from stepflow_client import SyncStepflowClient

        client = SyncStepflowClient(**self.arguments)
        client._connection.dialect.server = self._known_release
        return client

    def create_async_client(self) -> StepflowClient:
        """Return an async client that shares the command's history. The caller must close it."""
        from stepflow_client import StepflowClient

        client = StepflowClient(**self.arguments, history=self.history.as_client_history)
        if self.runtime is not None:
            client._recorder.is_embedded = True
        client._connection.dialect.server = self._known_release
        return client

    @property
    def _known_release(self) -> Server | None:
        """The server's release, or None if it hasn't been fetched yet."""
        return self.client._connection.dialect.server

    def build_command_for_run(self, words: str, run_id: str) -> str:
        """Return a shell command that does something with a run on this server.

        Args:
            words: The command, such as `runs watch`.
            run_id: The run.
        """
        if self.is_kept:
            return f"{words} {run_id}"
        command = f"stepflow {words} {run_id}"
        if self.choice.profile is not None:
            return f"{command} --profile {shlex.quote(self.choice.profile.name)}"
        if self.choice.options.url or self.choice.options.run_server is not None:
            # Use the client's URL, because it doesn't contain a password.
            return f"{command} --url {shlex.quote(self.client.url)}"
        return command


@contextmanager
def connect(server: ServerOptions, *, flow: str | None = None) -> Iterator[Target]:
    """Yield the server that the options select. An embedded server is stopped at the end of the block.

    Args:
        server: The server options from the command line.
        flow: The flow's file, if there is one. Its folder may contain the configuration of an embedded server.

    Raises:
        Problem: If the options are invalid, or if the server can't be reached.
    """
    kept = get_server_kept_by_session(server)
    choice = choose_server(server, flow) if kept is None else kept.choice
    session = current_session()
    if session.verbosity:
        note(choice.explanation)
    if choice.ignored_config_message is not None:
        note(choice.ignored_config_message)
    if not choice.is_embedded:
        # Error messages name this server.
        session.server = NamedServer(choice.url_without_password, format_setting_origin(choice.url.origin))
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
            raise EmbeddedServerError("the embedded server exited unexpectedly", run_id=error.run_id) from error
        return
    if choice.is_embedded:
        with _start_embedded_server(choice) as target:
            yield target
        return
    arguments, history = build_client_arguments(choice), LazyRunHistory()
    # Keep pydantic from searching for plugins. It would read the metadata of every installed package, and we don't use
    # any plugins. (No child process inherits this variable.)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    with reporting_outages(), SyncStepflowClient(**arguments, history=history.as_client_history) as client:
        try:
            yield Target(client, choice, history, arguments=arguments)
        except (TransportError, AuthenticationError) as error:
            error.hint = get_connection_hint(error, choice)
            raise


def get_server_kept_by_session(server: ServerOptions, session: Session | None = None) -> Target | None:
    """Return the server that a session (by default, the current one) keeps, unless the options select a server."""
    kept = (session or current_session()).kept
    return kept if isinstance(kept, Target) and not server.has_server_option else None


def build_client_arguments(choice: ServerChoice) -> dict[str, Any]:
    """Return the arguments for a client of a server that isn't embedded.

    Raises:
        Problem: If the profile's token can't be read.
    """
    from stepflow_client._command import parse_timeout, read_environment_settings

    arguments: dict[str, Any] = {"base_url": choice.url.value}
    profile = choice.profile
    if profile is not None:
        arguments |= profile.get_connection_settings()
        token = profile.read_token()
        if token is not None:
            arguments["auth"] = token
    environment = read_environment_settings(os.environ)
    if any(setting.name == "token" and setting.value == "environment" for setting in choice.settings):
        arguments["auth"] = environment["auth"]
    # The environment takes precedence over the configuration file.
    timeout = environment.get("timeout", arguments.get("timeout"))
    if timeout is not None:
        # This timeout applies to the call as a whole, not to each phase of a request.
        arguments["timeout"] = parse_timeout(timeout, of_a_call=True)
    return arguments


def is_port_open(host: str, port: int) -> bool:
    """Return whether anything is accepting connections on a port."""
    import socket

    try:
        socket.create_connection((host, port), timeout=0.1).close()
    except OSError:
        return False
    return True


@contextmanager
def _start_embedded_server(choice: ServerChoice) -> Iterator[Target]:
    from stepflow_client import EmbeddedServerError, LogConfig, ServerStartError, StepflowClientError, StepflowRuntime

    from ..inputs.server_config_checks import note_duplicate_config_keys
    from .server_log_files import keeping_logs

    if choice.url.origin == "default" and sys.stderr.isatty() and is_port_open("localhost", DEFAULT_PORT):
        note(f"this runs on an embedded server; to use the one running at {DEFAULT_URL}, use --url local")
    config: str | None = choice.embedded_config.value
    if choice.embedded_config.origin.endswith(".toml"):
        note(f"the embedded server uses configuration {config}, set in {choice.embedded_config.origin}")
    if config is not None:
        note_duplicate_config_keys(config)
    # Use level info by default, so that 'runs logs' can show lines about this command's runs.
    level = current_session().server_log_level or "info"
    exit_codes: list[int] = []
    clients: list[SyncStepflowClient] = []

    def abort_requests(exit_code: int) -> None:
        # The server won't be restarted, so abort any pending requests.
        exit_codes.append(exit_code)
        for client in clients:
            client.close()

    log_config = LogConfig(level=level)  # type: ignore[arg-type]
    history = LazyRunHistory()
    with ExitStack() as stack:
        stack.enter_context(keeping_logs())
        runtime = StepflowRuntime.start(
            config, on_crash=abort_requests, log_config=log_config, history=history.as_client_history
        )
        try:
            with show_spinner("starting the embedded server"):
                stack.enter_context(runtime)
                clients.append(runtime.sync_client)
        except ServerStartError as error:
            if config is None:
                raise
            # Include the file name, because the user may not have chosen this file.
            raise convert_to_problem(error, hint=error.hint or f"its configuration is {config}") from error
        try:
            yield Target(clients[0], choice, history, runtime, arguments={"base_url": runtime.url})
        except StepflowClientError as error:
            if not exit_codes:
                raise
            message = f"the embedded server exited unexpectedly (exit code {exit_codes[0]})"
            raise EmbeddedServerError(message, run_id=error.run_id) from error


def fetch_components(target: Target, *, schemas: bool = True, timeout: float | None = None) -> ComponentList:
    """Return a server's components. They include their paths if the server is embedded.

    Args:
        target: The server.
        schemas: Whether to include schemas.
        timeout: Timeout in seconds. Defaults to the client's timeout. Ignored if the server is embedded.

    Raises:
        StepflowClientError: If the components can't be fetched.
    """
    runtime = target.runtime
    if runtime is None:
        limit: dict[str, Any] = {} if timeout is None else {"timeout": timeout}
        return target.client.list_components(include_schemas=schemas, **limit)
    import asyncio

    async def list_and_close() -> ComponentList:
        try:
            return await runtime.list_components(include_schemas=schemas)
        finally:
            await runtime.client.aclose()

    # Only the runtime knows the routes that determine the paths, and it has no sync version of this call.
    return asyncio.run(list_and_close())
