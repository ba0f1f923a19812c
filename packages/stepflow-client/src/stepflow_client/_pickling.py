"""Clients travel between processes as the arguments they were made with; connections stay behind."""

from __future__ import annotations

import copy
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Self

__all__ = ["Picklable"]

_HINTS = {
    "auth": "give a token as text, or a callable defined at the top level of a module",
    "verify": "give the path of the file or folder with the CA certificates",
    "transport": "make the client with it in the other process",
}
_BY_VALUE = ("cloudpickle", "dill")
"""Picklers that also take lambdas and other functions that cannot be imported: Dask, Ray and Spark use one."""


class Picklable:
    """An object that is pickled and copied as the arguments it was made with, and made anew from them.

    Attributes that a subclass sets travel with it.
    """

    _made_by: type[Picklable]
    _made_with: dict[str, Any]

    def _keep_arguments(self, made_by: type[Picklable], arguments: Mapping[str, Any]) -> None:
        """Remember how to make the object again.

        Args:
            made_by: The class whose `__init__` takes the arguments.
            arguments: By name. What is not one of them, `self` and `__class__`, is left out.
        """
        self._made_by = made_by
        self._made_with = {
            name: _as_it_is_now(value) for name, value in arguments.items() if name not in ("self", "__class__")
        }

    def __getstate__(self) -> tuple[type[Picklable], dict[str, Any], dict[str, Any]]:
        """Return the arguments and what a subclass has added.

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
        # The arguments are settings, which nobody changes; an SSL context or a transport has no deep copy.
        return self._again(copy.deepcopy(self._additions(), memo))

    def _again(self, additions: dict[str, Any]) -> Self:
        twin = type(self).__new__(type(self))
        twin.__setstate__((self._made_by, self._made_with, additions))
        return twin

    def _additions(self) -> dict[str, Any]:
        ours = vars(self._made_by(**self._made_with))
        return {name: value for name, value in vars(self).items() if name not in ours}


def _as_it_is_now(value: object) -> object:
    """Return headers, or a list of servers, apart from what the caller may still change."""
    if isinstance(value, MutableMapping):
        return dict(value)
    return value.copy() if isinstance(value, list) else value


def _pickles(value: object) -> bool:
    try:
        import pickle

        pickle.dumps(value)
    except Exception:
        # Whatever the object's own methods raise.
        return False
    return True


def _may_pickle_by_value() -> bool:
    """Return whether the pickler may be one that takes more; then it is left to say what it does not take."""
    return any(name.rpartition(".")[2] in _BY_VALUE for name in list(sys.modules))
