"""Base classes of the public models: immutable, and usable as sequences if they are lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from .shown import Records, plain_data


class Model(BaseModel):
    """An immutable model. It accepts field names or the camelCase names on the wire, and ignores undeclared fields."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name. Statuses and codes are plain strings, times are datetimes, models are dicts."""
        return {name: plain_data(value) for name, value in self.model_dump().items()}

    @classmethod
    def _checked(cls, fields: dict[str, Any], given: set[str]) -> Self:
        """Return a model of values that were checked and converted before, as `model_construct` does, but faster.

        Args:
            fields: The values of all fields, in the order of the fields.
            given: The names of those that do not have their defaults.
        """
        model, put = cls.__new__(cls), object.__setattr__
        put(model, "__dict__", fields)
        put(model, "__pydantic_fields_set__", given)
        put(model, "__pydantic_extra__", None)
        put(model, "__pydantic_private__", None)
        return model


Entry = TypeVar("Entry", bound=BaseModel)


class Listing(Model, Records, Generic[Entry]):
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


def from_number(names: dict[int, Any]) -> BeforeValidator:
    """Return a validator that converts a number on the wire to its name. Strings are unchanged."""

    def convert(value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool):
            return names.get(value, f"unknown_{value}")
        return value

    return BeforeValidator(convert)
