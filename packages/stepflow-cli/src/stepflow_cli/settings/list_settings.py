"""Lists the settings for display. Passwords are left out, and any proxy set in the environment is included."""

from __future__ import annotations

import os
from typing import Any

from stepflow_client._base.text_formatting import format_url_without_credentials
from stepflow_client.flows.project import find_project

from .profiles import CONFIG_VARIABLE, find_environment_proxy, load_profiles
from .run_history import get_history_setting
from .server_choice import ServerOptions, Setting, choose_server, get_target_release_setting


def list_settings(server: ServerOptions) -> list[Setting]:
    """Return every setting, along with its value and origin. Tokens are never included.

    Args:
        server: The server options from the command line.

    Raises:
        Problem: If the settings conflict, or if a profile is missing or invalid.
    """
    profiles = load_profiles()
    choice = choose_server(server, profiles=profiles)
    settings = [_remove_password_and_add_proxy(setting, choice.url.value) for setting in choice.settings]
    settings.append(_remove_password_and_add_proxy(get_history_setting(profiles), None))
    settings.append(get_target_release_setting(profiles, project=find_project()))
    names = sorted(profiles.tables)
    settings.append(Setting("profiles", names, str(profiles.path) if names else "default"))
    named = "environment variable STEPFLOW_CONFIG_FILE" if os.environ.get(CONFIG_VARIABLE) else "default"
    settings.append(Setting("file", str(profiles.path), named if profiles.path.exists() else f"{named}; there is none"))
    return settings


def _remove_password_and_add_proxy(setting: Setting, url: str | None) -> Setting:
    if setting.name == "proxy" and setting.value is None and url is not None:
        proxy = find_environment_proxy(url)
        if proxy is not None and proxy.url is not None:
            return Setting("proxy", proxy.url, f"environment variable {proxy.variable}")
    if setting.name in ("url", "proxy", "history") and setting.value is not None:
        # The parameters of a database URL may include a password.
        value = setting.value.partition("?")[0] if setting.name == "history" else setting.value
        return Setting(setting.name, format_url_without_credentials(value), setting.origin)
    return setting


def abbreviate_home_folder(value: Any) -> Any:
    """If a value is text, replace the user's home folder in it with `~`. Return any other value unchanged."""
    home = os.path.expanduser("~")
    return value.replace(home + os.sep, f"~{os.sep}") if isinstance(value, str) and home != os.sep else value
