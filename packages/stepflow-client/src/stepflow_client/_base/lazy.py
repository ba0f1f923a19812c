"""Modules that are imported on first use.

Creating a client shouldn't import pydantic, attrs, httpx or yaml, so they're only imported when they're needed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


class _LazyModule:
    """A placeholder for a module.

    (importlib's LazyLoader can expose a module to another thread before it has finished executing.)
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        # If another thread is already importing the module, this waits for it.
        value = getattr(import_module(self._name), name)
        # Cache the value as an attribute. This is safe because this package's modules never rebind their names.
        setattr(self, name, value)
        return value


def lazy_module(name: str) -> Any:
    """Return a module that isn't imported until one of its attributes is accessed.

    Args:
        name: The full name of an existing module.
    """
    module = sys.modules.get(name)
    # While another thread is still executing the module, some of its names are missing. The placeholder waits for it to
    # finish.
    is_loading = getattr(getattr(module, "__spec__", None), "_initializing", False)
    return _LazyModule(name) if module is None or is_loading else module


def make_lazy_exports(
    package: str, names_by_module: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` functions for a package that imports its public names on first use.

    Args:
        package: The package's full name.
        names_by_module: Each module's public names, keyed by the module's name within the package (or within the parent
            package, with a leading dot).
    """
    home_of = {name: home for home, names in names_by_module.items() for name in names}

    def find(name: str) -> Any:
        if name not in home_of:
            # Passing `obj` lets Python suggest a similar name.
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        value = getattr(import_module(f".{home_of[name]}", package), name)
        setattr(sys.modules[package], name, value)
        return value

    return find, lambda: sorted(home_of)
