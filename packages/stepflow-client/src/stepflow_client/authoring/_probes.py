"""Finds operations in the source that values of a flow cannot trap: `is`, `type()`, patterns."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from types import CodeType
from typing import NamedTuple


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


def find_probes(tree: ast.Module, source: str) -> list[Probe]:
    """Return the probes in a module."""
    return list(_find_in_node(tree, {})) if _WORDS.search(source) else []


def _find_in_node(node: ast.AST, loops: dict[str, ast.expr]) -> Iterator[Probe]:
    """Yield the probes in a node. `loops` maps the variables of loops and comprehensions to their iterables."""
    loops = loops | {
        name.id: loop.iter
        for loop in (node, *getattr(node, "generators", ()))
        if isinstance(loop, (ast.For, ast.comprehension))
        for name in ast.walk(loop.target)
        if isinstance(name, ast.Name)
    }
    for subject, result in _find_inspected(node):
        yield from _make_probes(node, subject, result, loops)
    for child in ast.iter_child_nodes(node):
        yield from _find_in_node(child, loops)


def _make_probes(node: ast.AST, subject: ast.expr, result: str, loops: dict[str, ast.expr]) -> Iterator[Probe]:
    if isinstance(subject, ast.NamedExpr):
        subject = _make_name(subject.target.id)
    root = subject
    while isinstance(root, (ast.Attribute, ast.Subscript)):
        root = root.value
    text, of_result, call = ast.unparse(subject), None, None
    over = loops.get(root.id) if isinstance(root, ast.Name) else None
    operands = tuple(_compile(each) for each in (subject, over) if each is not None and _is_pure(each))
    if isinstance(root, ast.Call):
        call, of_result = (root.end_lineno or 0, root.end_col_offset or 0), _compile(_replace_call(subject))
    if operands or call:
        place = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
        yield Probe(*place, text, result, operands, call, of_result, result == _format_never(None))


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


def _find_inspected(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Yield the expressions that a node inspects, with the message if one is a value of a flow."""
    match node:
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot()], comparators=[right]):
            for one, other in ((left, right), (right, left)):
                if isinstance(other, ast.Constant):
                    yield one, _format_never(other.value)
        case ast.Call(func=ast.Name(id=name), args=[first, *_] as given) if len(given) in _FUNCTIONS.get(name, ()):
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
        case ast.Call(func=ast.Attribute(value=inner, attr="get" | "values" | "items"), args=given, keywords=[]):
            return all(map(_is_pure, (inner, *given)))
    return False


def _compile(node: ast.expr) -> CodeType:
    return compile(ast.fix_missing_locations(ast.Expression(node)), "<probe>", "eval")
