"""Base of what notebooks show of evaluations."""

from __future__ import annotations

from typing import Any

from .._base.lazy import lazy_module

# It knows the classes that are derived from this one.
_notebook = lazy_module("stepflow_client.evaluation.notebook")


class ShownAsTable:
    """Base of objects that notebooks show as a table with charts."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        html: str = _notebook.html(self)
        return html

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": str(self)}
