"""The layout engine is compiled once; without a folder for the compiled code, it still works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_DRAW = """
from stepflow_client.drawing import draw
print(draw({"name": "one", "steps": [{"id": "a", "component": "/a"}], "output": {"$step": "a"}}).svg())
"""


def drawn(folder: Path) -> str:
    """Return a picture from a process with this cache folder. It prints nothing else, not even at its exit."""
    process = subprocess.run(
        [sys.executable, "-c", _DRAW],
        env={**os.environ, "XDG_CACHE_HOME": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith("<svg")
    return process.stdout


def modules(folder: Path) -> dict[Path, int]:
    """Return the large files in a folder, and when each was written."""
    found = ((path, path.stat()) for path in folder.rglob("*"))
    return {path: each.st_mtime_ns for path, each in found if each.st_size > 100_000}


def test_compiled_once(tmp_path: Path) -> None:
    picture = drawn(tmp_path)
    before = modules(tmp_path)
    assert len(before) == 1
    assert drawn(tmp_path) == picture
    assert modules(tmp_path) == before


@pytest.mark.exhaustive
def test_without_a_cache_folder(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    drawn(blocked)
