"""Pickling of clients: only the arguments they were created with are pickled, not their connections."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, MutableMapping
from functools import cached_property
from typing import Any, Self

_HINTS = {
    "auth": "give a token as text, or a callable defined at the top level of a module",
    "verify": "give the path of the file or folder with the CA certificates",
    "transport": "make the client with it in the other process",
}
_BY_VALUE = ("cloudpickle", "dill")
"""Picklers that also support lambdas and other functions that cannot be imported. Dask, Ray and Spark use one."""


class Picklable:
    """An object that is pickled and copied as its constructor arguments, and created again from them.

    Attributes that a subclass adds are included.
    """

    _made_by: type[Picklable]
    _made_with: dict[str, Any]

    def _keep_arguments(self, made_by: type[Picklable], arguments: Mapping[str, Any]) -> None:
        """Remember how to create the object again.

        Args:
            made_by: The class whose `__init__` takes the arguments.
            arguments: The local variables of `__init__`, by name. `self` and `__class__` are ignored.
        """
        self._made_by = made_by
        self._made_with = {
            name: _as_it_is_now(value) for name, value in arguments.items() if name not in ("self", "__class__")
        }

    def __getstate__(self) -> tuple[type[Picklable], dict[str, Any], dict[str, Any]]:
        """Return the arguments and the attributes that a subclass has added.

        Raises:
            TypeError: If an argument cannot be pickled.
        """
        if not _pickles(self._made_with) and not _may_pickle_by_value():
            for name, value in self._made_with.items():
                if not _pickles(value):
                    hint = _HINTS.get(name, "give it in a form that can be pickled")
                    setting = f"its {name} ({type(value).__name__})"
                    raise TypeError(f"cannot pickle this {type(self).__name__}: {setting} does not travel; {hint}")
        return self._made_by, self._made_with, self._additions()

    def __setstate__(self, state: tuple[type[Picklable], dict[str, Any], dict[str, Any]]) -> None:
        made_by, arguments, additions = state
        made_by.__init__(self, **arguments)
        vars(self).update(additions)

    def __copy__(self) -> Self:
        return self._again(self._additions())

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # The arguments are settings that never change; SSL contexts and transports cannot be deep-copied.
        return self._again(copy.deepcopy(self._additions(), memo))

    def _again(self, additions: dict[str, Any]) -> Self:
        twin = type(self).__new__(type(self))
        twin.__setstate__((self._made_by, self._made_with, additions))
        return twin

    def _additions(self) -> dict[str, Any]:
        ours = vars(self._made_by(**self._made_with)).keys() | _computed(type(self))
        return {name: value for name, value in vars(self).items() if name not in ours}


def _computed(kind: type) -> frozenset[str]:
    """Return the names of the cached properties of a class: a copy computes its own."""
    return frozenset(
        name for each in kind.__mro__ for name, value in vars(each).items() if isinstance(value, cached_property)
    )


def _as_it_is_now(value: object) -> object:
    """Return a copy of mutable headers or of a list of servers, so that later changes by the caller have no effect."""
    if isinstance(value, MutableMapping):
        return dict(value)
    return value.copy() if isinstance(value, list) else value


def _pickles(value: object) -> bool:
    try:
        import pickle

        pickle.dumps(value)
    except Exception:
        # The object's own methods may raise any exception.
        return False
    return True


def _may_pickle_by_value() -> bool:
    """Return whether the pickler may support more than `pickle`. It then reports by itself what it cannot pickle."""
    return any(name.rpartition(".")[2] in _BY_VALUE for name in list(sys.modules))
