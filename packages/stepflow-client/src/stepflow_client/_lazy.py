"""Modules that are imported when they are first used.

Creating a client does not import pydantic, attrs, httpx and yaml. They are imported later, when they are first needed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

__all__ = ["lazy_module"]


class _Lazy:
    """A placeholder for a module.

    (importlib's LazyLoader can expose a partially executed module to a second thread.)
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        # If another thread is importing the module at the same time, the import waits for it.
        value = getattr(import_module(self._name), name)
        # From now on it is found as an attribute. The modules of this package never rebind their names.
        setattr(self, name, value)
        return value


def lazy_module(name: str) -> Any:
    """Return a module that is imported when one of its names is first used.

    Args:
        name: The full name of the module, which must exist.
    """
    return sys.modules.get(name) or _Lazy(name)
