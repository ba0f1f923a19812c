"""Base classes of the public types: frozen dataclasses that can be decoded from JSON and shown in notebooks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from datetime import UTC, datetime
from enum import Enum
from functools import cache, partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Self, TypeVar, cast, dataclass_transform, overload

from .._base.error_classes import InvalidArgumentError
from .._base.lazy import lazy_module
from .._base.suggestions import suggest_or_list
from .._base.text_formatting import format_rfc3339
from .._data.arguments import argument_error
from .._data.json_encoding import encode_fields, encode_scalar, is_data_object, is_non_json_scalar
from .statuses import ENUMS, parse_enum_member

__all__ = [
    "FIELD_TYPES", "LOCAL", "Listing", "Model", "Record", "Records", "Shown", "decode_model", "field",
    "frozen_model", "get_data_frame_maker", "register_ipython_list_formatter", "to_plain_data",
]  # fmt: skip

# Import this by name on first use, because the drawing package that renders the HTML imports these types itself.
_notebook = lazy_module("stepflow_client.drawing.notebook_html")


class Shown:
    """Base class of objects that notebooks render as HTML."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(_notebook.format_html(self))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return dict(_notebook.build_mime_bundle(self))


class Record:
    """Base class of dataclasses that can be converted to dicts."""

    __slots__ = ()
    _derived: ClassVar[tuple[str, ...]] = ()
    """Properties to include in `to_dict`, in addition to the fields."""

    def to_dict(self) -> dict[str, Any]:
        """Return a dict of JSON values: enums as strings, times as RFC 3339 strings in UTC, and objects as dicts."""
        return {name: to_plain_data(getattr(self, name)) for name in self._get_dict_keys()}

    @classmethod
    @cache
    def _get_dict_keys(cls) -> list[str]:
        """Return the keys of the `to_dict` result."""
        definitions = fields(cast("Any", cls))
        public = (field for field in definitions if field.name[0] != "_" and not field.metadata.get("exclude"))
        return [*(field.name for field in public), *cls._derived]


def register_ipython_list_formatter() -> None:
    """Make IPython render lists of `Shown` objects as tables, if running in IPython.

    We can't add methods to `list`, so we register a formatter. It ignores all other lists and never replaces another
    formatter.
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    formatter = getattr(getattr(shell, "display_formatter", None), "formatters", {}).get("text/html")
    if formatter is not None and list not in formatter:
        formatter.for_type(list, _make_list_html)


def _make_list_html(value: list[Any]) -> str | None:
    is_ours = bool(value) and all(isinstance(entry, Shown) for entry in value)
    html: str | None = _notebook.format_list_html(value) if is_ours else None
    return html


class Records(Shown):
    """Base class of model collections that can be converted to dicts or a data frame."""

    __slots__ = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the entries as dicts of JSON values by calling `to_dict` on each."""
        return [entry.to_dict() for entry in cast("Iterable[Any]", self)]

    def to_dataframe(self) -> Any:
        """Return the entries as a data frame (pandas, or polars if pandas isn't installed), with times as datetimes.

        Raises:
            StepflowClientError: If neither is installed.
        """
        rows = []
        for entry in cast("Iterable[Any]", self):
            row = entry.to_dict()
            rows.append(row | {name: value for name in row if isinstance(value := getattr(entry, name), datetime)})
        return get_data_frame_maker()(rows)


def get_data_frame_maker() -> Callable[[Sequence[Mapping[str, Any]]], Any]:
    """Return a function that builds a data frame from records, using pandas if installed and polars otherwise.

    A polars column can only have a single type, so with polars, outputs, lists and dicts are converted to JSON strings.

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
        from .._base.error_classes import StepflowClientError

        message = "data frames need pandas or polars; neither is installed"
        raise StepflowClientError(message, hint="pip install pandas; to_dicts() needs neither") from None
    return lambda records: polars.DataFrame(
        [{name: _encode_polars_cell(name, record[name]) for name in record} for record in records],
        infer_schema_length=None,
    )


def _encode_polars_cell(name: str, value: Any) -> Any:
    if isinstance(value, (dict, list)) or name == "output":
        return None if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return value


def to_plain_data(value: Any) -> Any:
    """Convert a value to plain data, with enums and times as strings and objects as dicts."""
    if value is None or isinstance(value, (str, int, float)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Record):
        return value.to_dict()
    if is_non_json_scalar(value):
        return format_rfc3339(value) if isinstance(value, datetime) else encode_scalar(value)
    if isinstance(value, Mapping):
        return {key: to_plain_data(part) for key, part in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [to_plain_data(entry) for entry in value]
    return to_plain_data(encode_fields(value)) if is_data_object(value) else value


Kind = TypeVar("Kind", bound="Model")

FIELD_TYPES: dict[str, type[Any]] = {
    **ENUMS,
    **{kind.__name__: kind for kind in (bool, datetime, dict, float, int, list, str, tuple, Mapping, Sequence)},
}
"""Field types, keyed by the names used in annotations. This package's own types are added as they're defined."""
_TYPE_WORDS = {bool: "True or False", datetime: "a time", int: "an integer", str: "text"}

LOCAL: Mapping[str, Any] = {"exclude": True}
"""Metadata for fields to omit from `to_dict` (and of pydantic's output)."""


class _FieldSpec(NamedTuple):
    """How to set and decode a field."""

    name: str
    default: Any
    factory: Callable[[], Any] | None
    usual: type | None
    """The fast path: values of exactly this type are stored as is."""
    is_optional: bool
    field_type: type | None
    """The type to convert other values to, or None to store any value as is."""
    entries: type | None
    """For a list, the type of its entries."""
    wire: str
    """The field's name on the wire."""
    nested: type[Model] | None
    """The model class of the value, or of the list's entries, if this package defines it."""


class _Signature:
    """A model's signature, built on first use."""

    def __get__(self, instance: object, kind: type[Model]) -> Any:
        from inspect import Parameter, Signature

        parameters = []
        for definition in fields(kind):  # type: ignore[arg-type]
            is_positional = definition.name in kind.__match_args__
            how = Parameter.POSITIONAL_OR_KEYWORD if is_positional else Parameter.KEYWORD_ONLY
            default = _get_field_default(definition)
            default = Parameter.empty if default is MISSING else default
            parameters.append(Parameter(definition.name, how, default=default, annotation=definition.type))
        return Signature(sorted(parameters, key=lambda parameter: parameter.kind))


def _get_field_default(definition: Any) -> Any:
    """Return a field's default, or MISSING if the field is required."""
    return definition.default if definition.default_factory is MISSING else definition.default_factory()


class Model(Record):
    """Base class of the public types: immutable, comparable, and created with keyword arguments."""

    __slots__ = ("__weakref__",)
    __match_args__: ClassVar[tuple[str, ...]] = ()
    __signature__ = _Signature()
    _fields: ClassVar[tuple[_FieldSpec, ...]] = ()
    _compared: ClassVar[Any] = None
    """A function that returns the values to compare."""
    _setters: ClassVar[tuple[Any, ...]] = ()
    """Functions that set a new instance's fields."""

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
                        value = _convert_field_value(f"{kind.__name__}.{name}", field_type, entries, value)
                elif factory is not None:
                    value = factory()
                elif default is MISSING:
                    raise InvalidArgumentError(f"{kind.__name__} requires a value for {name}")
                else:
                    value = default
                put(self, name, value)
            if left:
                names = [definition.name for definition in kind._fields]
                # `to_dict` includes derived values, so accept and ignore them.
                if unknown := [name for name in given if name not in names and name not in kind._derived]:
                    message = f"{kind.__name__} has no field {unknown[0]!r} ({suggest_or_list(unknown[0], names)})"
                    raise InvalidArgumentError(message)
            self.__post_init__()

        def __post_init__(self) -> None:
            pass

        def __setattr__(self, name: str, value: Any) -> None:
            message = f"cannot set {name!r}: {type(self).__name__} is immutable"
            raise FrozenInstanceError(f"{message}; dataclasses.replace() returns a changed copy")

        def __delattr__(self, name: str) -> None:
            raise FrozenInstanceError(f"cannot delete {name!r}: {type(self).__name__} is immutable")

    @classmethod
    def _make_unchecked(cls, *values: Any) -> Self:
        """Create an instance from a complete set of field values that are known to be valid.

        This takes a third of the usual time, which matters for large batches.
        """
        made = object.__new__(cls)
        for put, value in zip(cls._setters, values, strict=True):
            put(made, value)
        return made

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return bool(self._compared(self) == self._compared(other))

    def __hash__(self) -> int:
        return hash(self._compared(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._iter_shown_fields())})"

    def _iter_shown_fields(self) -> Iterator[tuple[str, Any]]:
        """Yield the fields to show in `repr`: only those that differ from their defaults."""
        for definition in fields(self):  # type: ignore[arg-type]
            value, default = getattr(self, definition.name), _get_field_default(definition)
            if definition.repr and (default is MISSING or value != default):
                yield definition.name, str(value) if isinstance(value, Enum) else value

    def __reduce__(self) -> tuple[Any, ...]:
        values = {definition.name: getattr(self, definition.name) for definition in self._fields}
        return _unpickle_model, (type(self), values)


def _unpickle_model(kind: type[Model], values: dict[str, Any]) -> Model:
    return kind(**values)


def _bind_arguments(kind: type[Model], values: tuple[Any, ...], keywords: dict[str, Any]) -> dict[str, Any]:
    """Return all arguments as a dict, by name."""
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
def frozen_model(kind: type[Kind], /) -> type[Kind]: ...
@overload
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen_model(*, kw_only: bool) -> Callable[[type[Kind]], type[Kind]]: ...
def frozen_model(kind: type[Kind] | None = None, /, *, kw_only: bool = True) -> Any:
    """Turn a class into a frozen dataclass with slots."""
    if kind is None:
        return partial(frozen_model, kw_only=kw_only)
    made: Any = dataclass(init=False, repr=False, eq=False, kw_only=kw_only, slots=True)(kind)
    made._fields = tuple(_make_field_spec(definition) for definition in fields(made))
    compared = [definition.name for definition in fields(made) if definition.compare]
    made._compared = attrgetter(*compared) if compared else type
    made._setters = tuple(getattr(made, definition.name).__set__ for definition in fields(made))
    FIELD_TYPES[made.__name__] = made
    return made


def _make_field_spec(definition: Any) -> _FieldSpec:
    annotation, is_optional, other = str(definition.type).partition(" | None")
    head, _, entry = annotation.partition("[")
    field_type = None if other else FIELD_TYPES.get(head)
    entries = FIELD_TYPES.get(entry[:-1]) if head == "list" else None
    nested = entries or field_type
    first, *words = definition.name.split("_")
    return _FieldSpec(
        definition.name,
        definition.default,
        None if definition.default_factory is MISSING else definition.default_factory,
        # Don't skip the check for lists: their entries need checking too.
        None if entries is not None else field_type,
        bool(is_optional) or definition.default is None,
        field_type,
        entries,
        definition.metadata.get("wire") or first + "".join(map(str.capitalize, words)),
        nested if nested is not None and issubclass(nested, Model) else None,
    )


def _convert_field_value(name: str, field_type: type[Any], entries: type[Any] | None, value: Any) -> Any:
    """Convert a value to a field's type, e.g. a status from its name, a time from a string, or an object from a
    mapping.

    Args:
        name: The field name, for the error message.
        field_type: The field's type.
        entries: For a list, the type of its entries.
        value: The value to convert.

    Raises:
        InvalidArgumentError: If the value can't be converted.
    """
    try:
        if field_type is list and isinstance(value, (list, tuple)):
            if entries is None:
                return list(value)
            convert = partial(_convert_field_value, name, entries, None)
            return [entry if type(entry) is entries else convert(entry) for entry in value]
        if isinstance(value, field_type) and (field_type is bool or type(value) is not bool):
            if field_type is not Sequence or not isinstance(value, (str, bytes)):
                return value
        elif issubclass(field_type, Enum):
            return parse_enum_member(field_type, value)
        elif issubclass(field_type, Model) and isinstance(value, Mapping):
            return field_type(**value)
        elif field_type is datetime and isinstance(value, str):
            # Servers send nanoseconds. This drops any digits beyond microseconds.
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
    raise argument_error(name, _TYPE_WORDS.get(field_type, words), value)


def decode_model(kind: type[Kind], answer: Any, place: str = "", /, **known: Any) -> Kind:
    """Decode a model from part of a response.

    Args:
        kind: The model class.
        answer: The part of the response, with wire names. Unknown fields are ignored.
        place: Where this part is in the response, for error messages.
        **known: Values for fields that shouldn't be decoded from the response.

    Raises:
        KeyError: If a field is missing.
        ValueError: If a value has the wrong type.
    """
    if type(answer) is not dict:
        raise argument_error(place or "the response", "an object", answer)
    for name, default, factory, usual, is_optional, field_type, entries, wire, nested in kind._fields:
        if name in known:
            continue
        value = answer.get(wire, MISSING)
        if value is MISSING:
            if default is MISSING and factory is None:
                raise KeyError(f"{place}.{wire}" if place else wire)
            continue
        if type(value) is str and not value.isascii():
            # Reject lone surrogates, which can't be printed or sent.
            value.encode()
        if type(value) is not usual and field_type is not None and not (value is None and is_optional):
            where = f"{place}.{wire}" if place else wire
            if nested is not None and entries is None:
                value = decode_model(nested, value, where)
            elif nested is not None and type(value) is list:
                value = [decode_model(nested, entry, f"{where}[{index}]") for index, entry in enumerate(value)]
            else:
                value = _convert_field_value(where, field_type, entries, value)
        known[name] = value
    return kind(**known)


Entry = TypeVar("Entry")


class Listing(Model, Records, Generic[Entry]):
    """Base class of list responses, which support iteration, length, indexing and slicing."""

    __slots__ = ()
    _shown: ClassVar[tuple[str, ...]] = ()
    """The columns to show in notebooks, followed by the name of the field that holds the entries."""

    def _get_entries(self) -> Sequence[Entry]:
        return cast("Sequence[Entry]", getattr(self, self._shown[-1]))

    def _get_shown_columns(self) -> Sequence[str]:
        return self._shown

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._get_entries())

    def __len__(self) -> int:
        return len(self._get_entries())

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        entries = self._get_entries()
        return list(entries[index]) if isinstance(index, slice) else entries[index]
