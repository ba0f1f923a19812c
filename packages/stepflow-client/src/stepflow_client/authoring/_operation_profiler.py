"""Detects operations that flow values can't intercept, by running a profiler while the flow's function is called."""

from __future__ import annotations

import sys
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from contextlib import contextmanager, suppress
from types import CodeType, FrameType
from typing import Any, NamedTuple

from ..errors import AuthoringError
from ._lazy_modules import fields
from ._placeholders import Value, authoring_error, collected_errors
from ._places import Place, get_unintercepted_operations, is_user_code, set_call_place, set_context_variable
from ._unintercepted_operations import UninterceptedOperation


class _FunctionOperations(NamedTuple):
    code: CodeType
    """Keeps the code object alive so that its `id()` stays unique."""
    with_operands: list[UninterceptedOperation]
    """Operations with operands, to be evaluated when the function returns."""
    calls: dict[tuple[int, int], UninterceptedOperation]
    """Operations on call results, keyed by the end position of the call."""


@contextmanager
def collecting_authoring_errors() -> Iterator[list[AuthoringError]]:
    """Collect errors that a flow's function caught, and operations that flow values can't intercept.

    If another profiler is already active, only the caught errors are collected.
    """
    errors: list[AuthoringError] = []
    is_free = sys.getprofile() is None
    with set_context_variable(collected_errors, errors):
        if is_free:
            sys.setprofile(_FlowValueDetector(errors).check_returning_function)
        try:
            yield errors
        finally:
            if is_free:
                sys.setprofile(None)


class _FlowValueDetector:
    def __init__(self, errors: list[AuthoringError]) -> None:
        self._errors = errors
        self._operations_by_code: dict[int, _FunctionOperations] = {}

    def check_returning_function(self, frame: FrameType, event: str, result: Any) -> None:
        """Check a function when it returns, using the final values of its variables."""
        if event != "return":
            return
        for operation in self._group_unintercepted_operations(frame).with_operands:
            for operand in operation.operands:
                self._add_errors_about_flow_values(frame, operation, _evaluate_operand(operand, frame, frame.f_locals))
        if type(result) is Value and frame.f_back is not None:
            caller = self._group_unintercepted_operations(frame.f_back)
            if caller.calls:
                _, end_line, _, end_column = list(caller.code.co_positions())[frame.f_back.f_lasti // 2]
                operation_on_call = caller.calls.get((end_line or 0, end_column or 0))
                if operation_on_call is not None and operation_on_call.of_result is not None:
                    names = {**frame.f_back.f_locals, "_": result}
                    value = _evaluate_operand(operation_on_call.of_result, frame.f_back, names)
                    self._add_errors_about_flow_values(frame.f_back, operation_on_call, value)

    check_returning_function.watches_flows = True  # type: ignore[attr-defined]

    def _group_unintercepted_operations(self, frame: FrameType) -> _FunctionOperations:
        code = frame.f_code
        operations = self._operations_by_code.get(id(code))
        if operations is None:
            found = get_unintercepted_operations(code, frame.f_globals) if is_user_code(frame) else []
            calls = {operation.call: operation for operation in found if operation.call is not None}
            operations = _FunctionOperations(code, [operation for operation in found if operation.operands], calls)
            self._operations_by_code[id(code)] = operations
        return operations

    def _add_errors_about_flow_values(self, frame: FrameType, operation: UninterceptedOperation, value: Any) -> None:
        for flow_value in _iter_flow_values(value):
            kind = getattr(flow_value.__stepflow__, "kind", Any)
            if operation.is_none_check and not fields.allows_any_value(kind) and not fields.may_be_none(kind):
                # The value can't be None, so comparing it with None is fine.
                continue
            with set_call_place(Place(frame.f_code.co_filename, operation.line, operation.column)):
                error = authoring_error(f"{operation.text} is a value of a flow and {operation.result}",
                               "use when(exists(value), then, otherwise), or coalesce(value, other)")  # fmt: skip
            if str(error) not in map(str, self._errors):
                self._errors.append(error)


def _evaluate_operand(operand: CodeType, frame: FrameType, names: Mapping[str, Any]) -> Any:
    with set_context_variable(collected_errors, None), suppress(Exception):
        return eval(operand, frame.f_globals, names)  # noqa: S307


def _iter_flow_values(value: Any) -> Iterator[Value]:
    """Yield the object itself if it is a flow value, or every flow value in it if it is a collection."""
    if type(value) is Value:
        yield value
    elif isinstance(value, (list, tuple, ValuesView, ItemsView)):
        elements: Iterable[Any] = value
        for element in elements:
            yield from _iter_flow_values(element)
