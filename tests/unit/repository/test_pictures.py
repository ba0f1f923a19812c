"""The screenshots of docs/ui.md and the recording of docs/tutorial.md; `make screenshots recording` writes them."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.documentation.blocks import blocks, session
from tests.pages.recording import COMMANDS, PAGE, shown_lines

DOCS = Path(__file__).resolve().parents[3] / "docs"
PICTURES = DOCS / "pictures"
RECORDINGS = [PICTURES / f"recording-{theme}.svg" for theme in ("light", "dark")]


def test_the_page_shows_existing_pictures_with_alt_texts() -> None:
    shown = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", (DOCS / "ui.md").read_text("utf-8"))
    assert len(shown) >= 8
    for text, path in shown:
        assert (DOCS / path.partition("#")[0]).is_file(), path
        assert len(text) > 40, path


def test_each_picture_has_both_themes_and_all_are_small() -> None:
    names = {each.name for each in PICTURES.glob("*.png")}
    themes = {re.sub("-(light|dark)[.]png$", "", name) for name in names}
    assert names == {f"{each}-{theme}.png" for each in themes for theme in ("light", "dark")}
    assert {each.name for each in PICTURES.iterdir()} == names | {each.name for each in RECORDINGS}
    assert sum(each.stat().st_size for each in PICTURES.iterdir()) < 1_500_000


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_the_recording_matches_the_page(path: Path) -> None:
    svg = path.read_text("utf-8")
    ElementTree.fromstring(svg)
    lines = [line.rstrip() for line in shown_lines(svg)]
    typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    assert typed == list(COMMANDS)
    sessions = [shown for block in blocks(PAGE) if block.language == "console" for shown in session(block)]
    outputs = {shown.command: shown.output for shown in sessions}
    for command in COMMANDS:
        for line in outputs[command].splitlines():
            assert "..." in line or line in lines, line


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_the_recording_is_small_and_respects_reduced_motion(path: Path) -> None:
    svg = path.read_text("utf-8")
    assert len(svg) < 30_000
    still, moving = svg.split("@media (prefers-reduced-motion:no-preference)")
    assert "@keyframes" in moving
    assert "animation" not in still
