"""Positions in the Python code of a flow, and the operations there that values of a flow cannot trap."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any, NamedTuple

from ._lazy import ast, linecache

_PACKAGE = __name__.partition(".")[0]
# The methods that these packages generate for classes are between a call in a flow and this package.
_CLASS_PACKAGES = frozenset(("attr", "attrs", "msgspec", "pydantic"))


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
    return root not in sys.stdlib_module_names and root not in _CLASS_PACKAGES


def is_called_by_flow() -> bool:
    """Return whether the code that calls this package may be part of a flow, and not of a library."""
    frame, this_package = sys._getframe(1), __name__.rpartition(".")[0]
    while str(frame.f_globals.get("__name__")).startswith(this_package) and frame.f_back is not None:
        frame = frame.f_back
    return is_flow_code(frame)


_fixed_place: ContextVar[Place | None] = ContextVar("stepflow_place", default=None)


@contextmanager
def fix_place(place: Place) -> Iterator[None]:
    """Use a fixed position for all calls, for code that runs after the function of the flow."""
    token = _fixed_place.set(place)
    try:
        yield
    finally:
        _fixed_place.reset(token)


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
    if (fixed := _fixed_place.get()) is not None:
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
    """The source of a file, with what is looked up in it."""

    lines: list[str]
    assigned: dict[tuple[int, int], str]
    """The names that calls are assigned to, by the ends of the calls."""
    probes: list[Probe]


class _Code(NamedTuple):
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
    text = "".join(lines)
    try:
        tree = ast.parse(text)
        source = _Source(lines, {}, _find_probes(tree, text))
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


class Probe(NamedTuple):
    """An operation in the source that a value of a flow cannot trap."""

    line: int
    column: int
    text: str
    """The source of the inspected expression."""
    result: str
    """The message if it inspects a value of a flow."""
    operands: tuple[CodeType, ...]
    """Expressions for the inspected object, or for the collection that a loop takes it from."""
    call: tuple[int, int] | None
    """The end of the call whose result it inspects, or a part of it; None if it inspects something else."""
    of_result: CodeType | None
    """The inspected object as an expression of `_`, the result of the call."""
    is_none_check: bool


# Functions that inspect their first argument, and the numbers of arguments with which they do so.
_FUNCTIONS = {"type": (1,), "hasattr": (2,), "getattr": (3,), "callable": (1,), "id": (1,)}
_CONTENT = "has no content while the flow is written: {} cannot inspect it"
_WORDS = re.compile(rf"\b(?:is|match|{'|'.join(_FUNCTIONS)})\b")


def _find_probes(tree: ast.Module, source: str) -> list[Probe]:
    """Return the probes in a module."""
    return list(_iter_probes(tree, {})) if _WORDS.search(source) else []


def _iter_probes(node: ast.AST, loops: dict[str, ast.expr]) -> Iterator[Probe]:
    """Yield the probes in a node. `loops` maps the variables of loops and comprehensions to their iterables."""
    loops = loops | {
        name.id: loop.iter
        for loop in (node, *getattr(node, "generators", ()))
        if isinstance(loop, (ast.For, ast.comprehension))
        for name in ast.walk(loop.target)
        if isinstance(name, ast.Name)
    }
    for subject, result in _iter_inspected(node):
        yield from _make_probes(node, subject, result, loops)
    for child in ast.iter_child_nodes(node):
        yield from _iter_probes(child, loops)


def _make_probes(node: ast.AST, subject: ast.expr, result: str, loops: dict[str, ast.expr]) -> Iterator[Probe]:
    if isinstance(subject, ast.NamedExpr):
        subject = _make_name(subject.target.id)
    root = subject
    while isinstance(root, (ast.Attribute, ast.Subscript)):
        root = root.value
    text, of_result, call = ast.unparse(subject), None, None
    iterable = loops.get(root.id) if isinstance(root, ast.Name) else None
    operands = tuple(_compile(operand) for operand in (subject, iterable) if operand is not None and _is_pure(operand))
    if isinstance(root, ast.Call):
        call, of_result = (root.end_lineno or 0, root.end_col_offset or 0), _compile(_replace_call(subject))
    if operands or call:
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        yield Probe(line, column, text, result, operands, call, of_result, result == _format_never(None))


def _replace_call(node: ast.expr) -> ast.expr:
    """Return an expression on the result of a call with the call replaced by `_`."""
    match node:
        case ast.Attribute(value=inner, attr=attr):
            return ast.Attribute(_replace_call(inner), attr, ast.Load())
        case ast.Subscript(value=inner, slice=key):
            return ast.Subscript(_replace_call(inner), key, ast.Load())
    return _make_name("_")


def _make_name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _iter_inspected(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Yield the expressions that a node inspects, with the message if one is a value of a flow."""
    match node:
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot()], comparators=[right]):
            for subject, other in ((left, right), (right, left)):
                if isinstance(other, ast.Constant):
                    yield subject, _format_never(other.value)
        case ast.Call(func=ast.Name(id=name), args=[first, *_] as args) if len(args) in _FUNCTIONS.get(name, ()):
            yield first, _CONTENT.format(f"{name}()")
        case ast.Match(subject=subject, cases=cases):
            for case in cases:
                for pattern in ast.walk(case.pattern):
                    if isinstance(pattern, ast.MatchSingleton):
                        yield subject, _format_never(pattern.value)
                    elif isinstance(pattern, (ast.MatchSequence, ast.MatchMapping)):
                        yield subject, _CONTENT.format("match")


def _format_never(value: object) -> str:
    return f"is never {value!r} while the flow is written"


def _is_pure(node: ast.expr) -> bool:
    """Return whether an expression can be evaluated again without side effects."""
    match node:
        case ast.Name() | ast.Constant():
            return True
        case ast.Attribute(value=inner):
            return _is_pure(inner)
        case ast.Subscript(value=inner, slice=key):
            return _is_pure(inner) and _is_pure(key)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return all(map(_is_pure, parts))
        case ast.Call(func=ast.Attribute(value=inner, attr="get" | "values" | "items"), args=args, keywords=[]):
            return all(map(_is_pure, (inner, *args)))
    return False


def _compile(node: ast.expr) -> CodeType:
    return compile(ast.fix_missing_locations(ast.Expression(node)), "<probe>", "eval")
