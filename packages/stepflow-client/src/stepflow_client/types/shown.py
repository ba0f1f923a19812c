"""Bases of what notebooks show, and of records and their lists."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, ClassVar, cast

from .._base.lazy import lazy_module
from .._base.text import rfc3339
from .._data.json_encoding import encode_fields, encode_scalar, is_data_object, is_scalar

__all__ = ["Record", "Records", "Shown", "find_data_frame_type", "plain_data", "show_lists"]

# HTML is made by the package that makes pictures, which knows the types. It is looked up by name, only here.
_notebook = lazy_module("stepflow_client.drawing.notebook_html")


class Shown:
    """Base of objects that notebooks show as HTML."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        html: str = _notebook.html(self)
        return html

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        bundle: dict[str, str] = _notebook.build_mime_bundle(self)
        return bundle


class Record:
    """Base of dataclasses that are returned as dicts."""

    __slots__ = ()
    _derived: ClassVar[tuple[str, ...]] = ()
    """The properties that `to_dict` returns too."""

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of JSON values: statuses and codes are text, times RFC 3339 text in UTC, objects dicts."""
        return {name: plain_data(getattr(self, name)) for name in self._get_dict_keys()}

    @classmethod
    @cache
    def _get_dict_keys(cls) -> list[str]:
        """Return the names in the result of `to_dict`."""
        shown = (
            field for field in fields(cast("Any", cls)) if field.name[0] != "_" and not field.metadata.get("exclude")
        )
        return [*(each.name for each in shown), *cls._derived]


def show_lists() -> None:
    """Let IPython show lists of such objects as tables, if this is IPython.

    Lists are not classes of this package, so a formatter is registered for `list`. It leaves other lists alone, and
    does not replace a formatter that is already set.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    formatter = getattr(getattr(shell, "display_formatter", None), "formatters", {}).get("text/html")
    if formatter is not None and list not in formatter:
        formatter.for_type(list, _make_list_html)


def _make_list_html(value: list[Any]) -> str | None:
    is_ours = bool(value) and all(isinstance(each, Shown) for each in value)
    html: str | None = _notebook.list_html(value) if is_ours else None
    return html


class Records(Shown):
    """Base of classes that are iterables of models: returns the models as dicts and as a data frame."""

    __slots__ = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the entries as dicts of JSON values; see their `to_dict`."""
        return [each.to_dict() for each in cast("Iterable[Any]", self)]

    def to_dataframe(self) -> Any:
        """Return the entries as a data frame of pandas, or of polars if pandas is not installed; times are datetimes.

        Raises:
            StepflowClientError: If neither is installed.
        """
        rows = ((each, each.to_dict()) for each in cast("Iterable[Any]", self))
        return find_data_frame_type()(
            [
                row | {name: value for name in row if isinstance(value := getattr(each, name), datetime)}
                for each, row in rows
            ]
        )


def find_data_frame_type() -> Callable[[Sequence[Mapping[str, Any]]], Any]:
    """Return a function that makes a data frame of records: of pandas if it is installed, otherwise of polars.

    A column of polars has a single type. With polars, outputs, lists and dicts are therefore converted to JSON text.

    Raises:
        StepflowClientError: If neither is installed.
    """
    try:
        import pandas  # pyright: ignore[reportMissingImports]
    except ImportError:
        pass
    else:
        return pandas.DataFrame  # type: ignore[no-any-return]
    try:
        import polars  # pyright: ignore[reportMissingImports]
    except ImportError:
        from .._base.basic_errors import StepflowClientError

        message = "data frames need pandas or polars; neither is installed"
        raise StepflowClientError(message, hint="pip install pandas; to_dicts() needs neither") from None
    return lambda records: polars.DataFrame(
        [{name: _flatten_value(name, record[name]) for name in record} for record in records]
    )


def _flatten_value(name: str, value: Any) -> Any:
    if isinstance(value, (dict, list)) or name == "output":
        return None if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return value


def plain_data(value: Any) -> Any:
    """Return a value with enumerations and times as text, and objects as dicts."""
    if value is None or isinstance(value, (str, int, float)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Record):
        return value.to_dict()
    if is_scalar(value):
        return rfc3339(value) if isinstance(value, datetime) else encode_scalar(value)
    if isinstance(value, Mapping):
        return {key: plain_data(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [plain_data(each) for each in value]
    return plain_data(encode_fields(value)) if is_data_object(value) else value
