"""Writes docstrings and string literals."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from ..output.safety import printable_lines

_WIDTH = 100


def quote_text(text: str) -> str:
    """Return a string literal, in double quotes unless the text contains some."""
    written = repr(text)
    return written if '"' in text or written.startswith('"') else f'"{written[1:-1]}"'


def format_docstring(description: object, indent: str, arguments: Iterable[tuple[str, object]] = ()) -> str:
    """Return the indented lines of a docstring; empty without text.

    Args:
        description: The description; ignored if it is not text.
        indent: The indent.
        arguments: The names of arguments and their descriptions.
    """
    blocks = [_wrap_description(description, indent)]
    texts = [(name, _wrap_description(each, f"{indent}        ")) for name, each in arguments]
    listed = "".join(f"\n{indent}    {name}: {text}" for name, text in texts if text)
    blocks.append(f"Args:{listed}" if listed else "")
    whole = f"\n\n{indent}".join(filter(None, blocks))
    if not whole:
        return ""
    end = f"\n{indent}" if "\n" in whole else ""
    space = " " if not end and whole.endswith('"') else ""
    return f'{indent}"""{whole}{space}{end}"""\n'


def _wrap_description(description: object, indent: str) -> str:
    """Return the paragraphs of a description as a part of a docstring."""
    if not isinstance(description, str):
        return ""
    text = printable_lines(description.strip().expandtabs()).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    width = max(40, _WIDTH - len(indent))
    paragraphs = []
    for paragraph in text.split("\n\n"):
        # Keep the line breaks of lists and code.
        lines = [line.rstrip() for line in paragraph.split("\n")]
        is_prose = all(line and not line[0].isspace() and line[0] not in "-*#|>`0123456789" for line in lines)
        kept = textwrap.wrap(" ".join(lines), width, break_long_words=False) if is_prose else lines
        paragraphs.append("\n".join(f"{indent}{line}" if number and line else line for number, line in enumerate(kept)))
    return f"\n\n{indent}".join(paragraphs).rstrip()
