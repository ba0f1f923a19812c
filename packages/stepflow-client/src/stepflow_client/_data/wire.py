"""Checks and encodes the JSON values in requests, decodes and restores the ones in responses, and merges overrides."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, NoReturn

from .._base.error_classes import InvalidArgumentError, StepflowClientError
from .._base.gc_pauses_and_slices import slices
from ..flows.expressions import format_path, is_expression
from .json_encoding import encode_fields, encode_scalar, is_data_object, is_non_json_scalar
from .secrets import NO_SECRETS, Secrets


def apply_patch(value: Any, patch: Any) -> Any:
    """Apply a merge patch to a value and return the result."""
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
    """Return the JSON merge patch that turns one value into another.

    Raises:
        ValueError: If a key would have to become null. In a merge patch, null removes the key.
    """
    if not isinstance(after, Mapping):
        return after
    old = before if isinstance(before, Mapping) else {}
    patch: dict[str, Any] = {key: None for key in old if key not in after}
    for key, value in after.items():
        if value is None and (key not in old or old[key] is not None):
            raise ValueError(f"{key!r} cannot become null: an override with null removes the key")
        # Compare as JSON text, because True == 1 in Python.
        is_same = json.dumps(old.get(key), sort_keys=True) == json.dumps(value, sort_keys=True)
        if key not in old or not is_same:
            patch[key] = make_merge_patch(old.get(key), value)
    return patch


LARGEST_EXACT_INTEGER = 2**53
"""Floats can represent every integer up to this value. Current servers store all numbers as floats."""
# Integers with more bits than this don't fit in a float, so no server release accepts them.
_MAX_INTEGER_BITS = 1023
MAX_FIELD_DEPTH, MAX_INPUT_DEPTH, MAX_LOCAL_DEPTH = 126, 125, 200
"""Maximum nesting depths for a field in a request body, for an input (an element of the `input` field), and for a value
that is never sent. Servers of every release accept bodies with up to 127 levels."""


# Only lists and objects with more values than this count toward a slice.
_SLICE_THRESHOLD = 100


def encode_if_plain(value: Any) -> bytes | None:
    """Return a value as compact JSON if it can be sent as it is, or None if it has to go through `check_json` first."""
    try:
        # There's no need to check the text first. Only lone surrogates are invalid, and to_json() raises an error for
        # them.
        return to_json(value) if is_plain(value, any_text=True) else None
    except (RecursionError, UnicodeEncodeError):
        return None


def restore_integers(value: Any) -> Any:
    """Convert whole-number floats below 2**53 in a decoded value to integers, and return the value.

    Lists and dicts are modified in place.

    Raises:
        ValueError: If a number is too large for a float, e.g. `1e999`.
    """
    kind = type(value)
    if kind is float:
        return _restore_integer(value)
    if kind is dict:
        for key, part in value.items():
            if type(part) in _CHANGEABLE_TYPES:
                value[key] = restore_integers(part)
    elif kind is list:
        for index, entry in enumerate(value):
            if type(entry) in _CHANGEABLE_TYPES:
                value[index] = restore_integers(entry)
    return value


def restore_key_order(value: Any, order_template: Any = None) -> Any:
    """Do what `restore_integers` does, but also put the keys in a fixed order.

    Args:
        value: The value. Current servers return the keys in a different order each time.
        order_template: A flow expression. Keys that occur in it are put in the order they have there. All other keys
            are sorted.

    Raises:
        ValueError: If a number is too large for a float, e.g. `1e999`.
    """
    kind = type(value)
    if kind is float:
        return _restore_integer(value)
    if kind is dict:
        # `_get_order_template` also accepts None, but most values have no template, so skip the call.
        shape = {} if order_template is None else _get_order_template(order_template)
        ordered = {}
        for key in _order_keys_by_template(value, shape) if shape else sorted(value):
            part = value[key]
            kind = type(part)
            if kind is float:
                # Fast path: most numbers are small integers that the server has written as floats.
                part = int(part) if 0.0 < part < 1e15 and part.is_integer() else _restore_integer(part)
            elif kind is list or kind is dict:
                part = restore_key_order(part, shape.get(key))
            ordered[key] = part
        return ordered
    if kind is list:
        if isinstance(order_template, list) and len(order_template) == len(value):
            return [restore_key_order(entry, shape) for entry, shape in zip(value, order_template, strict=True)]
        return [restore_key_order(entry) if type(entry) in _CHANGEABLE_TYPES else entry for entry in value]
    return value


def _order_keys_by_template(value: dict[str, Any], shape: Mapping[str, Any]) -> list[str]:
    """Return an object's keys. Keys in the template come first, in its order. All other keys follow, sorted."""
    return [key for key in shape if key in value] + sorted(key for key in value if key not in shape)


def _get_order_template(order_template: Any) -> Mapping[str, Any]:
    """Return the object that an expression spells out, or an empty object if the value is read from elsewhere."""
    while isinstance(order_template, Mapping) and "$literal" in order_template:
        order_template = order_template["$literal"]
        if is_expression(order_template):
            return {}
    return order_template if isinstance(order_template, Mapping) and not is_expression(order_template) else {}


def _restore_integer(number: float) -> int | float:
    if number.is_integer():
        # Keep -0.0 as a float, since an integer would lose its sign.
        if abs(number) < LARGEST_EXACT_INTEGER and (number or math.copysign(1, number) > 0):
            return int(number)
    elif not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


_CHANGEABLE_TYPES = frozenset({float, dict, list})


def reject_json_constant(name: str) -> Any:
    """Reject NaN and Infinity, which Python's parser accepts by default. It calls this function with their names."""
    raise ValueError(f"{name} is not JSON")


# Reuse the same encoder and decoders, because json.dumps and json.loads create new ones for each call with options.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False)


def to_json(value: Any) -> bytes:
    """Encode a checked value as compact JSON."""
    return _ENCODER.encode(value).encode()


_DECODER = json.JSONDecoder(parse_float=lambda text: _restore_integer(float(text)), parse_constant=reject_json_constant)
_RAW_DECODER = json.JSONDecoder(parse_constant=reject_json_constant)


def decode(content: bytes) -> Any:
    """Decode a server's JSON, converting whole floats below 2**53 to integers.

    Raises:
        ValueError: If the content isn't valid JSON.
        RecursionError: If the content is nested too deeply.
    """
    return _DECODER.decode(content.decode())


def decode_keeping_floats(content: bytes) -> Any:
    """Decode a server's JSON like `decode`, but leave floats for `restore_key_order` to convert."""
    return _RAW_DECODER.decode(content.decode())


def check_json(value: Any, what: str, *, exact_integers: bool = True, max_depth: int = MAX_FIELD_DEPTH) -> Any:
    """Check that a value can be represented as JSON and return it as plain dicts and lists.

    At any depth, mappings, pydantic models, dataclasses, attrs objects and msgspec structs become dicts, and tuples
    become lists. Dates and times become ISO 8601 text. UUIDs, decimals and paths become text. Enum members become their
    values. If the value is already plain, it's returned as is.

    Args:
        value: The value to send.
        what: The value's name in error messages, e.g. `input`.
        exact_integers: Whether the server keeps integers above 2**53 exact. If False, they are rejected.
        max_depth: Maximum nesting depth. Defaults to the limit for a field in a request body.

    Raises:
        InvalidArgumentError: If some part of the value can't be sent. The message includes the JSON path to that part.
    """
    try:
        if is_plain(value, max_depth):
            return value
        return _JsonChecker(what, exact_integers, max_depth).check_value(value, ())
    except RecursionError:
        raise InvalidArgumentError(f"{what} cannot be sent: it is nested too deeply") from None
    except StepflowClientError:
        raise
    except Exception as error:
        # The error comes from the code of an object inside the value.
        raise InvalidArgumentError(f"{what} cannot be sent: reading it raised {type(error).__name__}") from error


def is_plain(value: Any, max_depth: int = MAX_FIELD_DEPTH, *, any_text: bool = False) -> bool:
    """Return whether a value can be sent as it is. Since most can, this doesn't copy values or keep track of paths.

    Args:
        value: The value.
        max_depth: Maximum nesting depth.
        any_text: Whether to accept non-ASCII text without checking it.
    """
    kind = type(value)
    children = value if kind is dict or kind is list else (value,)
    if children is value and not max_depth:
        return False
    if kind is dict:
        for key in value:
            if type(key) is not str or not (any_text or key.isascii()):
                return False
        children = value.values()
    if len(children) > _SLICE_THRESHOLD:
        _count_steps_in_slice(len(children))
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


def _count_steps_in_slice(values: int) -> None:
    """Count the steps it took to check this many values toward the current slice."""
    current = slices.get()
    if current is not None:
        current.count_steps(values // 2)


class _JsonChecker(NamedTuple):
    what: str
    exact_integers: bool
    max_depth: int

    def check_value(self, value: Any, path: tuple[str | int, ...]) -> Any:
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            self.check_text(value, path)
        elif kind is int:
            bits = value.bit_length()
            if not self.exact_integers and abs(value) > LARGEST_EXACT_INTEGER:
                reason = f"this server keeps integers exact only up to 2**53; send the {bits}-bit one as a string"
                self.reject(path, reason)
            if bits > _MAX_INTEGER_BITS:
                self.reject(path, f"servers cannot read an integer of {bits} bits")
        elif kind is float:
            if not math.isfinite(value):
                self.reject(path, f"{value} is not a number that JSON can represent")
        else:
            return self.convert_value(value, path)
        return value

    def convert_value(self, value: Any, path: tuple[str | int, ...]) -> Any:
        if len(path) >= self.max_depth:
            self.reject(path[:3], f"it is nested too deeply; the limit is {self.max_depth} levels")
        if isinstance(value, (Mapping, list, tuple)) and len(value) > _SLICE_THRESHOLD:
            _count_steps_in_slice(2 * len(value))
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    self.reject(path, f"the key {key!r} is not a string")
                self.check_text(key, path)
            return {str.__str__(key): self.check_value(part, (*path, key)) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.check_value(entry, (*path, index)) for index, entry in enumerate(value)]
        if is_data_object(value):
            try:
                fields = encode_fields(value)
            except Exception as error:
                # Either the object's own code failed, or its library couldn't serialize one of the fields.
                self.reject(path, f"{type(value).__name__} cannot be written as JSON: {error}")
            return self.check_value(fields, path)
        if isinstance(value, type):
            self.reject(path, f"{value.__name__} is a class, not an object")
        # Send an instance of a subclass (such as a string or integer enum) as its base type.
        for base in (str, int, float):
            if isinstance(value, base):
                return self.check_value(_SCALAR_CONVERTERS[base](value), path)
        if is_non_json_scalar(value):
            return self.check_value(encode_scalar(value), path)
        self.reject(path, f"{type(value).__name__} is not a JSON value")

    def check_text(self, text: str, path: tuple[str | int, ...]) -> None:
        try:
            text.encode()
        except UnicodeEncodeError:
            self.reject(path, "it contains half of a surrogate pair, which is not a character")

    def reject(self, path: tuple[str | int, ...], reason: str) -> NoReturn:
        raise InvalidArgumentError(f"{self.what} cannot be sent: {reason} (at {format_path(path)})") from None


_SCALAR_CONVERTERS: dict[type, Callable[[Any], Any]] = {str: str.__str__, int: int.__int__, float: float.__float__}


def unify_overrides(overrides: Any) -> dict[str, Any] | None:
    """Normalize overrides to a map from step IDs to `{"value": {...}}`. Return None if there aren't any.

    Accepts a flat map (`{step: {"input": {...}}}`), a wrapped one (`{"steps": {step: {"value": {...}}}}`), or a list of
    either. The elements of a list are merged from left to right, like JSON merge patches: mappings are merged key by
    key, while any other value replaces the earlier one.

    Raises:
        InvalidArgumentError: If `overrides` has none of these forms.
    """
    if overrides is None:
        return None
    merged: dict[str, Any] = {}
    for override in overrides if isinstance(overrides, (list, tuple)) else [overrides]:
        steps = check_json(override, "overrides")
        if not isinstance(steps, dict):
            raise InvalidArgumentError(f"overrides must map step IDs to changes, not {type(steps).__name__}")
        if set(steps) == {"steps"} and isinstance(steps["steps"], dict):
            steps = steps["steps"]
        patches = {}
        for step, change in steps.items():
            if not isinstance(change, dict):
                raise InvalidArgumentError(f"the override of {step!r} must be a mapping, not {type(change).__name__}")
            if "value" in change and set(change) <= {"value", "$type"}:
                if change.get("$type", "merge_patch") != "merge_patch":
                    problem = f"has the type {change['$type']!r}; only merge_patch is supported"
                    raise InvalidArgumentError(f"the override of step {step!r} {problem}")
                change = change["value"]
            patches[step] = {"value": change}
        merged = _merge_nested_objects(merged, patches)
    # Allow one level less than for a field, because the request nests overrides under `steps`.
    return check_json(merged, "overrides", max_depth=MAX_FIELD_DEPTH - 1) or None


def _merge_nested_objects(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    both = dict(left)
    for key, value in right.items():
        old = both.get(key)
        both[key] = _merge_nested_objects(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return both


class OutputDecoder(NamedTuple):
    """Decodes the outputs in responses about a run."""

    like: Any = None
    """The flow's `output`, whose keys determine the key order of the run's outputs, or None if it's unknown."""
    secrets: Secrets = NO_SECRETS
    keeps_order: bool = True
    """Whether the server preserves the flow's key order, as older servers do."""
    as_sent: bool = False
    """Whether to leave outputs undecoded for callers that only decode what they show (see `iter_decoded_children`)."""

    def restore_flow_output(self, value: Any) -> Any:
        """Return the flow's output with numbers and key order as the flow's author wrote them."""
        if self.as_sent:
            return value
        # Don't call `restore_value`: this is the hot path.
        return restore_integers(value) if self.keeps_order else restore_key_order(value, self.like)

    def restore_step_output(self, value: Any) -> Any:
        """Return a step's output. Keys are sorted if the server returns them in arbitrary order."""
        return value if self.as_sent else self.for_steps.restore_value(value)

    @property
    def for_steps(self) -> OutputDecoder:
        """The decoder for step outputs, whose key order the flow doesn't define."""
        return self._replace(like=None)

    def restore_value(self, value: Any) -> Any:
        """Restore the numbers and key order of a value from the server."""
        return restore_integers(value) if self.keeps_order else restore_key_order(value, self.like)

    def iter_decoded_children(self, value: Any, start: int, end: int) -> Iterator[tuple[str | int, Any, OutputDecoder]]:
        """Yield the keys and values of an object or list from the server, each with a decoder for what's inside.

        Scalars are decoded. Nested objects and lists are left as they are.
        """
        keys: Iterable[Any] = value if isinstance(value, dict) else range(len(value))
        if isinstance(value, dict) and not self.keeps_order:
            keys = _order_keys_by_template(value, _get_order_template(self.like))
        # The template of a list only applies if it has the same length, as in `restore_key_order`.
        is_other_list = isinstance(self.like, list) and len(self.like) != len(value)
        decoder = self._replace(like=None) if is_other_list else self
        for key in islice(keys, start, end):
            part, inner = value[key], decoder if decoder.like is None else decoder.get_part_decoder([key])
            yield key, part if isinstance(part, (dict, list)) else restore_integers(part), inner

    def get_part_decoder(self, path: Iterable[str | int]) -> OutputDecoder:
        """Return the decoder for the part of a value at a path."""
        like = self.like
        for key in path:
            if isinstance(key, int):
                like = like[key] if isinstance(like, list) and key < len(like) else None
            else:
                like = _get_order_template(like).get(key)
        return self._replace(like=like)


PLAIN, PLAIN_UNORDERED = OutputDecoder(), OutputDecoder(keeps_order=False)


def make_output_decoder(output: Any, secrets: Secrets) -> OutputDecoder:
    """Return a decoder for responses about a flow's runs.

    Args:
        output: The flow's `output`, or None if it's unknown.
        secrets: The secrets to hide in the runs' errors.
    """
    like = output if isinstance(output, list) or _get_order_template(output) else None
    return OutputDecoder(like, secrets) if secrets or like is not None else PLAIN
