"""The protocol of objects that run flows, on a remote server or on an embedded one."""

from __future__ import annotations

import inspect
from typing import Any, Protocol, Unpack, runtime_checkable

from ._codec.requests import RunId
from ._shared.options import RunOptions, SubmitOptions
from .flows.file import FlowSource
from .types import ComponentInfo, FlowResult, ValidationResult

__all__ = ["StepflowExecutor"]


class _LooksOnly(type(Protocol)):  # type: ignore[misc]
    """Recognises executors by attribute names, as Python 3.12 does; 3.11 would ask a stopped runtime for its URL."""

    def __instancecheck__(cls, instance: object) -> bool:
        if cls.__name__ != "StepflowExecutor":
            return bool(super().__instancecheck__(instance))
        missing = object()
        names = [name for name in vars(cls) if not name.startswith("_")]
        return all(inspect.getattr_static(instance, name, missing) is not missing for name in names)


@runtime_checkable
class StepflowExecutor(Protocol, metaclass=_LooksOnly):
    """An object that runs flows.

    `StepflowClient` and `StepflowRuntime` are executors: code written for this protocol accepts both.
    """

    @property
    def url(self) -> str:
        """The root URL of the server."""
        ...

    async def run(
        self, flow: FlowSource, input: Any = None, overrides: Any = None, **options: Unpack[RunOptions]
    ) -> FlowResult:
        """Run a flow on one input and return its result. The options are those of `StepflowClient.run`."""
        ...

    async def submit(
        self, flow: FlowSource, input: Any = None, overrides: Any = None, **options: Unpack[SubmitOptions]
    ) -> str:
        """Start a flow and return the id of its run. The options are those of `StepflowClient.submit`."""
        ...

    async def get_result(self, run_id: RunId, *, wait: bool = True, timeout: float | None = None) -> FlowResult:
        """Wait until a run of one item ends and return its result."""
        ...

    async def validate(self, flow: FlowSource) -> ValidationResult:
        """Return the server's diagnostics of a flow, without storing it."""
        ...

    async def list_components(self) -> list[ComponentInfo]:
        """Return the components that flows may use."""
        ...
