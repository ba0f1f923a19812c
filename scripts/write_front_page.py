"""Write front_page.py, the text of `stepflow --help` for `stepflow_cli.front`, which does not import click.

Usage: python scripts/write_front_page.py [--output FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from pprint import pformat
from typing import Any

import click
from stepflow_cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "packages/stepflow-cli/src/stepflow_cli/front_page.py"
HEAD = '''\
# Written from the commands by `make generate`.

"""What `stepflow --help` shows, by indent and kind, and the commands with what they do."""

from __future__ import annotations

__all__ = ["COMMANDS", "PAGE"]

Rows = tuple[tuple[str, str], ...]

'''


class _Recorder(click.HelpFormatter):
    """Records what click would format."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.blocks: list[tuple[int, str, Any]] = []

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        self.blocks.append((0, "line", f"Usage: {prog} {args}"))

    def write_heading(self, heading: str) -> None:
        self.blocks.append((self.current_indent, "line", f"{heading}:"))

    def write_paragraph(self) -> None:
        if self.blocks:
            self.blocks.append((0, "line", ""))

    def write(self, string: str) -> None:
        self.blocks.append((0, "line", string.removesuffix("\n")))

    def write_text(self, text: str) -> None:
        for number, paragraph in enumerate(text.split("\n\n")):
            if number:
                self.write_paragraph()
            first, _, raw = paragraph.partition("\n")
            if first.strip() == "\b":
                self.blocks += [(self.current_indent, "line", line) for line in raw.splitlines()]
            else:
                self.blocks.append((self.current_indent, "text", " ".join(paragraph.split())))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        self.blocks.append((self.current_indent, "rows", tuple(rows)))


def text() -> str:
    """Return the module's source."""
    formatter = _Recorder()
    with click.Context(cli, info_name="stepflow", **cli.context_settings) as context:
        cli.format_help(context, formatter)
    page = pformat(tuple(formatter.blocks), width=110, sort_dicts=False)
    commands = pformat(cli.commands_of, width=110, sort_dicts=False)
    return f"{HEAD}PAGE: tuple[tuple[int, str, str | Rows], ...] = {page}\nCOMMANDS: dict[str, str] = {commands}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=TARGET, help="where to write it instead of the package")
    output = parser.parse_args().output
    output.write_text(text())
    # Formatted as `make lint` requires, even outside the repository.
    ruff = [sys.executable, "-m", "ruff", "format", "--quiet", "--config", str(ROOT / "pyproject.toml")]
    subprocess.run([*ruff, str(output)], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
