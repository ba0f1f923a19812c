"""The arguments of a call that starts a run, on their way from a method of the client to the request."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .._codec import requests

if TYPE_CHECKING:
    from .._codec.requests import RunArguments, Variables
    from .._runs.client_metadata import Origin
    from ..flows.flow_argument import FlowSource
    from ..flows.needs import RunRequirements


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
        """Return what the request of the run is made of, checked: see `requests.run_arguments`."""
        values = self.input, self.variables, self.overrides, self.max_concurrency
        return requests.run_arguments(*values, exact_integers=exact_integers)

    def complete_arguments(self, arguments: RunArguments, needs: RunRequirements) -> RunArguments:
        """Return arguments, checked against the flow and with variables from the environment: `requests.completed`."""
        environ = os.environ if self.variables_from_env else None
        return requests.complete_arguments(arguments, needs, environ, check_values=self.check_input)
