"""Base classes of the public models: immutable, and usable as sequences if they are lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar, overload

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from ..errors import InvalidArgumentError
from .shown import Records, plain_data

if TYPE_CHECKING:
    _Base = BaseModel
else:

    class _Checked(type(BaseModel)):
        """Makes wrong arguments of models an error of this package."""

        def __call__(cls, *args: Any, **fields: Any) -> Any:
            try:
                return super().__call__(*args, **fields)
            except ValidationError as error:
                first = error.errors(include_url=False, include_context=False)[0]
                where = ".".join(str(part) for part in first["loc"]) or "the fields"
                raise InvalidArgumentError(f"{where} of {cls.__name__}: {first['msg']}") from None

    class _Base(BaseModel, metaclass=_Checked):
        pass


class Model(_Base):
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
        if value is not None and not isinstance(value, str):
            raise ValueError("it is a text or a number")
        return value

    return BeforeValidator(convert)
