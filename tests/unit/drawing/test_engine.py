"""The layout engine is compiled once, and works without a cache folder."""

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


def draw_in_process(folder: Path) -> str:
    """Return a drawing from a new process with this cache folder; the process must print nothing else."""
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


def compiled_modules(folder: Path) -> dict[Path, int]:
    """Return the large files in a folder with their modification times."""
    files = ((path, path.stat()) for path in folder.rglob("*"))
    return {path: each.st_mtime_ns for path, each in files if each.st_size > 100_000}


def test_the_engine_is_compiled_once(tmp_path: Path) -> None:
    picture = draw_in_process(tmp_path)
    before = compiled_modules(tmp_path)
    assert len(before) == 1
    assert draw_in_process(tmp_path) == picture
    assert compiled_modules(tmp_path) == before


@pytest.mark.exhaustive
def test_drawing_works_without_a_cache_folder(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    draw_in_process(blocked)
