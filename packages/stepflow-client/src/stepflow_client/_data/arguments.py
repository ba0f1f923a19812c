"""Argument checks for each kind of value, with consistent error messages."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from .._base.error_classes import InvalidArgumentError
from .._base.text_formatting import cut
from .wire import check_json

Kind = TypeVar("Kind")


def argument_error(what: str, expected: str, value: object, hint: str | None = None) -> InvalidArgumentError:
    """Return the error for an invalid argument.

    Args:
        what: The argument's name.
        expected: What the argument must be, e.g. "a number of seconds".
        value: The actual value.
        hint: How to fix it.
    """
    return InvalidArgumentError(f"{what} must be {expected}, not {short_repr(value)}", hint=hint)


def short_repr(value: object) -> str:
    """Return a value's repr, shortened. Never fails, even if the value is nested too deeply or its `__repr__` fails."""
    try:
        return cut(repr(value), 200)
    except Exception:
        return f"that {type(value).__name__}"


def check_flag(value: object, what: str) -> bool:
    """Check that a value is True or False and return it.

    Raises:
        InvalidArgumentError: If the value is neither True nor False.
    """
    if not isinstance(value, bool):
        raise argument_error(what, "True or False", value)
    return value


def check_flags(**flags: object) -> None:
    """Check that each named argument is True or False. (A string such as `"no"` would count as true.)

    Raises:
        InvalidArgumentError: If any of them is neither True nor False.
    """
    for name, value in flags.items():
        check_flag(value, name)


def check_text(value: object, what: str) -> str:
    """Check that a value is a non-empty string and return it.

    Raises:
        InvalidArgumentError: If the value is empty or not a string.
    """
    if not isinstance(value, str) or not value:
        raise argument_error(what, "a non-empty string", value)
    check_json(value, what)
    return value


def check_texts(values: object, what: str) -> list[str]:
    """Return a string, or a collection of strings, as a list.

    Raises:
        InvalidArgumentError: If the value is neither.
    """
    if isinstance(values, str):
        return [values]
    texts: list[Any] = list(values) if isinstance(values, Iterable) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise argument_error(what, "a string or a list of strings", values)
    return texts


def check_integer(value: object, what: str, *, least: int, most: int = 2**32 - 1) -> int:
    """Check that a value is an integer within limits and return it.

    Raises:
        InvalidArgumentError: If the value isn't an integer or is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        limit = f"at most {most}" if isinstance(value, int) and value > most else f"at least {least}"
        raise argument_error(what, f"an integer of {limit}", value)
    return value


def check_seconds(value: object, what: str, *, allow_infinity: bool = False, allow_zero: bool = False) -> float:
    """Check a number of seconds and return it as a float.

    Args:
        value: The number.
        what: The argument's name.
        allow_infinity: Whether to allow infinity. Defaults to False.
        allow_zero: Whether to allow zero. Defaults to False.

    Raises:
        InvalidArgumentError: If the value isn't a number, or is a number that isn't allowed.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise argument_error(what, "a number of seconds", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (number > 0 or (allow_zero and number == 0)) or (number == math.inf and not allow_infinity):
        allowed = "above zero" if allow_infinity else "above zero and finite"
        raise InvalidArgumentError(f"{what} must be {allowed}, not {number!r}")
    return number


def check_choice(value: object, what: str, choices: type[Enum] | Sequence[Any]) -> Any:
    """Return the enum member or list element that matches a value.

    Raises:
        InvalidArgumentError: If nothing matches.
    """
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
        if isinstance(choice, Enum) and isinstance(value, str) and value == choice.value:
            return choice
    names = [repr(choice.value if isinstance(choice, Enum) else choice) for choice in choices]
    raise argument_error(what, f"{', '.join(names[:-1])} or {names[-1]}", value)


def check_function(value: object, what: str) -> Callable[..., Any] | None:
    """Check that a value is None or a plain function and return it. A coroutine function would never be awaited.

    Raises:
        InvalidArgumentError: If the value is something else.
    """
    if value is not None and (not callable(value) or inspect.iscoroutinefunction(value)):
        raise argument_error(what, "a plain function, or None", value)
    return value


def check_instance(value: object, what: str, kind: type[Kind]) -> Kind:
    """Check that a value is an instance of a class and return it.

    Raises:
        InvalidArgumentError: If it isn't.
    """
    if not isinstance(value, kind):
        raise argument_error(what, f"a {kind.__name__}", value)
    return value


def check_client(value: Any, what: str, *, is_async: bool) -> Any:
    """Check that a value can run flows (a client, a runtime or a wrapper around one) and return it.

    Args:
        value: The value.
        what: The argument's name.
        is_async: Whether the value's methods must be coroutine functions (otherwise, they must be plain functions).

    Raises:
        InvalidArgumentError: If the value doesn't have methods of that kind.
    """
    # Don't use isinstance. A mock client would pass, even though its methods are neither plain nor coroutine functions.
    methods = [getattr(value.__class__, name, None) for name in ("run", "start_run")]
    if not all(callable(method) and inspect.iscoroutinefunction(method) is is_async for method in methods):
        expected = "a StepflowClient or a StepflowRuntime" if is_async else "a SyncStepflowClient"
        raise argument_error(what, expected, value)
    return value


def check_instances(values: object, what: str, kind: type[Kind]) -> list[Kind]:
    """Check that a value is a collection of instances of a class and return it as a list.

    Raises:
        InvalidArgumentError: If it isn't.
    """
    listed: list[Any] = list(values) if isinstance(values, Iterable) else [None]
    if not all(isinstance(element, kind) for element in listed):
        raise argument_error(what, f"a list of {kind.__name__} objects", values)
    return listed


def check_mapping(value: object, what: str) -> Mapping[str, Any]:
    """Check that a value is a mapping with string keys and return it.

    Raises:
        InvalidArgumentError: If it isn't.
    """
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise argument_error(what, "a mapping with string keys", value)
    return value


def check_labels(value: object) -> Mapping[str, str]:
    """Check that a value maps names to non-empty strings and return it.

    Raises:
        InvalidArgumentError: If it doesn't.
    """
    labels = check_mapping(value, "labels")
    for name, label in labels.items():
        check_text(label, f"labels[{name!r}]")
    return labels


def file_path(path: str | os.PathLike[str], what: str) -> Path:
    """Return a file path as a Path.

    Raises:
        InvalidArgumentError: If it isn't a valid file path.
    """
    try:
        file = Path(path)
        # Raises a ValueError for text that no file system can represent.
        name = os.fsencode(file)
    except (TypeError, ValueError):
        raise argument_error(what, "the path of a file", path) from None
    # Reject an empty string, because it would mean the working folder.
    if b"\0" in name or name == b":memory:" or not os.fspath(path):
        raise argument_error(what, "the path of a file", str(path))
    return file
