"""Servers, components and blobs, as well as the results that tools return to models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from .model_base import Model, Records, Shown, field, frozen_model

__all__ = [
    "BlobContent", "ComponentInfo", "ComponentList", "FailedPlugin", "HealthResponse", "ServerInfo",
    "StoreBlobResponse", "ToolResult",
]  # fmt: skip


@frozen_model
class FailedPlugin(Model):
    """A plugin whose components could not be listed."""

    plugin: str
    error: str


@frozen_model
class ComponentInfo(Model, Shown):
    """A component that flows can use."""

    name: str = ""
    """The name without its route prefix or leading slash. Defaults to a name derived from `path`."""
    plugin: str | None = None
    """The plugin that provides the component, if reported (0.13 and newer)."""
    path: str | None = None
    """The path to use in flows, e.g. `/builtin/eval`. None unless the configuration is known (e.g. for embedded
    servers), since servers don't report route prefixes."""
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.name and self.path:
            object.__setattr__(self, "name", self.path.strip("/"))


class ComponentList(Records, list[ComponentInfo]):
    """A list of a server's components, along with any plugins that could not list theirs.

    Attributes:
        failed_plugins: Plugins whose components could not be listed, if reported.
    """

    def __init__(self, components: Iterable[ComponentInfo] = (), failed_plugins: Iterable[FailedPlugin] = ()) -> None:
        """Store the components and the failed plugins."""
        super().__init__(components)
        self.failed_plugins = list(failed_plugins)


@frozen_model
class HealthResponse(Model):
    """A server's response to a health check."""

    status: str
    """`healthy`."""
    timestamp: datetime | None = None
    """The current time on the server."""
    version: str | None = None
    """The server's release, if reported."""
    build: dict[str, Any] | None = None
    """Build information for the binary, if reported: `gitVersion`, `profile`, `target` and so on."""
    failed_plugins: list[FailedPlugin] | None = None
    """Plugins whose workers are disconnected, or None if not requested."""


@frozen_model
class StoreBlobResponse(Model):
    """A stored blob."""

    blob_id: str
    """The content's SHA-256 digest, in hexadecimal."""
    filename: str | None = None


@frozen_model
class BlobContent(Model):
    """A blob with its content."""

    blob_id: str
    blob_type: str = "data"
    """`data` for JSON, `flow` for a flow, or `binary` for bytes."""
    filename: str | None = None
    data: Any = None
    """The JSON value, or `bytes` for a binary blob."""


@frozen_model
class ServerInfo(Model):
    """A server's release and capabilities."""

    url: str
    dialect: str
    """The oldest release that speaks the same protocol: `0.10`, `0.11`, or `0.12` (used by all newer releases)."""
    release: str | None = None
    """The release, if reported or known from the server's commit."""
    commit: str | None = None
    """The commit that the server was built from, if reported."""
    capabilities: dict[str, bool] = field(default_factory=dict)
    """Whether the server supports each capability natively: `events`, `step_outputs`, `exact_numbers` and so on."""


@frozen_model(kw_only=False)
class ToolResult(Model):
    """A tool call's result for the model, as text and as JSON."""

    text: str
    """The text for the model. Outputs are embedded as JSON, and component messages are put on one line, so that neither
    can be mistaken for other text."""
    structured: Mapping[str, Any] | None = None
    """The result as a JSON object with `run_id`, `status`, and `output`, `error` or `next`. None if nothing ran."""
    run_id: str | None = None
    """The run ID, or None if no run was started."""
    is_error: bool = False
    """Whether the call failed because of invalid arguments or an unsuccessful run. An unfinished run isn't an error."""
