"""What a tool returns to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .models import Model, record

__all__ = ["ToolResult"]


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
