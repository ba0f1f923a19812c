# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
"""Low-level bindings for the HTTP API of Stepflow servers.

Every operation is a module with four functions, for example ``stepflow_api.api.run.get_run``:
``sync`` and ``asyncio`` return what the body holds, ``sync_detailed`` and ``asyncio_detailed`` return
a ``Response`` with the status, the headers and the raw content as well.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import AuthenticatedClient, Client

__all__ = ("AuthenticatedClient", "Client")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("stepflow-api")
    if name in __all__:
        from . import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
