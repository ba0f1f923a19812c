"""The flow that a command line names: loading it, its examples, and the configuration that belongs to it.

FLOW is a file, `-` for standard input, or `module:function` for a flow of a Python module.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import suggest, usage
from ..stdio import read_stdin, read_stdin_bytes
from .python_flow import import_flow, is_python_flow

if TYPE_CHECKING:
    from stepflow_client.flows.project import Project
    from stepflow_client.flows.source import FlowText


def load_flow_file(path: str) -> dict[str, Any]:
    """Load the flow in a file, on standard input for `-`, or of a Python module.

    Raises:
        Problem: If the file does not exist, in which case the hint suggests the nearest name in its folder; or if the
            module cannot be imported.
        FlowFileError: If it cannot be read.
    """
    from stepflow_client.flows.file import parse_yaml
    from stepflow_client.flows.flow_argument import flow_in, load_flow

    if is_python_flow(path):
        return dict(import_flow(path).text.root.value)
    if path == "-":
        return flow_in(parse_yaml(read_stdin(), "standard input"), "standard input")
    check_flow_exists(path)
    return load_flow(path)


def check_flow_exists(path: str) -> None:
    """Raise if a file does not exist.

    Raises:
        Problem: If it does not; the hint suggests the nearest name in its folder.
    """
    from stepflow_client._command import explain_missing_file

    if not os.path.lexists(path):
        file, colons, case = path.partition("::")
        hint = f"cases are chosen by an option: {file} --case {case}" if colons else explain_missing_file(path)
        raise usage(f"{path} does not exist", hint)
    if path.lower().endswith(".py"):
        raise usage(f"{path} is a Python file, not a flow", f"name the flow in it: {path}:FUNCTION")


def load_flow_text(name: str) -> FlowText:
    """Return the text of a flow, whose error says why it cannot be parsed. That of a Python flow has lines of Python.

    Raises:
        Problem, FlowFileError: If it cannot be read.
    """
    from stepflow_client.flows.source import FlowText

    return import_flow(name).text if is_python_flow(name) else FlowText.read(*read_flow_content(name))


def read_flow_content(name: str) -> tuple[bytes, str]:
    """Return the content of a flow file, or of standard input for `-`, and its name in messages.

    That of a Python flow is YAML.

    Raises:
        Problem, FlowFileError: If it cannot be read.
    """
    from stepflow_client.flows.file import read_file_bytes

    if is_python_flow(name):
        from stepflow_client._command import write_yaml

        return write_yaml(load_flow_file(name)).encode(), name
    if name == "-":
        return read_stdin_bytes(), "standard input"
    check_flow_exists(name)
    return read_file_bytes(name), name


def load_flow_or_id(name: str) -> dict[str, Any] | str:
    """Return the flow in a file or on standard input; the id itself if the name is the id of a stored flow.

    Raises:
        Problem, FlowFileError: As for `load_flow_file`.
    """
    from stepflow_client._command import suggest_nearest_file
    from stepflow_client.flows.flow_argument import is_flow_id

    if is_flow_id(name):
        return name
    if name != "-" and not Path(name).suffix and not os.path.lexists(name) and not is_python_flow(name):
        ids = "an id has 64 hexadecimal digits; 'stepflow flows list' shows those of recent runs"
        hint = suggest_nearest_file(name) or ids
        raise usage(f"{name} is neither a flow file nor the id of a flow", hint)
    return load_flow_file(name)


def list_case_names(flow: Mapping[str, Any]) -> list[str]:
    """Return the names of a flow's examples and test cases, examples first."""
    from stepflow_client._command import examples_of

    return [example["name"] for example in examples_of(flow)]


def list_step_ids(flow: Mapping[str, Any]) -> list[str]:
    """Return the ids of a flow's steps, in their order."""
    steps = flow.get("steps")
    return [
        str(step["id"])
        for step in (steps if isinstance(steps, list) else [])
        if isinstance(step, Mapping) and "id" in step
    ]


def list_required_fields(flow: Mapping[str, Any]) -> list[str]:
    """Return the names of the input's fields that a flow's schema requires without giving a default."""
    from stepflow_client._data.flow_declarations import declared_schema

    schema = declared_schema(flow, "input")
    if not isinstance(schema, Mapping) or not isinstance(schema.get("required"), list):
        return []
    declared = schema.get("properties")
    properties: Mapping[str, Any] = declared if isinstance(declared, Mapping) else {}

    def has_default(name: str) -> bool:
        each = properties.get(name)
        return isinstance(each, Mapping) and "default" in each

    return [str(name) for name in schema["required"] if not has_default(str(name))]


_READING_ORDER = ("name", "title", "description", "version", "schemas", "steps", "output", "examples", "test", "id")
_STEP_ORDER = ("id", "component", "input")


def sort_flow_keys(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Return a flow with its keys in the usual order; servers change it each time."""

    def ordered(value: Any, first: tuple[str, ...] = ()) -> Any:
        if isinstance(value, list):
            return [ordered(element, first) for element in value]
        if not isinstance(value, Mapping):
            return value
        keys = sorted(value, key=lambda key: (first.index(key) if key in first else len(first), key))
        return {key: ordered(value[key]) for key in keys}

    whole = ordered(flow, _READING_ORDER)
    test = whole.get("test")
    for holder, name, first in (
        (whole, "steps", _STEP_ORDER),
        (whole, "examples", _READING_ORDER),
        (test if isinstance(test, dict) else {}, "cases", _READING_ORDER),
    ):
        if name in holder:
            holder[name] = ordered(holder[name], first)
    return dict(whole)


def get_example_input(flow: Mapping[str, Any], name: str) -> Any:
    """Return the input of the example or test case of this name; an example takes precedence over a test case.

    Raises:
        Problem: If the flow has none of this name.
    """
    from stepflow_client._command import examples_of

    inputs = {example["name"]: example["input"] for example in examples_of(flow)}
    if name in inputs:
        return inputs[name]
    names = list(inputs)
    known = f"it has {', '.join(names)}" if names else "it has none; --input-json JSON or --input FILE gives an input"
    raise usage(f"the flow has no example or test case {name}", suggest(name, names) or known)


def get_example_variables(flow: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    """Return the variables of the test case of this name; empty if there is none, or if it sets none."""
    test = flow.get("test")
    cases = test.get("cases") if isinstance(test, Mapping) else None
    named = (case for case in cases or () if isinstance(case, Mapping) and case.get("name") == name)
    return dict(next(named, {}).get("variables") or {})


def find_flow_project(flow: str | None) -> Project:
    """Return the project settings for a flow; for standard input and stored flows, those of the current directory.

    Raises:
        FlowFileError: If the project file is invalid.
    """
    from stepflow_client.flows.flow_argument import is_flow_id
    from stepflow_client.flows.project import find_project

    return find_project(None if flow is None or flow == "-" or is_flow_id(flow) else flow)


def list_project_flows(missing: str) -> list[str]:
    """Return the flow files and folders that the project of the working folder names.

    Args:
        missing: Error message to use if the project lists no flows.

    Raises:
        Problem: If it names none, or one does not exist.
        FlowFileError: If the project file is invalid.
    """
    project = find_flow_project(None)
    if not project.flows:
        raise usage(missing, 'or name those of the project in stepflow.toml: flows = ["flows"]')
    for path in project.flows:
        if not path.exists():
            raise usage(f"{path}, which {project.file} names under flows, does not exist")
    return [str(path) for path in project.flows]
