"""Write docs/pictures/recording-*.svg, a terminal that runs commands of docs/tutorial.md: make recording

The commands run in a pseudo-terminal on a real server. The animation types them, shows their output and starts over;
with `prefers-reduced-motion` it only shows the last frame. There is one file per theme.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

import pexpect
import pyte
from stepflow_client import LogConfig, StepflowRuntime

from tests.documentation.blocks import ROOT, blocks

PAGE = "docs/tutorial.md"
PICTURES = ROOT / "docs" / "pictures"
_WITHOUT_SERVER = (
    """stepflow run receipt.yaml --input-json '{"name": "Ada", "total": 12}'""",
    "stepflow validate --offline --fix receipt.yaml",
)
_ON_SERVER = (
    """stepflow run receipt.yaml --input-json '{"name": "Ada"}'""",
    """stepflow runs rerun @last --input-json '{"name": "Ada", "total": 12}'""",
    "stepflow runs save @last --as Ada receipt.yaml",
    "stepflow test receipt.yaml",
)
COMMANDS = (*_WITHOUT_SERVER, *_ON_SERVER)
_COLUMNS, _ROWS = 102, 22
_WIDTH, _HEIGHT, _MARGIN = 8.4, 20, 16
"""Pixels: the width of a character, the height of a line, and the margin."""
_TYPING, _PAUSE, _END = 0.035, 1.4, 5.0
"""Seconds to type a character, after an output, and before the animation starts over."""
_THEMES = {
    "light": {"back": "#f6f8fa", "fore": "#1f2328", "red": "#b3131f", "green": "#116329", "brown": "#7a4b00"}
    | {"blue": "#0550ae", "magenta": "#7a2fbf", "cyan": "#0b6370", "faint": "#59636e"},
    "dark": {"back": "#0d1117", "fore": "#e6edf3", "red": "#ff8a80", "green": "#7ee787", "brown": "#e3b341"}
    | {"blue": "#79c0ff", "magenta": "#d2a8ff", "cyan": "#76e3ea", "faint": "#9198a1"},
}


class Part(NamedTuple):
    """A styled part of a line."""

    column: int
    text: str
    style: str


class Typed(NamedTuple):
    """A command with its output."""

    command: str
    lines: list[list[Part]]


def record(command: str, folder: Path, environment: dict[str, str]) -> Typed:
    """Run a command in a pseudo-terminal."""
    child = pexpect.spawn(
        "bash", ["-c", command], cwd=folder, env=environment, dimensions=(200, _COLUMNS), encoding="utf-8", timeout=60
    )
    child.expect(pexpect.EOF)
    screen = pyte.Screen(_COLUMNS, 200)
    pyte.Stream(screen).feed(child.before or "")
    child.close()
    lines = [list(_parts(screen, row)) for row in range(screen.cursor.y + 1)]
    while lines and not lines[-1]:
        lines.pop()
    return Typed(command, lines)


def _parts(screen: pyte.Screen, row: int) -> Iterator[Part]:
    """Yield the parts of a line of the terminal, without trailing blanks."""
    cells = [screen.buffer[row][column] for column in range(_COLUMNS)]
    length = len("".join(cell.data for cell in cells).rstrip())
    column = 0
    for style, group in itertools.groupby(cells[:length], _style):
        text = "".join(cell.data for cell in group)
        if text.strip():
            yield Part(column, text, style)
        column += len(text)


def _style(cell: pyte.screens.Char) -> str:
    return " ".join(filter(None, [cell.fg if cell.fg in _THEMES["dark"] else "", "bold" if cell.bold else ""]))


def record_all() -> list[Typed]:
    """Run the commands in a folder with only the files of the page."""
    with tempfile.TemporaryDirectory() as home, StepflowRuntime.start(log_config=LogConfig(forward=False)) as server:
        folder = Path(home) / "work"
        folder.mkdir()
        for block in blocks(PAGE):
            if block.file_name is not None:
                (folder / block.file_name).write_text(block.text)
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("STEPFLOW_", "NO_COLOR"))}
        environment |= {"XDG_STATE_HOME": home, "XDG_CONFIG_HOME": home, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        typed = [record(each, folder, environment) for each in _WITHOUT_SERVER]
        environment["STEPFLOW_URL"] = server.url
        typed += [record(each, folder, environment) for each in _ON_SERVER]
        return [each._replace(lines=[_with_page_url(parts, server.url) for parts in each.lines]) for each in typed]


def _with_page_url(parts: list[Part], url: str) -> list[Part]:
    return [part._replace(text=part.text.replace(url, "http://localhost:7837")) for part in parts]


class Film:
    """The animation: lines that appear one after the other, in a window that scrolls with them."""

    def __init__(self, typed: list[Typed]) -> None:
        """Lay out the lines and set the times at which they appear."""
        self._body: list[str] = []
        self._shown: list[tuple[float, int]] = []
        """The times at which the number of visible lines changes, with that number."""
        self._typing: list[tuple[float, float, int]] = []
        """The start time, end time and length of each typed command."""
        self._at, self._row = 0.6, 0
        for each in typed:
            self._add_command(each.command)
            self._add_lines(each.lines)
        self._seconds = self._at + _END

    def _add_command(self, command: str) -> None:
        self._shown.append((self._at - 0.3, self._row + 1))
        ends = self._at + _TYPING * len(command)
        y = self._row * _HEIGHT
        self._body.append(_text([Part(0, "$", "faint"), Part(2, command, "bold")], self._row))
        cover = f'<rect class="t{len(self._typing)}" x="{2 * _WIDTH}" y="{y}" width="{len(command) * _WIDTH:.1f}"'
        self._body.append(f'{cover} height="{_HEIGHT}"/>')
        self._typing.append((self._at, ends, len(command)))
        self._at, self._row = ends + 0.5, self._row + 1

    def _add_lines(self, lines: list[list[Part]]) -> None:
        self._body += [_text(parts, self._row + number) for number, parts in enumerate(lines) if parts]
        self._row += len(lines)
        self._shown.append((self._at, self._row))
        self._at += _PAUSE + 0.12 * len(lines)
        # Leave a blank line before the next command.
        self._row += 1

    def svg(self, theme: str) -> str:
        """Return the SVG for a theme."""
        width, height = _COLUMNS * _WIDTH + 2 * _MARGIN, _ROWS * _HEIGHT + 2 * _MARGIN
        size = f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}"'
        inside = f'<svg x="{_MARGIN}" y="{_MARGIN}" width="{_COLUMNS * _WIDTH:.0f}" height="{_ROWS * _HEIGHT}">'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
                f"<title>A terminal: {escape(PAGE)}</title>",
                f"<style>{self._styles(_THEMES[theme])}</style>",
                f'<rect width="100%" height="100%" rx="8"/>{inside}<g class="all">',
                *self._body,
                f'<rect class="below" width="100%" height="{self._row * _HEIGHT}"/></g></svg></svg>\n',
            ]
        )

    def _styles(self, colours: dict[str, str]) -> str:
        """Return the styles, which show the last frame if animations are off."""
        named = "".join(f".{name}{{fill:{value}}}" for name, value in colours.items() if name not in ("back", "fore"))
        return (
            f"text{{font:14px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre;"
            f"fill:{colours['fore']}}}rect{{fill:{colours['back']}}}.bold{{font-weight:600}}{named}"
            f"[class^=t],.below{{visibility:hidden}}.all{{transform:translateY({self._offset(self._shown[-1][1])}px)}}"
            f"@media (prefers-reduced-motion:no-preference){{{self._animations()}}}"
        )

    def _animations(self) -> str:
        """Return the animations that scroll the window, cover lines that are not visible yet, and type commands."""
        parts = [
            self._steps("all", [(at, self._offset(rows)) for at, rows in self._shown]),
            self._steps("below", [(at, rows * _HEIGHT) for at, rows in self._shown]),
        ]
        for number, (begins, ends, length) in enumerate(self._typing):
            typing = f"animation-timing-function:steps({length},end)"
            parts.append(
                f"@keyframes t{number}{{0%{{visibility:visible;transform:none}}"
                f"{self._percent(begins)}{{visibility:visible;transform:none;{typing}}}"
                f"{self._percent(ends)},100%{{visibility:hidden;transform:translateX({length * _WIDTH:.1f}px)}}}}"
                f".t{number}{{animation:t{number} {self._seconds:.1f}s infinite}}"
            )
        return "".join(parts)

    def _steps(self, name: str, offsets: list[tuple[float, int]]) -> str:
        """Return an animation that moves an element down by the given pixels at the given times."""
        moves = [f"{self._percent(at)}{{transform:translateY({offset}px)}}" for at, offset in [(0, 0), *offsets]]
        styles = f"visibility:visible;animation:{name} {self._seconds:.1f}s step-end infinite"
        return f"@keyframes {name}{{{''.join(moves)}}}.{name}{{{styles}}}"

    def _percent(self, at: float) -> str:
        return f"{100 * at / self._seconds:.2f}%"

    def _offset(self, rows: int) -> int:
        """Return the vertical offset of the window when this many lines are visible."""
        return min(0, _ROWS - rows) * _HEIGHT


def _text(parts: list[Part], row: int) -> str:
    """Return a line as SVG, with each part as wide as in the terminal, whatever the font."""
    y = row * _HEIGHT + 15
    drawn = []
    for part in parts:
        style = f' class="{part.style}"' if part.style else ""
        place = f'x="{part.column * _WIDTH:.1f}" y="{y}" textLength="{len(part.text) * _WIDTH:.1f}"'
        drawn.append(f"<text {place}{style}>{escape(part.text, quote=False)}</text>")
    return "".join(drawn)


def shown_lines(svg: str) -> list[str]:
    """Return the lines of text in an SVG."""
    lines: dict[str, str] = {}
    for x, y, text in re.findall(r'<text x="([\d.]+)" y="(\d+)"[^>]*>([^<]*)</text>', svg):
        unescaped = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        lines[y] = lines.get(y, "").ljust(round(float(x) / _WIDTH)) + unescaped
    return list(lines.values())


def main() -> None:
    """Write one SVG per theme."""
    began = time.monotonic()
    film = Film(record_all())
    for theme in _THEMES:
        path = PICTURES / f"recording-{theme}.svg"
        path.write_text(film.svg(theme), "utf-8")
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
