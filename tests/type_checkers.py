"""Run mypy as `make types` does, on a copy of its cache, so that it does not check the whole client for each test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run_mypy(cache: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    """Check files in strict mode.

    Args:
        cache: A new folder for the copy, because two processes cannot write to one cache.
        files: Files or folders.
    """
    if (ROOT / ".mypy_cache").exists():
        shutil.copytree(ROOT / ".mypy_cache", cache)
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--cache-dir", cache, *files]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=250)
