"""The base of the public types: frozen dataclasses, decoded from JSON, and shown in notebooks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from datetime import UTC, datetime
from enum import Enum
from functools import cache, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar, cast, dataclass_transform, overload

from .._base.basic_errors import InvalidArgumentError
from .._base.lazy import lazy_module
from .._base.text import format_rfc3339, near
from .._data.arguments import wrong
from .._data.json_encoding import encode_fields, encode_scalar, is_data_object, is_scalar
from .statuses import ENUMS, read_enum

__all__ = [
    "KINDS", "LOCAL", "Listing", "Model", "Record", "Records", "Shown", "decode_model", "field",
    "find_data_frame_type", "record", "show_lists", "to_plain_data",
]  # fmt: skip

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
        return {name: to_plain_data(getattr(self, name)) for name in self._get_dict_keys()}

    @classmethod
    @cache
    def _get_dict_keys(cls) -> list[str]:
        """Return the names in the result of `to_dict`."""
        definitions = fields(cast("Any", cls))
        public = (field for field in definitions if field.name[0] != "_" and not field.metadata.get("exclude"))
        return [*(field.name for field in public), *cls._derived]


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
    is_ours = bool(value) and all(isinstance(entry, Shown) for entry in value)
    html: str | None = _notebook.list_html(value) if is_ours else None
    return html


class Records(Shown):
    """Base of classes that are iterables of models: returns the models as dicts and as a data frame."""

    __slots__ = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the entries as dicts of JSON values; see their `to_dict`."""
        return [entry.to_dict() for entry in cast("Iterable[Any]", self)]

    def to_dataframe(self) -> Any:
        """Return the entries as a data frame of pandas, or of polars if pandas is not installed; times are datetimes.

        Raises:
            StepflowClientError: If neither is installed.
        """
        rows = []
        for entry in cast("Iterable[Any]", self):
            row = entry.to_dict()
            rows.append(row | {name: value for name in row if isinstance(value := getattr(entry, name), datetime)})
        return find_data_frame_type()(rows)


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


def to_plain_data(value: Any) -> Any:
    """Return a value with enumerations and times as text, and objects as dicts."""
    if value is None or isinstance(value, (str, int, float)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Record):
        return value.to_dict()
    if is_scalar(value):
        return format_rfc3339(value) if isinstance(value, datetime) else encode_scalar(value)
    if isinstance(value, Mapping):
        return {key: to_plain_data(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [to_plain_data(entry) for entry in value]
    return to_plain_data(encode_fields(value)) if is_data_object(value) else value


Kind = TypeVar("Kind", bound="Model")

KINDS: dict[str, type[Any]] = {
    **ENUMS,
    **{kind.__name__: kind for kind in (bool, datetime, dict, float, int, list, str, tuple, Mapping, Sequence)},
}
"""The types of fields, by their names in annotations. Those of this package are added when they are defined."""
_TYPE_WORDS = {bool: "True or False", datetime: "a time", int: "an integer", str: "text"}

LOCAL: Mapping[str, Any] = {"exclude": True}
"""The metadata of fields that are not in the result of `to_dict`. (pydantic excludes them as well.)"""


class _Field(NamedTuple):
    """How a field is set."""

    name: str
    default: Any
    factory: Callable[[], Any] | None
    """Makes the default."""
    usual: type | None
    """Values of this type are stored unchanged."""
    is_optional: bool
    field_type: type | None
    """Other values are converted to this type; None if any value is stored unchanged."""
    entries: type | None
    """The type of the entries of a list."""
    wire: str
    """The name on the wire."""
    nested: type[Model] | None
    """The type of its value, or of the entries of its list, if that is one of this package."""


class _Signature:
    """The signature of a type, which is built when it is first used."""

    def __get__(self, instance: object, kind: type[Model]) -> Any:
        from inspect import Parameter, Signature

        parameters = []
        for definition in fields(kind):  # type: ignore[arg-type]
            is_positional = definition.name in kind.__match_args__
            how = Parameter.POSITIONAL_OR_KEYWORD if is_positional else Parameter.KEYWORD_ONLY
            default = _get_default(definition)
            default = Parameter.empty if default is MISSING else default
            parameters.append(Parameter(definition.name, how, default=default, annotation=definition.type))
        return Signature(sorted(parameters, key=lambda parameter: parameter.kind))


def _get_default(definition: Any) -> Any:
    """Return the default of a field; MISSING if it is required."""
    return definition.default if definition.default_factory is MISSING else definition.default_factory()


class Model(Record):
    """Base of the public types: immutable, comparable, and created with keyword arguments."""

    __slots__ = ("__weakref__",)
    __match_args__: ClassVar[tuple[str, ...]] = ()
    __signature__ = _Signature()
    _fields: ClassVar[tuple[_Field, ...]] = ()
    _compared: ClassVar[Any] = None
    """Returns the values that are compared."""

    if not TYPE_CHECKING:

        def __init__(self, *values: Any, **given: Any) -> None:
            kind = type(self)
            if values:
                given = _bind_arguments(kind, values, given)
            put, left = object.__setattr__, len(given)
            for name, default, factory, usual, is_optional, field_type, entries, _, _ in kind._fields:
                if name in given:
                    value = given[name]
                    left -= 1
                    if type(value) is not usual and field_type is not None and not (value is None and is_optional):
                        value = _convert(f"{kind.__name__}.{name}", field_type, entries, value)
                elif factory is not None:
                    value = factory()
                elif default is MISSING:
                    raise InvalidArgumentError(f"{kind.__name__} needs a value for {name}")
                else:
                    value = default
                put(self, name, value)
            if left:
                names = [definition.name for definition in kind._fields]
                # `to_dict` returns derived values too; they are not stored.
                if unknown := [name for name in given if name not in names and name not in kind._derived]:
                    message = f"{kind.__name__} has no field {unknown[0]!r} ({near(unknown[0], names)})"
                    raise InvalidArgumentError(message)
            self.__post_init__()

        def __post_init__(self) -> None:
            pass

        def __setattr__(self, name: str, value: Any) -> None:
            message = f"cannot set {name!r}: {type(self).__name__} is immutable"
            raise FrozenInstanceError(f"{message}; dataclasses.replace() returns a changed copy")

        def __delattr__(self, name: str) -> None:
            raise FrozenInstanceError(f"cannot delete {name!r}: {type(self).__name__} is immutable")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(self._compared(self) == self._compared(other))

    def __hash__(self) -> int:
        return hash(self._compared(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._iter_shown_fields())})"

    def _iter_shown_fields(self) -> Iterator[tuple[str, Any]]:
        """Yield the fields that `repr` shows: only fields that differ from their defaults."""
        for definition in fields(self):  # type: ignore[arg-type]
            value, default = getattr(self, definition.name), _get_default(definition)
            if definition.repr and (default is MISSING or value != default):
                yield definition.name, str(value) if isinstance(value, Enum) else value

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (
            type(self),
            {definition.name: getattr(self, definition.name) for definition in self._fields},
        )


def _restore(kind: type[Model], values: dict[str, Any]) -> Model:
    return kind(**values)


def _bind_arguments(kind: type[Model], values: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments by name."""
    names = kind.__match_args__
    if len(values) > len(names):
        takes = f"at most {len(names)} positional arguments" if names else "keyword arguments only"
        raise InvalidArgumentError(f"{kind.__name__} takes {takes}")
    by_name = dict(zip(names, values, strict=False))
    if twice := next((name for name in by_name if name in keywords), None):
        raise InvalidArgumentError(f"{kind.__name__} has two values for {twice}")
    return by_name | keywords


@overload
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(kind: type[Kind], /) -> type[Kind]: ...
@overload
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def record(*, kw_only: bool) -> Callable[[type[Kind]], type[Kind]]: ...
def record(kind: type[Kind] | None = None, /, *, kw_only: bool = True) -> Any:
    """Return a class as a frozen dataclass with slots."""
    if kind is None:
        return partial(record, kw_only=kw_only)
    made: Any = dataclass(init=False, repr=False, eq=False, kw_only=kw_only, slots=True)(kind)
    made._fields = tuple(_describe_field(definition) for definition in fields(made))
    compared = [definition.name for definition in fields(made) if definition.compare]
    made._compared = attrgetter(*compared) if compared else type
    KINDS[made.__name__] = made
    return made


def _describe_field(definition: Any) -> _Field:
    annotation, is_optional, other = str(definition.type).partition(" | None")
    head, _, entry = annotation.partition("[")
    field_type = None if other else KINDS.get(head)
    entries = KINDS.get(entry[:-1]) if head == "list" else None
    nested = entries or field_type
    first, *words = definition.name.split("_")
    return _Field(
        definition.name,
        definition.default,
        None if definition.default_factory is MISSING else definition.default_factory,
        # The entries of a list are checked too.
        None if entries is not None else field_type,
        bool(is_optional) or definition.default is None,
        field_type,
        entries,
        definition.metadata.get("wire") or first + "".join(map(str.capitalize, words)),
        nested if nested is not None and issubclass(nested, Model) else None,
    )


def _convert(name: str, field_type: type[Any], entries: type[Any] | None, value: Any) -> Any:
    """Return a value as one of the type of its field: a status by its name, a time as text, an object as a mapping.

    Args:
        name: The name of the field, for the error.
        field_type: The type.
        entries: The type of its entries, if it is a list.
        value: The value.

    Raises:
        InvalidArgumentError: If it is none.
    """
    try:
        if field_type is list and isinstance(value, (list, tuple)):
            if entries is None:
                return list(value)
            return [entry if type(entry) is entries else _convert(name, entries, None, entry) for entry in value]
        if isinstance(value, field_type) and (field_type is bool or type(value) is not bool):
            if field_type is not Sequence or not isinstance(value, (str, bytes)):
                return value
        elif issubclass(field_type, Enum):
            return read_enum(field_type, value)
        elif issubclass(field_type, Model) and isinstance(value, Mapping):
            return field_type(**value)
        elif field_type is datetime and isinstance(value, str):
            # Servers send nanoseconds; the digits after the microseconds are cut off.
            time = datetime.fromisoformat(value)
            return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        elif field_type is float and type(value) is int:
            return value
        elif field_type is tuple and isinstance(value, list):
            return tuple(value)
    except InvalidArgumentError:
        raise
    except (TypeError, ValueError):
        pass
    words = f"a member of {field_type.__name__}" if issubclass(field_type, Enum) else f"a {field_type.__name__}"
    raise wrong(name, _TYPE_WORDS.get(field_type, words), value)


def decode_model(kind: type[Kind], answer: Any, place: str = "", /, **known: Any) -> Kind:
    """Return an object of a type that was read from a response.

    Args:
        kind: The type.
        answer: The part of the response, with the names on the wire. What the type does not have is ignored.
        place: The place of that part in the response, for errors.
        **known: Values of fields that are not read.

    Raises:
        KeyError: If a field is missing.
        ValueError: If a value is of another type.
    """
    if type(answer) is not dict:
        raise wrong(place or "the response", "an object", answer)
    for name, default, factory, usual, is_optional, field_type, entries, wire, nested in kind._fields:
        if name in known:
            continue
        value = answer.get(wire, MISSING)
        if value is MISSING:
            if default is MISSING and factory is None:
                raise KeyError(f"{place}.{wire}" if place else wire)
            continue
        if type(value) is str and not value.isascii():
            # Half of a surrogate pair cannot be printed or sent.
            value.encode()
        if type(value) is not usual and field_type is not None and not (value is None and is_optional):
            where = f"{place}.{wire}" if place else wire
            if nested is not None and entries is None:
                value = decode_model(nested, value, where)
            elif nested is not None and type(value) is list:
                value = [decode_model(nested, entry, f"{where}[{index}]") for index, entry in enumerate(value)]
            else:
                value = _convert(where, field_type, entries, value)
        known[name] = value
    return kind(**known)


Entry = TypeVar("Entry")


class Listing(Model, Records, Generic[Entry]):
    """Base of the types that are lists of entries, with iteration, length, indexing and slicing."""

    __slots__ = ()
    _shown: ClassVar[tuple[str, ...]] = ()
    """The columns that notebooks show, followed by the noun for the entries."""

    def _entries(self) -> Sequence[Entry]:
        raise NotImplementedError

    def _columns(self) -> Sequence[str]:
        return self._shown

    def __iter__(self) -> Iterator[Entry]:
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
