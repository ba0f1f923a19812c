"""The options of the commands that run a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..inputs.command_line_values import RunValues
from ..output.printing import Output
from ..params.options import WaitOptions
from ..settings.server_choice import ServerOptions


class RetryOptions(NamedTuple):
    """Options for retrying the failed inputs of a batch."""

    retries: int | None = None
    """The maximum number of retries, or None to never retry."""
    codes: tuple[str, ...] = ()
    """The error codes to retry. If empty, transient failures are retried."""

    @property
    def arguments_for_map(self) -> dict[str, Any]:
        """The equivalent arguments for `map`."""
        if self.retries is None:
            return {}
        return {"max_attempts": self.retries + 1, "retry_on": self.codes or None}


class ReuseOptions(NamedTuple):
    """Options for reusing outputs from an earlier run of the flow. If every field is None, nothing is reused."""

    run: str | None = None
    """The ID or ID prefix of the earlier run, or its position (`@last`, `@2` and so on) among the runs of this flow."""
    from_step: str | None = None
    """Execute this step and everything that depends on it."""
    only_step: str | None = None
    """Execute only this step."""


class CacheOptions(NamedTuple):
    """Options for the result cache."""

    is_on: bool = False
    max_age: float | None = None
    """The maximum age of a result in seconds, or None to use the default."""
    refresh: bool = False


class RunOptions(NamedTuple):
    """Options for `run`, `submit` and `batch`."""

    flow: str
    """The flow's file, or the ID of a stored flow."""
    values: RunValues
    server: ServerOptions
    wait: WaitOptions
    output: Output
    """Where to print the result or run ID."""
    about: Mapping[str, Any] = {}
    """Labels and a note to record in the history."""
    dry_run: bool = False
    detach: bool = False
    """Whether to return as soon as the run is created."""
    check: bool = True
    """Whether to check the flow and its values before running."""
    up_to: str | None = None
    """Use this step's output as the result, and execute only the steps that it depends on."""
    max_concurrency: int | None = None

    reuse: ReuseOptions = ReuseOptions()
    caching: CacheOptions = CacheOptions()
    idempotency_key: str | None = None
    idempotency_scope: str | None = None
    wait_for_components: bool = False
    watch: bool = False
    """Whether to run again when a file changes."""
    ui: bool = False
    """Whether to serve the run's page until Ctrl-C."""

    inputs: str | None = None
    """The file that contains the batch's inputs."""
    input_format: str | None = None
    retry: RetryOptions = RetryOptions()
    resume: bool = False
    retry_failed: bool = False
    skip: int = 0
    limit: int | None = None
    sample: int | None = None
    seed: int | None = None
    on_bad_line: str | None = None
