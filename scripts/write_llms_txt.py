"""Generate docs/llms.txt, the list of pages for language models: python scripts/write_llms_txt.py [--output FILE]

It lists the pages in zensical.toml's `nav`, each described by its first sentence.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"


def pages(nav: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield each page's title and file, from top to bottom."""
    for entry in nav:
        for title, below in entry.items():
            if isinstance(below, str):
                yield title, below
            else:
                yield from pages(below)


def first_sentence(page: Path) -> str:
    """Return a page's first sentence, or "" if it begins with a table, list, picture or code."""
    beginning = re.split(r"^(?:## |```|\||1\. )", page.read_text("utf-8"), maxsplit=1, flags=re.M)[0]
    for paragraph in beginning.split("\n\n"):
        text = " ".join(paragraph.split())
        if text and (text[0].isalnum() or text[0] in "`["):
            sentence = re.split(r"(?<=[.:]) (?=[A-Z])", text)[0].rstrip(":.") + "."
            return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", sentence)
    return ""


def text() -> str:
    """Return the complete file."""
    project = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]
    lines = [f"# {project['site_name']}", "", f"> {project['site_description']}", "", "## Pages", ""]
    for title, file in pages(project["nav"]):
        remark = first_sentence(DOCS / file)
        lines.append(f"- [{title}]({file})" + (f": {remark}" if remark else ""))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=DOCS / "llms.txt")
    parser.parse_args().output.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
