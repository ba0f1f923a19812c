"""Changes to watched files and folders are detected once the files are written completely."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from stepflow_cli.file_watching import WatchedFiles


def watch(*paths: Path) -> WatchedFiles:
    return WatchedFiles(lambda: map(str, paths))


def test_edited_replaced_new_and_deleted_files(tmp_path: Path) -> None:
    file, other = tmp_path / "flow.yaml", tmp_path / "new.yaml"
    file.write_text("a")
    files = watch(file, other)
    file.write_text("ab")
    assert files.wait_for_changes() == [str(file)]
    # Editors replace a file by renaming another one, possibly with the same size and modification time.
    changed = file.stat()
    (tmp_path / "temporary").write_text("cd")
    os.utime(tmp_path / "temporary", ns=(changed.st_atime_ns, changed.st_mtime_ns))
    (tmp_path / "temporary").replace(file)
    assert files.wait_for_changes() == [str(file)]
    other.write_text("x")
    file.unlink()
    assert files.wait_for_changes() == sorted(map(str, (file, other)))


def test_change_is_reported_when_the_file_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text("")
    files = watch(file)
    parts = ["a", "b", "c"]

    def append_part(seconds: float) -> None:
        """Replace `time.sleep` between two checks."""
        if parts:
            with file.open("a") as opened:
                opened.write(parts.pop(0))

    monkeypatch.setattr(time, "sleep", append_part)
    assert files.wait_for_changes() == [str(file)]
    assert (file.read_text(), parts) == ("abc", [])


def test_empty_file_is_treated_as_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text("old")
    other = tmp_path / "other.yaml"
    files = watch(file, other)
    pauses = []

    def pause(seconds: float) -> None:
        """Replace `time.sleep` between two checks, and write the file during the tenth."""
        pauses.append(seconds)
        if len(pauses) == 10:
            file.write_text("new")

    monkeypatch.setattr(time, "sleep", pause)
    monkeypatch.setattr(time, "monotonic", lambda: sum(pauses))
    file.write_text("")
    assert files.wait_for_changes() == [str(file)]
    assert file.read_text() == "new"
    # This holds for any length of time, and while other files change.
    file.write_text("")
    other.write_text("x")
    assert files.wait_for_changes() == [str(other)]
    file.write_text("newer")
    assert files.wait_for_changes() == [str(file)]


def test_folders_are_watched_except_for_ignored_ones(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "node_modules").mkdir()
    files = watch(tmp_path)
    for name in ("inner/flow.yaml", "notes.txt", "node_modules/x.json", ".hidden.json"):
        (tmp_path / name).write_text("x")
    assert files.wait_for_changes() == [str(tmp_path / ".hidden.json"), str(tmp_path / "inner" / "flow.yaml")]


def test_new_files_in_the_list_are_watched(tmp_path: Path) -> None:
    paths = [tmp_path / "a.yaml"]
    files = WatchedFiles(lambda: map(str, paths))
    paths.append(tmp_path / "b.yaml")
    # A change made while the command was running is not lost.
    paths[0].write_text("x")
    files.refresh_file_list()
    assert files.wait_for_changes() == [str(paths[0])]
    assert files.file_count == 1
    paths[1].write_text("x")
    assert files.wait_for_changes() == [str(paths[1])]
    assert files.file_count == 2
