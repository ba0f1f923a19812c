"""The position of a call in Python: its file, its line, and the name that its result is assigned to."""

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
    """The name that the result of the call is assigned to; None within a larger expression."""

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


# Packages whose classes call code of flows.
_OF_CLASSES = frozenset(("attr", "attrs", "msgspec", "pydantic"))


def find_caller() -> FrameType:
    """Return the frame of the first caller outside of this package and of libraries."""
    frame = sys._getframe(1)
    while not is_flow_code(frame) and frame.f_back is not None:
        frame = frame.f_back
    return frame


def is_flow_code(frame: FrameType) -> bool:
    """Return whether a frame is of code that may be part of a flow."""
    module = str(frame.f_globals.get("__name__"))
    if module == _PACKAGE or module.startswith(_PACKAGE + "."):
        return False
    root = module.partition(".")[0]
    return root not in sys.stdlib_module_names and root not in _OF_CLASSES


def is_called_by_flow() -> bool:
    """Return whether the code that calls this package may be part of a flow, and not of a library."""
    frame, here = sys._getframe(1), __name__.rpartition(".")[0]
    while str(frame.f_globals.get("__name__")).startswith(here) and frame.f_back is not None:
        frame = frame.f_back
    return is_flow_code(frame)


_placed: ContextVar[Place | None] = ContextVar("stepflow_place", default=None)


@contextmanager
def fix_place(place: Place) -> Iterator[None]:
    """Use a fixed position for all calls, for code that runs after the function of the flow."""
    token = _placed.set(place)
    try:
        yield
    finally:
        _placed.reset(token)


def find_return_place(function: Callable[..., Any]) -> Place:
    """Return the position of the last `return` of a function."""
    code = getattr(function, "__code__", None)
    if code is None:
        return get_definition_place(function)
    from opcode import opmap

    returning = {number for name, number in opmap.items() if name.startswith("RETURN_")}
    last = get_definition_place(function)
    for operation, (line, _, column, _) in zip(code.co_code[::2], code.co_positions(), strict=True):
        if operation in returning and line is not None and column is not None:
            last = Place(code.co_filename, line, column + 1)
    return last


def get_definition_place(function: Callable[..., Any]) -> Place:
    """Return the position of the first line of a function, including decorators."""
    code = getattr(function, "__code__", None)
    return Place(repr(function), 1) if code is None else Place(code.co_filename, code.co_firstlineno)


def find_call_place() -> Place:
    """Return the position of the call in the code of the flow."""
    if (fixed := _placed.get()) is not None:
        return fixed
    frame = find_caller()
    code = frame.f_code
    _, positions, names = _get_code(code)
    line, end_line, column, end = positions[frame.f_lasti // 2]
    if line is None or column is None:
        return Place(code.co_filename, line or frame.f_lineno)
    name = _get_source(code, frame.f_globals).assigned.get((end_line or line, end or 0))
    # Ignore the name if the file was changed after the import.
    return Place(code.co_filename, line, column + 1, name if name in names else None)


def find_error_place(error: BaseException) -> Place | None:
    """Return the position in the code of a flow at which an exception was raised; None outside of flows."""
    place, trace = None, error.__traceback__
    while trace is not None:
        place = Place(trace.tb_frame.f_code.co_filename, trace.tb_lineno) if is_flow_code(trace.tb_frame) else place
        trace = trace.tb_next
    return place


class _Source(NamedTuple):
    """What is looked up in the source of a file."""

    lines: list[str]
    assigned: dict[tuple[int, int], str]
    """The names that calls are assigned to, by the ends of the calls."""
    probes: list[Probe]


class _Code(NamedTuple):
    """What is looked up in the code of a function."""

    code: CodeType
    """Keeps the code object alive, so that its id stays unique."""
    positions: list[tuple[int | None, int | None, int | None, int | None]]
    names: frozenset[str]


_MAX_CACHED = 64
_codes: dict[int, _Code] = {}
_sources: dict[str, _Source] = {}


def _get_code(code: CodeType) -> _Code:
    cached = _codes.get(id(code))
    if cached is None:
        if len(_codes) >= _MAX_CACHED:
            _codes.clear()
        names = frozenset((*code.co_varnames, *code.co_names, *code.co_cellvars))
        cached = _codes[id(code)] = _Code(code, list(code.co_positions()), names)
        # A reloaded module has another source.
        linecache.checkcache(code.co_filename)
    return cached


def cache_source(function: Callable[..., Any]) -> None:
    """Cache the source of a function before it is called: reading it under the profiler is slow."""
    code = getattr(function, "__code__", None)
    if code is not None:
        _get_code(code)
        _get_source(code, getattr(function, "__globals__", {}))


def get_probes(code: CodeType, module: dict[str, Any]) -> list[Probe]:
    """Return the probes in a function; empty without source."""
    lines = [line for *_, line in code.co_lines() if line is not None]
    probes = _get_source(code, module).probes if lines else []
    return [probe for probe in probes if min(lines) <= probe.line <= max(lines)]


def _get_source(code: CodeType, module: dict[str, Any]) -> _Source:
    file = code.co_filename
    lines = linecache.getlines(file, module)
    cached = _sources.get(file)
    if cached is not None and cached.lines is lines:
        return cached
    import ast

    from ._probes import find_probes

    text = "".join(lines)
    try:
        tree = ast.parse(text)
        source = _Source(lines, {}, find_probes(tree, text))
    except (SyntaxError, ValueError, RecursionError):
        tree, source = ast.Module([], []), _Source(lines, {}, [])
    for node in ast.walk(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call() as call)
                | ast.NamedExpr(target=ast.Name(id=name), value=ast.Call() as call)
            ):
                source.assigned[call.end_lineno or 0, call.end_col_offset or 0] = name
    if len(_sources) >= _MAX_CACHED:
        _sources.clear()
    _sources[file] = source
    return source
