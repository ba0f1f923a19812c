"""JSON values: checks those of requests, reads those of responses, merges overrides. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, NoReturn

from .._base.basic_errors import InvalidArgumentError, StepflowClientError
from .._base.long_computations import slices
from ..flows.expressions import is_expression, write_path
from .json_encoding import encode_fields, encode_scalar, is_data_object, is_scalar
from .secrets import NO_SECRETS, Secrets


def apply_patch(value: Any, patch: Any) -> Any:
    """Return a value with a merge patch applied."""
    if not isinstance(patch, Mapping):
        return patch
    whole = dict(value) if isinstance(value, Mapping) else {}
    for key, change in patch.items():
        if change is None:
            whole.pop(key, None)
        else:
            whole[key] = apply_patch(whole.get(key), change)
    return whole


def make_merge_patch(before: Any, after: Any) -> Any:
    """Return the merge patch that turns one value into another.

    Raises:
        ValueError: If a key becomes null, because null in a patch removes the key.
    """
    if not isinstance(after, Mapping):
        return after
    old = before if isinstance(before, Mapping) else {}
    patch: dict[str, Any] = {key: None for key in old if key not in after}
    for key, value in after.items():
        if value is None and (key not in old or old[key] is not None):
            raise ValueError(f"{key!r} cannot become null: an override with null removes the key")
        if key not in old or _serialize(old[key]) != _serialize(value):
            patch[key] = make_merge_patch(old.get(key), value)
    return patch


def _serialize(value: Any) -> str:
    """Return a value as a text to compare: true and 1 differ."""
    return json.dumps(value, sort_keys=True)


LARGEST_EXACT_INTEGER = 2**53
"""Beyond this, a float cannot represent every integer. Current servers use floats for all numbers."""
# Integers with more bits do not fit into a float; servers of all releases reject them.
_LARGEST_BITS = 1023
FIELD_DEPTH, INPUT_DEPTH, LOCAL_DEPTH = 126, 125, 200
"""Maximum nesting depth of a field in a request's body, of an input (an element of the field `input`), and of a value
that is not sent. Servers of all releases accept bodies of 127 levels."""


# Number of values in a container from which on its check is counted as part of a slice.
_MANY = 100


def encode_plain(value: Any) -> bytes | None:
    """Return a value as compact JSON text if it can be sent unchanged; None if it must be checked with `check_json`."""
    try:
        # The only text that cannot be sent contains lone surrogates, for which encode() raises.
        return encode(value) if is_plain(value, any_text=True) else None
    except (RecursionError, UnicodeEncodeError):
        return None


def restore_integers(value: Any) -> Any:
    """Return a decoded value with whole floats below 2**53 as integers. Lists and dicts are changed in place.

    Raises:
        ValueError: If a number is too large for a float, for example `1e999`.
    """
    kind = type(value)
    if kind is float:
        return _to_integer(value)
    if kind is dict:
        for key, part in value.items():
            if type(part) in _MAY_CHANGE:
                value[key] = restore_integers(part)
    elif kind is list:
        for index, entry in enumerate(value):
            if type(entry) in _MAY_CHANGE:
                value[index] = restore_integers(entry)
    return value


def restore_order(value: Any, like: Any = None) -> Any:
    """Return a decoded value as `restore_integers` does, with its keys in a fixed order.

    Args:
        value: The value. Current servers return the keys of the same value in a different order each time.
        like: An expression of a flow. Keys of objects that the expression contains come in the order of the
            expression; all others are sorted.

    Raises:
        ValueError: If a number is too large for a float, for example `1e999`.
    """
    kind = type(value)
    if kind is float:
        return _to_integer(value)
    if kind is dict:
        # `_get_shape` handles None too; this saves a call for most values.
        shape = {} if like is None else _get_shape(like)
        ordered = {}
        for key in _order_keys(value, shape) if shape else sorted(value):
            part = value[key]
            kind = type(part)
            if kind is float:
                # Most numbers are small whole ones, written as floats by the server.
                part = int(part) if 0.0 < part < 1e15 and part.is_integer() else _to_integer(part)
            elif kind is list or kind is dict:
                part = restore_order(part, shape.get(key))
            ordered[key] = part
        return ordered
    if kind is list:
        if isinstance(like, list) and len(like) == len(value):
            return [restore_order(entry, shape) for entry, shape in zip(value, like, strict=True)]
        return [restore_order(entry) if type(entry) in _MAY_CHANGE else entry for entry in value]
    return value


def iter_in_order(value: Any, like: Any, start: int, end: int) -> Iterator[tuple[str | int, Any, Any]]:
    """Yield the entries of a decoded object or list from `start` to before `end`, in the order of `restore_order`.

    Each comes with its key or index and with the expression that defines the order in it, as far as there is one.
    """
    if isinstance(value, dict):
        for key in _order_keys(value, shape := _get_shape(like))[start:end]:
            yield key, value[key], shape.get(key)
    else:
        shapes = like if isinstance(like, list) and len(like) == len(value) else None
        for index, part in enumerate(value[start:end], start):
            yield index, part, None if shapes is None else shapes[index]


def get_shape_at(like: Any, key: str | int) -> Any:
    """Return the expression that defines the order in an entry, or None."""
    if isinstance(key, int):
        return like[key] if isinstance(like, list) and key < len(like) else None
    return _get_shape(like).get(key)


def fixes_order(like: Any) -> bool:
    """Return whether an expression fixes the order of the keys in its value."""
    return isinstance(like, list) or bool(_get_shape(like))


def _order_keys(value: dict[str, Any], shape: Mapping[str, Any]) -> list[str]:
    """Return the keys of an object: first the keys of a shape in its order, then all others, sorted."""
    return [key for key in shape if key in value] + sorted(key for key in value if key not in shape)


def _get_shape(like: Any) -> Mapping[str, Any]:
    """Return the object that an expression contains; an empty one if its value comes from elsewhere."""
    if like is None:
        return {}
    while isinstance(like, Mapping) and "$literal" in like:
        like = like["$literal"]
        if is_expression(like):
            return {}
    return like if isinstance(like, Mapping) and not is_expression(like) else {}


def _to_integer(number: float) -> int | float:
    if number.is_integer():
        # -0.0 stays a float: as an integer it would lose its sign.
        if abs(number) < LARGEST_EXACT_INTEGER and (number or math.copysign(1, number) > 0):
            return int(number)
    elif not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


_MAY_CHANGE = frozenset({float, dict, list})


def reject_constant(name: str) -> Any:
    """Refuse NaN and Infinity, which Python's parser accepts: it calls this function with their names."""
    raise ValueError(f"{name} is not JSON")


# Created once: json.loads and json.dumps create a new one for each call with non-default options.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False)


def encode(value: Any) -> bytes:
    """Return a checked value as compact JSON text."""
    return _ENCODER.encode(value).encode()


_DECODER = json.JSONDecoder(parse_float=lambda text: _to_integer(float(text)), parse_constant=reject_constant)
_RAW_DECODER = json.JSONDecoder(parse_constant=reject_constant)


def decode(content: bytes) -> Any:
    """Return the value of a server's JSON text, with whole floats below 2**53 as integers.

    Raises:
        ValueError: If it is not JSON.
        RecursionError: If it is nested too deeply.
    """
    return _DECODER.decode(content.decode())


def decode_raw(content: bytes) -> Any:
    """Return the value of a server's JSON text as `decode` does, but leave numbers to `restore_order`."""
    return _RAW_DECODER.decode(content.decode())


def check_json(value: Any, what: str, *, exact_integers: bool = True, max_depth: int = FIELD_DEPTH) -> Any:
    """Check that a value can be represented in JSON, and return it as plain dicts and lists.

    Mappings and tuples become dicts and lists, and so do pydantic models, dataclasses, attrs objects and msgspec
    structs, at any depth. Dates and times become ISO 8601 text, UUIDs, decimals and paths text, and members of an enum
    their values. A value that is already plain is returned itself.

    Args:
        value: The value to be sent.
        what: The name of the value in error messages, for example `input`.
        exact_integers: False if the server keeps only integers up to 2**53 exact: larger ones are rejected then.
        max_depth: Maximum nesting depth; by default, the limit of a field in a request's body.

    Raises:
        InvalidArgumentError: If a part of the value cannot be sent. The message contains its JSON path.
    """
    try:
        if is_plain(value, max_depth):
            return value
        return _Checker(what, exact_integers, max_depth).check(value, ())
    except RecursionError:
        raise InvalidArgumentError(f"{what} cannot be sent: it is nested too deeply") from None
    except StepflowClientError:
        raise
    except Exception as error:
        # Raised by the code of an object in the value.
        raise InvalidArgumentError(f"{what} cannot be sent: reading it raised {type(error).__name__}") from error


def is_plain(value: Any, max_depth: int = FIELD_DEPTH, *, any_text: bool = False) -> bool:
    """Return whether a value can be sent unchanged. Nearly all values can; this check needs no copies and no paths.

    Args:
        value: The value.
        max_depth: Its maximum nesting depth.
        any_text: Whether to accept non-ASCII text without checking it.
    """
    kind = type(value)
    if kind is dict:
        if not max_depth:
            return False
        for key in value:
            if type(key) is not str or not (any_text or key.isascii()):
                return False
        children = value.values()
    elif kind is list:
        if not max_depth:
            return False
        children = value
    else:
        children = (value,)
    if len(children) > _MANY:
        _spend_slices(len(children))
    for child in children:
        kind = type(child)
        if kind is str:
            if not (any_text or child.isascii()):
                return False
        elif kind is int:
            if abs(child) > LARGEST_EXACT_INTEGER:
                return False
        elif kind is float:
            if not math.isfinite(child):
                return False
        elif kind is dict or kind is list:
            if not is_plain(child, max_depth - 1, any_text=any_text):
                return False
        elif child is not None and kind is not bool:
            return False
    return True


def _spend_slices(values: int) -> None:
    """Count the steps of a check of several values."""
    current = slices.get()
    if current is not None:
        current.spend(values // 2)


class _Checker:
    def __init__(self, what: str, exact_integers: bool, max_depth: int) -> None:
        self.what = what
        self.exact_integers = exact_integers
        self.max_depth = max_depth

    def check(self, value: Any, path: tuple[str | int, ...]) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            self.check_text(value, path)
        elif kind is int:
            bits = value.bit_length()
            if not self.exact_integers and abs(value) > LARGEST_EXACT_INTEGER:
                reason = f"this server keeps integers exact only up to 2**53; send the {bits}-bit one as text"
                self.refuse(path, reason)
            if bits > _LARGEST_BITS:
                self.refuse(path, f"an integer of {bits} bits is more than servers read")
        elif kind is float:
            if not math.isfinite(value):
                self.refuse(path, f"{value} is not a number that JSON can hold")
        else:
            return self.convert_value(value, path)
        return value

    def convert_value(self, value: Any, path: tuple[str | int, ...]) -> Any:
        if len(path) >= self.max_depth:
            self.refuse(path[:3], f"it is nested too deeply; the limit is {self.max_depth} levels")
        if isinstance(value, (Mapping, list, tuple)) and len(value) > _MANY:
            _spend_slices(2 * len(value))
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    self.refuse(path, f"the key {key!r} is not a string")
                self.check_text(key, path)
            return {str.__str__(key): self.check(part, (*path, key)) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.check(entry, (*path, index)) for index, entry in enumerate(value)]
        if is_data_object(value):
            try:
                fields = encode_fields(value)
            except Exception as error:
                # Raised by the object's own code, or for a field that its library cannot write as JSON.
                self.refuse(path, f"{type(value).__name__} cannot be written as JSON: {error}")
            return self.check(fields, path)
        if isinstance(value, type):
            self.refuse(path, f"{value.__name__} is a class, not an object")
        # Subclasses, including string and integer enumerations, are sent as values of their base types.
        for base in (str, int, float):
            if isinstance(value, base):
                return self.check(_PLAIN[base](value), path)
        if is_scalar(value):
            return self.check(encode_scalar(value), path)
        self.refuse(path, f"{type(value).__name__} is not a JSON value")

    def check_text(self, text: str, path: tuple[str | int, ...]) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            self.refuse(path, "it holds half of a surrogate pair, which is not a character")

    def refuse(self, path: tuple[str | int, ...], reason: str) -> NoReturn:
        raise InvalidArgumentError(f"{self.what} cannot be sent: {reason} (at {write_path(path)})") from None


_PLAIN: dict[type, Callable[[Any], Any]] = {str: str.__str__, int: int.__int__, float: float.__float__}


def merge_overrides(overrides: Any) -> dict[str, Any] | None:
    """Return overrides as a map from step id to `{"value": {...}}`, or None.

    Accepts a flat map (`{step: {"input": {...}}}`), a wrapped one (`{"steps": {step: {"value": {...}}}}`), or a list of
    either. The elements of a list are merged from left to right: mappings key by key, other values are replaced, as in
    a JSON merge patch.

    Raises:
        InvalidArgumentError: If `overrides` has none of these forms.
    """
    if overrides is None:
        return None
    merged: dict[str, Any] = {}
    for override in overrides if isinstance(overrides, (list, tuple)) else [overrides]:
        steps = check_json(override, "overrides")
        if not isinstance(steps, dict):
            raise InvalidArgumentError(f"overrides map step ids to changes; this is {type(steps).__name__}")
        if set(steps) == {"steps"} and isinstance(steps["steps"], dict):
            steps = steps["steps"]
        patches = {}
        for step, change in steps.items():
            if not isinstance(change, dict):
                raise InvalidArgumentError(f"the override of step {step!r} is a mapping, not {type(change).__name__}")
            if "value" in change and set(change) <= {"value", "$type"}:
                if change.get("$type", "merge_patch") != "merge_patch":
                    raise InvalidArgumentError(
                        f"the override of step {step!r} has the type {change['$type']!r}; servers know only merge_patch"
                    )
                change = change["value"]
            patches[step] = {"value": change}
        merged = _merge(merged, patches)
    # In the request, they are in an object with the key `steps`.
    return check_json(merged, "overrides", max_depth=FIELD_DEPTH - 1) or None


def _merge(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    both = dict(left)
    for key, value in right.items():
        old = both.get(key)
        both[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both


class OutputDecoder(NamedTuple):
    """How the responses about a run are read."""

    like: Any = None
    """The `output` of its flow, whose keys define the order of the keys in the run's outputs; None if it is unknown."""
    secrets: Secrets = NO_SECRETS
    keeps_order: bool = True
    """Whether the server returns keys in the order of the flow, as older servers do."""
    as_sent: bool = False
    """Whether outputs stay as the server sent them, for callers who show a small part of a large one: `entries` and
    `whole` read that part."""

    def flow_output(self, value: Any) -> Any:
        """Return the output of the flow with its numbers and the order of its keys as the author wrote them."""
        if self.as_sent:
            return value
        return restore_integers(value) if self.keeps_order else restore_order(value, self.like)

    def step_output(self, value: Any) -> Any:
        """Return the output of a step. Its keys are sorted if the server returns them in an arbitrary order."""
        return value if self.as_sent else self.of_step.whole(value)

    @property
    def of_step(self) -> OutputDecoder:
        """How outputs of steps are read: the flow does not define the order of their keys."""
        return self._replace(like=None)

    def whole(self, value: Any) -> Any:
        """Return a value as the server sent it with its numbers and the order of its keys."""
        return restore_integers(value) if self.keeps_order else restore_order(value, self.like)

    def entries(self, value: Any, start: int, end: int) -> Iterator[tuple[str | int, Any, OutputDecoder]]:
        """Yield entries of an object or a list as the server sent it, and how each is read.

        Entries without entries of their own are read; objects and lists in them are as the server sent them.
        """
        entries: Iterable[tuple[str | int, Any, Any]]
        if self.keeps_order and isinstance(value, dict):
            entries = islice(((key, part, None) for key, part in value.items()), start, end)
        else:
            entries = iter_in_order(value, self.like, start, end)
        for key, part, like in entries:
            decoder = self if like is self.like else self._replace(like=like)
            yield key, part if isinstance(part, (dict, list)) else restore_integers(part), decoder

    def at(self, path: Iterable[str | int]) -> OutputDecoder:
        """Return how the part of a value at a path is read."""
        like = self.like
        for key in path:
            like = get_shape_at(like, key)
        return self._replace(like=like)


PLAIN, PLAIN_UNORDERED = OutputDecoder(), OutputDecoder(keeps_order=False)


def make_output_decoder(output: Any, secrets: Secrets) -> OutputDecoder:
    """Return how to read the responses about runs of a flow.

    Args:
        output: The `output` of the flow; None if it is unknown.
        secrets: The secrets of the runs.
    """
    return OutputDecoder(output if fixes_order(output) else None, secrets) if secrets or fixes_order(output) else PLAIN
