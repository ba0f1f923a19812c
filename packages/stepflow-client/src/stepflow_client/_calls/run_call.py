"""The arguments of a call that starts a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .._codec import requests

if TYPE_CHECKING:
    from .._codec.requests import RunArguments, Variables
    from .._runs.stored_flow import RerunOrigin
    from ..flows.reading import FlowSource
    from ..flows.run_requirements import RunRequirements


class RunCall(NamedTuple):
    """Arguments for a call that starts a run. See `StepflowClient.run` for their meanings."""

    flow: FlowSource
    input: Any = None
    overrides: Any = None
    variables: Variables | None = None
    variables_from_env: bool = False
    max_concurrency: int | None = None
    check_input: bool = False
    private_copy: bool = False
    """Whether to store a separate copy of the flow just for this run."""
    idempotency_key: str | None = None
    idempotency_scope: str | None = None
    """The key's scope. Defaults to the client's scope, or else to the flow's content."""
    ready: Callable[[], Any] | None = None
    """Waits until the run can be created. None means right away."""
    origin: RerunOrigin | None = None
    """For a rerun, the earlier run and the outputs to keep. The key is then scoped to that run."""
    source: FlowSource | None = None
    """The flow as passed by the caller, if `flow` was already read from a file. Otherwise None."""

    @property
    def original_flow(self) -> FlowSource:
        """The flow as passed by the caller."""
        return self.flow if self.source is None else self.source

    def check_arguments(self, *, exact_integers: bool = True) -> RunArguments:
        """Validate the arguments and convert them for the run request. See `requests.parse_run_arguments`."""
        values = self.input, self.variables, self.overrides, self.max_concurrency
        return requests.parse_run_arguments(*values, exact_integers=exact_integers)

    def complete_arguments(self, arguments: RunArguments, needs: RunRequirements) -> RunArguments:
        """Check arguments against the flow, adding variables from the environment if requested."""
        environ = os.environ if self.variables_from_env else None
        return requests.complete_arguments(arguments, needs, environ, check_values=self.check_input)
