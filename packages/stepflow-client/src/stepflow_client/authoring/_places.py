"""Where a call is written: its file, its line, and the name that its result is assigned to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any, NamedTuple, TypeVar

from ._lazy import linecache

_KeyT = TypeVar("_KeyT")
_ValueT = TypeVar("_ValueT")

_PACKAGE = __name__.rpartition(".")[0]


class Place(NamedTuple):
    """A position in a Python file. Line and column count from 1."""

    file: str
    line: int
    column: int = 1
    name: str | None = None
    """The name that the value of the call is assigned to; None if it is part of a larger expression."""

    @property
    def shown_file(self) -> str:
        """The file, relative to the working folder if it is inside of it."""
        try:
            relative = os.path.relpath(self.file)
        except ValueError:
            return self.file
        return self.file if relative.startswith(os.pardir) else relative

    def __str__(self) -> str:
        """Return it as editors open it: `order.py:12`."""
        return f"{self.shown_file}:{self.line}"


_OF_CLASSES = frozenset(("attr", "attrs", "msgspec", "pydantic"))
"""Packages whose classes call what is written in flows."""


def caller() -> FrameType:
    """Return the frame of the first caller outside of this package and of the libraries that flows may call."""
    frame = sys._getframe(1)
    while not is_written(frame) and frame.f_back is not None:
        frame = frame.f_back
    return frame


def is_written(frame: FrameType) -> bool:
    """Return whether a frame is of code that may be part of a flow."""
    module = str(frame.f_globals.get("__name__"))
    if module == _PACKAGE or module.startswith(_PACKAGE + "."):
        return False
    root = module.partition(".")[0]
    return root not in sys.stdlib_module_names and root not in _OF_CLASSES


_placed: ContextVar[Place | None] = ContextVar("stepflow_place", default=None)


@contextmanager
def placed(place: Place) -> Iterator[None]:
    """Take a position for that of every call, where the caller is no longer there."""
    token = _placed.set(place)
    try:
        yield
    finally:
        _placed.reset(token)


def place_of_return(function: Callable[..., Any]) -> Place:
    """Return the position of the last line of a function, which is its `return`."""
    return _place_in(function, max)


def place_of_definition(function: Callable[..., Any]) -> Place:
    """Return the position of the first line of a function."""
    return _place_in(function, min)


def _place_in(function: Callable[..., Any], choose: Callable[..., int]) -> Place:
    code = getattr(function, "__code__", None)
    if code is None:
        return Place(repr(function), 1)
    lines = [line for *_, line in code.co_lines() if line is not None]
    return Place(code.co_filename, choose(lines, default=code.co_firstlineno))


def place_of_call() -> Place:
    """Return where the first caller that is part of a flow makes its call."""
    if (fixed := _placed.get()) is not None:
        return fixed
    return _place_at(caller())


def place_of_error(error: BaseException) -> Place | None:
    """Return where an exception was raised in the code of a flow; None if it was raised elsewhere."""
    found, trace = None, error.__traceback__
    while trace is not None:
        found = Place(trace.tb_frame.f_code.co_filename, trace.tb_lineno) if is_written(trace.tb_frame) else found
        trace = trace.tb_next
    return found


def _place_at(frame: FrameType) -> Place:
    line, end_line, column, end = _positions(frame.f_code)[frame.f_lasti // 2]
    file = frame.f_code.co_filename
    if line is None or column is None:
        return Place(file, line or frame.f_lineno)
    name = _assigned(file, frame).get((end_line or line, end or 0))
    return Place(file, line, column + 1, name)


Positions = list[tuple[int | None, int | None, int | None, int | None]]
_MOST_KNOWN = 64
_known_code: dict[int, tuple[CodeType, Positions]] = {}
_known_names: dict[str, tuple[list[str], dict[tuple[int, int], str]]] = {}


def _positions(code: CodeType) -> Positions:
    known = _known_code.get(id(code))
    if known is None:
        # The code object is kept with its id, so that no other one can have the same.
        known = (code, list(code.co_positions()))
        _keep(_known_code, id(code), known)
    return known[1]


def _assigned(file: str, frame: FrameType) -> dict[tuple[int, int], str]:
    """Return the names that calls are assigned to, by the ends of the calls; empty if there is no source."""
    lines = linecache.getlines(file, frame.f_globals)
    known = _known_names.get(file)
    if known is None or known[0] is not lines:
        known = (lines, _names_of_calls("".join(lines)))
        _keep(_known_names, file, known)
    return known[1]


def _keep(known: dict[_KeyT, _ValueT], key: _KeyT, value: _ValueT) -> None:
    while len(known) >= _MOST_KNOWN:
        del known[next(iter(known))]
    known[key] = value


def _names_of_calls(source: str) -> dict[tuple[int, int], str]:
    import ast

    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call() as call):
                pass
            case ast.NamedExpr(target=ast.Name(id=name), value=ast.Call() as call):
                pass
            case _:
                continue
        found[call.end_lineno or 0, call.end_col_offset or 0] = name
    return found
