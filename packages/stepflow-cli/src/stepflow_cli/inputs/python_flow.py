"""Flows of Python modules, named as `module:function` or `path/to/file.py:function`.

Importing a module executes it. Only a module that the command line names is imported, never one that is found in a
folder, in the settings of a project or in the history.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..context import current_session
from ..errors import suggest, usage
from .files import DATA_SUFFIXES

if TYPE_CHECKING:
    from stepflow_client.flows.source import FlowText

    from .python_modules import ProjectModules

_WORD = re.compile(r"(?P<module>.+):(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_MAX_NAMES = 5


class PythonFlow:
    """A flow of a Python module.

    Args:
        word: How the command line names it.
        modules: What imports its module.

    Raises:
        Problem: If the module cannot be imported, or has no such flow.
    """

    def __init__(self, word: str, modules: ProjectModules) -> None:
        """Import it."""
        source, self.name = _split_word(word)
        module = modules.load(source)
        self.value = _get_flow(module, source, self.name)
        self._word, self._modules = word, modules
        self.module = module.__name__

    @cached_property
    def text(self) -> FlowText:
        """The flow, whose positions are lines of Python where they are known.

        Raises:
            Problem: If the object does not give a flow.
        """
        from stepflow_client.flows.source import FlowText

        with self._modules.running_user_code(self._word, "gives no flow"):
            return FlowText.of(self.value)


def is_python_flow(word: str) -> bool:
    """Return whether a word of the command line names a flow of a Python module. A file of this name goes first."""
    module, name = _split_word(word)
    is_module = all(part.isidentifier() for part in module.split(".")) and not module.lower().endswith(DATA_SUFFIXES)
    return bool(name) and (module.lower().endswith(".py") or is_module) and not os.path.lexists(word)


def _split_word(word: str) -> tuple[str, str]:
    """Return the module or file that a word names, and the name in it; empty if it names none."""
    match = _WORD.fullmatch(word)
    return (match["module"], match["name"]) if match is not None else (word, "")


def import_flow(word: str) -> PythonFlow:
    """Import a flow; again if a file has changed since.

    Raises:
        Problem: If the module cannot be imported, or has no such flow.
    """
    modules = get_project_modules()
    if modules.have_changed:
        modules.forget()
    flow: PythonFlow = modules.found.get(word) or modules.found.setdefault(word, PythonFlow(word, modules))
    return flow


def list_module_files(word: str) -> list[str]:
    """Return the files of a flow that are known without importing it: its module's, and what that imported before."""
    source = _split_word(word)[0]
    stem = source.removesuffix(".py") if source.endswith(".py") else source.replace(".", os.sep)
    own = [path for path in (f"{stem}.py", os.path.join(stem, "__init__.py")) if os.path.isfile(path)]
    return list(dict.fromkeys([*own, *get_project_modules().files]))


def get_project_modules() -> ProjectModules:
    """Return the modules that were imported for this call of the command."""
    from .python_modules import ProjectModules

    session = current_session()
    modules = session.modules = session.modules if isinstance(session.modules, ProjectModules) else ProjectModules()
    return modules


def _get_flow(module: ModuleType, source: str, name: str) -> Any:
    """Return the flow of a name in a module."""
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise usage(f"{source} has no flow {name}", _hint_flows(module, name))
        value = getattr(value, part)
    # If a mapping is not a flow, reading it says why.
    if _is_flow(value) or isinstance(value, Mapping):
        return value
    if isinstance(value, type):
        raise usage(f"{source}:{name} is a class, not a flow", _hint_flows(module, name))
    if callable(value):
        hint = "decorate the function with @flow of stepflow_client.authoring"
        raise usage(f"{source}:{name} is not a flow, but a function", hint)
    raise usage(f"{source}:{name} is not a flow, but of type {type(value).__name__}", _hint_flows(module, name))


def _is_flow(value: object) -> bool:
    """Return whether a value is a flow, a builder, or an object with the fields of a flow. Nothing is built."""
    from stepflow_client._command import is_data_object
    from stepflow_client.flows.flow_argument import explain_no_flow

    if isinstance(value, (type, ModuleType)):
        return False
    if isinstance(value, Mapping):
        return explain_no_flow(value) is None
    is_built = any(callable(getattr(type(value), name, None)) for name in ("__flow__", "build", "to_dict"))
    return is_built or (is_data_object(value) and (hasattr(value, "steps") or hasattr(value, "output")))


def _hint_flows(module: ModuleType, name: str) -> str | None:
    """Return the hint that names the flows of a module."""
    names = [key for key, value in vars(module).items() if not key.startswith("_") and _is_flow(value)]
    shown = ", ".join(names[:_MAX_NAMES]) + (", ..." if len(names) > _MAX_NAMES else "")
    return suggest(name, names) or (
        f"its flows are {shown}" if names else "it has no flow; @flow makes one of a function"
    )
