"""Options for calls that start runs, and clients with preset options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar

from .._base.not_given import NotGiven
from .._http.settings import check_headers
from ..errors import InvalidArgumentError

if TYPE_CHECKING:
    from datetime import datetime
    from os import PathLike

    import typing_extensions

    from .._codec.call_checks import RunId, Variables
    from .._rules.chunks import RetryOn
    from ..flows.reading import FlowSource
    from ..progress import ProgressOption
    from ..result_cache import ResultCache
    from ..types.reruns import KeepOption

    VariablesT = typing_extensions.TypeVar("VariablesT", default=Variables)
else:
    VariablesT = TypeVar("VariablesT")


class _VariableOptions(TypedDict, Generic[VariablesT], total=False):
    variables: VariablesT | None
    variables_from_env: bool


class _StartOptions(_VariableOptions[VariablesT], Generic[VariablesT], total=False):
    timeout: float | None
    private_copy: bool
    idempotency_key: str | None
    idempotency_scope: str | None
    wait_for_components: bool | float
    max_concurrency: int | None
    check_input: bool
    labels: Mapping[str, str] | None


class SubmitOptions(_StartOptions[VariablesT], Generic[VariablesT], total=False):
    """Options for `StepflowClient.submit` and `start_run`. See those methods for meanings and defaults.

    If a flow's variables are a `Model`, use `SubmitOptions[Model]`.
    """


class RunOptions(_StartOptions[VariablesT], Generic[VariablesT], total=False):
    """Options for `StepflowClient.run`, except `output_type`. See that method for meanings and defaults.

    If a flow's variables are a `Model`, use `RunOptions[Model]`.
    """

    on_cancel: Literal["detach", "cancel"]
    progress: ProgressOption
    cache: ResultCache | None


class MapOptions(_VariableOptions[VariablesT], Generic[VariablesT], total=False):
    """Options for `StepflowClient.map`, except `output_type`. See that method for meanings and defaults.

    If a flow's variables are a `Model`, use `MapOptions[Model]`.
    """

    max_concurrency: int | None
    chunk_size: int | None
    ordered: bool
    on_error: Literal["yield", "raise"]
    overrides: Any
    check_input: bool
    max_attempts: int | None
    retry_on: RetryOn | None
    idempotency_key: Callable[[Any], str | None] | None
    idempotency_scope: str | None
    journal: str | PathLike[str] | None
    on_lost: Literal["fail", "rerun"]
    on_cancel: Literal["detach", "cancel"]
    timeout: float | None
    progress: ProgressOption
    total: int | None
    labels: Mapping[str, str] | None


class ClientOptions(RunOptions, SubmitOptions, total=False):
    """Options for `StepflowClient.with_options`."""

    max_attempts: int | None
    retry_on: RetryOn | None
    headers: Mapping[str, str]


class EventOptions(TypedDict, total=False):
    """Options for `StepflowClient.run_events`. See that method for meanings and defaults."""

    after: str | int | None
    include_results: bool
    include_sub_runs: bool
    event_types: Iterable[str] | None
    heartbeat: float | None
    timeout: float | None


class PlanOptions(TypedDict, total=False):
    """Options for `StepflowClient.plan_rerun`. See `rerun` for meanings and defaults."""

    keep: KeepOption
    input: Any
    variables: Variables | None
    overrides: Any
    flow: FlowSource | None
    force: bool
    items: Sequence[int] | None
    inherit: Collection[str]
    max_concurrency: int | None
    timeout: float | None


class RerunOptions(PlanOptions, total=False):
    """Options for `StepflowClient.rerun`. See that method for meanings and defaults."""

    variables_from_env: bool
    idempotency_key: str | None
    labels: Mapping[str, str] | None


class RunFilters(TypedDict, total=False):
    """Filters and timeout for `StepflowClient.list_runs` and `iter_runs`. See those methods for what they mean."""

    flow_name: str | None
    root_run_id: RunId | None
    parent_run_id: RunId | None
    roots_only: bool | None
    since: datetime | str | None
    until: datetime | str | None
    labels: Mapping[str, str] | None
    timeout: float | NotGiven | None


OPTION_NAMES = {
    "run": frozenset(RunOptions.__annotations__),
    "submit": frozenset(SubmitOptions.__annotations__),
    "start_run": frozenset(SubmitOptions.__annotations__),
    "find_run": frozenset({"idempotency_scope"}),
    # Leave out `map` options that describe a single batch or that mean something else in other methods.
    "map": frozenset((MapOptions.__annotations__.keys() & ClientOptions.__annotations__.keys()) - {"idempotency_key"}),
    "get_result": frozenset({"timeout"}),
    "get_results": frozenset({"timeout"}),
    "rerun": frozenset({"labels", "max_concurrency", "timeout"}),
    "start_rerun": frozenset({"labels", "max_concurrency", "timeout"}),
    "run_events": frozenset({"timeout"}),
    "wait_run": frozenset({"timeout", "progress"}),
}
"""The methods affected by `with_options`, each with the options it accepts."""


Client = TypeVar("Client")


def bind_options(client: Client, options: ClientOptions) -> Client:
    """Return a client that passes the options to every method that accepts them, unless the caller overrides them.

    Args:
        client: The client, which can itself be a view. The new view shares its connections, caches and history.
        options: The options. Mappings such as `variables` are merged with the caller's.

    Raises:
        InvalidArgumentError: If an option is unknown.
    """
    names = {"headers"}.union(*OPTION_NAMES.values())
    unknown = sorted(set(options) - names)
    if unknown:
        from .._base.suggestions import suggest_or_list

        raise InvalidArgumentError(f"unknown option {unknown[0]!r}", hint=suggest_or_list(unknown[0], sorted(names)))
    base: Any = type(client)
    view: Any = object.__new__(base if issubclass(base, _BoundClient) else _make_bound_client_class(base))
    vars(view).update(vars(client))
    view._options = merge_options(getattr(client, "_options", {}), options)
    if headers := options.get("headers"):
        view._services = view._services.with_headers(check_headers(headers))
        view._connection, view._runs = view._services.connection, view._services.runs
    return view  # type: ignore[no-any-return]


def merge_options(options: Mapping[str, Any], overriding: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` updated with `overriding`. Mappings are merged; other values are replaced."""
    result = dict(options)
    for name, value in overriding.items():
        if isinstance(value, NotGiven):
            continue
        before = result.get(name)
        result[name] = {**before, **value} if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return result


class _BoundClient:
    _options: Mapping[str, Any]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        # Pickle the client's own class plus the view's options, because the generated class can't be imported.
        return _unpickle_bound_client, (type(self).__bases__[1], self.__getstate__(), dict(self._options))


@cache
def _make_bound_client_class(base: Any) -> Any:
    """Return a client subclass whose methods add the view's options."""
    methods: dict[str, Any] = {name: _add_options_to_method(base, name, names) for name, names in OPTION_NAMES.items()}
    members = {**methods, "__module__": base.__module__, "__doc__": base.__doc__}
    return type(base.__name__, (_BoundClient, base), members)


def _add_options_to_method(base: Any, name: str, option_names: frozenset[str]) -> Callable[..., Any]:
    method = getattr(base, name)

    def call_method(self: Any, *arguments: Any, **keywords: Any) -> Any:
        options = {option: value for option, value in self._options.items() if option in option_names}
        return method(self, *arguments, **merge_options(options, keywords))

    async def await_method(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return await call_method(self, *arguments, **keywords)

    # Use a real coroutine function, because that's how async clients are recognized.
    return await_method if inspect.iscoroutinefunction(method) else call_method


def _unpickle_bound_client(base: Any, state: Any, options: ClientOptions) -> Any:
    client = base.__new__(base)
    client.__setstate__(state)
    return bind_options(client, options)
