"""The components of the server that a command uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepflow_client import ComponentList

    from .connect import Target

__all__ = ["listed_components"]


def listed_components(target: Target, *, schemas: bool = True, timeout: float | None = None) -> ComponentList:
    """Return the components of a server. Those of an embedded server have their paths.

    Args:
        target: The server.
        schemas: Whether to include their schemas.
        timeout: Seconds for the request, instead of the client's timeout.

    Raises:
        StepflowClientError: If the server does not list its components.
    """
    runtime = target.runtime
    if runtime is None:
        return target.client.list_components(include_schemas=schemas, timeout=timeout)
    import asyncio

    async def ask() -> ComponentList:
        try:
            return await runtime.list_components(include_schemas=schemas, timeout=timeout)
        finally:
            await runtime.client.aclose()

    # The runtime knows the routes and therefore the paths; it offers this call only as a coroutine.
    return asyncio.run(ask())
