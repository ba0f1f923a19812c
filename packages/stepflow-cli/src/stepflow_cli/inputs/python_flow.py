"""Flows of Python modules, named as `module:function` or `path/to/file.py:function`.

Importing a module executes it. Only a module that the command line names is imported, never one that is found in a
folder, in the settings of a project or in the history.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import nearest, printable, usage
from .files import DATA_SUFFIXES, Signature, signature

if TYPE_CHECKING:
    from stepflow_client.flows.source import FlowText

__all__ = ["PythonFlow", "is_python_flow", "python_files", "python_flow"]

_WORD = re.compile(r"(?P<module>.+):(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_MOST_NAMES = 5


class PythonFlow:
    """A flow of a Python module.

    Args:
        word: How the command line names it.
        value: The flow: a mapping, or an object that gives one.
        module: The module.
    """

    def __init__(self, word: str, value: Any, module: ModuleType) -> None:
        """Store the flow."""
        self.word = word
        self.value = value
        self.module = module.__name__
        self.name = _parts(word)[1]
        self.file = _shown(module.__file__ or word)

    @cached_property
    def text(self) -> FlowText:
        """The flow, whose positions are lines of Python where they are known.

        Raises:
            Problem: If the object does not give a flow.
        """
        from stepflow_client.flows.source import FlowText

        with _executing(self.word, "gives no flow"):
            return FlowText.of(self.value)


_flows: dict[str, PythonFlow] = {}
"""The flows that were imported, by the words of the command line."""
_imported: dict[str, str] = {}
"""The modules that were imported with them, and their files."""
_files: dict[str, Signature] = {}
"""The files of these modules, and those in which an import failed."""


def is_python_flow(word: str) -> bool:
    """Return whether a word of the command line names a flow of a Python module. A file of this name goes first."""
    module, name = _parts(word)
    is_module = all(each.isidentifier() for each in module.split(".")) and not module.lower().endswith(DATA_SUFFIXES)
    return bool(name) and (module.lower().endswith(".py") or is_module) and not os.path.lexists(word)


def _parts(word: str) -> tuple[str, str]:
    """Return the module or file that a word names, and the name in it; empty if it names none."""
    found = _WORD.fullmatch(word)
    return (found["module"], found["name"]) if found is not None else (word, "")


def python_flow(word: str) -> PythonFlow:
    """Import a flow; again if a file has changed since.

    Raises:
        Problem: If the module cannot be imported, or has no such flow.
    """
    if any(signature(file) != known for file, known in _files.items()):
        _forget()
    if word not in _flows:
        source, name = _parts(word)
        module = _import(source)
        _flows[word] = PythonFlow(word, _value(module, source, name), module)
    return _flows[word]


def python_files(word: str) -> list[str]:
    """Return the files of a flow that are known without importing it: its module's, and what that imported before."""
    source = _parts(word)[0]
    stem = source.removesuffix(".py") if source.endswith(".py") else source.replace(".", os.sep)
    own = [path for path in (f"{stem}.py", os.path.join(stem, "__init__.py")) if os.path.isfile(path)]
    return list(dict.fromkeys([*own, *map(_shown, _files)]))


def _forget() -> None:
    """Forget what was imported from the project, so that it is imported again."""
    for name in _imported:
        sys.modules.pop(name, None)
    _flows.clear()
    _imported.clear()
    _files.clear()
    importlib.invalidate_caches()


def _import(source: str) -> ModuleType:
    """Import a module by its name, searched for from the working folder, or by its file."""
    is_file = source.lower().endswith(".py")
    if is_file and not os.path.isfile(source):
        raise usage(f"{source} does not exist", _nearest_file(source))
    folder, name = _place_of(Path(os.path.abspath(source))) if is_file else (Path.cwd(), source)
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    with _recording(), _executing(source, "cannot be imported", module=None if is_file else name):
        return _import_file(name, os.path.abspath(source)) if is_file else importlib.import_module(name)


def _place_of(file: Path) -> tuple[Path, str]:
    """Return the folder from which a file is imported, and its name as a module: a package is imported as a whole."""
    folder, names = file.parent, [] if file.stem == "__init__" else [file.stem]
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(names)


def _import_file(name: str, file: str) -> ModuleType:
    from importlib.util import module_from_spec, spec_from_file_location

    parent, _, _ = name.rpartition(".")
    if parent:
        importlib.import_module(parent)
    while name in sys.modules and getattr(sys.modules[name], "__file__", None) != file:
        # Another module has this name, such as one of the standard library.
        name += "_"
    if name in sys.modules:
        return sys.modules[name]
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _recording() -> Iterator[None]:
    """Record the modules of the project that are imported in the block, without writing bytecode for them.

    A changed module of the same second and size would otherwise be taken for what was compiled before.
    """
    before = set(sys.modules)
    others = {name.partition(".")[0] for name in before - _imported.keys()}
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None)
            if file and _is_of_project(file) and name.partition(".")[0] not in others:
                _imported[name] = file
                _files[file] = signature(file)


def _is_of_project(file: str) -> bool:
    """Return whether a file is no installed one."""
    import sysconfig

    folders = (os.path.join(each, "") for each in sysconfig.get_paths().values())
    is_installed = "site-packages" in Path(file).parts or file.startswith(tuple(folders))
    return not file.startswith("<") and not is_installed


@contextmanager
def _executing(word: str, failure: str, module: str | None = None) -> Iterator[None]:
    """Convert what code of the user raises to a problem, and keep what it prints out of the results.

    Args:
        word: What is executed, as the command line names it.
        failure: What has failed then.
        module: The module that is imported, if it may not exist.
    """
    import traceback

    try:
        with redirect_stdout(sys.stderr):
            yield
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and module is not None and _is_missing(error.name, module):
            raise usage(f"there is no module {module}", _nearest_module(module)) from None
        cause = error.__cause__ or error
        reason = getattr(cause, "message", None) or traceback.format_exception_only(cause)[-1]
        place = _place_in(cause)
        for file, _ in place:
            _files.setdefault(file, signature(file))
        at = f" ({_shown(place[-1][0])}:{place[-1][1]})" if place else ""
        said = printable(" ".join(str(reason).split()))
        raise usage(f"{word} {failure}: {said}{at}", "-vv shows the traceback") from error


def _is_missing(missing: str | None, module: str) -> bool:
    return missing is not None and f"{module}.".startswith(f"{missing}.")


def _place_in(error: BaseException) -> list[tuple[str, int]]:
    """Return the files and lines of the project that led to an error, the innermost last."""
    import traceback

    import stepflow_client

    frames = [(each.filename, each.lineno or 0) for each in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno or 0))
    own = tuple(os.path.join(Path(file).parent, "") for file in (stepflow_client.__file__, Path(__file__).parent))
    return [each for each in frames if _is_of_project(each[0]) and not each[0].startswith(own)]


def _value(module: ModuleType, source: str, name: str) -> Any:
    """Return the flow of a name in a module."""
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise usage(f"{source} has no flow {name}", _flows_of(module, name))
        value = getattr(value, part)
    if _is_flow(value):
        return value
    if isinstance(value, type):
        raise usage(f"{source}:{name} is a class, not a flow", _flows_of(module, name))
    if callable(value):
        hint = "decorate the function with @flow of stepflow_client.authoring"
        raise usage(f"{source}:{name} is not a flow, but a function", hint)
    raise usage(f"{source}:{name} is not a flow, but of type {type(value).__name__}", _flows_of(module, name))


def _is_flow(value: object) -> bool:
    """Return whether a value is a mapping, a builder, or an object that converts to a mapping."""
    from stepflow_client._data.objects import is_data_object

    if isinstance(value, (type, ModuleType)):
        return False
    is_built = any(callable(getattr(type(value), name, None)) for name in ("build", "to_dict"))
    return is_built or isinstance(value, Mapping) or is_data_object(value)


def _flows_of(module: ModuleType, name: str) -> str | None:
    """Return the hint that names the flows of a module."""
    names = [key for key, value in vars(module).items() if not key.startswith("_") and _is_flow(value)]
    shown = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
    return nearest(name, names) or (f"its flows are {shown}" if names else "it has no flow")


def _nearest_module(module: str) -> str:
    prefix, dot, _ = module.rpartition(".")
    folder = Path(*prefix.split(".")) if prefix else Path()
    found = sorted(entry.stem for entry in folder.iterdir() if _is_module(entry)) if folder.is_dir() else []
    near = nearest(module, [f"{prefix}{dot}{each}" for each in found])
    return near or "modules are searched for in the working folder and in the environment of this command"


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" or (path / "__init__.py").is_file()


def _nearest_file(path: str) -> str | None:
    folder = os.path.dirname(path)
    names = sorted(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else []
    return nearest(path, [os.path.join(folder, name) for name in names if name.endswith(".py")])


def _shown(file: str) -> str:
    """Return a file as people would write it: relative if it is in the working folder."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file
