"""Choose Python names for flows, schemas and properties."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata
from collections.abc import Iterable

_IMPORTED = (
    *("Annotated", "Any", "ConfigDict", "Field", "FlowModel", "Literal", "Optional", "Path", "TypeAliasType"),
    *("TypedFlow", "UUID", "Union", "Variables", "annotations", "cast", "date", "datetime"),
)
RESERVED_NAMES = frozenset((*dir(builtins), *keyword.kwlist, *_IMPORTED, *(f"{name}_aliased" for name in _IMPORTED)))
"""Names that the module must not define. The generator would rename an import if a field had the same name."""


def make_variable_name(text: str) -> str:
    """Convert a flow's name to a variable name, e.g. `Order tea!` to `order_tea`.

    Invalid and reserved names are prefixed with `flow`.
    """
    name = _to_snake_case(text)
    return f"flow_{name}".strip("_") if not name or name[0].isdigit() or name in RESERVED_NAMES else name


def make_snake_case_name(text: str, noun: str) -> str:
    """Convert text to the name of a function or field, e.g. `X-rate` to `x_rate`. The result may be a reserved name.

    Args:
        text: The text.
        noun: The prefix for names that would otherwise be invalid.
    """
    name = _to_snake_case(text)
    return f"{noun}_{name}".strip("_") if not name or name[0].isdigit() else name


def _to_snake_case(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    return re.sub(r"[^0-9a-zA-Z]+", "_", words).strip("_").lower()


def to_camel_case(text: str) -> str:
    """Convert text to (part of) a class name, e.g. `order-tea` to `OrderTea`. The result may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9a-zA-Z]+", plain))


class UniqueNames:
    """Keeps the names in a module unique."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        """Start with the names in `RESERVED_NAMES`.

        Args:
            taken: Other names to reserve.
        """
        self._taken_names = {*RESERVED_NAMES, *taken}

    def make_unique(self, name: str) -> str:
        """Reserve a name and return it. If the name is taken, append a number, starting at 2."""
        number, tried = 1, name
        while tried in self._taken_names:
            number += 1
            tried = f"{name}{'_' if name.islower() else ''}{number}"
        self._taken_names.add(tried)
        return tried
