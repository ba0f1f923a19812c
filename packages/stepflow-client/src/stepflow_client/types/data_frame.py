"""Converts lists to data frames of pandas or polars, whichever is installed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["data_frame"]

_Records = Sequence[Mapping[str, Any]]


def data_frame(records: _Records) -> Any:
    """Return records as a data frame: of pandas if it is installed, otherwise of polars.

    A column of polars has a single type. With polars, outputs, lists and dicts are therefore converted to JSON text.

    Raises:
        StepflowClientError: If neither is installed.
    """
    return data_frames()(records)


def data_frames() -> Callable[[_Records], Any]:
    """Return what makes data frames of records.

    Raises:
        StepflowClientError: If neither pandas nor polars is installed.
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
        [{name: _flat(name, record[name]) for name in record} for record in records]
    )


def _flat(name: str, value: Any) -> Any:
    if isinstance(value, (dict, list)) or name == "output":
        return None if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return value
