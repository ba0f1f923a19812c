"""Clients with options of their own: views that share the connections of the client they were made from."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from .._base.not_given import NotGiven
from .._http.settings import check_headers
from ..errors import InvalidArgumentError
from .run_options import OPTIONS_OF, ClientOptions

Client = TypeVar("Client")


def make_view(client: Client, options: ClientOptions) -> Client:
    """Return a client that passes options to the methods that have them, unless the caller gives others.

    Args:
        client: The client, whose connections, caches and history the view shares. It may be a view itself.
        options: The options. Mappings such as `variables` are merged with the caller's.

    Raises:
        InvalidArgumentError: If an option is unknown.
    """
    names = {"headers"}.union(*OPTIONS_OF.values())
    unknown = sorted(set(options) - names)
    if unknown:
        from .._base.text import near

        raise InvalidArgumentError(f"there is no option {unknown[0]!r}", hint=near(unknown[0], sorted(names)))
    base: Any = type(client)
    view: Any = object.__new__(base if issubclass(base, _View) else _make_view_type(base))
    vars(view).update(vars(client))
    view._options = merge_options(getattr(client, "_options", {}), options)
    if headers := options.get("headers"):
        view._services = view._services.with_headers(check_headers(headers))
        view._connection, view._runs = view._services.connection, view._services.runs
    return view  # type: ignore[no-any-return]


def merge_options(options: Mapping[str, Any], overriding: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the given ones added: mappings are merged, other values replace the earlier ones."""
    result = dict(options)
    for name, value in overriding.items():
        if isinstance(value, NotGiven):
            continue
        before = result.get(name)
        result[name] = {**before, **value} if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return result


class _View:
    _options: Mapping[str, Any]


@cache
def _make_view_type(base: Any) -> Any:
    """Return the subclass of a client whose methods add options."""
    methods: dict[str, Any] = {name: _add_options_to_method(base, name, names) for name, names in OPTIONS_OF.items()}
    # Pickles and copies name the class of the client; the options are among the attributes that were added to it.
    methods["__reduce_ex__"] = lambda self, protocol: (_restore_view, (base, self.__getstate__(), dict(self._options)))
    return type(base.__name__, (_View, base), {**methods, "__module__": base.__module__, "__doc__": base.__doc__})


def _add_options_to_method(base: Any, name: str, option_names: frozenset[str]) -> Callable[..., Any]:
    method = getattr(base, name)

    def call_method(self: Any, *arguments: Any, **keywords: Any) -> Any:
        options = {option: value for option, value in self._options.items() if option in option_names}
        return method(self, *arguments, **merge_options(options, keywords))

    async def await_method(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return await call_method(self, *arguments, **keywords)

    # What distinguishes clients by their coroutine functions takes views, too.
    return await_method if inspect.iscoroutinefunction(method) else call_method


def _restore_view(base: Any, state: Any, options: ClientOptions) -> Any:
    client = base.__new__(base)
    client.__setstate__(state)
    return make_view(client, options)
