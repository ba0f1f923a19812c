"""The options of the commands that run a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..inputs.values import Values
from ..output.view import Output
from ..params.options import Wait
from ..settings.server_choice import ServerOptions


class Retry(NamedTuple):
    """How often failed inputs of a batch run again."""

    retries: int | None = None
    """Maximum number of retries; None for none."""
    codes: tuple[str, ...] = ()
    """The error codes to retry; by default, those of failures that may pass."""

    @property
    def options(self) -> dict[str, Any]:
        """The options of `map`."""
        if self.retries is None:
            return {}
        return {"max_attempts": self.retries + 1, "retry_on": self.codes or None}


class Reuse(NamedTuple):
    """The outputs that a run takes from an earlier run of the flow; nothing if all fields are None."""

    run: str | None = None
    """The earlier run: its id, the beginning of the id, or `@last`, `@2` and so on among the runs of this flow."""
    from_step: str | None = None
    """Execute this step and all that depend on it."""
    only_step: str | None = None
    """Execute this step alone."""


class CacheOptions(NamedTuple):
    """The options of the result cache."""

    is_on: bool = False
    max_age: float | None = None
    """The maximum age of a result in seconds; None for the default."""
    refresh: bool = False


class RunOptions(NamedTuple):
    """The options of `run`, `submit` and `batch`."""

    flow: str
    """The flow's file, or the id of a stored flow."""
    values: Values
    server: ServerOptions
    wait: Wait
    output: Output
    """Where to print the result, or the run's id."""
    about: Mapping[str, Any] = {}
    """The labels and the note for the history."""
    dry_run: bool = False
    detach: bool = False
    """Whether to return as soon as the run is created."""
    check: bool = True
    """Whether to check the flow and its values before the run."""
    up_to: str | None = None
    """The step whose output is the result; later steps are not executed."""
    max_concurrency: int | None = None

    reuse: Reuse = Reuse()
    caching: CacheOptions = CacheOptions()
    idempotency_key: str | None = None
    idempotency_scope: str | None = None
    wait_for_components: bool = False
    watch: bool = False
    """Whether to run again when a file changes."""
    ui: bool = False
    """Whether to serve the page of the run until Ctrl-C."""

    inputs: str | None = None
    """The file of a batch's inputs."""
    input_format: str | None = None
    retry: Retry = Retry()
    resume: bool = False
    retry_failed: bool = False
    skip: int = 0
    limit: int | None = None
    sample: int | None = None
    seed: int | None = None
    on_bad_line: str | None = None
