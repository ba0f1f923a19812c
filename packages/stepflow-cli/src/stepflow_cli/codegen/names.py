"""Names of Python for names of flows, shared schemas and properties."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Collection

__all__ = ["Names", "camel_name", "snake_name"]

_IMPORTED = frozenset(
    (
        *("Annotated", "Any", "BaseModel", "ConfigDict", "Enum", "Field", "Literal", "Mapping", "Path", "RootModel"),
        *("FlowModel", "FlowResult", "ResultCache", "StepflowClient", "StepflowRuntime", "SyncStepflowClient"),
        *("IntEnum", "StrEnum", "UUID", "None", "True", "False"),
    )
)
"""Names that the written module has already."""


def snake_name(text: str) -> str:
    """Return a text as the name of a function: `Order tea!` is `order_tea`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    name = re.sub(r"[^0-9a-zA-Z]+", "_", words).strip("_").lower()
    return f"flow_{name}".strip("_") if not name or name[0].isdigit() or keyword.iskeyword(name) else name


def camel_name(text: str) -> str:
    """Return a text as a part of a class's name: `order-tea` is `OrderTea`; empty where nothing is left of it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9a-zA-Z]+", plain))


class Names:
    """Hands out names, each once."""

    def __init__(self) -> None:
        """Hand out nothing yet."""
        self._taken = set(_IMPORTED)

    def take(self, name: str) -> str:
        """Return a name, with the first number behind it from 2 on that makes it a new one."""
        return self.take_all(name, ("{}",))

    def take_all(self, name: str, forms: Collection[str]) -> str:
        """Return a name of which all forms are new, and hand them out.

        Args:
            name: The name.
            forms: What is made of it, such as `run_{}`; `{}` is the name itself.
        """
        number = 1
        while True:
            tried = name if number == 1 else f"{name}{'_' if name.islower() else ''}{number}"
            made = {form.format(tried) for form in forms}
            if made.isdisjoint(self._taken):
                self._taken |= made
                return tried
            number += 1
