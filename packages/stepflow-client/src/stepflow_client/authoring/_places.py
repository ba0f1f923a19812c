"""Where a call is written: its file, its line, and the name that its result is assigned to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from ._lazy import linecache

if TYPE_CHECKING:
    from ._probes import Probe

_PACKAGE = __name__.partition(".")[0]


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


def is_called_by_flow() -> bool:
    """Return whether the code that calls this package may be part of a flow, and is not of a library."""
    frame, here = sys._getframe(1), __name__.rpartition(".")[0]
    while str(frame.f_globals.get("__name__")).startswith(here) and frame.f_back is not None:
        frame = frame.f_back
    return is_written(frame)


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
    """Return the position of the last `return` of a function."""
    code = getattr(function, "__code__", None)
    if code is None:
        return place_of_definition(function)
    from opcode import opmap

    returning = {number for name, number in opmap.items() if name.startswith("RETURN_")}
    last = place_of_definition(function)
    for operation, (line, _, column, _) in zip(code.co_code[::2], code.co_positions(), strict=True):
        if operation in returning and line is not None and column is not None:
            last = Place(code.co_filename, line, column + 1)
    return last


def place_of_definition(function: Callable[..., Any]) -> Place:
    """Return the position of the first line of a function, that of its decorators if it has some."""
    code = getattr(function, "__code__", None)
    return Place(repr(function), 1) if code is None else Place(code.co_filename, code.co_firstlineno)


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
    code = frame.f_code
    _, positions, names = _known(code)
    line, end_line, column, end = positions[frame.f_lasti // 2]
    if line is None or column is None:
        return Place(code.co_filename, line or frame.f_lineno)
    name = _source(code, frame.f_globals).assigned.get((end_line or line, end or 0))
    # The file may have been changed since it was imported.
    return Place(code.co_filename, line, column + 1, name if name in names else None)


class _Source(NamedTuple):
    """What is looked up in the source of a file."""

    lines: list[str]
    assigned: dict[tuple[int, int], str]
    """The names that calls are assigned to, by the ends of the calls."""
    probes: list[Probe]


class _Code(NamedTuple):
    """What is looked up in the code of a function."""

    code: CodeType
    positions: list[tuple[int | None, int | None, int | None, int | None]]
    names: frozenset[str]


_MAX_CACHED = 64
_known_code: dict[int, _Code] = {}
_known_sources: dict[str, _Source] = {}


def _known(code: CodeType) -> _Code:
    known = _known_code.get(id(code))
    if known is None:
        if len(_known_code) >= _MAX_CACHED:
            _known_code.clear()
        # The code object is kept with its id, so that no other one can have the same.
        names = frozenset((*code.co_varnames, *code.co_names, *code.co_cellvars))
        known = _known_code[id(code)] = _Code(code, list(code.co_positions()), names)
        # A module that is imported again has another source.
        linecache.checkcache(code.co_filename)
    return known


def read_source(function: Callable[..., Any]) -> None:
    """Read the source of a function before it is called: what happens then is watched, which takes time."""
    code = getattr(function, "__code__", None)
    if code is not None:
        _known(code)
        _source(code, getattr(function, "__globals__", {}))


def probes_of(code: CodeType, module: dict[str, Any]) -> list[Probe]:
    """Return the probes in a function; empty if its source is not known."""
    lines = [line for *_, line in code.co_lines() if line is not None]
    probes = _source(code, module).probes if lines else []
    return [each for each in probes if min(lines) <= each.line <= max(lines)]


def _source(code: CodeType, module: dict[str, Any]) -> _Source:
    file = code.co_filename
    lines = linecache.getlines(file, module)
    known = _known_sources.get(file)
    if known is None or known.lines is not lines:
        if len(_known_sources) >= _MAX_CACHED:
            _known_sources.clear()
        known = _known_sources[file] = _read_source(lines)
    return known


def _read_source(lines: list[str]) -> _Source:
    import ast

    from ._probes import probes_in

    source = "".join(lines)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return _Source(lines, {}, [])
    found = _Source(lines, {}, probes_in(tree, source))
    for node in ast.walk(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call() as call)
                | ast.NamedExpr(target=ast.Name(id=name), value=ast.Call() as call)
            ):
                found.assigned[call.end_lineno or 0, call.end_col_offset or 0] = name
    return found
