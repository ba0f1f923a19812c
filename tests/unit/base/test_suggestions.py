"""Suggestions for misspelled names and missing files."""

from __future__ import annotations

from pathlib import Path

import pytest
from stepflow_client._base.suggestions import explain_missing_file, find_nearest, suggest_nearest_file

FILES = ("below.yaml", "hello.yaml", "other.json", "flow.py", "inputs.jsonl", "notes.txt")


@pytest.mark.parametrize(("word", "nearest"), [("ste", "set"), ("USEE", "use"), ("unlike", None)])
def test_find_nearest(word: str, nearest: str | None) -> None:
    assert find_nearest(word, ["use", "set", "list"]) == nearest


@pytest.mark.parametrize(
    ("missing", "hint"),
    [
        ("helo.yaml", "did you mean hello.yaml?"),
        ("hello.yml", "did you mean hello.yaml?"),
        ("hello", "did you mean hello.yaml?"),
        ("helo", "did you mean hello.yaml?"),
        ("Hello.YAML", "did you mean hello.yaml?"),
        ("input.jsonl", "did you mean inputs.jsonl?"),
        ("inputs.csv", "did you mean inputs.jsonl?"),
        ("inputs.parquet", "did you mean inputs.jsonl?"),
        ("flw.py", "did you mean flow.py?"),
        ("note.txt", "did you mean notes.txt?"),
        ("unlike.yaml", "the working folder has below.yaml, hello.yaml, other.json"),
        ("unlike.toml", "the working folder has no file that ends in .toml"),
        ("nowhere/hello.yaml", "the folder nowhere does not exist"),
        ("within/helo.yaml", "did you mean within/hello.yaml?"),
        ("within/unlike.yaml", "the folder within has a.yaml, b.yaml, c.yaml, d.yaml, e.yaml, ..."),
    ],
)
def test_hint_for_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, hint: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "within").mkdir()
    for name in (*FILES, *(f"within/{each}.yaml" for each in ("a", "b", "c", "d", "e", "hello"))):
        (tmp_path / name).touch()
    assert explain_missing_file(missing) == hint
    assert suggest_nearest_file(missing) == (hint if hint.startswith("did you mean") else None)
