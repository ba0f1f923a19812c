"""Detects operations that values of a flow cannot trap, with a profiler, while a flow is written."""

from __future__ import annotations

import sys
from collections.abc import ItemsView, Iterable, Iterator, Mapping, ValuesView
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, NamedTuple

from ..errors import AuthoringError
from ._lazy import fields
from ._places import Place, fix_place, get_probes, is_flow_code
from ._probes import Probe
from ._values import Value, refusals, refuse


class _Watched(NamedTuple):
    code: CodeType
    """Keeps the code alive, whose id is looked up."""
    probes: list[Probe]
    calls: dict[tuple[int, int], Probe]
    """The probes of what a call returns, by the end of the call."""


@contextmanager
def watch_errors() -> Iterator[list[AuthoringError]]:
    """Collect errors that the function of a flow catches, and those of operations that raise no error.

    If another profiler is active, only caught errors are collected.
    """
    errors: list[AuthoringError] = []
    token = refusals.set(errors)
    is_free = sys.getprofile() is None
    if is_free:
        sys.setprofile(_Watcher(errors).returned)
    try:
        yield errors
    finally:
        if is_free:
            sys.setprofile(None)
        refusals.reset(token)


class _Watcher:
    def __init__(self, errors: list[AuthoringError]) -> None:
        self._found = errors
        self._known: dict[int, _Watched] = {}

    def returned(self, frame: FrameType, event: str, result: Any) -> None:
        """Check a returning function, with the final values of its variables."""
        if event != "return":
            return
        for probe in self._watched(frame).probes:
            for operand in probe.operands:
                self._judge(frame, probe, _evaluate(operand, frame, frame.f_locals))
        if type(result) is Value and frame.f_back is not None:
            caller = self._watched(frame.f_back)
            if caller.calls:
                positions = list(caller.code.co_positions())[frame.f_back.f_lasti // 2]
                inspecting = caller.calls.get((positions[1] or 0, positions[3] or 0))
                if inspecting is not None and inspecting.of_result is not None:
                    value = _evaluate(inspecting.of_result, frame.f_back, {**frame.f_back.f_locals, "_": result})
                    self._judge(frame.f_back, inspecting, value)

    def _watched(self, frame: FrameType) -> _Watched:
        code = frame.f_code
        watched = self._known.get(id(code))
        if watched is None:
            probes = get_probes(code, frame.f_globals) if is_flow_code(frame) else []
            calls = {probe.call: probe for probe in probes if probe.call is not None}
            watched = self._known[id(code)] = _Watched(code, [probe for probe in probes if probe.operands], calls)
        return watched

    returned.is_of_flows = True  # type: ignore[attr-defined]

    def _judge(self, frame: FrameType, probe: Probe, value: Any) -> None:
        for each in _iter_values(value):
            kind = getattr(each.__stepflow__, "kind", Any)
            if probe.is_none_check and not fields.is_open(kind) and not fields.may_be_none(kind):
                # By its type, it is never None.
                continue
            with fix_place(Place(frame.f_code.co_filename, probe.line, probe.column)):
                error = refuse(f"{probe.text} is a value of a flow and {probe.result}",
                               "use when(exists(value), then, otherwise), or coalesce(value, other)")  # fmt: skip
            if str(error) not in map(str, self._found):
                self._found.append(error)


def _evaluate(operand: CodeType, frame: FrameType, names: Mapping[str, Any]) -> Any:
    token = refusals.set(None)
    try:
        return eval(operand, frame.f_globals, names)  # noqa: S307
    except Exception:
        return None
    finally:
        refusals.reset(token)


def _iter_values(value: Any) -> Iterator[Value]:
    """Yield a value of a flow, or those in a collection."""
    if type(value) is Value:
        yield value
    elif isinstance(value, (list, tuple, ValuesView, ItemsView)):
        parts: Iterable[Any] = value
        for part in parts:
            yield from _iter_values(part)
