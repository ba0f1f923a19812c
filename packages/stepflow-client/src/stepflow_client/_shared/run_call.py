"""What a caller asks to run, on its way from a method of the client to the request."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .._codec.requests import Variables
    from ..flows.file import FlowSource


class RunCall(NamedTuple):
    """The arguments of a call that starts a run, with the meaning that they have in `StepflowClient.run`."""

    flow: FlowSource
    input: Any = None
    overrides: Any = None
    variables: Variables | None = None
    variables_from_env: bool = False
    max_concurrency: int | None = None
    check_input: bool = False
    deduplicate: bool = False
    """Whether to store a copy of the flow for this run only."""
    idempotency_key: str | None = None
    idempotency_scope: str | None = None
    """What the key belongs to; None for the scope of the client, or else the content of the flow."""
    ready: Callable[[], Any] | None = None
    """Waits until a run can be created; None to create it at once."""

    @property
    def arguments(self) -> tuple[Any, Variables | None, Any, int | None]:
        """What the request of the run is made of."""
        return self.input, self.variables, self.overrides, self.max_concurrency
