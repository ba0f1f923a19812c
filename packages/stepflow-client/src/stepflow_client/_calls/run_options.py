"""The options of calls that start runs, for code that passes them on: `**options: Unpack[RunOptions]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime
    from os import PathLike

    import typing_extensions

    from .._base.not_given import NotGiven
    from .._codec.requests import RunId, Variables
    from .._rules.input_retries import RetryOn
    from ..flows.flow_argument import FlowSource
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
