"""Pickling for clients, which keeps their constructor arguments but not their connections."""

from __future__ import annotations

import copy
from collections.abc import Mapping, MutableMapping
from functools import cached_property
from typing import Any, Self


class Picklable:
    """An object that is pickled and copied by recreating it from its constructor arguments.

    Attributes added by a subclass are included.
    """

    _init_class: type[Picklable]
    _init_arguments: dict[str, Any]

    def _store_arguments(self, made_by: type[Picklable], arguments: Mapping[str, Any]) -> None:
        """Store the arguments for recreating the object.

        Args:
            made_by: The class whose `__init__` accepts the arguments.
            arguments: The local variables of `__init__`, by name. `self` and `__class__` are ignored.
        """
        self._init_class = made_by
        self._init_arguments = {}
        for name, value in arguments.items():
            if name not in ("self", "__class__"):
                # Copy headers and server lists so that the caller can safely change theirs later.
                if isinstance(value, MutableMapping):
                    value = dict(value)
                self._init_arguments[name] = value.copy() if isinstance(value, list) else value

    def __getstate__(self) -> tuple[type[Picklable], dict[str, Any], dict[str, Any]]:
        """Return the arguments and any attributes added by a subclass."""
        return self._init_class, self._init_arguments, self._get_added_attributes()

    def __setstate__(self, state: tuple[type[Picklable], dict[str, Any], dict[str, Any]]) -> None:
        made_by, arguments, additions = state
        made_by.__init__(self, **arguments)
        vars(self).update(additions)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Don't deep-copy the arguments. They never change, and SSL contexts and transports can't be deep-copied anyway.
        twin = copy.copy(self)
        vars(twin).update(copy.deepcopy(self._get_added_attributes(), memo))
        return twin

    def _get_added_attributes(self) -> dict[str, Any]:
        own = vars(self._init_class(**self._init_arguments)).keys()
        members = {name: value for kind in reversed(type(self).__mro__) for name, value in vars(kind).items()}
        # Leave out cached properties, because each copy computes its own.
        return {
            name: value
            for name, value in vars(self).items()
            if name not in own and not isinstance(members.get(name), cached_property)
        }
