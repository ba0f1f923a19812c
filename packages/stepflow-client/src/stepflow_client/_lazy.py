"""Modules imported when they are first used.

A client can be made without pydantic, attrs, httpx and yaml; what needs them imports them when the first answer comes.
"""

from __future__ import annotations

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec
from typing import Any

__all__ = ["lazy_module"]


def lazy_module(name: str) -> Any:
    """Give a module that is executed at the first use of one of its names.

    Args:
        name: Its full name; it must exist.
    """
    if name in sys.modules:
        return sys.modules[name]
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    loader = LazyLoader(spec.loader)
    spec.loader = loader
    module = module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module
