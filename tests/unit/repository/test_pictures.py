"""The screenshots of docs/ui.md; `make screenshots` writes them."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[3] / "docs"
PICTURES = DOCS / "pictures"


def test_the_page_shows_pictures_that_exist_and_says_what_is_on_them() -> None:
    shown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", (DOCS / "ui.md").read_text("utf-8"))
    assert len(shown) >= 8
    for text, path in shown:
        assert (DOCS / path).is_file(), path
        assert len(text) > 40, path


def test_each_picture_is_there_in_both_themes_and_all_are_small() -> None:
    names = {each.name for each in PICTURES.iterdir()}
    themes = {re.sub("-(light|dark)[.]png$", "", name) for name in names}
    assert names == {f"{each}-{theme}.png" for each in themes for theme in ("light", "dark")}
    assert sum(each.stat().st_size for each in PICTURES.iterdir()) < 1_500_000
