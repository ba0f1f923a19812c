"""What a command runs, and whether its result may come from the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..inputs.values import Values
from ..output.view import Output
from ..settings.server_choice import ServerOptions
from .wait import Wait


class Retry(NamedTuple):
    """How often failed inputs of a batch run again."""

    retries: int | None = None
    """Maximum number of times; None: not at all."""
    codes: tuple[str, ...] = ()
    """The codes of the errors after which they do; none for those that are retryable."""

    @property
    def options(self) -> dict[str, Any]:
        """The options of `map`."""
        if self.retries is None:
            return {}
        return {"max_attempts": self.retries + 1, "retry_on": self.codes or None}


class Reuse(NamedTuple):
    """What a run takes from an earlier run of the flow."""

    run: str | None = None
    """The earlier run: its id or the beginning of it, or `@last`, `@2` and so on, of the runs of this flow."""
    from_step: str | None = None
    """A step to execute in any case, with those that depend on it."""
    only_step: str | None = None
    """The step to execute alone."""

    @property
    def is_asked(self) -> bool:
        """Whether anything is to be reused."""
        return any(self)


class Job(NamedTuple):
    """A flow with its arguments."""

    flow: dict[str, Any]
    """The flow; for a stored one, it is set once the server is known."""
    flow_id: str | None = None
    """The id of a stored flow."""
    unread: Values | None = None
    """The values that are read once a stored flow is known."""
    input: Any = None
    inputs: str | None = None
    """The file of a batch's inputs; then there is no single input."""
    input_format: str | None = None
    batch: list[Any] | None = None
    """The inputs of a batch that is sent as one run, or only printed."""
    overrides: list[Any] | None = None
    variables: dict[str, Any] | None = None
    variables_from_env: bool = False
    max_concurrency: int | None = None
    """The maximum concurrency of the run."""
    check: bool = True
    """Whether to check the inputs against the flow's schema."""
    idempotency_key: str | None = None
    """The idempotency key: if the flow already has a run with this key, that run is returned."""
    idempotency_scope: str | None = None
    """What the key identifies, whatever the version of the flow."""
    wait_for_components: bool = False
    """Whether to wait for the components of the flow before the run is created."""
    retry: Retry = Retry()
    """How often failed inputs of a batch run again."""
    up_to: str | None = None
    """The step whose output is the result; later steps are not run. None for the whole flow."""
    reuse: Reuse = Reuse()
    """What is taken from an earlier run."""
    has_input: bool = True
    """Whether there is an input; otherwise it is that of the earlier run."""
    about: Mapping[str, Any] = {}
    """Further data for the history: the flow's file, labels and a note."""

    @property
    def with_overrides(self) -> Mapping[str, Any]:
        """The flow with its overrides."""
        from stepflow_client.flows.interpreter import flow_with

        return flow_with(self.flow, self.overrides)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the client's methods that start runs, except for the input."""
        names = ("overrides", "variables", "variables_from_env", "max_concurrency")
        return {name: getattr(self, name) for name in names}


class JobOptions(NamedTuple):
    """The options of commands that run a flow. A batch has `inputs`; the fields after it are those of a single run."""

    flow: str
    """The flow's file, or the id of a stored flow."""
    dry_run: bool
    up_to: str | None
    values: Values
    check: bool
    max_concurrency: int | None
    about: dict[str, Any]
    """The labels and the note for the history."""
    inputs: str | None = None
    """The file of a batch's inputs."""
    retry: Retry = Retry()
    streaming: Mapping[str, Any] = {}
    """Which inputs a batch reads and how it writes their records."""
    idempotency_key: str | None = None
    idempotency_scope: str | None = None
    wait_for_components: bool = False
    reuse: Reuse = Reuse()


class Caching(NamedTuple):
    """The cache options of the command line."""

    is_on: bool = False
    max_age: float | None = None
    """The maximum age of a result in seconds; None for the default."""
    refresh: bool = False


class Launch(NamedTuple):
    """What to run, and how."""

    given: JobOptions
    server: ServerOptions
    detach: bool
    """Whether to return as soon as the run is created."""
    wait: Wait
    output: Output
    """Where to print the result, or the id."""
    caching: Caching = Caching()
    watch: bool = False
    """Whether to run again when a file changes."""
    pages: bool = False
    """Whether to serve the page of the run until Ctrl-C."""
