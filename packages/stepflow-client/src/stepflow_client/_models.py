"""Base classes of the public models: immutable, displayed in notebooks, usable as sequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar, overload

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from ._display.data_frame import data_frame


class Shown:
    """Base of objects that notebooks show as HTML."""

    def _repr_html_(self) -> str:
        raise NotImplementedError

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from .drawing.notebook import bundle

        return bundle(self, self._repr_html_())


class Model(BaseModel):
    """An immutable model. It accepts field names or the camelCase names on the wire, and ignores undeclared fields."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


Entry = TypeVar("Entry", bound=BaseModel)


class Listing(Model, Shown, Generic[Entry]):
    """A model of a list of entries, with iteration, length, indexing and slicing."""

    _shown: ClassVar[tuple[str, ...]] = ()
    """The columns that notebooks show, followed by the noun for the entries."""

    def _entries(self) -> Sequence[Entry]:
        raise NotImplementedError

    def _columns(self) -> Sequence[str]:
        return self._shown

    def __iter__(self) -> Iterator[Entry]:  # type: ignore[override]  # pydantic's iterates over the fields
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        entries = self._entries()
        return list(entries[index]) if isinstance(index, slice) else entries[index]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the entries as dicts by field name, for example for `pandas.DataFrame`.

        Statuses and codes are plain strings, times are datetimes, and nested models are dicts.
        """
        return as_dicts(self)

    def to_dataframe(self) -> Any:
        """Return the entries as a data frame of pandas, or of polars if pandas is not installed.

        Raises:
            StepflowClientError: If neither is installed.
        """
        return data_frame(self.to_dicts())

    def _repr_html_(self) -> str:
        from .drawing.notebook import records_html

        *columns, what = self._columns()
        return records_html(self._entries(), columns, what)


def as_dicts(entries: Iterable[BaseModel]) -> list[dict[str, Any]]:
    """Return the entries as dicts by field name, with enumerations as plain strings."""
    return [_plain(each.model_dump()) for each in entries]


def _plain(value: Any) -> Any:
    """Return a value with enumerations as plain strings."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def from_number(names: dict[int, Any]) -> BeforeValidator:
    """Return a validator that converts a number on the wire to its name. Strings are unchanged."""

    def convert(value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            return names.get(value, f"unknown_{value}")
        return value

    return BeforeValidator(convert)


def fields_html(rows: list[tuple[str, object]]) -> str:
    """Return names and values as an HTML table with two columns."""
    from .drawing import notebook

    return notebook.fields_html(rows)
