"""The steps of a flow file as the body of a Python function."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from stepflow_client._data.expressions import is_expression, references

from .layout import Expression, call, data, written
from .names import Names, is_reserved, plain_name
from .python_values import NotInPython, Source, Sources, Unfit
from .stubs import OPTION_NAMES, Function

_RESULT = {"description": "What the function returns."}
_ITEM: dict[str, Any] = {"properties": {"outcome": {"type": "string"}, "result": _RESULT, "error": {}}}
_SUB_FLOWS: dict[str, tuple[str, str, str, Mapping[str, Any]]] = {
    "/builtin/map": (
        "each",
        "workflow",
        "items",
        {"properties": {"results": {"type": "array", "items": _ITEM}, "successful": {}, "failed": {}}},
    ),
    "/builtin/iterate": (
        "iterate",
        "flow",
        "initial_input",
        {"properties": {"result": _RESULT, "iterations": {"type": "integer"}, "terminated": {"type": "boolean"}}},
    ),
}
"""Of components with sub-flows: their function, the keys of the sub-flow and of its input, and their output."""
_LIMITS = ("max_concurrency", "max_iterations")


class Body:
    """Writes the body of a function for the steps of a flow, or of a sub-flow.

    Args:
        functions: The functions of components, by their paths.
        sources: What expressions may read; steps are added to it.
        names: The names that variables must not have.
        indent: The number of spaces at the beginning of its lines.
    """

    def __init__(
        self, functions: Mapping[str, Function], sources: Sources, names: Callable[[], Names], indent: int = 4
    ) -> None:
        self._functions, self._sources, self._new_names, self._indent = functions, sources, names, indent
        self._names = names()
        self._names.take(sources.input.name)
        for variable in sources.variables.values():
            self._names.take(variable.name)
        self.lines: list[str] = []

    def write(self, flow: Mapping[str, Any], *, returns: bool = True) -> None:
        """Write the steps of a flow, and its output.

        Args:
            flow: The flow.
            returns: Whether to write the output too.

        Raises:
            NotInPython: If there is no such function.
            Unfit: If a component is called, or its output read, in a way that its schema does not allow.
        """
        steps = flow.get("steps") or []
        read = {each.step for part in (*(step.get("input") for step in steps), flow.get("output"))
                for each in references(part)}  # fmt: skip
        for step in steps:
            self._step(step, is_read=step.get("id") in read)
        if returns and flow.get("output") is not None:
            self._line(self._sources.value(flow["output"]), "return ")

    def value(self, expression: Any) -> Expression:
        """Return an expression that may read the steps that were written."""
        return self._sources.value(expression)

    def _line(self, expression: Expression, before: str = "") -> None:
        self.lines.append(written(expression, before, indent=self._indent))

    def _step(self, step: Mapping[str, Any], *, is_read: bool) -> None:
        step_id, path = step["id"], step["component"]
        if step_id in self._sources.steps:
            raise NotInPython(f"two steps have the id {step_id!r}")
        name = self._names.take(local_name(step_id)) if is_read else None
        made = self._sub_flow(step, name or local_name(step_id)) if path in _SUB_FLOWS else None
        if made is not None:
            function, arguments, output = made
        else:
            known = self._functions.get(path)
            if known is None:
                # Its sub-flow is no function: it is data for a component without types.
                raise Unfit(path)
            function, arguments, output = known.name, [*self._arguments(known, step)], known.output
            if (step.get("onError") or {}).get("defaultValue") is not None and output:
                # Its type is that of the output.
                raise Unfit(path)
        options = [*_options(step)]
        if name != step_id:
            options.insert(0, ("step", data(step_id)))
        self._line(call(function, [*arguments, *options]), "" if name is None else f"{name} = ")
        if name is not None:
            self._sources.steps[step_id] = Source(name, path, output)

    def _arguments(self, function: Function, step: Mapping[str, Any]) -> Iterator[tuple[str, Expression]]:
        given = step.get("input")
        if function.takes_whole:
            if given is not None:
                yield "", self._sources.value(given)
            return
        if not isinstance(given, Mapping) or is_expression(given):
            raise Unfit(step["component"])
        if function.fields is None:
            names = {key: key for key in given}
        else:
            names = {each.key: each.name for each in function.fields}
            required = {each.key for each in function.fields if each.is_required}
            # An optional argument that is None is left out.
            are_null = any(given[key] is None and key not in required for key in given)
            if not required <= given.keys() <= names.keys() or are_null:
                raise Unfit(step["component"])
        for key, each in given.items():
            yield names[key], self._sources.value(each)

    def _sub_flow(
        self, step: Mapping[str, Any], name: str
    ) -> tuple[str, list[tuple[str, Expression]], Mapping[str, Any]] | None:
        """Return the call of `each` or `iterate`, after writing its function; None if the sub-flow is no function."""
        function, flow_key, items_key, output = _SUB_FLOWS[step["component"]]
        given = step.get("input")
        known = {flow_key, items_key, *_LIMITS}
        if step["component"] in self._functions or not isinstance(given, Mapping) or not given.keys() <= known:
            return None
        flow = given.get(flow_key)
        flow = flow.get("$literal") if isinstance(flow, Mapping) and flow.keys() == {"$literal"} else None
        if not isinstance(flow, Mapping) or flow.keys() - {"steps", "output"} or flow.get("output") is None:
            return None
        inner = self._names.take(f"{function}_{name}")
        argument = "element" if function == "each" else "turn"
        sources = Sources(Source(argument), {}, {}, self._sources.classes)
        body = Body(self._functions, sources, self._new_names, self._indent + 4)
        try:
            body.write(flow)
        except NotInPython:
            return None
        limits: list[tuple[str, Expression]] = [
            (key, self._sources.value(given[key])) for key in _LIMITS if given.get(key) is not None
        ]
        items = self._sources.value(given.get(items_key))
        self.lines += ["", f"{' ' * self._indent}def {inner}({argument}: Any) -> Any:", *body.lines, ""]
        return function, [("", items), ("", inner), *limits], output


def _options(step: Mapping[str, Any]) -> Iterator[tuple[str, Expression]]:
    """Yield the arguments of a step that are not its input."""
    on_error = step.get("onError")
    if on_error is not None:
        value = on_error.get("maxRetries") if on_error["action"] == "retry" else on_error.get("defaultValue")
        function = {"fail": "fail", "retry": "retry", "useDefault": "use_default"}.get(on_error["action"])
        if function is None:
            raise NotInPython(f"there is no action {on_error['action']!r}")
        yield "on_error", call(f"on_error.{function}", [] if value is None else [("", data(value))])
    if step.get("mustExecute"):
        yield "must_execute", "True"
    if step.get("metadata") is not None:
        yield "metadata", data(step["metadata"])


def local_name(step_id: str) -> str:
    """Return the name of the variable of a step."""
    name = plain_name(step_id, "step")
    return f"{name}_" if is_reserved(name) else name


def steps_in(flow: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the steps of a flow, and of the sub-flows that may become functions."""
    for step in flow.get("steps") or ():
        yield step
        given = step.get("input")
        if step.get("component") in _SUB_FLOWS and isinstance(given, Mapping):
            inner = given.get(_SUB_FLOWS[step["component"]][1])
            inner = inner.get("$literal") if isinstance(inner, Mapping) else None
            if isinstance(inner, Mapping) and isinstance(inner.get("steps"), list):
                yield from steps_in(inner)


def takes_keywords(inputs: Iterable[Any], taken: Collection[str] = OPTION_NAMES) -> bool:
    """Return whether all inputs of a component can be given as keyword arguments."""
    return all(
        isinstance(each, Mapping)
        and not is_expression(each)
        and all(
            key.isascii() and key.isidentifier() and not keyword.iskeyword(key) and key not in taken for key in each
        )
        for each in inputs
    )
