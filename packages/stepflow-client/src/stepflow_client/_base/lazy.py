"""Modules that are imported when they are first used.

Creating a client does not import pydantic, attrs, httpx and yaml. They are imported later, when they are first needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


class _Lazy:
    """A placeholder for a module.

    (importlib's LazyLoader can expose a partially executed module to a second thread.)
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        # If another thread is importing the module at the same time, the import waits for it.
        value = getattr(import_module(self._name), name)
        # Store it as an attribute, because the modules of this package never rebind their names.
        setattr(self, name, value)
        return value


def lazy_module(name: str) -> Any:
    """Return a module that is imported when one of its names is first used.

    Args:
        name: The full name of the module, which must exist.
    """
    return sys.modules.get(name) or _Lazy(name)


def lazy_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` of a package that imports each of its public names when it is first used.

    Args:
        package: The full name of the package.
        homes: The public names of each module, by its name within the package; with a dot, within the parent package.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        home = home_of.get(name)
        if home is None:
            # With the module, Python suggests the nearest of its names.
            module = sys.modules[package]
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        value = getattr(import_module(f".{home}", package), name)
        setattr(sys.modules[package], name, value)
        return value

    return find, lambda: sorted(home_of)
