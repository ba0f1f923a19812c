"""What to do about a server that cannot be used: the client's hints, with the origin of the URL, proxy or token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..settings.server_choice import ServerChoice, describe_origin

if TYPE_CHECKING:
    from stepflow_client import AuthenticationError, ComponentList, TransportError

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
        from ..settings.urls import find_environment_proxy

        if choice.profile is not None and choice.profile.proxy:
            hint = hint.replace("the proxy's URL", f"the proxy of {origin}")
        elif (proxy := find_environment_proxy(str(choice.url.value))) is not None:
            hint = hint.replace("the proxy's URL", proxy.variable)
    if origin.startswith(("profile ", "@")):
        url = f"the url of {origin}" if origin.startswith("profile ") else f"the URL of {origin}"
    else:
        url = "the URL" if origin == "default" else describe_origin(origin).removeprefix("from ")
    return hint.replace("the URL", url)
