"""The command that installs an extra into this environment."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import suppress
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit


def install_command(package: str, extra: str) -> str:
    """Return the command that installs an extra of a package.

    A package that was installed from a folder, such as a checkout, is installed from there: an index may not have it.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    what = f"'{package}[{extra}]'"
    with suppress(PackageNotFoundError, ValueError, OSError):
        origin = json.loads(distribution(package).read_text("direct_url.json") or "{}")
        if "dir_info" in origin:
            editable = "-e " if origin["dir_info"].get("editable") else ""
            what = editable + shlex.quote(f"{unquote(urlsplit(origin['url']).path)}[{extra}]")
    # Environments of uv have no pip, and the pip of another one would install into that.
    tool = "pip install" if find_spec("pip") else f"uv pip install --python {shlex.quote(sys.executable)}"
    return f"{tool} {what}"
