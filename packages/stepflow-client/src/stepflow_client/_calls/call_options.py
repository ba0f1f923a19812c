"""The options of calls that start runs, and clients with options of their own."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar

from .._base.not_given import NotGiven
from .._codec import requests
from .._http.settings import check_headers
from ..errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from os import PathLike

    import typing_extensions

    from .._base.not_given import NotGiven
    from .._codec.requests import RunArguments, RunId, Variables
    from .._rules.retries import RetryOn
    from .._runs.client_metadata import Origin
    from ..flows.needs import RunRequirements
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
    """The options of `StepflowClient.submit` and `start_run`; see there for their meaning and defaults.

    `SubmitOptions[Model]` is for a flow whose variables are a `Model`.
    """


class RunOptions(_StartOptions[VariablesT], Generic[VariablesT], total=False):
    """The options of `StepflowClient.run`, except `output_type`; see there for their meaning and defaults.

    `RunOptions[Model]` is for a flow whose variables are a `Model`.
    """

    on_cancel: Literal["detach", "cancel"]
    progress: ProgressOption
    cache: ResultCache | None


class MapOptions(_VariableOptions[VariablesT], Generic[VariablesT], total=False):
    """The options of `StepflowClient.map`, except `output_type`; see there for their meaning and defaults.

    `MapOptions[Model]` is for a flow whose variables are a `Model`.
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
    """The options of `StepflowClient.with_options`."""

    max_attempts: int | None
    retry_on: RetryOn | None
    headers: Mapping[str, str]


class EventOptions(TypedDict, total=False):
    """The options of `StepflowClient.run_events`; see there for their meaning and defaults."""

    after: str | int | None
    include_results: bool
    include_sub_runs: bool
    event_types: Iterable[str] | None
    heartbeat: float | None
    timeout: float | None


class PlanOptions(TypedDict, total=False):
    """The options of `StepflowClient.plan_rerun`; see `rerun` for their meaning and defaults."""

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
    """The options of `StepflowClient.rerun`; see there for their meaning and defaults."""

    variables_from_env: bool
    idempotency_key: str | None
    labels: Mapping[str, str] | None


class RunFilters(TypedDict, total=False):
    """The filters of `StepflowClient.list_runs` and `iter_runs`, and their timeout; see there for their meaning."""

    flow_name: str | None
    root_run_id: RunId | None
    parent_run_id: RunId | None
    roots_only: bool | None
    since: datetime | str | None
    until: datetime | str | None
    labels: Mapping[str, str] | None
    timeout: float | NotGiven | None


OPTIONS_OF = {
    "run": frozenset(RunOptions.__annotations__),
    "submit": frozenset(SubmitOptions.__annotations__),
    "start_run": frozenset(SubmitOptions.__annotations__),
    "find_run": frozenset({"idempotency_scope"}),
    # The others describe one batch, or mean something else in other methods.
    "map": frozenset((MapOptions.__annotations__.keys() & ClientOptions.__annotations__.keys()) - {"idempotency_key"}),
    "get_result": frozenset({"timeout"}),
    "get_results": frozenset({"timeout"}),
    "rerun": frozenset({"labels", "max_concurrency", "timeout"}),
    "start_rerun": frozenset({"labels", "max_concurrency", "timeout"}),
    "run_events": frozenset({"timeout"}),
    "wait_run": frozenset({"timeout", "progress"}),
}
"""The methods that `with_options` affects, and the options that each of them has."""


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


class RunCall(NamedTuple):
    """The arguments of a call that starts a run, with the meaning that they have in `StepflowClient.run`."""

    flow: FlowSource
    input: Any = None
    overrides: Any = None
    variables: Variables | None = None
    variables_from_env: bool = False
    max_concurrency: int | None = None
    check_input: bool = False
    private_copy: bool = False
    """Whether to store a copy of the flow for this run only."""
    idempotency_key: str | None = None
    idempotency_scope: str | None = None
    """What the key belongs to; None for the scope of the client, or else the content of the flow."""
    ready: Callable[[], Any] | None = None
    """Waits until a run can be created; None to create it at once."""
    origin: Origin | None = None
    """For a rerun, the earlier run and the outputs that are kept; the key then belongs to that run."""
    source: FlowSource | None = None
    """The flow as the caller gave it, if `flow` was already read from a file; None if it is `flow`."""

    @property
    def original_flow(self) -> FlowSource:
        """The flow as the caller gave it."""
        return self.flow if self.source is None else self.source

    def check_arguments(self, *, exact_integers: bool = True) -> RunArguments:
        """Return what the request of the run is made of, checked: see `requests.parse_run_arguments`."""
        values = self.input, self.variables, self.overrides, self.max_concurrency
        return requests.parse_run_arguments(*values, exact_integers=exact_integers)

    def complete_arguments(self, arguments: RunArguments, needs: RunRequirements) -> RunArguments:
        """Check arguments against the flow, and add variables from the environment if asked to."""
        environ = os.environ if self.variables_from_env else None
        return requests.complete_arguments(arguments, needs, environ, check_values=self.check_input)
