"""Python names for flows, shared schemas and properties."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection

_IMPORTED = frozenset(
    (
        *("Annotated", "Any", "BaseModel", "ConfigDict", "Enum", "Field", "Literal", "Mapping", "Path", "RootModel"),
        *("FlowModel", "FlowResult", "ResultCache", "StepflowClient", "StepflowRuntime", "SyncStepflowClient"),
        *("IntEnum", "StrEnum", "UUID", "None", "True", "False"),
    )
)
"""Names that the written module already uses."""


def snake_name(text: str) -> str:
    """Return a text as a function name: `Order tea!` becomes `order_tea`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    name = re.sub(r"[^0-9a-zA-Z]+", "_", words).strip("_").lower()
    return f"flow_{name}".strip("_") if not name or name[0].isdigit() or keyword.iskeyword(name) else name


def camel_name(text: str) -> str:
    """Return a text as part of a class name: `order-tea` becomes `OrderTea`; empty if no characters remain."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9a-zA-Z]+", plain))


class Names:
    """Unique names."""

    def __init__(self) -> None:
        """Start with the names that the module already uses."""
        self._taken = set(_IMPORTED)

    def take(self, name: str) -> str:
        """Return a unique name: the given one, otherwise with the first free number from 2 on appended."""
        return self.take_all(name, ("{}",))

    def take_all(self, name: str, forms: Collection[str]) -> str:
        """Return a name all of whose forms are unused, and reserve these forms.

        Args:
            name: The name.
            forms: The names derived from it, such as `run_{}`; `{}` is the name itself.
        """
        number = 1
        while True:
            tried = name if number == 1 else f"{name}{'_' if name.islower() else ''}{number}"
            made = {form.format(tried) for form in forms}
            if made.isdisjoint(self._taken):
                self._taken |= made
                return tried
            number += 1
