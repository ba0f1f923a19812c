"""The options of calls that start runs, for code that passes them on: `**options: Unpack[RunOptions]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

if TYPE_CHECKING:
    from .._codec.requests import Variables
    from ..progress import ProgressOption
    from ..result_cache import ResultCache


class _StartOptions(TypedDict, total=False):
    variables: Variables | None
    variables_from_env: bool
    timeout: float | None
    deduplicate: bool
    idempotency_key: str | None


class SubmitOptions(_StartOptions, total=False):
    """The options of `StepflowClient.submit` and `start_run`; see there for their meaning and defaults."""

    max_concurrency: int | None


class RunOptions(_StartOptions, total=False):
    """The options of `StepflowClient.run`, except `output_type`; see there for their meaning and defaults."""

    on_cancel: Literal["detach", "cancel"]
    check_input: bool
    progress: ProgressOption
    cache: ResultCache | None


class ClientOptions(RunOptions, SubmitOptions, total=False):
    """The options of `StepflowClient.with_options`."""


_START = frozenset(_StartOptions.__annotations__)
OPTIONS_OF = {
    "run": _START | RunOptions.__annotations__.keys(),
    "submit": _START | SubmitOptions.__annotations__.keys(),
    "map": frozenset({"variables", "variables_from_env", "max_concurrency", "on_cancel", "progress"}),
    "get_result": frozenset({"timeout"}),
    "get_results": frozenset({"timeout"}),
    "wait_run": frozenset({"timeout", "progress"}),
}
"""The methods that `with_options` affects, and the options that each of them has."""
