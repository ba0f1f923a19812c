"""The released servers: their binaries, downloaded once from the package index and cached.

The cache is `.build/servers` in the checkout, or the folder in STEPFLOW_TEST_CACHE.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

RELEASES = ("0.10.0", "0.11.0", "0.11.1", "0.12.0", "0.13.0")
NEWEST = RELEASES[-1]

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("STEPFLOW_TEST_CACHE") or ROOT / ".build" / "servers")


def number(release: str) -> tuple[int, ...]:
    """Return a release as a tuple of numbers, for comparisons."""
    return tuple(int(part) for part in release.split("."))


def binary(release: str) -> Path:
    """Return the server binary of a release.

    Raises:
        RuntimeError: If it cannot be downloaded, with pip's message.
    """
    target = CACHE / release / "stepflow-server"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
        done = subprocess.run([*command, f"stepflow-orchestrator=={release}"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the server {release} cannot be fetched: {done.stderr.strip()}")
        wheel = next(Path(folder).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/bin/stepflow-server"))
            unpacked = Path(archive.extract(name, folder))
        unpacked.chmod(0o755)
        # Atomically, so that another process never sees an incomplete binary.
        shutil.move(unpacked, target)
    return target


def builtin_config(release: str) -> dict[str, object]:
    """Return a minimal configuration with the builtin components."""
    route = "/builtin" if number(release) >= (0, 13) else "/builtin/{*component}"
    return {"plugins": {"builtin": {"type": "builtin"}}, "routes": {route: [{"plugin": "builtin"}]}}
