"""Python names for flows, shared schemas and properties."""

from __future__ import annotations

import builtins
import keyword
import re
import unicodedata

_IMPORTED = (
    *("Annotated", "Any", "ConfigDict", "Field", "FlowModel", "Literal", "Optional", "Path", "TypeAliasType"),
    *("TypedFlow", "UUID", "Union", "Variables", "annotations", "cast", "date", "datetime"),
)
_RESERVED = frozenset((*dir(builtins), *keyword.kwlist, *_IMPORTED, *(f"{each}_aliased" for each in _IMPORTED)))
"""Names that mean something else in the written module. A field that has an imported name renames the import."""


def snake_name(text: str) -> str:
    """Return a text as the name of a variable: `Order tea!` becomes `order_tea`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    name = re.sub(r"[^0-9a-zA-Z]+", "_", words).strip("_").lower()
    return f"flow_{name}".strip("_") if not name or name[0].isdigit() or name in _RESERVED else name


def camel_name(text: str) -> str:
    """Return a text as part of a class name: `order-tea` becomes `OrderTea`; empty if no characters remain."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9a-zA-Z]+", plain))


class Names:
    """Unique names."""

    def __init__(self) -> None:
        """Start with the names that mean something else."""
        self._taken = set(_RESERVED)

    def take(self, name: str) -> str:
        """Return a unique name: the given one, otherwise with the first free number from 2 on appended."""
        number, tried = 1, name
        while tried in self._taken:
            number += 1
            tried = f"{name}{'_' if name.islower() else ''}{number}"
        self._taken.add(tried)
        return tried
