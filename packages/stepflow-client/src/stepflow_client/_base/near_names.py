"""Errors for unknown attributes and arguments that suggest the nearest name. (Type checkers do not see them.)"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .text import near

Function = TypeVar("Function", bound=Callable[..., Any])


class _WrongWithError(AttributeError, TypeError):
    """The error of a `with` statement. As an AttributeError, it does not affect `hasattr` and `mock`."""


class _NeedsAsyncWith:
    """The `__enter__` of a class that only supports `async with`."""

    def __get__(self, instance: object, owner: type) -> Any:
        hint = "; use `async with`" if hasattr(owner, "__aenter__") else ""
        message = f"{owner.__name__!r} object does not support the context manager protocol{hint}"
        raise _WrongWithError(message, name="__enter__")


class SuggestsNames:
    """An object whose error for an unknown attribute suggests the nearest one."""

    if not TYPE_CHECKING:
        __enter__ = _NeedsAsyncWith()

        def __getattr__(self, name: str) -> Any:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_"):
                message += f" ({near(name, [each for each in dir(type(self)) if not each.startswith('_')])})"
            raise AttributeError(message, name=name)


def suggests_names(function: Function) -> Function:
    """Return a function whose error for an unknown argument suggests the nearest one."""
    code = function.__code__
    known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        refuse_unknown(kwargs, known)
        return function(*args, **kwargs)

    return cast("Function", call)


def refuse_unknown(names: Iterable[str], known: Collection[str]) -> None:
    """Check that a function has arguments of these names.

    Raises:
        TypeError: If it lacks one; the message suggests the nearest name.
    """
    for name in names:
        if name not in known:
            raise TypeError(f"there is no argument {name!r} ({near(name, known)})")
