"""Load the flow specified on the command line from a file or Python module, along with its examples and project."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import current_session, suggest, usage
from ..stdio import read_stdin_bytes, read_stdin_text
from .file_io import DATA_SUFFIXES

if TYPE_CHECKING:
    from stepflow_client.flows.project import Project
    from stepflow_client.flows.syntax_tree import FlowText

    from .python_modules import ProjectModules

_MODULE_AND_NAME = re.compile(r"(?P<module>.+):(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_MAX_NAMED = 5


class PythonFlow:
    """A flow in a Python module.

    Args:
        word: The flow as specified on the command line.
        modules: The object that imports the module.

    Raises:
        Problem: If the module can't be imported or doesn't contain the flow.
    """

    def __init__(self, word: str, modules: ProjectModules) -> None:
        source, self.name = _split_flow_argument(word)
        self.value = _find_flow_in_module(modules.import_module(source), source, self.name)
        self._word, self._modules = word, modules

    @cached_property
    def text(self) -> FlowText:
        """The flow's text. If possible, positions in it refer to the Python source.

        Raises:
            Problem: If the object can't be turned into a flow.
        """
        from stepflow_client.flows.syntax_tree import FlowText

        with self._modules.converting_user_code_errors(self._word, "does not produce a flow"):
            return FlowText.from_source(self.value)


def is_python_flow(word: str) -> bool:
    """Return True if an argument has the form `module:function` and isn't the name of an existing file."""
    module, name = _split_flow_argument(word)
    is_module = all(part.isidentifier() for part in module.split(".")) and not module.lower().endswith(DATA_SUFFIXES)
    return bool(name) and (module.lower().endswith(".py") or is_module) and not os.path.lexists(word)


def _split_flow_argument(word: str) -> tuple[str, str]:
    """Return the module or file, and the flow's name in it. The name is empty if the argument is just a file."""
    match = _MODULE_AND_NAME.fullmatch(word)
    return (match["module"], match["name"]) if match is not None else (word, "")


def import_python_flow(word: str) -> PythonFlow:
    """Import a flow. If any of its files have changed, import it again.

    Raises:
        Problem: If the module can't be imported or doesn't contain the flow.
    """
    modules = get_session_project_modules()
    if modules.have_changed:
        modules.forget_imports()
    flow: PythonFlow = modules.flows.get(word) or modules.flows.setdefault(word, PythonFlow(word, modules))
    return flow


def list_flow_module_files(word: str) -> list[str]:
    """List the flow module's file and any files that were imported earlier. The flow itself isn't imported."""
    source = _split_flow_argument(word)[0]
    stem = source.removesuffix(".py") if source.endswith(".py") else source.replace(".", os.sep)
    own = [path for path in (f"{stem}.py", os.path.join(stem, "__init__.py")) if os.path.isfile(path)]
    return list(dict.fromkeys([*own, *get_session_project_modules().imported_files]))


def get_session_project_modules() -> ProjectModules:
    """Return the session's modules. The session keeps them so that `--watch` and the repl can detect changed files."""
    from .python_modules import ProjectModules

    session = current_session()
    modules = session.modules = session.modules if isinstance(session.modules, ProjectModules) else ProjectModules()
    return modules


def _find_flow_in_module(module: ModuleType, source: str, name: str) -> Any:
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise usage(f"{source} has no flow {name}", _hint_module_flows(module, name))
        value = getattr(value, part)
    # Accept any mapping. If it isn't a flow, the error from reading it will say why.
    if _is_flow_object(value) or isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        raise usage(f"{source}:{name} is a class, not a flow", _hint_module_flows(module, name))
    if callable(value):
        hint = "decorate the function with @flow from stepflow_client.authoring"
        raise usage(f"{source}:{name} is not a flow, but a function", hint)
    raise usage(f"{source}:{name} is not a flow, but of type {type(value).__name__}", _hint_module_flows(module, name))


def _is_flow_object(value: object) -> bool:
    """Return True if a value is a flow, a builder, or an object with the fields of a flow. Nothing is built."""
    from stepflow_client._command import is_data_object
    from stepflow_client.flows.reading import explain_not_a_flow

    if isinstance(value, (type, ModuleType)):
        return False
    if isinstance(value, Mapping):
        return explain_not_a_flow(value) is None
    is_built = any(callable(getattr(type(value), name, None)) for name in ("__flow__", "build", "to_dict"))
    return is_built or (is_data_object(value) and (hasattr(value, "steps") or hasattr(value, "output")))


def _hint_module_flows(module: ModuleType, name: str) -> str:
    names = [key for key, value in vars(module).items() if not key.startswith("_") and _is_flow_object(value)]
    shown = ", ".join(names[:_MAX_NAMED]) + (", ..." if len(names) > _MAX_NAMED else "")
    listed = f"its flows are {shown}" if names else "it has no flow; decorate a function with @flow to make one"
    return suggest(name, names) or listed


def load_flow_argument(path: str) -> dict[str, Any]:
    """Load a flow from a file, a Python module, or stdin for `-`.

    Raises:
        Problem: If the file doesn't exist (the hint suggests the most similar name in its folder) or the module can't
            be imported.
        FlowFileError: If the flow can't be read.
    """
    from stepflow_client.flows.reading import load_flow, parse_yaml, require_flow

    if is_python_flow(path):
        return dict(import_python_flow(path).text.root.value)
    if path == "-":
        return require_flow(parse_yaml(read_stdin_text(), "standard input"), "standard input")
    check_flow_exists(path)
    return load_flow(path)


def check_flow_exists(path: str) -> None:
    """Check that a flow file exists.

    Raises:
        Problem: If the file doesn't exist. The hint suggests the most similar name in its folder.
    """
    from stepflow_client._command import explain_missing_file

    if not os.path.lexists(path):
        file, colons, case = path.partition("::")
        hint = f"to select cases, use an option: {file} --case {case}" if colons else explain_missing_file(path)
        raise usage(f"{path} {'is a URL, not a file' if '://' in path else 'does not exist'}", hint)
    if path.lower().endswith(".py"):
        raise usage(f"{path} is a Python file, not a flow", f"name the flow in it: {path}:FUNCTION")


def read_flow_text(name: str) -> FlowText:
    """Return a flow's text.

    If the text can't be parsed, its `error` says why. For Python flows, line numbers refer to the Python source.

    Raises:
        Problem, FlowFileError: If the flow can't be read.
    """
    from stepflow_client.flows.syntax_tree import FlowText

    return import_python_flow(name).text if is_python_flow(name) else FlowText.from_bytes(*read_flow_bytes(name))


def read_flow_bytes(name: str) -> tuple[bytes, str]:
    """Return the content of a flow file (or of stdin for `-`), along with the name used in messages.

    Python flows are converted to YAML.

    Raises:
        Problem, FlowFileError: If the flow can't be read.
    """
    from stepflow_client.flows.reading import read_file_bytes

    if is_python_flow(name):
        from stepflow_client._command import write_yaml

        return write_yaml(load_flow_argument(name)).encode(), name
    if name == "-":
        return read_stdin_bytes(), "standard input"
    check_flow_exists(name)
    return read_file_bytes(name), name


def load_flow_unless_id(name: str) -> dict[str, Any] | str:
    """Load a flow from a file or stdin. If `name` is the ID of a stored flow, return the ID.

    Raises:
        Problem, FlowFileError: As for `load_flow_argument`.
    """
    from stepflow_client._command import suggest_nearest_file
    from stepflow_client.flows.reading import is_flow_id

    if is_flow_id(name):
        return name
    if name != "-" and not Path(name).suffix and not os.path.lexists(name) and not is_python_flow(name):
        ids = "an ID has 64 hexadecimal digits; to see those of recent runs, run 'stepflow flows list'"
        raise usage(f"{name} is neither a flow file nor a flow ID", suggest_nearest_file(name) or ids)
    return load_flow_argument(name)


def list_example_and_case_names(flow: Mapping[str, Any]) -> list[str]:
    """Return the names of a flow's examples, followed by those of its test cases."""
    from stepflow_client._command import collect_examples

    return [example["name"] for example in collect_examples(flow)]


def list_step_ids(flow: Mapping[str, Any]) -> list[str]:
    """Return a flow's step IDs in order."""
    steps = flow.get("steps")
    steps = steps if isinstance(steps, list) else []
    return [str(step["id"]) for step in steps if isinstance(step, Mapping) and "id" in step]


def list_required_fields(flow: Mapping[str, Any]) -> list[str]:
    """Return the required input fields for which the flow's schema has no default."""
    from stepflow_client._data.flow_declarations import get_declared_schema, get_fields

    properties, required = get_fields(get_declared_schema(flow, "input"))
    defaults = {name for name, each in properties.items() if isinstance(each, Mapping) and "default" in each}
    return [name for name in required if name not in defaults]


_FLOW_KEY_ORDER = ("name", "title", "description", "version", "schemas", "steps", "output", "examples", "test", "id")
_STEP_KEY_ORDER = ("id", "component", "input")


def sort_flow_keys(flow: Mapping[str, Any]) -> dict[str, Any]:
    """Put a flow's keys in their usual order, because servers return them in a different order each time."""

    def sort_keys(value: Any, first: tuple[str, ...] = ()) -> Any:
        if isinstance(value, list):
            return [sort_keys(element, first) for element in value]
        if not isinstance(value, Mapping):
            return value
        keys = sorted(value, key=lambda key: (first.index(key) if key in first else len(first), key))
        return {key: sort_keys(value[key]) for key in keys}

    whole = sort_keys(flow, _FLOW_KEY_ORDER)
    test = whole.get("test")
    for holder, name, first in (
        (whole, "steps", _STEP_KEY_ORDER),
        (whole, "examples", _FLOW_KEY_ORDER),
        (test if isinstance(test, dict) else {}, "cases", _FLOW_KEY_ORDER),
    ):
        if name in holder:
            holder[name] = sort_keys(holder[name], first)
    return dict(whole)


def get_example_or_case_input(flow: Mapping[str, Any], name: str) -> Any:
    """Return the input of an example or test case. If an example and a test case have the same name, the example wins.

    Raises:
        Problem: If the flow has no example or test case with this name.
    """
    from stepflow_client._command import collect_examples

    inputs = {example["name"]: example["input"] for example in collect_examples(flow)}
    if name in inputs:
        return inputs[name]
    names = list(inputs)
    known = f"it has {', '.join(names)}" if names else "it has none; use --input-json JSON or --input FILE"
    raise usage(f"the flow has no example or test case {name}", suggest(name, names) or known)


def get_case_values(flow: Mapping[str, Any], name: str | None, key: str) -> dict[str, Any]:
    """Return a test case's variables or mocks, or an empty dict if the case has none or doesn't exist."""
    test = flow.get("test")
    cases = test.get("cases") if isinstance(test, Mapping) else None
    named = (case for case in cases or () if isinstance(case, Mapping) and case.get("name") == name)
    return dict(next(named, {}).get(key) or {})


def load_project_settings(flow: str | None) -> Project:
    """Return the project settings for a flow. For stdin and stored flows, use the project in the working directory.

    Raises:
        FlowFileError: If the project file is invalid.
    """
    from stepflow_client.flows.project import find_project
    from stepflow_client.flows.reading import is_flow_id

    return find_project(None if flow is None or flow == "-" or is_flow_id(flow) else flow)


def list_project_flows(missing: str) -> list[str]:
    """Return the flow files and folders that the project in the working directory lists.

    Args:
        missing: The error message to use if the project doesn't list any.

    Raises:
        Problem: If the project lists no flows, or if one of them doesn't exist.
        FlowFileError: If the project file is invalid.
    """
    project = load_project_settings(None)
    if not project.flows:
        raise usage(missing, 'or name them in stepflow.toml: flows = ["flows"]')
    for path in project.flows:
        if not path.exists():
            raise usage(f"{path}, listed under flows in {project.file}, does not exist")
    return [str(path) for path in project.flows]
