"""The generated operations and models, each imported when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepflow_api.api.blob import get_blob, store_blob
    from stepflow_api.api.component import list_components
    from stepflow_api.api.flow import delete_flow, get_flow, store_flow
    from stepflow_api.api.health import health_check
    from stepflow_api.api.run import (
        cancel_run,
        create_run,
        delete_run,
        get_run,
        get_run_events,
        get_run_flow,
        get_run_items,
        get_run_step,
        get_run_steps,
        list_runs,
    )
    from stepflow_api.models import GetBlobAccept, RunStatus
    from stepflow_api.types import UNSET, File

__all__ = [
    "UNSET",
    "File",
    "GetBlobAccept",
    "RunStatus",
    "cancel_run",
    "create_run",
    "delete_flow",
    "delete_run",
    "get_blob",
    "get_flow",
    "get_run",
    "get_run_events",
    "get_run_flow",
    "get_run_items",
    "get_run_step",
    "get_run_steps",
    "health_check",
    "json_body",
    "list_components",
    "list_runs",
    "store_blob",
    "store_flow",
]

_TAGS = {
    "blob": ("get_blob", "store_blob"),
    "component": ("list_components",),
    "flow": ("delete_flow", "get_flow", "store_flow"),
    "health": ("health_check",),
}
_MODULES = {name: f"stepflow_api.api.{tag}.{name}" for tag, names in _TAGS.items() for name in names}


class _Body:
    """The part of a generated model that `_get_kwargs` uses."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def to_dict(self) -> dict[str, Any]:
        return self._fields


def json_body(**fields: Any) -> Any:
    """Return the body of a request without using its generated model, which would import attrs.

    Args:
        **fields: The fields by their names on the wire. Fields that are UNSET are left out.
    """
    from stepflow_api.types import UNSET

    return _Body({name: value for name, value in fields.items() if value is not UNSET})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: Any
    if name in ("UNSET", "File"):
        value = getattr(import_module("stepflow_api.types"), name)
    elif name[0].isupper():
        value = getattr(import_module("stepflow_api.models"), name)
    else:
        value = import_module(_MODULES.get(name, f"stepflow_api.api.run.{name}"))
    globals()[name] = value
    return value
