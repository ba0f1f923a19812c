"""The key of a score: it changes when the score does, so that a journal computes the values again. Pure."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from dis import get_instructions
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

from .scores import Score

_DEEPEST = 6


def score_key(score: Any) -> str:
    """Return the key of a score.

    A score with an attribute `version` (of pydantic-evals: `get_evaluator_version()`) has a key of its class, its
    fields and this version. Any other function has one of its source, its defaults, what it encloses, and of what it
    reads by name in its module: constants (lists and objects with names in capitals only), and functions and classes of
    the same module. Set `version` where a score depends on more, such as a file or another module.

    Args:
        score: A function, a built-in score, a `FlowScore`, or an evaluator of pydantic-evals.
    """
    return hashlib.sha256("\n".join(_described(score, frozenset())).encode()).hexdigest()[:32]


def _described(value: Any, seen: frozenset[int]) -> Iterator[str]:
    """Yield lines that tell what a value does."""
    if id(value) in seen or len(seen) > _DEEPEST:
        return
    seen |= {id(value)}
    version = _version(value)
    if version is not None:
        yield f"{type(value).__qualname__} {getattr(value, '__qualname__', '')} version {version}"
        if isinstance(value, FunctionType):
            return
    if isinstance(value, partial):
        yield f"partial {_plain(value.args)} {_plain(value.keywords)}"
        yield from _described(value.func, seen)
    elif isinstance(value, MethodType):
        yield from _described(value.__func__, seen)
        yield from _described(value.__self__, seen)
    elif isinstance(value, FunctionType):
        yield from _function(value, seen)
    elif isinstance(value, type):
        yield _source(value)
    else:
        yield from _object(value, seen, has_version=version is not None)


def _version(value: Any) -> str | None:
    found = getattr(value, "version", None)
    if found is None and callable(getattr(value, "get_evaluator_version", None)):
        found = value.get_evaluator_version()
    return None if found is None or callable(found) else str(found)


def _function(function: FunctionType, seen: frozenset[int]) -> Iterator[str]:
    yield _source(function)
    for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        yield from _value(default, seen)
    written = set(_written(function.__code__))
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name not in written:
            with suppress(ValueError):
                yield from _named_value(name, cell.cell_contents, seen)
    for name in sorted(set(_names(function.__code__)) - written):
        read = function.__globals__.get(name)
        # What other modules have changes with their versions, not with the user's.
        if not callable(read) or getattr(read, "__module__", None) == function.__module__:
            yield from _named_value(name, read, seen)


def _named_value(name: str, value: Any, seen: frozenset[int]) -> Iterator[str]:
    """Yield lines about a value that a function reads. Lists that are no constants collect something while it runs."""
    if name.isupper() or not isinstance(value, (list, dict, set)):
        yield name
        yield from _value(value, seen)


def _written(code: CodeType) -> Iterator[str]:
    """Yield the names outside of a function that it assigns: counters."""
    for each in get_instructions(code):
        if each.opname in ("STORE_GLOBAL", "STORE_DEREF"):
            yield each.argval


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)


def _value(value: Any, seen: frozenset[int]) -> Iterator[str]:
    text = _plain(value)
    if text is not None:
        yield text
    elif isinstance(value, (FunctionType, MethodType, partial, type, Score)):
        yield from _described(value, seen)
    else:
        # A client, a model, a module: what it is, not what it holds, which differs in each process.
        yield f"{type(value).__module__}.{type(value).__qualname__}"


def _object(value: Any, seen: frozenset[int], *, has_version: bool) -> Iterator[str]:
    """Yield lines about a callable object or an evaluator: its class and its fields."""
    yield f"{type(value).__module__}.{type(value).__qualname__}" if has_version else _source(type(value))
    if is_dataclass(value):
        named = {each.name: getattr(value, each.name, None) for each in fields(value)}
    else:
        named = dict(getattr(value, "__dict__", {}))
    for name, each in sorted(named.items()):
        yield name
        yield from _value(each, seen)


def _source(value: Any) -> str:
    """Return the source of a function or a class; without one, its name and its byte code."""
    name = f"{value.__module__}.{value.__qualname__}"
    try:
        return f"{value.__qualname__}\n{inspect.getsource(value)}"
    except (OSError, TypeError):
        code = getattr(value, "__code__", None)
        return name if code is None else f"{name} {code.co_code.hex()} {_plain(_constants(code))}"


def _constants(code: CodeType) -> list[Any]:
    return [_constants(each) if isinstance(each, CodeType) else each for each in code.co_consts]


def _plain(value: Any) -> str | None:
    """Return plain data as text; None for anything else."""
    try:
        return json.dumps(value, sort_keys=True, default=_refuse)
    except (TypeError, ValueError, RecursionError):
        return None


def _refuse(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError
