"""Per-user folders for the client's files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_LINUX = {"cache": ".cache", "config": ".config", "state": ".local/state"}


def user_folder(kind: str) -> Path:
    """Return the `stepflow` folder inside the user's `cache`, `config` or `state` folder, which varies by platform.

    On Linux, the parent folder is `$XDG_CACHE_HOME` (`~/.cache`), `$XDG_CONFIG_HOME` (`~/.config`) or `$XDG_STATE_HOME`
    (`~/.local/state`). On macOS, it is `~/Library/Caches` for caches, otherwise `~/Library/Application Support`. On
    Windows, it is `%LOCALAPPDATA%`.

    Raises:
        StepflowClientError: If the user has no home folder.
    """
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        folder = Path(local) if local else _get_home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        folder = _get_home() / "Library" / ("Caches" if kind == "cache" else "Application Support")
    else:
        base = Path(os.environ.get(f"XDG_{kind.upper()}_HOME") or "")
        folder = base if base.is_absolute() else _get_home() / _LINUX[kind]
    return folder / "stepflow"


def _get_home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        from ..errors import StepflowClientError

        raise StepflowClientError("this user has no home folder", hint="set HOME") from None
