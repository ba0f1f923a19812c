"""Which files have changed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from stepflow_cli.file_watching import WatchedFiles


def watched(*paths: Path) -> WatchedFiles:
    return WatchedFiles(lambda: map(str, paths))


def test_each_way_to_change_a_file(tmp_path: Path) -> None:
    file, other = tmp_path / "flow.yaml", tmp_path / "new.yaml"
    file.write_text("a")
    files = watched(file, other)
    file.write_text("ab")
    assert files.wait_for_changes() == [str(file)]
    # Editors write another file and rename it; the size and the time may be the same.
    changed = file.stat()
    (tmp_path / "temporary").write_text("cd")
    os.utime(tmp_path / "temporary", ns=(changed.st_atime_ns, changed.st_mtime_ns))
    (tmp_path / "temporary").replace(file)
    assert files.wait_for_changes() == [str(file)]
    other.write_text("x")
    file.unlink()
    assert files.wait_for_changes() == sorted(map(str, (file, other)))


def test_a_file_is_whole_when_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text("")
    files = watched(file)
    parts = ["a", "b", "c"]

    def write_a_part(seconds: float) -> None:
        """Take the place of the pause between two looks."""
        if parts:
            with file.open("a") as opened:
                opened.write(parts.pop(0))

    monkeypatch.setattr(time, "sleep", write_a_part)
    assert files.wait_for_changes() == [str(file)]
    assert (file.read_text(), parts) == ("abc", [])


def test_an_empty_file_is_still_being_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "flow.yaml"
    file.write_text("old")
    other = tmp_path / "other.yaml"
    files = watched(file, other)
    pauses = []

    def pause(seconds: float) -> None:
        """Take the place of the pause between two looks: the file is written in the tenth."""
        pauses.append(seconds)
        if len(pauses) == 10:
            file.write_text("new")

    monkeypatch.setattr(time, "sleep", pause)
    monkeypatch.setattr(time, "monotonic", lambda: sum(pauses))
    file.write_text("")
    assert files.wait_for_changes() == [str(file)]
    assert file.read_text() == "new"
    # However long that takes, and whatever else changes meanwhile.
    file.write_text("")
    other.write_text("x")
    assert files.wait_for_changes() == [str(other)]
    file.write_text("newer")
    assert files.wait_for_changes() == [str(file)]


def test_folders(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "node_modules").mkdir()
    files = watched(tmp_path)
    for name in ("inner/flow.yaml", "notes.txt", "node_modules/x.json", ".hidden.json"):
        (tmp_path / name).write_text("x")
    assert files.wait_for_changes() == [str(tmp_path / ".hidden.json"), str(tmp_path / "inner" / "flow.yaml")]


def test_what_changed_files_name_is_watched_too(tmp_path: Path) -> None:
    paths = [tmp_path / "a.yaml"]
    files = WatchedFiles(lambda: map(str, paths))
    paths.append(tmp_path / "b.yaml")
    # A change while the command was running is not lost.
    paths[0].write_text("x")
    files.refresh_file_list()
    assert files.file_count == 2
    assert files.wait_for_changes() == [str(paths[0])]
    paths[1].write_text("x")
    assert files.wait_for_changes() == [str(paths[1])]
