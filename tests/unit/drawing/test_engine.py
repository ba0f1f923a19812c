"""The compiled layout engine: one file per machine, used only if nobody but this user can have written it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_DRAW = """
import sys
if "cached" in sys.argv:
    import wasmtime
    def refuse(*args):
        sys.exit("compiled again")
    wasmtime.Module.__init__ = refuse
if "quick" in sys.argv:
    import wasmtime
    # What a compilation gives, without the seconds that it takes; a digest is before it.
    compiled = open(sys.argv[2], "rb").read()[32:]
    deserialize = wasmtime.Module.deserialize
    wasmtime.Module = lambda engine, wasm: deserialize(engine, compiled)
    wasmtime.Module.deserialize = deserialize
from stepflow_client.drawing import draw
print(draw({"name": "one", "steps": [{"id": "a", "component": "/a"}], "output": {"$step": "a"}}).svg())
"""


def start(cache: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _DRAW, *args],
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def drawn(process: subprocess.Popen[str]) -> str:
    """Return the picture. Nothing else is printed, not even while the interpreter shuts down."""
    picture, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert picture.startswith("<svg")
    return picture


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that two processes have filled at the same time."""
    folder = tmp_path_factory.mktemp("cache")
    both = [start(folder), start(folder)]
    assert drawn(both[0]) == drawn(both[1])
    return folder


@pytest.fixture(scope="module")
def compiled(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of the file in the cache folder, for processes that need not compile."""
    copy = tmp_path_factory.mktemp("compiled") / "module"
    copy.write_bytes(module(cache).read_bytes())
    return str(copy)


def module(cache: Path) -> Path:
    (found,) = (cache / "stepflow" / "graphviz").iterdir()
    return found


def test_compiled_once(cache: Path) -> None:
    drawn(start(cache, "cached"))
    assert module(cache).stat().st_mode & 0o777 == 0o600
    assert module(cache).parent.stat().st_mode & 0o777 == 0o700


def truncate(path: Path) -> None:
    os.truncate(path, 100_000)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def readable(path: Path) -> None:
    path.chmod(0o644)


def linked(path: Path) -> None:
    path.symlink_to(path.rename(path.parent.parent / "target"))


@pytest.mark.parametrize("damage", [truncate, empty, flip, readable])
def test_what_may_not_be_used_is_compiled_again(cache: Path, damage: Callable[[Path], None]) -> None:
    path = module(cache)
    content = path.read_bytes()
    damage(path)
    try:
        assert start(cache, "cached").communicate(timeout=120)[1] == "compiled again\n"
    finally:
        path.write_bytes(content)
        path.chmod(0o600)


def test_what_is_compiled_again_replaces_it(cache: Path, compiled: str) -> None:
    linked(module(cache))
    assert start(cache, "cached").communicate(timeout=120)[1] == "compiled again\n"
    drawn(start(cache, "quick", compiled))
    assert not module(cache).is_symlink()
    drawn(start(cache, "cached"))


def test_a_folder_that_others_can_write_is_not_used(cache: Path, compiled: str) -> None:
    folder = module(cache).parent
    before = module(cache).stat().st_mtime_ns
    folder.chmod(0o777)
    try:
        assert start(cache, "cached").communicate(timeout=120)[1] == "compiled again\n"
        drawn(start(cache, "quick", compiled))
    finally:
        folder.chmod(0o700)
    assert module(cache).stat().st_mtime_ns == before


def test_without_a_cache_folder(tmp_path: Path, compiled: str) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    drawn(start(blocked, "quick", compiled))
