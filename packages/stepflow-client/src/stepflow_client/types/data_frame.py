"""Converts lists to data frames of pandas or polars, whichever is installed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["data_frame"]


def data_frame(records: Sequence[Mapping[str, Any]]) -> Any:
    """Return records as a data frame: of pandas if it is installed, otherwise of polars.

    A column of polars has a single type. With polars, outputs, lists and dicts are therefore converted to JSON text.

    Raises:
        StepflowClientError: If neither is installed.
    """
    try:
        import pandas  # pyright: ignore[reportMissingImports]
    except ImportError:
        pass
    else:
        return pandas.DataFrame(records)
    try:
        import polars  # pyright: ignore[reportMissingImports]
    except ImportError:
        from .._base.basic_errors import StepflowClientError

        message = "data frames need pandas or polars; neither is installed"
        raise StepflowClientError(message, hint="pip install pandas; to_dicts() needs neither") from None
    return polars.DataFrame([{name: _flat(name, value) for name, value in each.items()} for each in records])


def _flat(name: str, value: Any) -> Any:
    if isinstance(value, (dict, list)) or name == "output":
        return None if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return value
