"""Converts a flow to the source of a Python module, and checks that this gives the same flow."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

from stepflow_client import StepflowClientError
from stepflow_client._data.expressions import write_path
from stepflow_client.flows.checker import find_in
from stepflow_client.flows.checks.shape import check_shape, check_step_shape
from stepflow_client.flows.findings import Findings
from stepflow_client.flows.source import FlowText, node_of

from ..errors import usage
from .canonical import canonical
from .python_flow import FlowModule
from .python_values import NotInPython, Unfit
from .stubs import Stub

_NAME = "stepflow_converted_flow"
_MOST_TRIES = 40


class Converted(NamedTuple):
    """A flow in Python."""

    source: str
    differences: list[str]
    """The paths at which the flow of the module is another one."""
    ignored: list[str]
    """The paths of keys that servers ignore, and that Python cannot say."""


def convert_flow(flow: Mapping[str, Any], title: str, components: Mapping[str, Stub]) -> Converted:
    """Return the source of a Python module with a flow.

    It is written with types as far as they fit, and executed to compare its flow with this one.

    Args:
        flow: The flow.
        title: The flow's name, or that of its file.
        components: The components whose schemas are known, by their paths.

    Raises:
        Problem: If the flow cannot be written in Python.
    """
    _check_shape(flow)
    untyped, explicit = set[str](), set[str]()
    for _ in range(_MOST_TRIES):
        module = FlowModule(flow, title, components, untyped, explicit)
        try:
            source = module.source()
            made = _built(source, module.name)
        except Unfit as misfit:
            untyped.add(str(misfit))
            continue
        except NotInPython as reason:
            raise usage(f"the flow cannot be written in Python: {reason}") from None
        except StepflowClientError as error:
            if {"input", "output", *components} <= untyped:
                raise usage(f"the flow cannot be written in Python: {error.message}", error.hint) from None
            untyped |= {"input", "output", *components}
            continue
        other = _other_schemas(flow, made)
        if other <= explicit:
            return Converted(source, *_differences(flow, made))
        explicit |= other
    raise AssertionError("each try leaves out a type")


def _check_shape(flow: Mapping[str, Any]) -> None:
    """Raise if a part of a flow has the wrong type, or lacks a key."""
    found, root = Findings(), node_of(flow)
    check_shape(root, found)
    for step in getattr(root.get("steps"), "elements", ()):
        check_step_shape(step, found)
    for each in found.all.values():
        is_wrong = each.rule in ("wrong-type", "missing-key") and each.level != "warning"
        if is_wrong or (each.rule == "expected-output" and each.level == "fatal"):
            path = each.path.removeprefix("$.")
            raise usage(f"the flow cannot be written in Python: {path}: {each.message}", each.hint)


def _built(source: str, name: str) -> dict[str, Any]:
    """Return the flow of a module that was written here: it contains nothing but data and calls of the client."""
    file = f"<{_NAME}>"
    module = ModuleType(_NAME)
    module.__file__ = file
    # The names that steps are assigned to are read from the source.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    sys.modules[_NAME] = module
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 - written here
        flow: dict[str, Any] = getattr(module, name).to_dict()
        return flow
    finally:
        del sys.modules[_NAME]
        linecache.cache.pop(file, None)


def _other_schemas(flow: Mapping[str, Any], made: Mapping[str, Any]) -> set[str]:
    """Return which parts have a schema that the types of Python give differently."""
    before, after = (canonical(each).get("schemas", {}).get("properties", {}) for each in (flow, made))
    found = {part for part in ("input", "output") if before.get(part) != after.get(part)}
    variables = [each.get("variables", {}).get("properties", {}) for each in (before, after)]
    return found | {name for name in variables[0] if variables[0][name] != variables[1].get(name)}


def _differences(flow: Mapping[str, Any], made: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return where two flows differ: in what servers read, and in what they ignore."""
    from stepflow_client.flows.run_differences import ABSENT, changes

    unread = {each.path for each in find_in(FlowText.of(flow)) if each.rule in ("unknown-key", "ignored-key")}
    differences, ignored = [], []
    for each in changes(canonical(flow), canonical(made)):
        path = write_path(each.path)
        if path in unread | {"$.schema", "$.$schema"}:
            ignored.append(path.removeprefix("$."))
        else:
            said = " is new" if each.a is ABSENT else " is gone" if each.b is ABSENT else ""
            differences.append(path.removeprefix("$.") + said)
    return sorted(differences), sorted(ignored)
