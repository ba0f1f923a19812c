"""The options of calls that start runs, for code that passes them on: `**options: Unpack[RunOptions]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar

if TYPE_CHECKING:
    import os

    import typing_extensions

    from .._codec.requests import Variables
    from ..progress import ProgressOption
    from ..result_cache import ResultCache

    VariablesT = typing_extensions.TypeVar("VariablesT", default=Variables)
else:
    VariablesT = TypeVar("VariablesT")

__all__ = ["OPTIONS_OF", "ClientOptions", "MapOptions", "RunOptions", "SubmitOptions", "VariablesT"]


class _VariableOptions(TypedDict, Generic[VariablesT], total=False):
    variables: VariablesT | None
    variables_from_env: bool


class _StartOptions(_VariableOptions[VariablesT], Generic[VariablesT], total=False):
    timeout: float | None
    deduplicate: bool
    idempotency_key: str | None


class SubmitOptions(_StartOptions[VariablesT], Generic[VariablesT], total=False):
    """The options of `StepflowClient.submit` and `start_run`; see there for their meaning and defaults.

    `SubmitOptions[Model]` are those of a flow whose variables are a `Model`.
    """

    max_concurrency: int | None


class RunOptions(_StartOptions[VariablesT], Generic[VariablesT], total=False):
    """The options of `StepflowClient.run`, except `output_type`; see there for their meaning and defaults.

    `RunOptions[Model]` are those of a flow whose variables are a `Model`.
    """

    on_cancel: Literal["detach", "cancel"]
    check_input: bool
    progress: ProgressOption
    cache: ResultCache | None


class MapOptions(_VariableOptions[VariablesT], Generic[VariablesT], total=False):
    """The options of `StepflowClient.map`, except `output_type`; see there for their meaning and defaults.

    `MapOptions[Model]` are those of a flow whose variables are a `Model`.
    """

    max_concurrency: int | None
    chunk_size: int | None
    ordered: bool
    on_error: Literal["yield", "raise"]
    overrides: Any
    journal: str | os.PathLike[str] | None
    on_lost: Literal["fail", "rerun"]
    on_cancel: Literal["detach", "cancel"]
    progress: ProgressOption


class ClientOptions(RunOptions, SubmitOptions, total=False):
    """The options of `StepflowClient.with_options`."""


OPTIONS_OF = {
    "run": frozenset(RunOptions.__annotations__),
    "submit": frozenset(SubmitOptions.__annotations__),
    "map": frozenset(MapOptions.__annotations__.keys() & ClientOptions.__annotations__.keys()),
    "get_result": frozenset({"timeout"}),
    "get_results": frozenset({"timeout"}),
    "wait_run": frozenset({"timeout", "progress"}),
}
"""The methods that `with_options` affects, and the options that each of them has."""
