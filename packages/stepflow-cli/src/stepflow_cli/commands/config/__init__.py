"""`stepflow config`: the settings and their origins."""

from __future__ import annotations

from ...params.parsing import LazyGroup

__all__ = ["command"]

_COMMANDS = {
    "list": "Show the settings in effect: the server that commands use, and all others.",
    "get": "Print one setting.",
    "set": "Set a key of a profile, or whether runs are recorded.",
    "unset": "Remove a key of a profile, or a whole profile.",
    "use": "Make a profile the current one.",
}

command = LazyGroup(
    "config",
    commands_of=_COMMANDS,
    package=__name__,
    aliases={"show": "list", "rm": "unset"},
    help="""Show and change settings, and manage server profiles.

    Profiles are in a TOML file, config.toml in the user's configuration folder, or the one that STEPFLOW_CONFIG_FILE
    names:

    \b
      current = "prod"
      [profiles.prod]
      url = "https://stepflow.example.com"
      token_command = ["pass", "show", "stepflow"]

    The keys of a profile: url; token_env, token_file or token_command; timeout (seconds); verify (true or false);
    ca_file; cert_file; key_file; proxy. Flags take precedence over the environment, and the environment over a
    profile; but a profile that names a token is sent its own.

    history = false, above the profiles, keeps commands from recording runs; so does STEPFLOW_HISTORY=off.
    target = "0.13" is the release of the servers that flows are checked for, as --target or STEPFLOW_TARGET.
    """,
)
"""The group. Each of its commands is a module of this package."""
