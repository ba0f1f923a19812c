"""Bases of what notebooks show, and of records and their lists."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from typing import Any, cast

from .._base.lazy import lazy_module
from .._data.objects import fields_of, is_data_object
from .data_frame import data_frame

__all__ = ["Record", "Records", "Shown", "plain_data", "show_lists"]

# HTML is made by the package that makes pictures, which knows the types. It is looked up by name, only here.
_notebook = lazy_module("stepflow_client.drawing.notebook_html")


class Shown:
    """Base of objects that notebooks show as HTML."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        html: str = _notebook.html(self)
        return html

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        bundle: dict[str, str] = _notebook.bundle(self)
        return bundle


class Record:
    """Base of dataclasses that are returned as dicts."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name. Statuses and codes are plain strings, times are datetimes, objects are dicts."""
        return {
            each.name: plain_data(getattr(self, each.name))
            for each in fields(cast("Any", self))
            if each.name[0] != "_" and not each.metadata.get("exclude")
        }


def show_lists() -> None:
    """Let IPython show lists of such objects as tables, if this is IPython.

    Lists are no objects of this package, so IPython is told. Other lists remain as they are, and so does a formatter
    that somebody else has set for lists.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    formatter = getattr(getattr(shell, "display_formatter", None), "formatters", {}).get("text/html")
    if formatter is not None and list not in formatter:
        formatter.for_type(list, _list_html)


def _list_html(value: list[Any]) -> str | None:
    is_ours = bool(value) and all(isinstance(each, Shown) for each in value)
    html: str | None = _notebook.list_html(value) if is_ours else None
    return html


class Records(Shown):
    """Base of classes that are iterables of models: returns the models as dicts and as a data frame."""

    __slots__ = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the entries as dicts by field name, for example for `pandas.DataFrame`.

        Statuses and codes are plain strings, times are datetimes, and nested models are dicts.
        """
        return [each.to_dict() for each in cast("Iterable[Any]", self)]

    def to_dataframe(self) -> Any:
        """Return the entries as a data frame of pandas, or of polars if pandas is not installed.

        Raises:
            StepflowClientError: If neither is installed.
        """
        return data_frame(self.to_dicts())


def plain_data(value: Any) -> Any:
    """Return a value with enumerations as plain strings, and objects as dicts."""
    if value is None or isinstance(value, (str, int, float)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Mapping):
        return {key: plain_data(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [plain_data(each) for each in value]
    return plain_data(fields_of(value)) if is_data_object(value) else value
