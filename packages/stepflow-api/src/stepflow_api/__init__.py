# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
"""Low-level bindings for the HTTP API of Stepflow servers.

Every operation is a module, for example ``stepflow_api.api.run.get_run``. Its functions ``sync`` and ``asyncio`` return
the body of the response, ``sync_detailed`` and ``asyncio_detailed`` a ``Response`` with the status, the headers and the
raw content as well, and ``build_request`` the request.
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


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
