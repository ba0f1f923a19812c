"""The help of `stepflow` itself and the completion of command names, without importing click, which is slow.

The text is in `front_page`, which is generated from the commands. Anything more complex is left to click.
"""

from __future__ import annotations

import os
import sys

from .front_page import COMMANDS, PAGE

TYPE_CHECKING = False  # importing typing would take longer than everything else
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["completions", "page", "shown"]

_MOST_COLUMNS = 100


def shown(words: Sequence[str], environ: Mapping[str, str]) -> str | None:
    """Return the output of a command line that asks for help or for a completion that needs no click; otherwise None.

    Args:
        words: The command line without the command's own name.
        environ: The environment.
    """
    shell = environ.get("_STEPFLOW_COMPLETE")
    if shell is not None:
        offered = completions(shell, environ.get("COMP_WORDS", ""), environ.get("COMP_CWORD", ""))
        return None if offered is None else f"{offered}\n"
    if list(words) in ([], ["-h"], ["--help"]):
        return page(_columns(environ))
    return None


def completions(shell: str, line: str, place: str) -> str | None:
    """Return the completions of a command's name, in the form that the shell's script reads.

    Args:
        shell: `bash_complete` or `zsh_complete`.
        line: The words of the line.
        place: Index of the word to complete.
    """
    typed = line.split()
    start = typed[1] if len(typed) == 2 else ""
    is_plain = place == "1" and len(typed) in (1, 2) and all(char.isalpha() or char == "-" for char in start)
    if not is_plain or start[:1] == "-":
        return None
    found = [(name, text) for name, text in COMMANDS.items() if name.startswith(start)]
    if shell == "bash_complete":
        return "\n".join(f"plain,{name}" for name, _ in found)
    return "\n".join(f"plain\n{name}\n{text}" for name, text in found) if shell == "zsh_complete" else None


def _columns(environ: Mapping[str, str]) -> int:
    given = environ.get("COLUMNS", "")
    try:
        columns = int(given) if given.strip() else 0
    except ValueError:
        columns = 0
    if columns > 0:
        return columns
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return 80


def page(columns: int) -> str:
    """Return the help as click formats it for a terminal of this width."""
    width = max(min(columns, _MOST_COLUMNS) - 2, 50)
    lines: list[str] = []
    for indent, kind, what in PAGE:
        if kind == "rows":
            lines += _rows(indent, what, width)  # type: ignore[arg-type]
        elif kind == "text":
            lines += _wrapped(str(what), width, indent)
        else:
            lines.append(f"{' ' * indent}{what}")
    return "\n".join(lines) + "\n"


def _rows(indent: int, rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    lines = []
    start = max(len(term) for term, _ in rows) + 2
    for term, text in rows:
        first, *others = _wrapped(text, width - start - 2, 0)
        lines.append(f"{' ' * indent}{term:<{start}}{first}")
        lines += [f"{' ' * (start + indent)}{other}" for other in others]
    return lines


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    from textwrap import wrap

    space = " " * indent
    return wrap(text, width, initial_indent=space, subsequent_indent=space, replace_whitespace=False)
