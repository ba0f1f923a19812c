"""Choose Python names for flows, schemas and properties. Format docstrings and string literals."""

from __future__ import annotations

import builtins
import keyword
import re
import textwrap
import unicodedata
from collections.abc import Iterable

from ..output.terminal import escape_lines_for_terminal

_IMPORTED = (
    *("Annotated", "Any", "ConfigDict", "Field", "FlowModel", "Literal", "Optional", "Path", "TypeAliasType"),
    *("TypedFlow", "UUID", "Union", "Variables", "annotations", "cast", "date", "datetime"),
)
RESERVED_NAMES = frozenset((*dir(builtins), *keyword.kwlist, *_IMPORTED, *(f"{name}_aliased" for name in _IMPORTED)))
"""Names the module must not define. A field with the name of an import makes the generator rename the import."""


def make_variable_name(text: str) -> str:
    """Convert a flow's name to a variable name, e.g. `Order tea!` to `order_tea`.

    Invalid and reserved names get the prefix `flow`.
    """
    name = _to_snake_case(text)
    return f"flow_{name}".strip("_") if not name or name[0].isdigit() or name in RESERVED_NAMES else name


def make_identifier(text: str, noun: str) -> str:
    """Convert text to a function or field name, e.g. `X-rate` to `x_rate`. The result may be a reserved name.

    Args:
        text: The text.
        noun: A prefix for names that would otherwise be invalid.
    """
    name = _to_snake_case(text)
    return f"{noun}_{name}".strip("_") if not name or name[0].isdigit() else name


def _to_snake_case(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    return re.sub(r"[^0-9a-zA-Z]+", "_", words).strip("_").lower()


def to_camel_case(text: str) -> str:
    """Convert text to part of a class name, e.g. `order-tea` to `OrderTea`. The result may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9a-zA-Z]+", plain))


class UniqueNames:
    """Keeps names in a module from colliding."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        """Reserve names.

        Args:
            taken: Additional reserved names.
        """
        self._taken = {*RESERVED_NAMES, *taken}

    def make_unique(self, name: str) -> str:
        """Claim a name. If it's already taken, append a number, starting at 2."""
        number, tried = 1, name
        while tried in self._taken:
            number += 1
            tried = f"{name}{'_' if name.islower() else ''}{number}"
        self._taken.add(tried)
        return tried


_WIDTH = 100


def quote_string(text: str) -> str:
    """Write text as a string literal, in double quotes unless the text contains some."""
    written = repr(text)
    return written if '"' in text or written.startswith('"') else f'"{written[1:-1]}"'


def format_docstring(description: object, arguments: Iterable[tuple[str, object]] = ()) -> str:
    """Write a docstring, indented by four spaces. If there's nothing to say, the result is empty.

    Args:
        description: The description. Ignored unless it is a string.
        arguments: Argument names and descriptions.
    """
    texts = [(name, _wrap_description(each, " " * 12)) for name, each in arguments]
    listed = "".join(f"\n        {name}: {text}" for name, text in texts if text)
    blocks = _wrap_description(description, "    "), f"Args:{listed}" if listed else ""
    whole = "\n\n    ".join(filter(None, blocks))
    if not whole:
        return ""
    end = "\n    " if "\n" in whole else ""
    space = " " if not end and whole.endswith('"') else ""
    return f'    """{whole}{space}{end}"""\n'


def _wrap_description(description: object, indent: str) -> str:
    if not isinstance(description, str):
        return ""
    text = escape_lines_for_terminal(description.strip().expandtabs()).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    width = max(40, _WIDTH - len(indent))
    paragraphs = []
    for paragraph in text.split("\n\n"):
        # Keep line breaks in lists and code.
        lines = [line.rstrip() for line in paragraph.split("\n")]
        is_prose = all(line and not line[0].isspace() and line[0] not in "-*#|>`0123456789" for line in lines)
        kept = textwrap.wrap(" ".join(lines), width, break_long_words=False) if is_prose else lines
        paragraphs.append("\n".join(f"{indent}{line}" if number and line else line for number, line in enumerate(kept)))
    return f"\n\n{indent}".join(paragraphs).rstrip()
