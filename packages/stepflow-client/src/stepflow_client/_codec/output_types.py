"""Converts outputs to the caller's types: pydantic models, dataclasses, attrs classes, TypedDicts."""

from __future__ import annotations

import functools
import operator
import types
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

import typing_extensions
from pydantic import AfterValidator, PlainValidator, TypeAdapter, ValidationError, create_model

from .._data.arguments import argument_error
from .._data.json_encoding import get_json_field_names
from ..flows.expressions import format_path
from ..types import ErrorCode, ExecutionStatus, FlowError, FlowResult
from ..types.results import Outcome, OutputTypeError

# Generic types whose type arguments are converted.
_GENERIC_TYPES: tuple[Any, ...] = (list, dict, tuple, set, frozenset, Union, types.UnionType)


def check_output_type(output_type: Any) -> TypeAdapter[Any]:
    """Check that outputs can be converted to a type and return its adapter. Call this before creating a run.

    Raises:
        InvalidArgumentError: If outputs can't be converted to the type.
    """
    try:
        return _make_adapter(output_type)
    except Exception as error:
        # Evaluating string annotations can raise anything.
        hint = str(error).partition("\n")[0]
        raise argument_error("output_type", "a supported output type", output_type, hint) from error


def convert_output(result: FlowResult[Any], output_type: Any) -> FlowResult[Any]:
    """Convert a result's output to a type. Unsuccessful results are returned unchanged.

    Raises:
        OutputTypeError: If the output doesn't match the type.
    """
    if output_type is None or not result.is_success:
        return result
    return replace(result, output=_convert_output_or_raise(result, output_type))


def convert_outcome(outcome: Outcome[Any], output_type: Any) -> Outcome[Any]:
    """Convert an outcome's output to a type. Unsuccessful outcomes are returned unchanged.

    If the output doesn't match the type, this returns a failed outcome (its `unwrap` raises OutputTypeError) instead of
    raising an exception, so that the rest of the batch isn't lost.
    """
    if not outcome.is_success:
        return outcome
    try:
        return replace(outcome, output=_convert_output_or_raise(outcome.result, output_type))
    except OutputTypeError as error:
        failure = FlowError(message=error.message, code=ErrorCode.INVALID_OUTPUT, details=error.details)
        return replace(outcome, status=ExecutionStatus.FAILED, output=None, error=failure)


def _convert_output_or_raise(result: FlowResult[Any], output_type: Any) -> Any:
    try:
        return check_output_type(output_type).validate_python(result.output)
    except ValidationError as error:
        reported = error.errors(include_input=False)
        faults = [{"path": format_path(fault["loc"]), "message": fault["msg"]} for fault in reported]
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        name = getattr(output_type, "__name__", str(output_type))
        problem = f"does not fit {name}: {faults[0]['path']}: {faults[0]['message']}{more}"
        message = f"the output of run {result.run_id} {problem}"
        raise OutputTypeError(message, run_id=result.run_id, details=faults, result=result) from None


@functools.lru_cache(maxsize=256)
def _make_adapter(output_type: Any) -> TypeAdapter[Any]:
    if isinstance(output_type, TypeAdapter):
        return output_type
    adapter = TypeAdapter(convert_type_for_pydantic(output_type))
    # Resolve all names now. Otherwise, an unknown name would only surface once the run has produced an output.
    adapter.validator.title  # noqa: B018  # a placeholder raises
    return adapter


def convert_type_for_pydantic(annotation: Any) -> Any:
    """Replace any classes in an annotation that pydantic doesn't support with types it does support.

    Replaces attrs classes, msgspec structs and TypedDicts. Also modifies dataclasses in place, so that pydantic uses
    the field names set with `Name`.
    """
    if is_typeddict(annotation):
        return _convert_typed_dict_type(annotation)
    if isinstance(annotation, type) and hasattr(annotation, "__attrs_attrs__"):
        return _convert_attrs_type(annotation)
    if isinstance(annotation, type) and hasattr(annotation, "__struct_fields__"):
        return Annotated[Any, PlainValidator(functools.partial(_convert_to_msgspec_struct, annotation))]
    if isinstance(annotation, type) and hasattr(annotation, "__dataclass_fields__"):
        _set_dataclass_aliases(annotation)
        return annotation
    arguments = get_args(annotation)
    origin: Any = get_origin(annotation)
    if not arguments or origin not in _GENERIC_TYPES:
        return annotation
    parts = tuple(convert_type_for_pydantic(argument) for argument in arguments)
    if parts == arguments:
        return annotation
    return functools.reduce(operator.or_, parts) if origin is types.UnionType else origin[parts]


@functools.lru_cache(maxsize=256)
def _convert_typed_dict_type(kind: Any) -> Any:
    # Before Python 3.12, pydantic only accepts TypedDicts from typing_extensions.
    fields: dict[str, Any] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        wrapper: Any = get_origin(hint)
        # __required_keys__ is unreliable if annotations are strings, so prefer an explicit Required or NotRequired.
        if wrapper in (Required, NotRequired):
            hint = get_args(hint)[0]
        else:
            wrapper = Required if name in kind.__required_keys__ else NotRequired
        fields[name] = wrapper[convert_type_for_pydantic(hint)]
    return typing_extensions.TypedDict(kind.__name__, fields)  # type: ignore[operator]


@functools.lru_cache(maxsize=256)
def _convert_attrs_type(kind: Any) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    fields: dict[str, Any] = {}
    for attribute in kind.__attrs_attrs__:
        if attribute.init:
            # None is just a placeholder: fields that aren't set are left to the attrs class's defaults.
            default = ... if type(attribute.default).__name__ == "_Nothing" else None
            fields[attribute.alias] = (convert_type_for_pydantic(hints.get(attribute.name, Any)), default)
    model = create_model(kind.__name__, **fields)

    def make_instance(value: Any) -> Any:
        return kind(**{name: getattr(value, name) for name in value.model_fields_set})

    return Annotated[model, AfterValidator(make_instance)]


def _convert_to_msgspec_struct(kind: Any, value: Any) -> Any:
    import msgspec

    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _set_dataclass_aliases(kind: Any, *, is_within: bool = False) -> None:
    """Make pydantic use the field names set with `Name` in a dataclass and in any dataclasses nested in it.

    Set `is_within` if the dataclass is nested in one that uses `Name`, since it would otherwise inherit that
    dataclass's configuration.
    """
    if kind in _CONFIGURED_TYPES and not is_within:
        return
    names = get_json_field_names(kind) or {}
    is_named = is_within or any(field != name for field, name in names.items())
    config = getattr(kind, "__pydantic_config__", {})
    if is_named and "alias_generator" in config:
        return
    _CONFIGURED_TYPES.add(kind)
    if is_named:
        kind.__pydantic_config__ = {**config, "alias_generator": names.__getitem__}
    with suppress(Exception):
        # Evaluating string annotations can raise anything.
        for hint in get_type_hints(kind, include_extras=True).values():
            for part in _iter_type_parts(hint):
                if hasattr(part, "__dataclass_fields__"):
                    _set_dataclass_aliases(part, is_within=is_named)


def _iter_type_parts(hint: Any) -> Iterator[Any]:
    yield hint
    for arg in get_args(hint):
        yield from _iter_type_parts(arg)


_CONFIGURED_TYPES = weakref.WeakSet[Any]()
