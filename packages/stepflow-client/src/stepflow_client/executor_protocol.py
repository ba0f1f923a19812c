"""A protocol for objects that run flows on a remote or embedded server."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

from ._base.not_given import NOT_GIVEN, NotGiven
from ._codec.call_checks import RunId, Variables
from .flows.reading import FlowSource
from .progress import ProgressOption
from .result_cache import ResultCache
from .types import ComponentInfo, FlowResult, ValidationResult

__all__ = ["StepflowExecutor"]


class _AttributeCheckMeta(type(Protocol)):  # type: ignore[misc]
    """Checks only that the attributes exist, as Python 3.12 does. Python 3.11 would also read their values, including
    the URL of a stopped runtime, which raises an error."""

    def __instancecheck__(cls, instance: object) -> bool:
        if cls.__name__ != "StepflowExecutor":
            return bool(super().__instancecheck__(instance))
        missing = object()
        names = [name for name in vars(cls) if not name.startswith("_")]
        return all(inspect.getattr_static(instance, name, missing) is not missing for name in names)


@runtime_checkable
class StepflowExecutor(Protocol, metaclass=_AttributeCheckMeta):
    """An object that runs flows.

    `StepflowClient` and `StepflowRuntime` both implement this protocol, so code written for it accepts either.
    """

    @property
    def url(self) -> str:
        """The server's root URL."""
        ...

    # Spell out the options, because type checkers don't accept a method with named options where the protocol has
    # `**options`.
    async def run(
        self,
        flow: FlowSource,
        input: Any = None,
        overrides: Any = None,
        *,
        variables: Variables | None = None,
        variables_from_env: bool = False,
        max_concurrency: int | None = None,
        timeout: float | None = None,
        private_copy: bool = False,
        idempotency_key: str | None = None,
        idempotency_scope: str | None = None,
        wait_for_components: bool | float = False,
        on_cancel: Literal["detach", "cancel"] = "detach",
        check_input: bool = True,
        progress: ProgressOption = False,
        cache: ResultCache | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> FlowResult:
        """Run a flow on one input and return its result. See `StepflowClient.run` for the options."""
        ...

    async def submit(
        self,
        flow: FlowSource,
        input: Any = None,
        overrides: Any = None,
        *,
        variables: Variables | None = None,
        variables_from_env: bool = False,
        max_concurrency: int | None = None,
        timeout: float | NotGiven | None = NOT_GIVEN,
        private_copy: bool = False,
        idempotency_key: str | None = None,
        idempotency_scope: str | None = None,
        wait_for_components: bool | float = False,
        check_input: bool = True,
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """Start a flow and return the ID of its run. See `StepflowClient.submit` for the options."""
        ...

    async def get_result(self, run_id: RunId, *, wait: bool = True, timeout: float | None = None) -> FlowResult:
        """Wait until a single-item run ends and return its result."""
        ...

    async def validate(self, flow: FlowSource) -> ValidationResult:
        """Return the server's diagnostics for a flow without storing it."""
        ...

    async def list_components(self) -> list[ComponentInfo]:
        """Return the components available to flows."""
        ...
