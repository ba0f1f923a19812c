"""A server, its components, its blobs, and what a tool returns to a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from .models import Model, Records, Shown, field, record

__all__ = [
    "BlobContent", "ComponentInfo", "ComponentList", "FailedPlugin", "HealthResponse", "ServerInfo",
    "StoreBlobResponse", "ToolResult",
]  # fmt: skip


@record
class FailedPlugin(Model):
    """A plugin whose components the server could not list."""

    plugin: str
    error: str


@record
class ComponentInfo(Model, Shown):
    """A component that flows may use."""

    name: str = ""
    """The name after the route prefix, without a leading slash. If it is not given, it is derived from `path`."""
    plugin: str | None = None
    """The plugin that provides the component, if the server reports it (0.13 and newer)."""
    path: str | None = None
    """The path that flows use, for example `/builtin/eval`. Servers do not report the route prefix: None, unless the
    configuration is known, as with an embedded server."""
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.name and self.path:
            object.__setattr__(self, "name", self.path.strip("/"))


class ComponentList(Records, list[ComponentInfo]):
    """The components of a server: a list with the plugins that could not be listed.

    Attributes:
        failed_plugins: Plugins whose components the server could not list, if it reports them.
    """

    def __init__(self, components: Iterable[ComponentInfo] = (), failed_plugins: Iterable[FailedPlugin] = ()) -> None:
        """Store the components and the failed plugins."""
        super().__init__(components)
        self.failed_plugins = list(failed_plugins)


@record
class HealthResponse(Model):
    """A server's response to a health check."""

    status: str
    """`healthy`."""
    timestamp: datetime | None = None
    """The server's current time."""
    version: str | None = None
    """The server's release, if the server reports it."""
    build: dict[str, Any] | None = None
    """Build information of the binary, if the server reports it: `gitVersion`, `profile`, `target` and so on."""
    failed_plugins: list[FailedPlugin] | None = None
    """The plugins whose workers are away; None if they were not requested."""


@record
class StoreBlobResponse(Model):
    """A stored blob."""

    blob_id: str
    """The SHA-256 digest of the content, in hexadecimal digits."""
    filename: str | None = None


@record
class BlobContent(Model):
    """A blob and its content."""

    blob_id: str
    blob_type: str = "data"
    """The type: `data` for JSON, `flow` for a flow, `binary` for bytes."""
    filename: str | None = None
    data: Any = None
    """The JSON value, or `bytes` for a binary blob."""


@record
class ServerInfo(Model):
    """A server's release and capabilities."""

    url: str
    dialect: str
    """The oldest release with the same protocol as this server: `0.10`, `0.11` or `0.12` (also used by all newer
    ones)."""
    release: str | None = None
    """The release, if the server reports it or if its commit is known."""
    commit: str | None = None
    """The commit that the server was built from, if it reports it."""
    capabilities: dict[str, bool] = field(default_factory=dict)
    """What the server can do by itself: `events`, `step_outputs`, `exact_numbers` and so on."""


@record(kw_only=False)
class ToolResult(Model):
    """What a call of a tool returns to a model: a text, and the same as JSON."""

    text: str
    """What the model reads. Outputs are in it as JSON, and messages of components on one line, so that neither can be
    mistaken for other parts of it."""
    structured: Mapping[str, Any] | None = None
    """The same as a JSON object: `run_id`, `status`, and `output`, `error` or `next`. None if no run was started."""
    run_id: str | None = None
    """The run; None if none was started."""
    is_error: bool = False
    """Whether the call failed: because of its arguments, or because the run did not succeed. A run that has not ended
    yet is no error."""
