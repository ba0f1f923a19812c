"""The folders for the client's files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from stepflow_client._stores.user_files import user_folder


@pytest.mark.parametrize(
    ("platform", "kind", "parent"),
    [
        ("linux", "cache", ".cache"),
        ("linux", "config", ".config"),
        ("linux", "state", ".local/state"),
        ("darwin", "cache", "Library/Caches"),
        ("darwin", "config", "Library/Application Support"),
        ("darwin", "state", "Library/Application Support"),
        ("win32", "config", "AppData/Local"),
    ],
)
def test_files_are_where_each_platform_has_them(
    platform: str, kind: str, parent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (f"XDG_{kind.upper()}_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert user_folder(kind) == tmp_path / parent / "stepflow"
    monkeypatch.setenv("LOCALAPPDATA" if platform == "win32" else f"XDG_{kind.upper()}_HOME", str(tmp_path / "own"))
    assert user_folder(kind) == tmp_path / ("own" if platform != "darwin" else parent) / "stepflow"
