"""The release of the servers that flows are for: a flag, the environment, the project or the configuration file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from stepflow_client._rules.releases import TARGETS, parse_target_release

from ..errors import usage
from .profiles import Profiles, load_profiles
from .server_choice import Setting

if TYPE_CHECKING:
    from stepflow_client.flows.project import Project

TARGET_VARIABLE = "STEPFLOW_TARGET"


def get_target_setting(
    profiles: Profiles | None = None, *, flag: str | None = None, project: Project | None = None
) -> Setting:
    """Return the release that flows are for, None for all releases, and the origin of the setting.

    Args:
        profiles: The configuration file's contents; None reads the file if it is needed.
        flag: The value of --target.
        project: The project of the flow.

    Raises:
        Problem: If the release is none, or the file cannot be read.
    """
    if flag is not None:
        found = Setting("target", flag, "flag --target")
    elif text := os.environ.get(TARGET_VARIABLE, "").strip():
        found = Setting("target", text, f"environment variable {TARGET_VARIABLE}")
    elif project is not None and project.target is not None:
        found = Setting("target", project.target, str(project.file))
    else:
        profiles = load_profiles() if profiles is None else profiles
        is_set = profiles.target is not None
        found = Setting("target", profiles.target, str(profiles.path) if is_set else "default")
    if found.value is not None:
        check_target_release(found.value, found.origin.removeprefix("flag ").removeprefix("environment variable "))
    return found


def check_target_release(value: Any, where: str) -> None:
    """Raise if a value is not a release; `where` is its origin.

    Raises:
        Problem: If it is none.
    """
    if parse_target_release(value) is None:
        hint = "leave it out to check for all of them" if isinstance(value, str) else 'write it as text: "0.13"'
        raise usage(f"{where}: target is a release from {TARGETS}, not {value!r}", hint)
