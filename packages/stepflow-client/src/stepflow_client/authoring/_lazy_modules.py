"""Lazily imported modules that are only needed to build a flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._base.lazy import lazy_module

if TYPE_CHECKING:
    import ast
    import inspect
    import linecache

    from .._base import suggestions
    from .._data import arguments, json_encoding, wire as values
    from ..flows import expressions
    from . import _type_fields as fields
else:
    ast = lazy_module("ast")
    inspect = lazy_module("inspect")
    linecache = lazy_module("linecache")
    arguments = lazy_module("stepflow_client._data.arguments")
    expressions = lazy_module("stepflow_client.flows.expressions")
    json_encoding = lazy_module("stepflow_client._data.json_encoding")
    suggestions = lazy_module("stepflow_client._base.suggestions")
    values = lazy_module("stepflow_client._data.wire")
    fields = lazy_module("stepflow_client.authoring._type_fields")

__all__ = [
    "arguments", "ast", "expressions", "fields", "inspect", "json_encoding", "linecache", "suggestions", "values",
]  # fmt: skip
