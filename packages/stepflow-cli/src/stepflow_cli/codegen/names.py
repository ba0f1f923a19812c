"""Python names for flows, shared schemas and properties; docstrings and string literals."""

from __future__ import annotations

import builtins
import keyword
import re
import textwrap
import unicodedata
from collections.abc import Iterable

from ..output.terminal import printable_lines

_IMPORTED = (
    *("Annotated", "Any", "ConfigDict", "Field", "FlowModel", "Literal", "Optional", "Path", "TypeAliasType"),
    *("TypedFlow", "UUID", "Union", "Variables", "annotations", "cast", "date", "datetime"),
)
RESERVED_NAMES = frozenset((*dir(builtins), *keyword.kwlist, *_IMPORTED, *(f"{name}_aliased" for name in _IMPORTED)))
"""Names that cannot be used in the module. A field with an imported name renames the import."""


def snake_name(text: str) -> str:
    """Return the name of a flow as the name of a variable: `Order tea!` becomes `order_tea`.

    It gets the prefix `flow` if it would otherwise be invalid or reserved.
    """
    name = _to_snake_case(text)
    return f"flow_{name}".strip("_") if not name or name[0].isdigit() or name in RESERVED_NAMES else name


def snake_name_or_reserved(text: str, noun: str) -> str:
    """Return a text as the name of a function or a field, which may be reserved: `X-rate` becomes `x_rate`.

    Args:
        text: The text.
        noun: The prefix if the name would otherwise be invalid.
    """
    name = _to_snake_case(text)
    return f"{noun}_{name}".strip("_") if not name or name[0].isdigit() else name


def _to_snake_case(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    return re.sub(r"[^0-9a-zA-Z]+", "_", words).strip("_").lower()


def camel_name(text: str) -> str:
    """Return a text as part of a class name: `order-tea` becomes `OrderTea`; empty if no characters remain."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9a-zA-Z]+", plain))


class UniqueNames:
    """Unique names."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        """Reserve names.

        Args:
            taken: Further reserved names.
        """
        self._taken = {*RESERVED_NAMES, *taken}

    def take(self, name: str) -> str:
        """Return a unique name: the argument itself, or with a number from 2 on."""
        number, tried = 1, name
        while tried in self._taken:
            number += 1
            tried = f"{name}{'_' if name.islower() else ''}{number}"
        self._taken.add(tried)
        return tried


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
