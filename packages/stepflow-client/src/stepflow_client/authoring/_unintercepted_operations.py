"""Finds operations in a flow's Python code that flow values can't intercept, such as `is None` and `type()`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import CodeType
from typing import NamedTuple

from ._lazy_modules import ast


class UninterceptedOperation(NamedTuple):
    """An operation in the source that a flow value can't intercept."""

    line: int
    column: int
    text: str
    """Source code of the inspected expression."""
    result: str
    """The error message for code that inspects a flow value."""
    operands: tuple[CodeType, ...]
    """Expressions for the inspected object, and for the collection it comes from if it's a loop variable."""
    call: tuple[int, int] | None
    """End of the call whose result (or part of it) is inspected, or None if no call result is inspected."""
    of_result: CodeType | None
    """The inspected object, as an expression in terms of `_` (the call's result)."""
    is_none_check: bool


# Functions that inspect their first argument, along with the number of arguments that makes them do so.
_INSPECTORS = {"type": (1,), "hasattr": (2,), "getattr": (3,), "callable": (1,), "id": (1,)}
_NO_CONTENT_MESSAGE = "has no content while the flow is being built: {} cannot inspect it"
_OPERATION_WORD = re.compile(rf"\b(?:is|match|{'|'.join(_INSPECTORS)})\b")


def find_unintercepted_operations(text: str, tree: ast.Module) -> list[UninterceptedOperation]:
    """Return the operations in a module, given its source code and syntax tree."""
    return list(_iter_operations(tree, {})) if _OPERATION_WORD.search(text) else []


def _iter_operations(node: ast.AST, loops: dict[str, ast.expr]) -> Iterator[UninterceptedOperation]:
    """Yield a node's operations. `loops` maps loop and comprehension variables to their iterables."""
    for loop in (node, *getattr(node, "generators", ())):
        if isinstance(loop, (ast.For, ast.comprehension)):
            loops = loops | {name.id: loop.iter for name in ast.walk(loop.target) if isinstance(name, ast.Name)}
    for subject, result in _iter_inspected_operands(node):
        if isinstance(subject, ast.NamedExpr):
            subject = ast.Name(subject.target.id, ast.Load())
        root = subject
        while isinstance(root, (ast.Attribute, ast.Subscript)):
            root = root.value
        iterable, call, of_result = None, None, None
        if isinstance(root, ast.Name):
            iterable = loops.get(root.id)
        elif isinstance(root, ast.Call):
            call = (root.end_lineno or 0, root.end_col_offset or 0)
            of_result = _compile_expression(_replace_call_with_underscore(subject))
        pure = [operand for operand in (subject, iterable) if operand is not None and _is_pure(operand)]
        if pure or call:
            line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
            operands = tuple(map(_compile_expression, pure))
            text, is_none_check = ast.unparse(subject), result == _format_comparison_message(None)
            yield UninterceptedOperation(line, column, text, result, operands, call, of_result, is_none_check)
    for child in ast.iter_child_nodes(node):
        yield from _iter_operations(child, loops)


def _replace_call_with_underscore(node: ast.expr) -> ast.expr:
    """Replace the call inside an expression with `_`."""
    match node:
        case ast.Attribute(value=inner, attr=attr):
            return ast.Attribute(_replace_call_with_underscore(inner), attr, ast.Load())
        case ast.Subscript(value=inner, slice=key):
            return ast.Subscript(_replace_call_with_underscore(inner), key, ast.Load())
    return ast.Name("_", ast.Load())


def _iter_inspected_operands(node: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Yield the expressions a node inspects, each with the error message to use if it's a flow value."""
    match node:
        case ast.Compare(left=left, ops=[ast.Is() | ast.IsNot()], comparators=[right]):
            for subject, other in ((left, right), (right, left)):
                if isinstance(other, ast.Constant):
                    yield subject, _format_comparison_message(other.value)
        case ast.Call(func=ast.Name(id=name), args=[first, *_] as args) if len(args) in _INSPECTORS.get(name, ()):
            yield first, _NO_CONTENT_MESSAGE.format(f"{name}()")
        case ast.Match(subject=subject, cases=cases):
            for case in cases:
                for pattern in ast.walk(case.pattern):
                    if isinstance(pattern, ast.MatchSingleton):
                        yield subject, _format_comparison_message(pattern.value)
                    elif isinstance(pattern, (ast.MatchSequence, ast.MatchMapping)):
                        yield subject, _NO_CONTENT_MESSAGE.format("match")


def _format_comparison_message(value: object) -> str:
    return f"is never {value!r} while the flow is being built"


def _is_pure(node: ast.expr) -> bool:
    """Return whether an expression can safely be evaluated a second time."""
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


def _compile_expression(node: ast.expr) -> CodeType:
    return compile(ast.fix_missing_locations(ast.Expression(node)), "<operation>", "eval")
