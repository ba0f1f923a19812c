"""Modules imported when they are first used.

A client can be made without pydantic, attrs, httpx and yaml; what needs them imports them with the first response.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

__all__ = ["lazy_module"]


class _Lazy:
    """Stands for a module. (importlib's LazyLoader lets a second thread see a module that is only half executed.)"""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        # The import waits for another thread that imports it just now.
        value = getattr(import_module(self._name), name)
        # Found as an attribute from now on: modules of ours do not change their names.
        setattr(self, name, value)
        return value


def lazy_module(name: str) -> Any:
    """Return a module that is executed at the first use of one of its names.

    Args:
        name: Its full name; it must exist.
    """
    return sys.modules.get(name) or _Lazy(name)
